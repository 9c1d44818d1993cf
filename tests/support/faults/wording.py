"""One answer in pieces, and what may come in their place, as each dialect says it on the wire.

The answer's text is `SAID` and a rest, ``Hello`` where nobody says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Protocol

from tests.support import chat, native
from tests.support.raw_upstream import READ, STREAM_HEAD, Act, Slowly, Step, answer, chunks

SAID: Final = "Hel"
"""What a client has read of the text once `Say.TEXT` was said."""
REST: Final = "lo"
TEXT: Final = SAID + REST


class Say(Enum):
    """A piece of the answer."""

    HEAD = "the headers of a 200"
    PREAMBLE = "that it begins: response.created, or the chunk with the role"
    TEXT = "the first half of the text"
    REST = "the rest of the text"
    FINISH = "that it is complete: the terminal event, or the finish reason and what follows it"
    END = "the end of the body"


@dataclass(frozen=True)
class Failing:
    """The upstream says that it failed: by an error event or chunk, or by response.failed."""

    code: str
    how: Literal["error", "failed"] = "error"


@dataclass(frozen=True)
class Body:
    """Bytes of a body that belong to no answer; plain bytes in a recipe stand outside of any body."""

    raw: bytes


@dataclass(frozen=True)
class Refusal:
    """Another status than 2xx, with OpenAI's envelope."""

    status: int
    code: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Page:
    """A whole 200 answer of another content type."""

    content_type: str
    body: bytes


@dataclass(frozen=True)
class Dripping:
    """The whole answer in twelve pieces of any bounds, with a pause of so many seconds behind each."""

    pause: float


@dataclass(frozen=True)
class Breathing:
    """Signs of life that say nothing (comments), one every `pause` seconds, `times` times."""

    pause: float
    times: int


_DRIPS: Final = 12
Told = Say | Failing | Body | Refusal | Page | Dripping | Breathing | Act | bytes
MESSAGE: Final = "No."
PARAM: Final = "p"
TYPE: Final = "some_error"


class Wording(Protocol):
    """A dialect, and whether the upstream is asked for a stream."""

    def script(self, recipe: Sequence[Told]) -> list[Step]:
        """What one connection plays."""
        ...


class _Streamed:
    """A body of SSE records."""

    pieces: dict[Say, list[bytes]]

    def script(self, recipe: Sequence[Told]) -> list[Step]:
        steps: list[Step] = [READ]
        for told in recipe:
            match told:
                case Say.HEAD:
                    steps.append(STREAM_HEAD)
                case Say.END:
                    steps.append(chunks([], end=True))
                case Say():
                    steps.append(chunks(self.pieces[told], end=False))
                case Failing():
                    steps.append(chunks([self.failing(told)], end=False))
                case Body(raw):
                    steps.append(chunks([raw], end=False))
                case Dripping(pause):
                    steps.append(_drips([frame for each in self.pieces.values() for frame in each], pause))
                case Breathing(pause, times):
                    steps.append(Slowly((chunks([b": here\n\n"], end=False),) * times, pause))
                case Refusal() | Page():
                    steps.append(_whole(told))
                case Act() | bytes():
                    steps.append(told)
        return steps

    def failing(self, told: Failing) -> bytes:
        raise NotImplementedError


class NativeStream(_Streamed):
    """Responses events."""

    def __init__(self, rest: str = REST) -> None:
        frames = native.text(SAID, rest)
        self.pieces = {
            Say.PREAMBLE: frames[:2],
            Say.TEXT: frames[2:5],
            Say.REST: frames[5:-1],
            Say.FINISH: frames[-1:],
        }

    def failing(self, told: Failing) -> bytes:
        error = {"type": TYPE, "code": told.code, "message": MESSAGE, "param": None}
        if told.how == "error":
            return native.frame({**error, "type": "error", "sequence_number": 9, "error": error})
        failed = native.response(status="failed", error={"code": told.code, "message": MESSAGE})
        return native.frame({"type": "response.failed", "sequence_number": 9, "response": failed})


class ChatStream(_Streamed):
    """Chat-completions chunks."""

    def __init__(self, rest: str = REST) -> None:
        frames = chat.text(SAID, rest)
        self.pieces = {
            Say.PREAMBLE: frames[:1],
            Say.TEXT: frames[1:2],
            Say.REST: frames[2:3],
            Say.FINISH: frames[3:],
        }

    def failing(self, told: Failing) -> bytes:
        error = {"message": MESSAGE, "type": TYPE, "param": None, "code": told.code}
        if told.how == "error":
            return chat.frame({"error": error})
        # What comes nearest to response.failed: a choice that finishes with its error.
        choice = {"index": 0, "delta": {}, "finish_reason": "error", "error": error}
        return chat.frame({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


class NativeWhole:
    """One Response as JSON; its pieces are pieces of that text."""

    def __init__(self, rest: str = REST) -> None:
        whole = _json(native.response(status="completed", output=[native.message(SAID + rest)]))
        half = whole.index(b'"Hel') + 4
        self._pieces = {
            Say.PREAMBLE: whole[:24],
            Say.TEXT: whole[24:half],
            Say.REST: whole[half:-1],
            Say.FINISH: whole[-1:],
        }

    def script(self, recipe: Sequence[Told]) -> list[Step]:
        steps: list[Step] = [READ]
        for told in recipe:
            match told:
                case Say.HEAD:
                    steps.append(STREAM_HEAD.replace(b"text/event-stream", b"application/json"))
                case Say.END:
                    steps.append(chunks([], end=True))
                case Say():
                    steps.append(chunks([self._pieces[told]], end=False))
                case Failing():
                    # An answer that failed says so from its beginning, and is whole.
                    return [READ, answer(self._failed(told, begun=Say.TEXT in recipe))]
                case Body(raw):
                    steps.append(chunks([raw], end=False))
                case Dripping(pause):
                    steps.append(_drips(self._pieces.values(), pause))
                case Breathing(pause, times):
                    steps.append(Slowly((chunks([b" "], end=False),) * times, pause))
                case Refusal() | Page():
                    steps.append(_whole(told))
                case Act() | bytes():
                    steps.append(told)
        return steps

    @staticmethod
    def _failed(told: Failing, *, begun: bool) -> bytes:
        error = {"code": told.code, "message": MESSAGE}
        if told.how == "error":
            return _json({"error": {**error, "type": TYPE, "param": None}})
        output = [native.message(SAID, status="incomplete")] if begun else []
        return _json(native.response(status="failed", error=error, output=output))


def _drips(pieces: Iterable[bytes], pause: float) -> Slowly:
    body = b"".join(pieces)
    size = -(-len(body) // _DRIPS)
    drips = [chunks([body[start : start + size]], end=False) for start in range(0, len(body), size)]
    return Slowly((*drips, chunks([], end=True)), pause)


def _whole(told: Refusal | Page) -> bytes:
    if isinstance(told, Page):
        return answer(told.body, content_type=told.content_type)
    error = {"message": MESSAGE, "type": TYPE, "param": PARAM, "code": told.code}
    headers = {} if told.retry_after is None else {"retry_after": f"{told.retry_after:g}"}
    return answer(_json({"error": error}), f"{told.status} X", **headers)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


WHOLE: Final[tuple[Told, ...]] = (Say.HEAD, Say.PREAMBLE, Say.TEXT, Say.REST, Say.FINISH, Say.END)
"""The recipe of an answer to which nothing happens."""
