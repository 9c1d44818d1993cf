"""Where clients connect: the address and its certificate."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from maestro_daemon.config import ServerOptions
from maestro_daemon.errors import ConfigInvalid, MaestroError
from maestro_daemon.server.connections import ConnectionRunner


class PortTaken(MaestroError):
    """The address cannot be listened on; the message is one sentence."""


class Listening:
    """The sockets under `app`. `urls` are base URLs for clients (``http://…/v1``) while they are open."""

    def __init__(self, app: web.Application, server: ServerOptions) -> None:
        self.urls: tuple[str, ...] = ()
        self._server = server
        self._runner = ConnectionRunner(app, head_timeout=server.header_timeout)
        self._sites: list[web.BaseSite] = []
        self._certificate: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen on the configured address while the block runs. Raises `PortTaken`, `ConfigInvalid`."""
        server = self._server
        self._certificate = await asyncio.to_thread(certificate, server)
        tls = None if self._certificate is None else self._following_context(self._certificate)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, server.host, server.port, ssl_context=tls, backlog=1024)
            try:
                await site.start()
            except OSError as error:
                raise PortTaken(_cannot_listen(server.host, server.port, error)) from error
            self._sites.append(site)
            self.urls = tuple(_base_url(address, tls=tls is not None) for address in self._runner.addresses)
            yield
        finally:
            await self._runner.cleanup()

    def follow(self, server: ServerOptions, certificate: ssl.SSLContext | None) -> None:
        """Other options for connections that come from now on; the address and whether it is https stay."""
        self._runner.limit(head_timeout=server.header_timeout)
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
