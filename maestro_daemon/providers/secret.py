"""Secrets of the configuration: where one is written, how it is read, and that nobody sees it by accident."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

MASK: Final = "***"
_LONGEST: Final = 64 * 1024
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWABLE_ENV_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_SHOWABLE_CREDENTIAL: Final = re.compile(r"[A-Za-z._-]{1,32}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_FORMS: Final = '{ env = "NAME" }, { file = "path" } or { credential = "name" }'


@dataclass(frozen=True, slots=True)
class Sources:
    """What the secrets and paths of one configuration are read from; given to pydantic as its context.

    `environ` is the process environment. `private` says that the TOML file can be read by its owner only,
    so that secrets may stand in it. Relative paths start at `directory`. Where `unread` is a list,
    credentials that only the service can read are taken on trust, and their names noted there.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    private: bool = True
    directory: Path = field(default_factory=Path)
    unread: list[str] | None = None


class Secret:
    """A key or token. `reveal` is the only way to see it; `source` says in words where it came from.

    In TOML it is ``{ env = "NAME" }``, ``{ file = "path" }``, ``{ credential = "name" }`` (a file in
    ``$CREDENTIALS_DIRECTORY``, as systemd passes them), or the bare string where only the owner can read
    the file. It is read once, when the configuration is loaded; one trailing line break is dropped.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "the program") -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r}, {self.source!r})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not copied out of its process")

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __copy__(self) -> Secret:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda written, info: read(written, info.context),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        def table(key: str, description: str) -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {key: {"type": "string", "description": description}},
                "required": [key],
                "additionalProperties": False,
            }

        return {
            "oneOf": [
                table("env", "The name of an environment variable."),
                table("file", "A file that holds the secret and nothing else."),
                table("credential", "A systemd credential: a file in $CREDENTIALS_DIRECTORY."),
                {"type": "string", "description": "The secret itself, where only the owner reads the file."},
            ]
        }


def read(written: Any, sources: Any = None) -> Secret:
    """The secret that a TOML value (`written`) stands for.

    Raises `ValueError` with a sentence that names the source and never repeats what may be the secret.
    """
    if not isinstance(sources, Sources):
        sources = Sources()
    match written:
        case Secret():
            return written
        case str():
            if not sources.private:
                raise ValueError(
                    "a secret may stand in the file only when nobody but its owner can read it: "
                    f"chmod 600 the file, or write {_FORMS}"
                )
            return _checked(written, "the configuration file", named="the string")
        case {"env": str(name), **rest} if not rest:
            return _from_environment(name, sources.environ)
        case {"file": str(name), **rest} if not rest:
            return _from_file(name, sources.directory)
        case {"credential": str(name), **rest} if not rest:
            return _from_credential(name, sources)
    raise ValueError(f"must be one of {_FORMS}")


def _from_environment(name: str, environ: Mapping[str, str]) -> Secret:
    if not _ENV_NAME.fullmatch(name):
        raise ValueError("env must be the name of an environment variable, not the secret itself")
    # Somebody may have put the secret where its variable's name belongs.
    shown = name if _SHOWABLE_ENV_NAME.fullmatch(name) else "that env names"
    source = f"the environment variable {shown}"
    if name not in environ:
        raise ValueError(f"{source} is not set")
    return _checked(environ[name], source)


def _from_file(name: str, directory: Path) -> Secret:
    if not name or "\0" in name:
        raise ValueError("file must be the path of a file")
    path = directory / Path(name).expanduser()
    source = f"the file {path if _is_path(name, path) else 'that file names'}"
    return _checked(_content(path, source), source)


def _is_path(name: str, path: Path) -> bool:
    """Whether a file's name can be repeated: somebody may have put the secret itself in its place."""
    if name.startswith(("/", "~", "./", "../")):
        return True
    return ("/" in name or "." in name) and len(name) <= 64 and path.parent.is_dir() and "eyJ" not in name


def _from_credential(name: str, sources: Sources) -> Secret:
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise ValueError("credential must be a plain name, as in systemd's LoadCredential=NAME:PATH")
    shown = name if _SHOWABLE_CREDENTIAL.fullmatch(name) else None
    source = f"the credential {shown or 'of that name'}"
    directory = sources.environ.get("CREDENTIALS_DIRECTORY")
    if not directory and sources.unread is not None:
        sources.unread.append(shown or "one whose name is not shown")
        return Secret(f"unread credential {name}", source)  # equal for one name alone, as keys are compared
    if not directory:
        raise ValueError(
            "credentials come from systemd (LoadCredential= in the unit), "
            "and $CREDENTIALS_DIRECTORY is not set"
        )
    return _checked(_content(Path(directory, name), source), source)


def _content(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{source} cannot be read: {error.strerror or 'it is no file'}") from None
    if len(content) > _LONGEST:
        raise ValueError(f"{source} is longer than {_LONGEST} bytes and can be no secret")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{source} is not UTF-8 text") from None


def _checked(value: str, source: str, named: str | None = None) -> Secret:
    holder = named or source
    value = value.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        raise ValueError(f"{holder} is empty")
    if _UNPRINTABLE.search(value):
        raise ValueError(f"{holder} holds more than one line, or characters that no key has")
    return Secret(value, source)
