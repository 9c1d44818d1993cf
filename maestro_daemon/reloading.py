"""Reading the configuration anew while requests run: it takes over whole, or the one before stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from maestro_daemon.config import Config
from maestro_daemon.config.changes import Changes, applied, changes
from maestro_daemon.errors import ConfigInvalid, MaestroError
from maestro_daemon.listening import Listening, certificate
from maestro_daemon.providers.absent import AbsentProvider
from maestro_daemon.server.access import check_exposure
from maestro_daemon.service.supervised import Supervised
from maestro_daemon.succession import Succession

Read = Callable[[Path | None], Config]
"""Reads a configuration: the file of this path, or what is found where there is none. Blocks, in a thread.

Raises `ConfigInvalid`."""

_MOST_LINES: Final = 50
_log: Final = structlog.get_logger(__name__)


class NotReloaded(MaestroError):
    """The configuration is not read anew; the message says why."""

    default_status = 503
    default_code = "not_reloaded"


class Reloading:
    """Reads with `read` what `succession` and `listening` are to go by, one reading after the other."""

    def __init__(
        self,
        succession: Succession,
        listening: Listening,
        read: Read,
        *,
        supervised: Supervised | None = None,
    ) -> None:
        self._supervised = supervised or Supervised()
        self._succession = succession
        self._listening = listening
        self._read = read
        self._latest: asyncio.Task[dict[str, Any]] | None = None
        self._waiting: asyncio.Task[dict[str, Any]] | None = None
        self._closed = False

    async def asked(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Read the configuration; what became of it, when it has taken over.

        ``{"config": path or None, "added", "removed", "changed", "restart": [key, …], "problems": {provider:
        sentence}}``. It goes on to its end though whoever asked may leave. Raises `ConfigInvalid`, with a
        line per fault, if it cannot be used, and `NotReloaded` while the daemon ends.
        """
        task = self._begun()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise _ending() from None
            raise

    def signalled(self) -> None:
        """As `asked`, for a signal: only the log tells what became of it."""
        try:
            self._begun()
        except NotReloaded as error:
            _log.warning("configuration not read anew", reason=error.message)

    async def close(self) -> None:
        """Read no more: what is under way is dropped, and has changed nothing or everything."""
        self._closed = True
        tasks = {task for task in (self._latest, self._waiting) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begun(self) -> asyncio.Task[dict[str, Any]]:
        """A reading that has not begun yet: whoever asks meanwhile is told of the same one."""
        if self._closed:
            raise _ending()
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._in_turn(self._latest), name="reload")
            self._waiting.add_done_callback(_heard)
        return self._waiting

    async def _in_turn(self, earlier: asyncio.Task[dict[str, Any]] | None) -> dict[str, Any]:
        if earlier is not None:
            await asyncio.wait({earlier})
        self._latest, self._waiting = self._waiting, None
        try:
            with self._supervised.reloading():
                return await self._reloaded()
        except MaestroError as error:
            lines = error.message.split("\n")
            _log.error(
                "configuration not taken over, the earlier one stays",
                faults=lines[:_MOST_LINES],
                count=len(lines),
            )
            raise
        except Exception as error:
            _log.exception("configuration not taken over, the earlier one stays")
            raise NotReloaded(
                f"The configuration was not taken over: {type(error).__name__}; the daemon's log says more.",
                status=500,
            ) from error

    async def _reloaded(self) -> dict[str, Any]:
        running = self._succession.current.config
        read = await asyncio.to_thread(self._read, running.source)
        _refuse_emptied(running, read)
        config = applied(running, read)
        _refuse_exposure(config, read, issued=self._succession.issued)
        tls = await asyncio.to_thread(certificate, config.server)
        told = changes(running, read)
        generation = await self._succession.take_over(config)
        self._listening.follow(config.server, tls)
        _tell(config, told)
        return {
            "config": None if config.source is None else str(config.source),
            **told.document(),
            "problems": {
                name: provider.problem()
                for name, provider in generation.providers.items()
                if isinstance(provider, AbsentProvider)
            },
        }


def _refuse_emptied(running: Config, read: Config) -> None:
    """A file that an editor has just emptied, to write it anew, is a right one too."""
    written = len(read.providers) - len(read.found)
    if read.source is not None and not written and len(running.providers) > len(running.found):
        raise ConfigInvalid(
            f"{read.source}: providers: there is none any more, as in a file that is only half written. "
            "Restart the daemon if it is to serve what it finds."
        )


def _refuse_exposure(config: Config, read: Config, *, issued: bool) -> None:
    """What is right at a start may not be right where the daemon listens now."""
    server = config.server
    try:
        has_keys = bool(config.clients) or issued
        check_exposure(host=server.host, has_keys=has_keys, tls=server.tls is not None)
    except ConfigInvalid:
        raise ConfigInvalid(
            f"{config.source}: clients: there is none, and until it is restarted the daemon listens on "
            f"{server.host!r}, where other machines can reach it: keep a [clients.NAME], or restart with "
            f"[server] host = {read.server.host!r}."
        ) from None


def _tell(config: Config, told: Changes) -> None:
    keys = {name: keys for name, keys in told.document().items() if keys}
    _log.info("configuration taken over", config=str(config.source or "none"), **keys)
    if told.restart:
        _log.warning("these take effect with a restart only, and stay as they were", keys=told.restart)


def _heard(task: asyncio.Task[dict[str, Any]]) -> None:
    """Take note of a failure that was logged already."""
    if not task.cancelled():
        task.exception()


def _ending() -> NotReloaded:
    return NotReloaded("The daemon is being stopped: its configuration is not read anew.")
