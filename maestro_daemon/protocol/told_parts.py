"""What a message or a tool's output consists of, in plain terms: text, images, files and sounds."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing

_TEXT_FIELDS: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}
_DATA_URL: Final = re.compile(r"data:(?P<media>[^;,]*)(?:;[^;,]*?)*?(?P<base64>;base64)?,", re.IGNORECASE)
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Inline:
    """Content that stands in the request: its media type in lower case, "" if none was said, and base64."""

    media_type: str
    base64: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Content behind an ``http`` or ``https`` URL; nothing was fetched."""

    url: str


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text, a refusal's included."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image. `where` is its path in the request (``input[2].content[0]``), for errors."""

    source: Inline | Linked
    where: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file. `name` is "" if none was said; `where` as for `ImagePart`."""

    source: Inline | Linked
    name: str
    where: str


@dataclass(frozen=True, slots=True)
class AudioPart:
    """A sound in ``mp3``, ``wav`` or whatever `format` says; `where` as for `ImagePart`."""

    base64: str
    format: str
    where: str


Part = TextPart | ImagePart | FilePart | AudioPart


def told_parts(content: Any, where: str, dropped: list[str], *, from_tool: bool = False) -> tuple[Part, ...]:
    """The parts of a string or list of content parts, which stands at `where` in the request.

    Parts of a kind not known here are appended by name to `dropped`. What a client's message holds and
    nobody else could read (an id of a file kept elsewhere) raises `RequestInvalid`; in a tool's output, which
    the client did not choose, a note to the model stands in its place.
    """
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        raise invalid_type(where, "a string or an array of content parts", content)
    parts: list[Part] = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if isinstance(part, str):
            parts.append(TextPart(part))
            continue
        if not isinstance(part, dict):
            raise invalid_type(place, "an object", part)
        kind = part.get("type")
        field = _TEXT_FIELDS.get(kind) if isinstance(kind, str) else None
        if field is not None:
            text = part.get(field)
            if not isinstance(text, str):
                raise invalid_type(f"{place}.{field}", "a string", text)
            parts.append(TextPart(text))
            continue
        try:
            medium = _medium(kind, part, place)
        except RequestInvalid as error:
            if not from_tool:
                raise
            dropped.append(f"{place}: {kind}")
            parts.append(TextPart(unshown(error)))
            continue
        if medium is not None:
            parts.append(medium)
        else:
            name = kind[:_LONGEST_NAME] if isinstance(kind, str) else "a part without a type"
            dropped.append(f"{place}: {name}")
    return tuple(parts)


def unshown(error: RequestInvalid) -> str:
    """What the model is told in the place of a part of a tool's output that cannot be passed on."""
    return f"[A part of the output cannot be shown. {error.message}]"


def unsupported_part(param: str, remedy: str) -> RequestInvalid:
    """The error for a part that this upstream cannot read; `remedy` is a sentence."""
    return RequestInvalid(
        f"'{param}' cannot be passed to this model's upstream: {remedy}",
        param=param,
        code="unsupported_value",
    )


def _medium(kind: Any, part: Mapping[str, Any], where: str) -> Part | None:
    match kind:
        case "input_image" | "computer_screenshot":
            url = part.get("image_url")
            if isinstance(url, dict):
                url = url.get("url")
            if url is None and part.get("file_id") is not None:
                raise unsupported_part(
                    f"{where}.file_id", "send the image itself, as a data: URL in 'image_url'."
                )
            if url is None:
                raise missing(f"{where}.image_url")
            return ImagePart(_source(url, f"{where}.image_url"), where)
        case "input_file":
            name = part.get("filename")
            name = name if isinstance(name, str) else ""
            if part.get("file_data") is not None:
                return FilePart(_source(part["file_data"], f"{where}.file_data", bare=True), name, where)
            if part.get("file_url") is not None:
                return FilePart(_source(part["file_url"], f"{where}.file_url"), name, where)
            if part.get("file_id") is not None:
                raise unsupported_part(f"{where}.file_id", "send the file itself in 'file_data'.")
            raise missing(f"{where}.file_data")
        case "input_audio":
            audio = part.get("input_audio")
            if not isinstance(audio, dict):
                raise invalid_type(f"{where}.input_audio", "an object", audio)
            said, form = audio.get("data"), audio.get("format")
            if not isinstance(said, str):
                raise invalid_type(f"{where}.input_audio.data", "a string", said)
            return AudioPart(said, form if isinstance(form, str) else "", where)
    return None


def _source(said: Any, param: str, *, bare: bool = False) -> Inline | Linked:
    """What a URL stands for; with `bare` it may also be base64 without anything before it."""
    if not isinstance(said, str):
        raise invalid_type(param, "a string", said)
    url = _DATA_URL.match(said)
    if url is not None:
        data = said[url.end() :]
        if not url["base64"]:
            return Inline(url["media"].strip().lower(), _encoded(unquote_to_bytes(data)))
        return Inline(url["media"].strip().lower(), _unbroken(data))
    if said[:8].lower().startswith(("http://", "https://")):
        return Linked(said)
    if bare and ":" not in said[:16]:
        return Inline("", _unbroken(said))
    raise invalid_value(param, "it is neither a data: URL nor an http or https URL.")


def _unbroken(data: str) -> str:
    """Base64 without white space. It can be of many megabytes and rarely holds any."""
    return "".join(data.split()) if any(space in data for space in " \t\r\n") else data


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
