"""Who answers questions about logins and quotas: the running daemon, or without one this process itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from maestro_daemon.cli.options import log

if TYPE_CHECKING:
    from maestro_daemon.config import Config
    from maestro_daemon.providers.accounts import Accounts
    from maestro_daemon.providers.registry import Registry

_PATIENCE: Final = 90.0
Show = Callable[[Mapping[str, Any]], None]


class Desk(Protocol):
    """Answers as `maestro_daemon.providers.accounts.Accounts` does. Blocks; raises `MaestroError`."""

    def login(self, provider: str, show: Show) -> None:
        """Log in; `show` gets each step."""
        ...

    def logout(self, provider: str) -> Mapping[str, Any]:
        """Forget a login."""
        ...

    def states(self, provider: str | None) -> Mapping[str, Any]:
        """How the logins stand."""
        ...

    def quotas(self, provider: str | None) -> Mapping[str, Any]:
        """What is left of the plans."""
        ...


@contextmanager
def desk(config_path: Path | None, socket_path: Path | None, log_level: str) -> Iterator[Desk]:
    """The running daemon; this process with --config, or when none is running.

    Raises `ConfigInvalid`, and `ControlUnreachable` for a socket that was named and that nobody listens on.
    """
    from maestro_daemon.server import control_socket

    with log(log_level) as logs:
        path = socket_path or control_socket.find()
        live = control_socket.is_socket(path) and control_socket.is_live(path)
        if socket_path is not None or (config_path is None and live):
            yield _Daemon(path)
            return
        from maestro_daemon.config import load
        from maestro_daemon.discovery import find
        from maestro_daemon.providers.registry import Registry

        registry = Registry()
        config = load(config_path, registry, discover=lambda: asyncio.run(find(os.environ)).providers)
        logs.keep_out(config.secrets())
        yield _Here(config, registry)


class _Daemon:
    """The daemon behind a control socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def login(self, provider: str, show: Show) -> None:
        from maestro_daemon.server.control_socket import follow

        with closing(follow(self._path, "/login", {"provider": provider})) as steps:
            for step in steps:
                show(step)

    def logout(self, provider: str) -> Mapping[str, Any]:
        from maestro_daemon.server.control_socket import tell

        return tell(self._path, "/logout", {"provider": provider}, timeout=_PATIENCE)

    def states(self, provider: str | None) -> Mapping[str, Any]:
        return self._ask("/logins", provider)

    def quotas(self, provider: str | None) -> Mapping[str, Any]:
        return self._ask("/quota", provider)

    def _ask(self, what: str, provider: str | None) -> Mapping[str, Any]:
        from maestro_daemon.server.control_socket import ask

        return ask(self._path, what, {"provider": provider} if provider else {}, timeout=_PATIENCE)


class _Here:
    """The providers of a configuration, made for one question."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._config = config
        self._registry = registry

    def login(self, provider: str, show: Show) -> None:
        async def run() -> None:
            async with (
                self._accounts(provider) as accounts,
                aclosing(accounts.login({"provider": provider})) as steps,
            ):
                async for step in steps:
                    show(step)

        asyncio.run(run())

    def logout(self, provider: str) -> Mapping[str, Any]:
        async def run() -> Mapping[str, Any]:
            async with self._accounts(provider) as accounts:
                return await accounts.logout({"provider": provider})

        return asyncio.run(run())

    def states(self, provider: str | None) -> Mapping[str, Any]:
        async def run() -> Mapping[str, Any]:
            async with self._accounts(provider) as accounts:
                return await accounts.states({"provider": provider})

        return asyncio.run(run())

    def quotas(self, provider: str | None) -> Mapping[str, Any]:
        async def run() -> Mapping[str, Any]:
            async with self._accounts(provider) as accounts:
                return await accounts.quotas({"provider": provider})

        return asyncio.run(run())

    @asynccontextmanager
    async def _accounts(self, provider: str | None) -> AsyncIterator[Accounts]:
        """The providers that are wanted, not started: a login needs no engine."""
        from maestro_daemon.errors import MaestroError
        from maestro_daemon.providers.absent import AbsentProvider
        from maestro_daemon.providers.accounts import Accounts
        from maestro_daemon.providers.provider import Provider

        wanted = self._config.providers
        providers: dict[str, Provider] = {}
        try:
            for name, each in wanted.items():
                try:
                    providers[name] = self._registry.build(name, each.kind, each.options)
                except MaestroError as error:
                    providers[name] = AbsentProvider(name, error)
            yield Accounts(providers, {name: each.kind for name, each in wanted.items()})
        finally:
            await asyncio.gather(*(each.aclose() for each in providers.values()), return_exceptions=True)
