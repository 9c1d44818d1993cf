"""Client keys that were issued by command, beside those of the configuration: kept as hashes in a file.

A key is 256 random bits, so one round of SHA-256 keeps it as well as any slow hash would, and costs a request
next to nothing. Once a key was issued, keys are needed for good, be the last one revoked: a daemon that asked
for keys must not stop asking because of that.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from maestro_daemon.errors import ConfigInvalid, MaestroError, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.providers.state_directory import write_private
from maestro_daemon.server.client import Client

PREFIX: Final = "mk-"
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}"
MOST_REQUESTS: Final = 60_000
MOST_STREAMS: Final = 100_000
MOST_TOKENS: Final = 10**15
_FILE: Final = "clients.json"
_LARGEST_FILE: Final = 64 * 2**20
_RANDOM_BYTES: Final = 32


class Wanted(BaseModel):
    """A client that a key is wanted for, as the command says it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
    admin: bool = False
    routes: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=MOST_REQUESTS)] | None = None
    streams: Annotated[int, Field(ge=1, le=MOST_STREAMS)] | None = None
    tokens_per_day: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Raises `RequestInvalid`, naming the field."""
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the request"
            said = "holds only letters, digits, ., _, -, @ and +, and begins with a letter or digit"
            message = said if where == "name" else first["msg"]
            raise RequestInvalid(f"{where}: {message}.", param=where) from None

    def client(self) -> Client:
        """Whom the key will stand for."""
        routes = None if self.routes is None else tuple(self.routes)
        return Client(
            self.name, self.admin, routes, self.requests_per_minute, self.streams, self.tokens_per_day
        )


class _Record(Wanted):
    """A key as it is kept."""

    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    created: int


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    version: Literal[1]
    clients: list[_Record]


@dataclass(frozen=True, slots=True)
class Issued:
    """One issued key: whom it stands for, the digest that it is known by, when it was made (unix seconds)."""

    client: Client
    digest: bytes
    created: int

    def created_at(self) -> str:
        """``2026-01-31T12:00:00Z``."""
        return datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class IssuedKeys:
    """The issued keys of one state directory; all methods block but `find`, `all` and `after`.

    `needed` says whether keys are needed because one was issued here once. Without a `folder` there are none,
    and none can be issued.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.file = None if folder is None else folder / _FILE
        self.needed = False
        self._issued: dict[str, Issued] = {}
        self._by_digest: dict[bytes, Client] = {}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What the folder holds. Raises `ConfigInvalid`: to go on without would open the daemon to all."""
        keys = cls(folder)
        assert keys.file is not None  # noqa: S101  (says so to the type checker)
        try:
            with keys.file.open("rb") as opened:
                document = _File.model_validate(json.loads(opened.read(_LARGEST_FILE)))
        except FileNotFoundError:
            return keys
        except OSError as error:
            raise ConfigInvalid(f"{keys.file}: cannot be read: {error.strerror}.") from error
        except (ValidationError, MaestroError) as error:
            raise ConfigInvalid(
                f"{keys.file}: is not what the daemon wrote: put a copy back, or remove it, which revokes "
                "all keys that were issued."
            ) from error
        keys.take(
            {
                each.name: Issued(each.client(), bytes.fromhex(each.sha256), each.created)
                for each in document.clients
            }
        )
        return keys

    def find(self, digest: bytes) -> Client | None:
        """Whom a key of this SHA-256 stands for."""
        return self._by_digest.get(digest)

    def all(self) -> Mapping[str, Issued]:
        """Every key by its client's name."""
        return self._issued

    def made(self, client: Client) -> tuple[str, dict[str, Issued]]:
        """A new key, and all keys with it; for `write`, then `take`. Raises `RequestInvalid`."""
        if client.name in self._issued:
            raise RequestInvalid(
                f"There is a key for {client.name!r} already: revoke it first, or choose another name.",
                param="name",
                code="name_in_use",
            )
        key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        issued = Issued(client, digest_of(key), int(time.time()))
        return key, {**self._issued, client.name: issued}

    def without(self, name: str) -> dict[str, Issued]:
        """All keys but that of this client; for `write`, then `take`. Raises `RequestInvalid` without one."""
        if name not in self._issued:
            known = ", ".join(self._issued) or "none"
            raise RequestInvalid(
                f"No key was issued for {name[:64]!r}; there are keys for: {known}.",
                param="name",
                code="no_such_key",
            )
        return {each: issued for each, issued in self._issued.items() if each != name}

    def write(self, issued: Mapping[str, Issued]) -> None:
        """Keep these and no others. Raises `KeysNotKept`."""
        records = [
            {
                "name": each.client.name,
                "admin": each.client.admin,
                "routes": None if each.client.routes is None else list(each.client.routes),
                "requests_per_minute": each.client.requests_per_minute,
                "streams": each.client.streams,
                "tokens_per_day": each.client.tokens_per_day,
                "sha256": each.digest.hex(),
                "created": each.created,
            }
            for each in issued.values()
        ]
        if self.file is None:
            raise KeysNotKept("This daemon has no state directory to keep keys in.")
        try:
            write_private(self.file, json.dumps({"version": 1, "clients": records}) + b"\n")
        except OSError as error:
            raise KeysNotKept(
                f"{self.file}: cannot be written: {error.strerror}; nothing was changed."
            ) from error

    def take(self, issued: Mapping[str, Issued]) -> None:
        """These are in force from now on."""
        self._issued = dict(issued)
        self._by_digest = {each.digest: each.client for each in issued.values()}
        self.needed = True


class KeysNotKept(MaestroError):
    """The file of the keys cannot be written."""

    default_code = "keys_not_kept"


def were_issued(folder: Path) -> bool:
    """Whether a key was ever issued in this state directory. Blocks."""
    return os.path.lexists(folder / _FILE)


def digest_of(key: str) -> bytes:
    """What a key is known by."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
