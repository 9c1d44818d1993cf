"""Every fault of the matrix: where it is met, what the upstream does, and which class of failure that is.

Nothing here says what must follow; that is derived from the class, the moment and the status by `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from tests.support.faults.wording import Body, Breathing, Dripping, Failing, Page, Refusal, Say, Told
from tests.support.raw_upstream import CLOSE, RESET, STALL

PAUSE: Final = 0.05
"""Seconds between two pieces of an answer that drips."""

IDLE: Final = 0.4
"""Seconds of silence that end such an answer: less than it takes as a whole."""


class Failure(Enum):
    """The classes that decide what follows; `value` is the word that ``status`` shows."""

    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    REFUSED = "refused"
    LIMITED = "limited"
    QUOTA = "quota"
    CREDENTIALS = "credentials"
    LACK = "lack"
    CLIENT = "client"


class Moment(Enum):
    """How far a streamed answer had come; one that is not streamed has come nowhere until it is whole."""

    UNANSWERED = "before the upstream accepted"
    ACCEPTED = "accepted, but nothing said"
    SPEAKING = "after the first output"


class Place(Enum):
    """What stands at the target's address."""

    SERVER = "a server that plays the recipe"
    NOBODY = "a port on which nobody listens"
    FULL = "a port whose queue of connections is full"
    NO_NAME = "a host name that cannot be resolved"
    UNTRUSTED = "a TLS server with a certificate that nobody vouches for"
    NO_TLS = "a server that speaks plain HTTP where https is expected"


class Asked(Enum):
    """For which requests the fault exists."""

    ALWAYS = "streamed or not"
    STREAMED = "streams alone"


@dataclass(frozen=True)
class Fault:
    """One way to fail, or to behave oddly.

    `name` says it in a user's words. `failure` is its class, None where nothing is lost. `moment` is that of
    a streamed answer. `recipe` is what the upstream does at `place`. `brief` puts it into the quick slice.
    """

    name: str
    failure: Failure | None
    recipe: tuple[Told, ...] = ()
    moment: Moment = Moment.UNANSWERED
    place: Place = Place.SERVER
    asked: Asked = Asked.ALWAYS
    brief: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether only the end of a timeout tells it."""
        silent = STALL in self.recipe or self.place is Place.FULL
        return silent and self.failure is Failure.UNREACHABLE and not self.is_slow

    @property
    def is_slow(self) -> bool:
        """Whether something comes all the time, slowly."""
        return any(isinstance(told, Dripping | Breathing) for told in self.recipe)

    @property
    def refusal(self) -> Refusal:
        """The status it stands for; 502 where the upstream said none."""
        (first, *_) = self.recipe or (None,)
        return first if isinstance(first, Refusal) else Refusal(502)

    @property
    def code(self) -> str | None:
        """The code that the upstream said."""
        codes = [told.code for told in self.recipe if isinstance(told, Failing | Refusal)]
        return codes[0] if codes else None


def _refusal(
    status: int,
    failure: Failure,
    code: str | None = None,
    *,
    retry_after: float | None = None,
    brief: bool = False,
) -> Fault:
    said = [
        f"HTTP {status}",
        *([f"`{code}`"] if code else []),
        *(["with Retry-After"] if retry_after else []),
    ]
    return Fault(" ".join(said), failure, (Refusal(status, code, retry_after),), brief=brief)


_ACCEPTED: Final = (Say.HEAD, Say.PREAMBLE)
_SPEAKING: Final = (*_ACCEPTED, Say.TEXT)
_GARBAGE: Final = Body(b"data: \xff{{\n\n")
_NEARLY: Final = (*_SPEAKING, Say.REST)

FAULTS: Final = (
    # The client's request cannot be served by anybody.
    _refusal(400, Failure.CLIENT, "invalid_value", brief=True),
    _refusal(400, Failure.CLIENT),
    _refusal(422, Failure.CLIENT, "invalid_type"),
    # It cannot be served by this target.
    _refusal(400, Failure.LACK, "context_length_exceeded", brief=True),
    _refusal(400, Failure.LACK, "unsupported_value"),
    _refusal(404, Failure.LACK, "model_not_found"),
    _refusal(404, Failure.LACK),
    _refusal(413, Failure.LACK),
    # The account there is at fault.
    _refusal(401, Failure.CREDENTIALS, "invalid_api_key", brief=True),
    _refusal(403, Failure.CREDENTIALS),
    _refusal(402, Failure.QUOTA),
    _refusal(429, Failure.QUOTA, "insufficient_quota", brief=True),
    _refusal(400, Failure.QUOTA, "billing_hard_limit_reached"),
    _refusal(429, Failure.LIMITED, "rate_limit_exceeded"),
    _refusal(429, Failure.LIMITED, retry_after=7, brief=True),
    # The upstream itself is.
    _refusal(307, Failure.REFUSED),
    _refusal(408, Failure.REFUSED),
    _refusal(409, Failure.REFUSED),
    _refusal(500, Failure.REFUSED, brief=True),
    _refusal(501, Failure.REFUSED),
    _refusal(502, Failure.REFUSED),
    _refusal(503, Failure.REFUSED),
    _refusal(503, Failure.REFUSED, retry_after=7, brief=True),
    _refusal(504, Failure.REFUSED),
    _refusal(529, Failure.REFUSED, "server_is_overloaded"),
    # Nobody is there.
    Fault("connection refused", Failure.UNREACHABLE, place=Place.NOBODY, brief=True),
    Fault("no answer to the connection", Failure.UNREACHABLE, place=Place.FULL),
    Fault("host name not found", Failure.UNREACHABLE, place=Place.NO_NAME, brief=True),
    Fault("certificate not trusted", Failure.UNREACHABLE, place=Place.UNTRUSTED, brief=True),
    Fault("no TLS where https is expected", Failure.UNREACHABLE, place=Place.NO_TLS),
    # It is asked, and does not answer.
    Fault("connection closed before the headers", Failure.UNREACHABLE, (CLOSE,)),
    Fault("connection reset before the headers", Failure.UNREACHABLE, (RESET,), brief=True),
    Fault("silence before the headers", Failure.UNREACHABLE, (STALL,), brief=True),
    Fault("an answer that is no HTTP", Failure.BROKEN, (b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE)),
    Fault("a page of HTML", Failure.BROKEN, (Page("text/html", b"<html><body>Log in</body></html>"),)),
    # It accepted, and says nothing of use.
    Fault("silence after the headers", Failure.UNREACHABLE, (Say.HEAD, STALL), Moment.ACCEPTED, brief=True),
    Fault("silence after `response.created`", Failure.UNREACHABLE, (*_ACCEPTED, STALL), Moment.ACCEPTED),
    Fault("cut after the headers", Failure.BROKEN, (Say.HEAD, CLOSE), Moment.ACCEPTED),
    Fault("reset after the headers", Failure.BROKEN, (Say.HEAD, RESET), Moment.ACCEPTED),
    Fault("cut after `response.created`", Failure.BROKEN, (*_ACCEPTED, CLOSE), Moment.ACCEPTED, brief=True),
    Fault("an end without anything", Failure.BROKEN, (Say.HEAD, Say.END), Moment.ACCEPTED),
    Fault("an end after `response.created`", Failure.BROKEN, (*_ACCEPTED, Say.END), Moment.ACCEPTED),
    Fault("another content type", Failure.BROKEN, (Page("text/plain", b"Welcome!"),), Moment.ACCEPTED),
    Fault("garbage", Failure.BROKEN, (Say.HEAD, _GARBAGE, Say.END), Moment.ACCEPTED, brief=True),
    Fault(
        "an error event", Failure.BROKEN, (*_ACCEPTED, Failing("server_error")), Moment.ACCEPTED, brief=True
    ),
    Fault(
        "an error event of a rate limit",
        Failure.LIMITED,
        (*_ACCEPTED, Failing("rate_limit_exceeded"), STALL),
        Moment.ACCEPTED,
    ),
    Fault(
        "`response.failed` before any output",
        Failure.BROKEN,
        (*_ACCEPTED, Failing("server_error", "failed"), STALL),
        Moment.ACCEPTED,
        brief=True,
    ),
    Fault(
        "`response.failed` for want of credit",
        Failure.QUOTA,
        (*_ACCEPTED, Failing("insufficient_quota", "failed"), STALL),
        Moment.ACCEPTED,
    ),
    # It breaks off.
    Fault("silence after output", Failure.UNREACHABLE, (*_SPEAKING, STALL), Moment.SPEAKING),
    Fault("cut after output", Failure.BROKEN, (*_SPEAKING, CLOSE), Moment.SPEAKING, brief=True),
    Fault("reset after output", Failure.BROKEN, (*_SPEAKING, RESET), Moment.SPEAKING),
    Fault("cut before the end", Failure.BROKEN, (*_NEARLY, CLOSE), Moment.SPEAKING),
    Fault(
        "an end without a terminal event", Failure.BROKEN, (*_NEARLY, Say.END), Moment.SPEAKING, brief=True
    ),
    Fault(
        "garbage after output",
        Failure.BROKEN,
        (*_SPEAKING, _GARBAGE, Say.END),
        Moment.SPEAKING,
    ),
    Fault(
        "an error event after output",
        Failure.BROKEN,
        (*_SPEAKING, Failing("server_error"), STALL),
        Moment.SPEAKING,
    ),
    Fault(
        "`response.failed` after output",
        Failure.BROKEN,
        (*_SPEAKING, Failing("server_error", "failed"), STALL),
        Moment.SPEAKING,
        brief=True,
    ),
    # It is slow, and nothing is lost.
    Fault("a slow drip", None, (Say.HEAD, Dripping(PAUSE)), brief=True),
    Fault(
        "comments and no output",
        Failure.UNREACHABLE,
        (Say.HEAD, Breathing(PAUSE, 100), STALL),
        Moment.ACCEPTED,
        asked=Asked.STREAMED,
    ),
)
