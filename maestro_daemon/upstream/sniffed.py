"""What an answer's body is, where its content type does not say it."""

from __future__ import annotations

from typing import Final

from maestro_daemon.upstream.answer import Answer

_SAID: Final = frozenset({"text/event-stream", "application/json"})


async def is_json(answer: Answer) -> bool:
    """Whether the body is one JSON object, judged by how it begins where its type is neither that nor a
    stream of events: some servers send JSON as ``text/plain``."""
    if answer.content_type in _SAID:
        return answer.content_type == "application/json"
    return (await answer.body.peek()).lstrip()[:1] == b"{"
