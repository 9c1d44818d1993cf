"""``maestro-daemon serve``."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from maestro_daemon.cli.options import config_option, log, log_level_option, socket_option
from maestro_daemon.cli.plan import plan_text, reach_text
from maestro_daemon.cli.screen import printable
from maestro_daemon.errors import MaestroError

if TYPE_CHECKING:
    from maestro_daemon.config import Config
    from maestro_daemon.daemon import Serving
    from maestro_daemon.logs import Logs
    from maestro_daemon.providers.registry import Registry
    from maestro_daemon.reloading import Read
    from maestro_daemon.service.handed import HandedSocket
    from maestro_daemon.service.supervised import Supervised

_LISTING_PATIENCE: Final = 10.0
_MODELS_SHOWN: Final = 5


@click.command(short_help="Serve until SIGTERM or Ctrl-C.")
@config_option()
@socket_option()
@log_level_option("info")
def command(config_path: Path | None, socket_path: Path | None, log_level: str) -> None:
    """Serve the Responses endpoint until SIGTERM or Ctrl-C.

    The base URL for clients is printed on a line of its own, then what is served. Without any
    configuration the daemon serves what it finds: a local Ollama or llama.cpp, OPENAI_API_KEY, and the
    embedded model.

    \b
    Example:
      maestro-daemon serve --config maestro.toml
      curl http://127.0.0.1:8787/v1/responses -H 'content-type: application/json' \\
           -d '{"model": "auto", "input": "Say hello.", "stream": true}'
    """
    from maestro_daemon.config import load
    from maestro_daemon.discovery import find
    from maestro_daemon.last_resort import end_soon
    from maestro_daemon.providers.registry import Registry
    from maestro_daemon.service.handed import handed_sockets
    from maestro_daemon.service.turned_away import turned_away

    # A crash, and a loop that the watchdog found blocked, leave on stderr where it was.
    faulthandler.enable(2)
    notes: dict[str, str] = {}

    def discover() -> Mapping[str, Mapping[str, Any]]:
        found = asyncio.run(find(os.environ))
        notes.update(found.notes)
        return found.providers

    with log(log_level, for_good=True) as logs, _supervised() as supervised:
        handed = handed_sockets()
        registry = Registry()

        def read(path: Path | None) -> Config:
            config = load(path, registry, discover=discover)
            logs.keep_out(config.secrets())
            return config

        with turned_away(handed), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            config = read(config_path)
            status = 1
            try:
                runner.run(_serve(config, read, registry, notes, socket_path, logs, supervised, handed))
                status = 0
            finally:
                end_soon(logs.write, runner.get_loop(), status=status)


@contextlib.contextmanager
def _supervised() -> Iterator[Supervised]:
    """Whoever supervises this process; what ends it before its time is told."""
    from maestro_daemon.service.supervised import Supervised

    with contextlib.closing(Supervised.of_environment()) as supervised:
        try:
            yield supervised
        except MaestroError as error:
            supervised.failed(error.message)
            raise
        except Exception as error:
            supervised.failed(f"failed with {type(error).__name__}")
            raise


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    config: Config,
    read: Read,
    registry: Registry,
    notes: Mapping[str, str],
    socket_path: Path | None,
    logs: Logs,
    supervised: Supervised,
    handed: Sequence[HandedSocket],
) -> None:
    from maestro_daemon import daemon

    announcing: list[asyncio.Task[None]] = []

    def ready(serving: Serving) -> None:
        sockets = [f"unix socket: {path}" for path in serving.unix_sockets]
        _print([*serving.urls, *sockets, *_origin(config, notes, issued=serving.issued)])
        announcing.append(asyncio.create_task(_announce(serving), name="announcement"))

    try:
        await daemon.run(
            config,
            registry,
            read=read,
            ready=ready,
            socket_path=socket_path,
            write=logs.write,
            write_body=logs.write_body,
            supervised=supervised,
            handed=handed,
        )
    finally:
        for task in announcing:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _origin(config: Config, notes: Mapping[str, str], *, issued: bool) -> Iterable[str]:
    yield f"configuration: {config.source or 'none'}"
    if config.found:
        yield "no [providers] are configured, so this is served:"
        yield from (f"  {name}: {notes.get(name, 'found')}" for name in config.found)
    elif not config.providers:
        yield "no [providers] are configured, and nothing was found to serve"
    yield reach_text(config, issued=issued)


async def _announce(serving: Serving) -> None:
    """Say what each provider lists, as soon as all were asked; slow ones are left to `status`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LISTING_PATIENCE):
            await serving.catalog.tried()
    status = serving.status()
    lines = []
    for name, provider in status["providers"].items():
        models = [model.id for model in serving.catalog.models(name) or ()]
        said = f"provider {name} ({provider['kind']}): "
        if models:
            more = f" and {len(models) - _MODELS_SHOWN} more" if len(models) > _MODELS_SHOWN else ""
            said += ", ".join(models[:_MODELS_SHOWN]) + more
        else:
            said += provider["problem"] or "lists no models"
        lines.append(said)
    lines += [f"route {name}: {plan_text(route)}" for name, route in serving.config.routes.items()]
    await asyncio.to_thread(_print, lines)


def _print(lines: Iterable[str]) -> None:
    """To stdout, whoever reads there or not: a closed pipe must not end the daemon."""
    try:
        sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
        sys.stdout.flush()
    except OSError:
        # What Python has buffered would fail again when it exits.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
