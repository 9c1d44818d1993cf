"""What one chat-completions server does otherwise than any `ChatDialect` could say."""

from __future__ import annotations

from typing import Any, Protocol


class ChatMending(Protocol):
    """A hand on both sides of one request, for a server with ways of its own; one object per request."""

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """The chat request as it is to be sent. `body` may be changed, what it holds may not."""
        ...

    def chunk(self, chunk: Any) -> Any:
        """What is to be read instead of `chunk`, a parsed JSON value of the answer."""
        ...
