"""The id that a ciphertext is bound to, carried inside the ciphertext.

Copilot takes an ``encrypted_content`` back only under the very id that it was minted with, an id of hundreds
of characters that clients must not see: it differs from event to event, and some drop or change ids. So what
clients get begins with it, and nothing has to be remembered here.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

_PREFIX: Final = "copilot-bound-1."
_HOUSE: Final = "maestro-sealed-"


def bound(ciphertext: str, id: str) -> str:
    """`ciphertext` with the `id` that it was minted with."""
    return f"{_PREFIX}{base64.urlsafe_b64encode(id.encode('utf-8', 'surrogatepass')).decode()}.{ciphertext}"


def unbound(blob: str) -> tuple[str, str] | None:
    """The ciphertext and its id, of what `bound` made; None for anything else."""
    if not blob.startswith(_PREFIX):
        return None
    id, dot, ciphertext = blob[len(_PREFIX) :].partition(".")
    if not dot:
        return None
    try:
        raw = base64.b64decode(id.encode("ascii", "replace"), altchars=b"-_", validate=True)
        return ciphertext, raw.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return None


def is_the_houses(blob: str) -> bool:
    """Whether `blob` was sealed by the house itself, which reads it (a conversation's summary)."""
    return blob.startswith(_HOUSE)
