"""Where clients connect: the address and its certificate."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import structlog
from aiohttp import web

from maestro_daemon.config import Config, ServerOptions
from maestro_daemon.errors import ConfigInvalid, MaestroError
from maestro_daemon.server.access import is_loopback
from maestro_daemon.server.connections import ConnectionRunner
from maestro_daemon.server.unix_place import UnixPlace
from maestro_daemon.service.handed import HandedSocket

_log: Final = structlog.get_logger(__name__)
_BACKLOG: Final = 4096
"""As systemd's own: less would shorten the queue of a socket that was handed over."""


class PortTaken(MaestroError):
    """The address cannot be listened on; the message is one sentence."""


class Listening:
    """The sockets under `app`: `handed` ones, or else those that the options name.

    While they are open, `urls` are base URLs for clients (``http://…/v1``) and `unix_sockets` paths, in
    front of abstract ones an ``@``.
    """

    def __init__(
        self, app: web.Application, server: ServerOptions, handed: Sequence[HandedSocket] = ()
    ) -> None:
        self.urls: tuple[str, ...] = ()
        self.unix_sockets: tuple[str, ...] = ()
        self._server = server
        self._handed = handed
        self._runner = ConnectionRunner(app, server.bounds())
        self._sites: list[web.BaseSite] = []
        self._certificate: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen while the block runs. Raises `PortTaken`, `PlaceTaken`, `ConfigInvalid`."""
        server = self._server
        self._certificate = await asyncio.to_thread(certificate, server)
        tls = None if self._certificate is None else self._following_context(self._certificate)
        async with contextlib.AsyncExitStack() as stack:
            opened = [each.socket for each in self._handed]
            path = server.unix_socket
            if path is not None and str(path) not in map(socket.socket.getsockname, opened):
                place = await asyncio.to_thread(UnixPlace, path)
                stack.push_async_callback(asyncio.to_thread, place.leave)
                opened.append(place.socket)
            await self._runner.setup()
            stack.push_async_callback(self._runner.cleanup)
            if not self._handed:
                await self._open_address(tls)
            for each in opened:
                await self._open(each, None if is_unix(each) else tls)
            names = [name for site in self._sites for name in _names(site)]
            addresses = [name for name in names if isinstance(name, tuple)]
            self.urls = tuple(_base_url(address, tls=tls is not None) for address in addresses)
            self.unix_sockets = tuple(_path(name) for name in names if not isinstance(name, tuple))
            yield

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._runner.connections

    def end_after_answers(self) -> None:
        """See `ConnectionRunner`, as for the two below."""
        self._runner.end_after_answers()

    def end_silent(self) -> None:
        """Close the connections that have asked for nothing yet."""
        self._runner.end_silent()

    async def deserted(self) -> None:
        """Wait until no connection is open."""
        await self._runner.deserted()

    async def _open_address(self, tls: ssl.SSLContext | None) -> None:
        server = self._server
        site = web.TCPSite(self._runner, server.host, server.port, ssl_context=tls, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise PortTaken(_cannot_listen(server.host, server.port, error)) from error
        self._sites.append(site)

    async def _open(self, opened: socket.socket, tls: ssl.SSLContext | None) -> None:
        site = web.SockSite(self._runner, opened, ssl_context=tls, backlog=_BACKLOG)
        await site.start()
        self._sites.append(site)

    def follow(self, server: ServerOptions, certificate: ssl.SSLContext | None) -> None:
        """Other options for connections that come from now on; the address and whether it is https stay."""
        self._runner.follow(server.bounds())
        if self._certificate is not None and certificate is not None:
            self._certificate = certificate

    async def accept_no_more(self) -> None:
        """Stop listening; connections that are open stay."""
        for site in self._sites:
            await site.stop()

    def _following_context(self, first: ssl.SSLContext) -> ssl.SSLContext:
        """The context that listens: each handshake goes on with the certificate that is current."""

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            if self._certificate is not None and self._certificate is not first:
                connection.context = self._certificate

        first.sni_callback = choose
        return first


def is_unix(opened: socket.socket) -> bool:
    """Whether it is a unix socket."""
    return opened.family == socket.AF_UNIX


def placed(config: Config, handed: Sequence[HandedSocket]) -> Config:
    """The configuration with the address on which the `handed` sockets listen, the most exposed of them."""
    addresses = [each.socket.getsockname()[:2] for each in handed if not is_unix(each.socket)]
    if not addresses:
        return config
    host, port = min(addresses, key=lambda address: is_loopback(address[0]))
    server = config.server
    if server.model_fields_set & {"host", "port"} and (server.host, server.port) != (host, port):
        _log.warning(
            "[server] host and port are not used: systemd listens, as the socket unit says",
            configured=_authority(server.host, server.port),
            listens=_authority(host, port),
        )
    return replace(config, server=server.model_copy(update={"host": host, "port": port}))


def certificate(server: ServerOptions) -> ssl.SSLContext | None:
    """The certificate that the options name, None for plain http. Blocks. Raises `ConfigInvalid`."""
    options = server.tls
    if options is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.cert, options.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(f"[server.tls] cert and key cannot be used: {error}.") from error
    return context


def _names(site: web.BaseSite) -> Iterator[Any]:
    """The addresses of its sockets: tuples, for unix sockets text or bytes."""
    server = cast("asyncio.Server", site._server)
    for each in server.sockets:
        yield each.getsockname()


def _path(name: str | bytes) -> str:
    return name if isinstance(name, str) else f"@{os.fsdecode(name[1:])}"


def _base_url(address: Any, *, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{_authority(address[0], address[1])}/v1"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    where = _authority(host, port)
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or set another [server] port."
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if isinstance(error, socket.gaierror):
        reason = "the name is not known"
    return f"Cannot listen on {where}: {reason}; set another [server] host or port."
