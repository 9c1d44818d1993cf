"""``docs/failures.md``, written from the table of faults and the rules.

``python -m tests.support.faults.page`` writes it anew.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from maestro_daemon.routing.breaker import BreakerRules
from tests.support.documents import ROOT
from tests.support.faults.rules import LONGEST_WAIT, RULES, Aside, aside, expected, is_tried_again, is_wide
from tests.support.faults.table import FAULTS, Asked, Failure, Fault, Moment

PAGE: Final = ROOT / "docs" / "failures.md"

_WRITTEN: Final = "<!-- Written by `python -m tests.support.faults.page`; do not edit. -->\n"


def page() -> str:
    """The whole page."""
    return "\n".join((*_intro(), *_classes(), *_faults(), *_cooling()))


def _intro() -> Iterator[str]:
    yield "# When something fails\n"
    yield _WRITTEN
    yield _prose(
        """What a client sees, who is asked next and for how long a target is set aside, for everything that
        can go wrong with an upstream. Each row is played by the tests over real sockets: streamed and not,
        with native and with translated upstreams, at the first target of a route, at the middle one and at
        all of them."""
    )
    yield _point(
        """**A route goes on to its next target** after any failure but the client's own, as long as nothing
        of the answer was said. A streamed answer that was accepted goes on under the same id; a comment (`:
        maestro target=… attempts=2`) tells so before its first output."""
    )
    yield _point(
        """**Once the first output was sent, there is no other target**: the stream ends with
        `response.failed`, which holds what was said so far. A request that is not streamed has been sent
        nothing until its answer is whole, so it can always go on."""
    )
    yield _point(
        """**Only when no target is left is the client told of a failure**: as an HTTP error where nobody
        accepted, else as `response.failed`. [Errors](errors.md#of-upstreams) says which one of several."""
    )
    yield ""


def _classes() -> Iterator[str]:
    yield "## What follows from each class\n"
    yield from _table(
        ("class", "what happened", "the next target is asked", "the target is set aside"),
        (
            (
                _name(failure),
                rule.meaning,
                "no: the answer is this error" if failure is Failure.CLIENT else "yes",
                _words(rule.aside),
            )
            for failure, rule in RULES.items()
        ),
    )
    rules = BreakerRules()
    yield _prose(
        f"""*Counted* means: the target is set aside after {rules.failures} failures in a row, or once
        {rules.ratio:.0%} of at least {rules.least} attempts within {_seconds(rules.window)} failed; for
        {_seconds(rules.cooldown)} at first, twice as long each time, at most
        {_seconds(rules.longest_cooldown)}. When the time is over, one request is its probe. An upstream
        that says when to come back (`Retry-After`) is set aside until then at once. A client that leaves
        counts neither way."""
    )
    yield _prose(
        f"""A connection that broke before any byte of an answer, and a status from 500 on (but 501), are
        tried once more at the same target, if the wait for it is not longer than the route's `max_wait`
        ({_seconds(LONGEST_WAIT)} if not said) and retries are a small share of the requests."""
    )


def _faults() -> Iterator[str]:
    yield "## Before the upstream accepted\n"
    yield _prose("Without another target the client gets this HTTP error.")
    yield from _unsaid(Moment.UNANSWERED)
    yield "## Accepted, but nothing was said\n"
    yield _prose(
        """Without another target a stream ends with `response.failed` and this code; a request that is not
        streamed gets the HTTP error."""
    )
    yield from _unsaid(Moment.ACCEPTED)
    yield "## After the first output\n"
    yield _prose(
        """A stream ends with `response.failed`, this code and what was said so far; no other target is
        asked. A request that is not streamed goes on to the next target."""
    )
    yield from _table(
        ("what happens", "class", "the stream's code", "set aside"),
        (
            (each.name, _name(each.failure), f"`{_event_code(each)}`", _set_aside(each))
            for each in FAULTS
            if each.moment is Moment.SPEAKING and each.failure is not None
        ),
    )
    yield "## Slow, and well\n"
    well = ", ".join(each.name for each in FAULTS if each.failure is None)
    yield _prose(
        f"""No deadline but the route's `total` runs over an answer that keeps coming, however slowly: each
        timeout is one of silence. Played by the tests: {well}."""
    )


def _unsaid(moment: Moment) -> Iterator[str]:
    faults = [each for each in FAULTS if each.moment is moment and each.failure is not None]
    streamed = [("stream's code",)] if moment is Moment.ACCEPTED else []
    yield from _table(
        (
            "what happens",
            "class",
            "tried again there",
            "HTTP error",
            *(cell for (cell,) in streamed),
            "set aside",
        ),
        (
            (
                each.name,
                _name(each.failure),
                "once" if is_tried_again(each) else "",
                _http(each),
                *(f"`{_event_code(each)}`" for _ in streamed),
                _set_aside(each),
            )
            for each in faults
        ),
    )


def _cooling() -> Iterator[str]:
    yield "## When every target is set aside\n"
    yield _prose(
        """The client gets an error at once, a 429 if a limit or an empty account is among the causes, else
        a 503, with the shortest `retry-after` and the state of each target in its message. But where all
        were unreachable or broken, the request itself is the probe of the target whose time is over first,
        one request at a time: so a local server that was started again is found at once."""
    )


def _http(fault: Fault) -> str:
    if fault.asked is Asked.STREAMED:
        return ""
    told = expected([("one", fault)], stream=False).told
    assert told is not None
    code = "" if told.code is None else f" `{told.code}`"
    return f"{told.status}{code}{', the upstream’s own' if told.own else ''}"


def _event_code(fault: Fault) -> str:
    told = expected([("one", fault)], stream=True).told
    assert told is not None
    return told.event_code


def _name(failure: Failure | None) -> str:
    return "" if failure is None else failure.value


def _words(aside: Aside) -> str:
    rules = BreakerRules()
    return {
        Aside.NEVER: "no",
        Aside.COUNTED: "counted",
        Aside.UNTIL_TOLD: "until then",
        Aside.AT_ONCE: f"{_seconds(rules.cooldown)} at once",
        Aside.FOR_LONG: f"{_seconds(rules.quota_cooldown)} at once",
    }[aside]


def _set_aside(fault: Fault) -> str:
    said = _words(aside(fault))
    return f"{said}, the whole provider" if is_wide(fault) else said


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"


def _prose(text: str) -> str:
    return _filled(text) + "\n"


def _point(text: str) -> str:
    return _filled(text, first="- ", later="  ")


def _filled(text: str, *, first: str = "", later: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        118,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def write(file: Path = PAGE) -> None:
    """Write the page anew."""
    file.write_text(page())


if __name__ == "__main__":
    write()
