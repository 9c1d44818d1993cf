"""Parts of messages and of tools' outputs → content blocks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from maestro_anthropic.facts import ModelFacts
from maestro_daemon.plugin import (
    AudioPart,
    FilePart,
    ImagePart,
    Inline,
    Linked,
    Part,
    RequestInvalid,
    TextPart,
    unshown,
    unsupported_part,
)

Block = dict[str, Any]

_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)
_NO_IMAGES: Final = "[An image was here; this model takes no images.]"
_PDF: Final = "application/pdf"
_HEAD: Final = 64  # characters of base64, whole quadruples


@dataclass(frozen=True, slots=True)
class BlockWriter:
    """Writes blocks for one request. What cannot be said is appended by name to `dropped`."""

    facts: ModelFacts
    dropped: list[str]

    def blocks(self, parts: Iterable[Part], *, from_tool: bool = False) -> list[Block]:
        """The content blocks of `parts`; blank text has none.

        What no block can say raises `RequestInvalid`; in a tool's output a note stands in its place.
        """
        written = []
        for part in parts:
            if isinstance(part, TextPart):
                block = text_block(part.text)
            else:
                try:
                    block = self._medium(part)
                except RequestInvalid as error:
                    if not from_tool:
                        raise
                    self.dropped.append(part.where)
                    block = text_block(unshown(error))
            if block is not None:
                written.append(block)
        return written

    def _medium(self, part: ImagePart | FilePart | AudioPart) -> Block | None:
        match part:
            case ImagePart(source, where):
                if self.facts.images is False:
                    self.dropped.append(f"{where}: input_image")
                    return text_block(_NO_IMAGES)
                return _image(source, where)
            case FilePart(source, name, where):
                return self._file(source, name, where)
            case AudioPart(where=where):
                raise unsupported_part(where, "it hears no sounds; send a transcript.")

    def _file(self, source: Inline | Linked, name: str, where: str) -> Block:
        block: Block = {"type": "document"}
        if name:
            block["title"] = name[:500]
        if isinstance(source, Linked):
            self._want_pdfs(f"{where}.file_url")
            return {**block, "source": {"type": "url", "url": source.url}}
        param = f"{where}.file_data"
        # What may be of many megabytes is judged by its first bytes.
        head = _decoded(source.base64[:_HEAD], param)
        if source.media_type == _PDF or head.startswith(b"%PDF-"):
            self._want_pdfs(param)
            return {**block, "source": {"type": "base64", "media_type": _PDF, "data": source.base64}}
        kind = source.media_type if source.media_type in _IMAGES else _kind_of_image(head)
        if kind is not None:
            return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": source.base64}}
        try:
            text = _decoded(source.base64, param).decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise unsupported_part(param, "it takes PDFs, images and text files only.")
        if not text.strip():
            text = "[This file is empty.]"
        return {**block, "source": {"type": "text", "media_type": "text/plain", "data": text}}

    def _want_pdfs(self, param: str) -> None:
        if self.facts.pdfs is False:
            raise unsupported_part(param, "this model takes no PDFs; send the text of this one.")


def text_block(text: str) -> Block | None:
    """A block of text; None for blank text, which the API refuses."""
    return {"type": "text", "text": text} if text and not text.isspace() else None


def _image(source: Inline | Linked, where: str) -> Block:
    if isinstance(source, Linked):
        return {"type": "image", "source": {"type": "url", "url": source.url}}
    kind = source.media_type.replace("image/jpg", "image/jpeg")
    if kind not in _IMAGES:
        known = _kind_of_image(_decoded(source.base64[:_HEAD], f"{where}.image_url"))
        if known is None:
            raise unsupported_part(f"{where}.image_url", "it takes JPEG, PNG, GIF and WebP images only.")
        kind = known
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": source.base64}}


def _kind_of_image(raw: bytes) -> str | None:
    return next((kind for start, kind in _MAGIC if raw.startswith(start)), None)


def _decoded(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestInvalid(
            f"Invalid value for '{param}': it is not base64, nor a data: URL.", param=param
        ) from None
