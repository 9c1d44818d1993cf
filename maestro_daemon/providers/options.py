"""The types that tables of the TOML file are made of: the house's own, and those of provider plugins."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from maestro_daemon.providers.secret import Sources

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST: Final = 366 * 24 * 3600.0
_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]+)")


class Table(BaseModel):
    """One table of the configuration: unknown keys are errors, types are exact, nothing changes later.

    Docstrings below a field describe it in `config schema` and in the example file.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


def _quantity(written: Any, units: dict[str, Any], example: str) -> tuple[float, Any]:
    known = ", ".join(units)
    if not isinstance(written, str):
        raise ValueError(f"must be a string with a unit ({known}), like {example}")
    match = _QUANTITY.fullmatch(written.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"must be a number and a unit ({known}), like {example}")
    return float(match[1]), units[match[2]]


def _seconds(written: Any) -> float:
    number, unit = _quantity(written, _SECONDS, '"15s"')
    seconds: float = round(number * unit, 6)
    if seconds > _LONGEST:
        raise ValueError("is longer than a year")
    return seconds


def _bytes(written: Any) -> int:
    number, unit = _quantity(written, _BYTES, '"64MiB"')
    return int(number * unit)


def duration_text(seconds: float) -> str:
    """Seconds as the configuration writes them: ``15s``."""
    for unit, least in (("h", 3600.0), ("m", 120.0), ("s", 1.0)):
        if seconds >= least and not seconds % _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    milliseconds = f"{seconds * 1000:.3f}".rstrip("0").rstrip(".")
    return f"{milliseconds}ms" if seconds else "0s"


def _size(size: int) -> str:
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "KB"):
        if size and not size % _BYTES[unit]:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)$", "examples": ["15s"]}),
]
"""Seconds. Written ``"250ms"``, ``"15s"``, ``"2m"``, ``"1h"``; a bare number is refused. A year at most."""

Size = Annotated[
    int,
    BeforeValidator(_bytes),
    PlainSerializer(_size),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|[KMG]B|[KMG]iB)$", "examples": ["64MiB"]}
    ),
]
"""Bytes. Written ``"256KiB"``, ``"64MiB"``, ``"10MB"``; a bare number is refused."""


def _path(written: Any, info: ValidationInfo) -> Path:
    if isinstance(written, Path):
        return written
    if not isinstance(written, str) or not written or "\0" in written:
        raise ValueError("must be the path of a file")
    directory = info.context.directory if isinstance(info.context, Sources) else Path()
    try:
        return directory / Path(written).expanduser()
    except RuntimeError:
        raise ValueError("starts with a ~ that belongs to no known user") from None


ConfigPath = Annotated[
    Path, BeforeValidator(_path), PlainSerializer(str), WithJsonSchema({"type": "string", "format": "path"})
]
"""A path; ``~`` is expanded, and a relative one starts at the directory of the TOML file."""


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without brackets) can only be this machine."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError('must be a URL like "https://host/v1"') from None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ValueError('must be a URL like "https://host/v1"')
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if parts.query or parts.fragment or url[-1] in "?#":
        raise ValueError("must end with its path, without ? or #")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("may be plain http only on this machine (localhost, 127.0.0.1, [::1]); use https")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""The URL that an API's paths are appended to: https, or http on loopback; without a trailing slash."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("holds a name that no header can have")
        if name.lower() in _OURS:
            raise ValueError(f"holds {name}, which belongs to the transport")
        if name.lower() in seen:
            raise ValueError(f"holds {name} twice")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ValueError(f"holds a line break or control character in {name}")
        seen.add(name.lower())
    return headers


Headers = Annotated[dict[str, str], AfterValidator(_headers)]
"""Header names and values to send beside the house's own."""

Timeout = Annotated[Duration, Field(gt=0)]


class HttpOptions(Table):
    """What every provider that speaks HTTP has."""

    base_url: Annotated[BaseUrl, Field(examples=["https://api.example.com/v1"])]
    """Where the API is: any https URL, or plain http on this machine."""

    headers: Annotated[Headers, Field(repr=False, examples=[{"x-team": "blue"}])] = {}
    """More headers to send with every request."""

    connect_timeout: Timeout = 5.0
    """How long a connection may take to be made."""

    first_byte_timeout: Timeout = 300.0
    """How long the upstream may take to begin its answer; local servers load models meanwhile."""

    idle_timeout: Timeout = 300.0
    """How long the upstream may be silent in the middle of an answer."""

    max_concurrent: Annotated[int | None, Field(ge=1, examples=[4])] = None
    """How many requests may run at once; more wait in order. Without it there is no limit."""
