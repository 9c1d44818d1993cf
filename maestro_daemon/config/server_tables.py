"""The tables of what the daemon itself listens on, and what it bounds there."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from maestro_daemon.providers.options import ConfigPath, Duration, Size, Table, Timeout
from maestro_daemon.routing.memory import ITEM_BYTES
from maestro_daemon.server.bounds import Bounds


def _readable(path: Path) -> Path:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"{path} is no file that can be read")
    return path


def _host(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", bare):
        raise ValueError('must be a host name or an address, like "127.0.0.1"')
    return bare


def _address(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('must be an address and a port, like "127.0.0.1:9464"')
    _host(host)
    if ":" in host and not host.startswith("["):
        raise ValueError('must have an IPv6 address in brackets, like "[::1]:9464"')
    return address


def split_address(address: str) -> tuple[str, int]:
    """The host, without brackets, and the port of an `Address`."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


ReadableFile = Annotated[ConfigPath, AfterValidator(_readable)]
Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]


class TlsOptions(Table):
    """Serve https instead of http."""

    cert: Annotated[ReadableFile, Field(examples=["/etc/maestro-daemon/tls.crt"])]
    """The certificate chain, PEM."""

    key: Annotated[ReadableFile, Field(examples=["/etc/maestro-daemon/tls.key"])]
    """The private key, PEM, without a passphrase."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        try:
            # An empty passphrase keeps OpenSSL from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or "not PEM"
            raise ValueError(f"cert and key cannot be used together: {reason}") from None
        return self


class ServerOptions(Table):
    """Where the daemon listens, and its limits."""

    host: Host = "127.0.0.1"
    """The address to listen on. Beyond this machine only with client keys."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8787
    """The port to listen on; 0 lets the system choose one."""

    unix_socket: Annotated[ConfigPath | None, Field(examples=["/run/user/1000/maestro.sock"])] = None
    """A unix socket to listen on as well; only the daemon's own user and root can connect to it."""

    keepalive: Timeout = 15.0
    """After this much silence of an upstream the client gets a keepalive event."""

    max_body: Annotated[Size, Field(gt=0)] = 64 * 2**20
    """The largest request body, decompressed."""

    drain: Duration = 60.0
    """How long running answers may go on after SIGTERM."""

    send_timeout: Timeout = 60.0
    """A client that takes none of its answer for this long is dropped."""

    header_timeout: Timeout = 30.0
    """How long a client may take to send a request's headers."""

    idle_timeout: Timeout = 75.0
    """How long a connection may stay open without a request."""

    max_header: Annotated[Size, Field(ge=1024, le=2**20)] = 16 * 2**10
    """The longest header of a request, and the longest request line."""

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 2048
    """How many connections may be open; further ones are answered with a 503."""

    max_connections_per_address: Annotated[int | None, Field(ge=1, examples=[256])] = None
    """How many of them from one address."""

    body_timeout: Timeout = 120.0
    """How long a client may take to send a request's body."""

    memory: Annotated[Size, Field(ge=2**20)] = ITEM_BYTES
    """How much of earlier answers is remembered, for clients that refer to their items by ids."""

    allowed_hosts: Annotated[list[Host], Field(examples=[["devbox.lan"]])] = []
    """Names beside localhost that a request's Host may hold while there are no client keys."""

    tls: TlsOptions | None = None

    def bounds(self) -> Bounds:
        """What connections may take of the daemon."""
        return Bounds(
            head_timeout=self.header_timeout,
            idle_timeout=self.idle_timeout,
            send_timeout=self.send_timeout,
            max_header=self.max_header,
            most=self.max_connections,
            most_per_address=self.max_connections_per_address,
        )


class MetricsOptions(Table):
    """Metrics for Prometheus. Without either of these nothing is counted."""

    listen: Annotated[Address | None, Field(examples=["127.0.0.1:9464"])] = None
    """An address and a port of their own: `/metrics` is served there to everybody who reaches it."""

    on_main_port: bool = False
    """Serve `/metrics` on the daemon's own port, to clients with `admin = true`."""

    @property
    def wanted(self) -> bool:
        """Whether there are any."""
        return self.listen is not None or self.on_main_port
