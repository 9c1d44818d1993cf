"""What an answer's body is, where its content type does not say it."""

from __future__ import annotations

from typing import Final

from maestro_daemon.upstream.answer import Answer

_SAID: Final = frozenset({"text/event-stream", "application/json"})


async def head_of(answer: Answer) -> bytes:
    """The first bytes of a body whose type is neither a stream of events nor JSON, to be judged by them.

    Nothing is read, and ``b""`` given, where the type says it: some servers send JSON as ``text/plain``.
    """
    return b"" if answer.content_type in _SAID else await answer.content.readany()


def is_json(answer: Answer, head: bytes) -> bool:
    """Whether the body is one JSON object."""
    return answer.content_type == "application/json" or head.lstrip()[:1] == b"{"
