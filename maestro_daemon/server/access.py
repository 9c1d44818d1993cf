"""Who may call: client keys, and without any, programs on this machine only."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDictProxy

from maestro_daemon.errors import AccessForbidden, ConfigInvalid, NotAuthenticated
from maestro_daemon.protocol.field_checks import quoted

CLIENT = web.RequestKey("client", str)
"""The name of the client whose key came with a request; "" where none is configured or needed."""

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Served without a key, where keys are configured."""

_LONGEST_ECHO = 128


class Access:
    """The rule for every request.

    `keys` maps a client's name to its key. `allowed_hosts` are names (``box.lan``, a port is ignored) under
    which the daemon may be called besides localhost as long as there are no keys.
    """

    def __init__(self, keys: Mapping[str, str], *, allowed_hosts: Iterable[str] = ()) -> None:
        # Digests are of one length, so that the comparison says nothing about a key's own.
        self._digests = [(name, _digest(key)) for name, key in keys.items()]
        self._last_local_host: str | None = None  # most calls come under one name
        self._allowed_hosts = frozenset(_without_port(host.strip().lower()) for host in allowed_hosts)

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return bool(self._digests)

    def client_of(self, headers: CIMultiDictProxy[str]) -> str:
        """The client's name, "" where no keys are configured.

        Raises `NotAuthenticated` for a missing or unknown key, `AccessForbidden` for a foreign Host or
        Origin where no key protects the daemon.
        """
        if not self._digests:
            self._check_local(headers)
            return ""
        shown = _shown_keys(headers)
        found = self._match(shown)
        if found is not None:
            return found
        if shown:
            raise NotAuthenticated(
                "The client key is not known here; keys are configured under [clients.NAME]."
            )
        raise NotAuthenticated(
            "No client key was sent: put it in 'Authorization: Bearer …' or in 'x-api-key'. "
            "Keys are configured under [clients.NAME]."
        )

    def admitted(self, request: web.BaseRequest) -> str:
        """The client's name, as `client_of` raises and says; nobody is kept from `OPEN_PATHS`."""
        if self._digests and request.path in OPEN_PATHS:
            return self.known_client(request.headers) or ""
        return self.client_of(request.headers)

    def known_client(self, headers: CIMultiDictProxy[str]) -> str | None:
        """The client's name if a key of ours was sent, else None. Never raises."""
        return self._match(_shown_keys(headers))

    def _match(self, shown: Iterable[bytes]) -> str | None:
        found = None
        for key in shown:
            digest = hashlib.sha256(key).digest()
            for name, known in self._digests:
                if hmac.compare_digest(digest, known) and found is None:
                    found = name
        return found

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
            "add [clients.NAME] with a key, or listen on 127.0.0.1."
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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


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
