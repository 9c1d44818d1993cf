"""What GitHub's answers mean, read leniently: everything may lack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from maestro_daemon.plugin import Secret

_LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A login that a person can answer: `user_code` at `url`, within `expires_in` seconds.

    `code` asks how it stands, every `interval` seconds.
    """

    code: Secret
    user_code: str
    url: str
    expires_in: float
    interval: float


@dataclass(frozen=True, slots=True)
class Granted:
    """The person agreed."""

    token: Secret


@dataclass(frozen=True, slots=True)
class Pending:
    """Not answered yet. `slower` asks for fewer questions, at `interval` seconds if that is said."""

    slower: bool = False
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """OAuth's error `code`, and GitHub's description of it."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class GitHubUser:
    """Whose token it is: the login name, and the number that never changes."""

    login: str
    id: int


def text(value: Any) -> str:
    """A short text on one line; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in value[:_LONGEST_TEXT]).strip()


def number(value: Any) -> float | None:
    """A number that is none of JSON's oddities; digits in a string count."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e15 < value < 1e15 else None


def mapping(value: Any) -> dict[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def parsed(body: bytes) -> dict[str, Any]:
    """The object that stands in a body; an empty one for anything else."""
    try:
        return mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def token(value: Any, source: str) -> Secret | None:
    """A token that can stand in a header; None for anything else."""
    usable = isinstance(value, str) and 0 < len(value) <= _LONGEST_TOKEN and value.isascii()
    if not usable or any(not each.isprintable() or each == " " for each in value):
        return None
    return Secret(value, source)


def user(answer: Any) -> GitHubUser | None:
    """The user of ``GET /user``."""
    fields = mapping(answer)
    login, id_ = text(fields.get("login")), fields.get("id")
    if not login or isinstance(id_, bool) or not isinstance(id_, int):
        return None
    return GitHubUser(login, id_)
