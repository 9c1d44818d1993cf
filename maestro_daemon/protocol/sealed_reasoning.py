"""Reasoning of translated upstreams on its round trip through a client's ``encrypted_content``.

Sealed means marked and whole, not secret: the text is what the client saw anyway. A seal names the provider
that made the reasoning, so that none is given another one's, and tells a broken copy from a whole one.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Final

from maestro_daemon.protocol.json import JSONInvalid, dumps, loads

PREFIX: Final = "maestro-sealed-1."
"""Begins every seal of this version; nothing that OpenAI or Copilot mints begins so."""

COMPACTION: Final = "#compaction"
"""Stands for the provider where a conversation's summary is sealed: any provider may read it."""

_CHECKSUM_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Sealed:
    """The reasoning's `text` and, unread, the `opaque` part that its upstream wants back with it."""

    text: str
    opaque: str | None = None


def seal(text: str, *, provider: str, opaque: str | None = None) -> str:
    """One line of ASCII that `unseal` reads back for the same provider. Not secret."""
    payload = base64.urlsafe_b64encode(dumps({"provider": provider, "text": text, "opaque": opaque}))
    return f"{PREFIX}{zlib.crc32(payload):0{_CHECKSUM_DIGITS}x}.{payload.decode()}"


def unseal(blob: str, *, provider: str) -> Sealed | None:
    """What was sealed for `provider`; None for a foreign or broken blob."""
    if not is_sealed(blob):
        return None
    checksum, dot, text = blob[len(PREFIX) :].partition(".")
    payload = text.encode("ascii", "replace")
    if not dot or checksum != f"{zlib.crc32(payload):0{_CHECKSUM_DIGITS}x}":
        return None
    try:
        match loads(base64.b64decode(payload, altchars=b"-_", validate=True)):
            case {"provider": str(maker), "text": str(said), "opaque": str() | None as opaque}:
                return Sealed(said, opaque) if maker == provider else None
            case _:
                return None
    except (binascii.Error, JSONInvalid):
        return None


def is_sealed(blob: str) -> bool:
    """True for a blob of ours, of whatever provider: no native upstream can read it."""
    return blob.startswith(PREFIX)
