"""Content of Responses messages and tool outputs → parts of chat messages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing

Part = dict[str, Any]

_TEXT_FIELDS: Final = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}
_DATA_URL: Final = re.compile(r"data:(?P<media>[^;,]*)(?:;[^;,]*?)*?(?P<base64>;base64)?,", re.IGNORECASE)
_TEXT_MEDIA: Final = re.compile(
    r"text/|application/(?:[\w.+-]*(?:json|xml|yaml|toml|javascript|typescript|sql)|x-(?:sh|python))", re.I
)
_NO_IMAGES: Final = "[An image was here; this model takes no images.]"
_LONGEST_NAME: Final = 64


class PartReader:
    """Reads content for one dialect. What cannot be said is appended by name to `dropped`."""

    __slots__ = ("_dialect", "_dropped")

    def __init__(self, dialect: ChatDialect, dropped: list[str]) -> None:
        self._dialect = dialect
        self._dropped = dropped

    def read(self, content: Any, where: str, *, from_tool: bool = False) -> list[Part]:
        """The chat parts (text, refusal, image_url, file, input_audio) of a string or list of parts.

        `where` is the content's path in the request, as in ``input[2].content``. What a client's message
        holds and no part can say raises `RequestInvalid`; in a tool's output, which the client did not
        choose, a note to the model stands in its place.
        """
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise invalid_type(where, "a string or an array of content parts", content)
        parts: list[Part] = []
        for index, part in enumerate(content):
            if isinstance(part, str):
                parts.append({"type": "text", "text": part})
                continue
            if not isinstance(part, dict):
                raise invalid_type(f"{where}[{index}]", "an object", part)
            kind = part.get("type")
            field = _TEXT_FIELDS.get(kind) if isinstance(kind, str) else None
            if field is not None:
                text = part.get(field)
                if not isinstance(text, str):
                    raise invalid_type(f"{where}[{index}].{field}", "a string", text)
                parts.append({"type": "refusal" if field == "refusal" else "text", field: text})
                continue
            said = self._medium(kind, part, f"{where}[{index}]", from_tool=from_tool)
            if said is not None:
                parts.append(said)
        return parts

    def _medium(self, kind: Any, part: Mapping[str, Any], where: str, *, from_tool: bool) -> Part | None:
        try:
            match kind:
                case "input_image" | "computer_screenshot":
                    return self._image(part, where)
                case "input_file":
                    return self._file(part, where)
                case "input_audio":
                    return _audio(part, where)
        except RequestInvalid as error:
            if not from_tool:
                raise
            self._dropped.append(f"{where}: {kind}")
            return {"type": "text", "text": f"[A part of the output cannot be shown. {error.message}]"}
        name = kind[:_LONGEST_NAME] if isinstance(kind, str) else "a part without a type"
        self._dropped.append(f"{where}: {name}")
        return None

    def _image(self, part: Mapping[str, Any], where: str) -> Part:
        url = part.get("image_url")
        if isinstance(url, dict):
            url = url.get("url")
        if self._dialect.images is False:
            self._dropped.append(f"{where}: input_image")
            return {"type": "text", "text": _NO_IMAGES}
        if url is None and part.get("file_id") is not None:
            raise _unsupported(f"{where}.file_id", "send the image itself, as a data: URL in 'image_url'.")
        if url is None:
            raise missing(f"{where}.image_url")
        if not isinstance(url, str):
            raise invalid_type(f"{where}.image_url", "a string", url)
        detail = part.get("detail")
        if not isinstance(detail, str):
            return {"type": "image_url", "image_url": {"url": url}}
        return {
            "type": "image_url",
            "image_url": {"url": url, "detail": "high" if detail == "original" else detail},
        }

    def _file(self, part: Mapping[str, Any], where: str) -> Part:
        data, name, file_id = (part.get(field) for field in ("file_data", "filename", "file_id"))
        if isinstance(data, str):
            name = name if isinstance(name, str) and name else "file"
            if self._dialect.files:
                return {"type": "file", "file": {"filename": name, "file_data": data}}
            return {"type": "text", "text": f'<file name="{name}">\n{_file_text(data, where)}\n</file>'}
        if isinstance(file_id, str):
            if self._dialect.files:
                return {"type": "file", "file": {"file_id": file_id}}
            raise _unsupported(f"{where}.file_id", "send the file itself in 'file_data'.")
        if part.get("file_url") is not None:
            raise _unsupported(f"{where}.file_url", "send the file itself in 'file_data'.")
        raise missing(f"{where}.file_data")


def _audio(part: Mapping[str, Any], where: str) -> Part:
    audio = part.get("input_audio")
    if not isinstance(audio, dict):
        raise invalid_type(f"{where}.input_audio", "an object", audio)
    return {"type": "input_audio", "input_audio": audio}


def _unsupported(param: str, remedy: str) -> RequestInvalid:
    return RequestInvalid(
        f"'{param}' cannot be passed to this model's upstream: {remedy}",
        param=param,
        code="unsupported_value",
    )


def _file_text(data: str, where: str) -> str:
    param = f"{where}.file_data"
    url = _DATA_URL.match(data)
    media = url["media"] if url else ""
    try:
        if url and not url["base64"]:
            raw = unquote_to_bytes(data[url.end() :])
        else:
            raw = base64.b64decode(data[url.end() :] if url else data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_value(param, "it is not base64, nor a data: URL.") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or (media and not _TEXT_MEDIA.match(media) and media != "application/octet-stream"):
        raise _unsupported(param, "it takes only text files; send the text of this one.")
    return text


def joined_text(parts: Sequence[Part], separator: str) -> str:
    """The text of the text parts, and nothing of the others."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return separator.join(part["text"] for part in parts if part["type"] == "text")


def message_content(parts: list[Part], *, flatten_text: bool) -> str | list[Part]:
    """A user message's content: a string where text is all there is, else the parts; a refusal is text."""
    said = [
        {"type": "text", "text": part["refusal"]} if part["type"] == "refusal" else part for part in parts
    ]
    if not said:
        return ""
    if all(part["type"] == "text" for part in said) and (flatten_text or len(said) == 1):
        return joined_text(said, "\n")
    return said
