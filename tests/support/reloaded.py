"""What tests of reloads have in common: answers, and whether a provider was closed."""

from __future__ import annotations

from typing import Any, Final

from tests.support import native
from tests.support.fake_upstream import Reply

HELLO: Final = native.text("Hel", "lo")
WHOLE: Final = Reply(native.response("resp_1", "completed", [native.message("Hello")]))


def is_closed(provider: Any) -> bool:
    """Whether a provider's connections are closed for good."""
    closed: bool = provider._http._session.closed
    return closed
