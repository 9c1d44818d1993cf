"""Who may call: client keys, and without any, programs on this machine only."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDictProxy

from maestro_daemon.errors import AccessForbidden, ConfigInvalid, NotAuthenticated
from maestro_daemon.protocol.field_checks import quoted
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.client import Client
from maestro_daemon.server.issued_keys import IssuedKeys, digest_of
from maestro_daemon.server.visit import Visit

CLIENT = web.RequestKey("client", str)
"""The name of the client whose key came with a request; "" where none is configured or needed."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Served without a key, where keys are configured."""

_LONGEST_ECHO = 128
_WHERE_KEYS_ARE: Final = (
    "Keys are made by 'maestro-daemon keys add NAME', or configured under [clients.NAME]."
)


class Access:
    """The rule for every request.

    `keys` maps a client's name to its key, `clients` to what it may, where that is not everything. `issued`
    are further keys, whose names count unless `keys` has them, and `allowances` what clients have used.
    `allowed_hosts` are names (``box.lan``, a port is ignored) under which the daemon may be called besides
    localhost as long as there are no keys. A daemon that is `exposed` needs keys, be there none.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        clients: Mapping[str, Client] = MappingProxyType({}),
        issued: IssuedKeys | None = None,
        allowances: Allowances | None = None,
        exposed: bool = False,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        # By digests: how long a look at them takes says nothing about a key.
        self._names = {digest_of(key): name for name, key in keys.items()}
        self._issued = IssuedKeys() if issued is None else issued
        self._allowances = Allowances() if allowances is None else allowances
        self._always = bool(self._names) or exposed
        self.clients: Mapping[str, Client] = {name: clients.get(name) or Client(name) for name in keys}
        self._last_local_host: str | None = None  # most calls come under one name
        self._allowed_hosts = frozenset(_without_port(host.strip().lower()) for host in allowed_hosts)

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return self._always or self._issued.needed

    def client_of(self, headers: CIMultiDictProxy[str]) -> str:
        """The client's name, "" where no key is needed.

        Raises `NotAuthenticated` for a missing or unknown key, `AccessForbidden` for a foreign Host or
        Origin where no key protects the daemon.
        """
        if not self.has_keys:
            self._check_local(headers)
            return ""
        shown = _shown_keys(headers)
        found = self._match(shown)
        if found is not None:
            return found
        if shown:
            raise NotAuthenticated(f"The client key is not known here. {_WHERE_KEYS_ARE}")
        raise NotAuthenticated(
            "No client key was sent: put it in 'Authorization: Bearer …' or in 'x-api-key'. "
            f"{_WHERE_KEYS_ARE}"
        )

    def admitted(self, request: web.BaseRequest) -> str:
        """The client's name, as `client_of` raises and says; nobody is kept from `OPEN_PATHS`."""
        if request.path in OPEN_PATHS and self.has_keys:
            return self.known_client(request.headers) or ""
        return self.client_of(request.headers)

    def known_client(self, headers: CIMultiDictProxy[str]) -> str | None:
        """The client's name if a key of ours was sent, else None. Never raises."""
        return self._match(_shown_keys(headers))

    def client(self, name: str) -> Client | None:
        """The client of that name, None for "" and for one whose key was revoked meanwhile."""
        found = self.clients.get(name)
        if found is not None:
            return found
        issued = self._issued.all().get(name)
        return None if issued is None else issued.client

    def visit(self, name: str) -> Visit | None:
        """What bounds a request of the client of that name; None where nobody has a name."""
        client = self.client(name)
        return None if client is None else Visit(client, self._allowances)

    def _match(self, shown: Iterable[bytes]) -> str | None:
        for key in shown:
            digest = hashlib.sha256(key).digest()
            name = self._names.get(digest)
            if name is not None:
                return name
            client = self._issued.find(digest)
            if client is not None and client.name not in self.clients:
                return client.name
        return None

    def _check_local(self, headers: CIMultiDictProxy[str]) -> None:
        for host in headers.getall("Host", ()):
            if host != self._last_local_host:
                if not self._is_local(_without_port(host.strip().lower())):
                    raise _forbidden("Host", host)
                self._last_local_host = host
        for origin in headers.getall("Origin", ()):
            if not self._is_local(_origin_host(origin)):
                raise _forbidden("Origin", origin)

    def _is_local(self, host: str) -> bool:
        name = host.removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name in self._allowed_hosts:
            return True
        try:
            address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return address.is_loopback and (address.version == 4 or name.startswith("["))


def check_exposure(*, host: str, has_keys: bool, tls: bool) -> str | None:
    """Whether the daemon may listen on `host`: a warning for the log, or None.

    Raises `ConfigInvalid` for an address that others can reach while nothing asks them for a key.
    """
    if is_loopback(host):
        return None
    shown = host or "all addresses"
    if not has_keys:
        raise ConfigInvalid(
            f"[server] host = {host!r} lets other machines in, but no client key is configured: "
            "make one with 'maestro-daemon keys add NAME', add [clients.NAME], or listen on 127.0.0.1."
        )
    if not tls:
        return (
            f"listening on {shown} without TLS: client keys and all traffic cross the network readable; "
            "set [server.tls] cert and key, or put a TLS proxy in front"
        )
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or name that the daemon listens on."""
    name = host.strip().lower().removeprefix("[").removesuffix("]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _shown_keys(headers: CIMultiDictProxy[str]) -> list[bytes]:
    shown = [value.strip() for value in headers.getall("x-api-key", ())]
    for value in headers.getall("Authorization", ()):
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            shown.append(key.strip())
    return [key.encode("utf-8", "surrogateescape") for key in shown if key]


def _without_port(host: str) -> str:
    if host.startswith("["):
        end = host.find("]")
        return host[: end + 1] if end > 0 and _is_port(host[end + 1 :]) else host
    name, colon, port = host.rpartition(":")
    return name if colon and _is_port(f":{port}") and ":" not in name else host


def _is_port(rest: str) -> bool:
    return rest == "" or (rest[0] == ":" and (rest[1:].isdecimal() or rest == ":"))


def _origin_host(origin: str) -> str:
    try:
        host = urlsplit(origin.strip().lower()).netloc
    except ValueError:
        return ""
    return _without_port(host)


def _forbidden(header: str, value: str) -> AccessForbidden:
    return AccessForbidden(
        f"The {header} {quoted(value, _LONGEST_ECHO)} is not this machine, and without client keys only this "
        "machine is served: add the name to [server] allowed_hosts, or configure a key under [clients.NAME]."
    )
