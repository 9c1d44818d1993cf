"""How scenarios look on the wire of a dialect that answers over HTTP."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from maestro_daemon.testing.fake_upstream import (
    CUT,
    STALL,
    TURN,
    Answer,
    Fault,
    Fitting,
    Raw,
    Received,
    Reply,
    Stream,
    refusal,
)
from maestro_daemon.testing.scenarios import (
    Answers,
    Babbles,
    Breaks,
    Ends,
    Fails,
    Listing,
    Lists,
    Refuses,
    Scenario,
    Stalls,
)

JUNK: Final[tuple[Any, ...]] = (None, 7, "a model", [], {}, {"id": None}, {"id": 5, "name": 5}, {"id": []})
"""Entries of a list of models that are none."""

_PAGE: Final = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"


def _in_utf8(record: bytes) -> bytes:
    """The record with its JSON as most servers write it, characters unescaped, so that they can be cut."""
    head, mark, data = record.partition(b"data: ")
    try:
        said = json.loads(data)
    except ValueError:
        return record
    return head + mark + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"


class Wire(ABC):
    """A dialect over HTTP. One of your own says `records`, `failure` and `listing`, and maybe more.

    Answers are server-sent events, errors an OpenAI envelope and lists of models ``GET …/models``, unless
    your class says otherwise.
    """

    passes_unknown: bool = False
    """True where what the upstream says passes as it is: events and fields that nobody knows arrive."""

    models_path: str = "/models"
    """What the path ends with that lists the models."""

    content_type: str = "text/event-stream"
    """That of streamed answers."""

    also: Mapping[str, Any] = {}
    """JSON that other ``GET`` requests get, by the end of their path; those not named get a 404."""

    @abstractmethod
    def records(self, answer: Answers) -> Sequence[bytes]:
        """A whole streamed answer as it stands on the wire, each record apart, each piece in one of its own.

        Raise `Inapplicable` for what the dialect has no words for. An `odd` answer gets unknown fields, and
        a record of a type that does not exist.
        """

    @abstractmethod
    def failure(self, message: str) -> bytes:
        """The record by which a stream tells of an error."""

    @abstractmethod
    def listing(self, ids: Sequence[str]) -> Any:
        """The JSON of a list of models, `ids` among them."""

    def whole(self, answer: Answers) -> Stream | Reply:
        """The answer to a request that wants no stream; by default the stream, as if all wanted one."""
        return self._stream(self._written(answer))

    def whole_failure(self, fails: Fails) -> Reply | None:
        """The same failure for a request that wants no stream; None, the default, where all want one."""
        return None

    def refusal(self, refuses: Refuses) -> Reply:
        """The answer of an error status."""
        headers = {} if refuses.retry_after is None else {"retry-after": str(refuses.retry_after)}
        return refusal(refuses.status, refuses.message, headers=headers, code=refuses.code)

    def odd_listing(self, ids: Sequence[str]) -> Any:
        """As `listing`, with entries in between that are no models; by default `JUNK` in its lists."""
        listing = self.listing(ids)
        if isinstance(listing, list):
            return [*JUNK, *listing]
        return {
            name: [*JUNK, *value] if isinstance(value, list) else value for name, value in listing.items()
        }

    def wants_stream(self, received: Received) -> bool:
        """Whether a request wants a stream; by default its body says ``"stream": true``."""
        body = received.body
        return isinstance(body, dict) and body.get("stream") is True

    def played(self, scenario: Scenario) -> Answer:
        """The fake's answer for a scenario."""
        match scenario:
            case Answers():
                stream = self._stream(self._written(scenario))
                return Fitting(stream, self.whole(scenario), self.wants_stream)
            case Refuses():
                return self.refusal(scenario)
            case Breaks(None):
                return CUT
            case Stalls(None):
                return STALL
            case Breaks(pieces):
                return self._begun(pieces or (), TURN, CUT)
            case Stalls(pieces):
                return self._begun(pieces or (), STALL)
            case Ends(pieces):
                return self._begun(pieces)
            case Fails(pieces, message):
                stream = self._begun(pieces, self.failure(message))
                return Fitting(stream, self.whole_failure(scenario) or stream, self.wants_stream)
            case Babbles("page"):
                return Raw(_PAGE, "text/html")
            case Babbles():
                return self._stream([b"data: {unfinished\n\n", b"data: ]\n\n", b"nonsense\n\n"])

    def played_listing(self, listing: Listing) -> Any:
        """The fake's answer to a question for the models."""
        match listing:
            case Lists(ids, odd):
                return self.odd_listing(ids) if odd else self.listing(ids)
            case Refuses():
                return self.refusal(listing)
            case Babbles():
                return Raw(_PAGE, "text/html")

    def _begun(self, pieces: Sequence[str], *then: bytes | Fault) -> Stream:
        return self._stream([*self._until(pieces), *then])

    def _until(self, pieces: Sequence[str]) -> Iterator[bytes]:
        """The records of a text up to the one with the last piece."""
        if not pieces:
            return
        last = pieces[-1].encode()
        for record in self.records(Answers(tuple(pieces))):
            yield record
            if last in record:
                return
        raise AssertionError(f"{type(self).__name__}.records() never says {pieces[-1]!r} in one record")

    def _written(self, answer: Answers) -> list[bytes | Fault]:
        records = self.records(answer)
        size = answer.bytes_at_once
        if size is None:
            return [step for record in records for step in (record, TURN)]
        written = b"".join(map(_in_utf8, records))
        pieces = [written[place : place + size] for place in range(0, len(written), size)]
        return [step for piece in pieces for step in (piece, TURN)]

    def _stream(self, steps: Sequence[bytes | Fault]) -> Stream:
        return Stream(*steps, headers={"content-type": self.content_type})
