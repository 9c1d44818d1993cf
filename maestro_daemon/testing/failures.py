"""Checks of failures: what the daemon is told, so that it knows whom to ask next."""

from __future__ import annotations

from typing import Any, Final

import pytest

from maestro_daemon.errors import (
    CredentialsRefused,
    MaestroError,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.testing.bench import Bench
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.check import check
from maestro_daemon.testing.hearing import failure_of, hear
from maestro_daemon.testing.held_port import held_port
from maestro_daemon.testing.scenarios import Babbles, Breaks, Ends, Fails, Refuses, Scenario, Stalls

_PIECES: Final = ("Once ", "upon ", "a time")
_REFUSALS: Final = (
    Refuses(400, "That input is too long.", code="context_length_exceeded"),
    Refuses(401, "That key is wrong."),
    Refuses(403, "That key may not do this."),
    Refuses(404, "There is no such model.", code="model_not_found"),
    Refuses(429, "That was too much.", code="rate_limit_exceeded", retry_after=7),
    Refuses(500, "Something went wrong."),
    Refuses(503, "Everybody is here today.", retry_after=3),
)

# scenario, the errors that it may be told by, and why
_FAILURES: Final[dict[str, tuple[Scenario, tuple[type[MaestroError], ...], str]]] = {
    "cut-before-an-answer": (
        Breaks(None),
        (UpstreamUnreachable, UpstreamBroken),
        "a connection that ends before any answer to be UpstreamUnreachable",
    ),
    "cut-in-the-middle": (
        Breaks(_PIECES),
        (UpstreamBroken,),
        "an answer that breaks off to be UpstreamBroken",
    ),
    "ends-too-early": (
        Ends(_PIECES),
        (UpstreamBroken,),
        "an answer that stops without its end to be UpstreamBroken, never a complete one",
    ),
    "error-in-the-stream": (
        Fails(_PIECES, "The model fell over."),
        (UpstreamBroken, UpstreamRefused),
        "an error that the stream tells of to be raised (UpstreamBroken, or UpstreamRefused), or told by "
        "an error event or response.failed",
    ),
    "a-page": (
        Babbles("page"),
        (UpstreamBroken,),
        "a page of HTML instead of an answer to be UpstreamBroken",
    ),
    "nonsense": (Babbles("records"), (UpstreamBroken,), "what is not the dialect to be UpstreamBroken"),
}


class FailureChecks:
    """What the daemon is told of a failure, so that it knows whom to ask next."""

    meant: dict[int, int] = {}
    """HTTP statuses of the upstream that the provider takes for another: ``{529: 503}``."""

    @pytest.mark.parametrize("refusal", _REFUSALS, ids=[str(each.status) for each in _REFUSALS])
    @check
    async def test_a_refusal_is_told_with_its_status(self, bench: Bench, refusal: Refuses) -> None:
        """`UpstreamRefused` with status, code, wait and words; before any event."""
        status = type(self).meant.get(refusal.status, refusal.status)
        needed = bench.play(refusal)
        async with bench.opened() as provider:
            heard = await hear(provider, bench.request(needed))
            if heard.events:
                wants = "that nothing is yielded before the upstream accepts: a refusal is the first step's"
                raise Breach(wants, f"{heard.events[0].type} came first", "errors")
            _judge_refusal(heard.raised, refusal, status, "stream()")
            error = await failure_of(provider, bench.request(needed, stream=False))
            _judge_refusal(error, refusal, status, "complete()")

    @check
    async def test_nobody_there_is_told_as_unreachable(self, bench: Bench) -> None:
        """A port at which nobody listens."""
        if not bench.stage.url or bench.stage.url not in bench.table().values():
            raise Inapplicable("its table names no address of an upstream")
        with held_port() as port:
            nowhere = f"http://127.0.0.1:{port}/v1"
            changes = {name: nowhere for name, value in bench.table().items() if value == bench.stage.url}
            async with bench.opened(**changes) as provider:
                wants = "an upstream that cannot be reached to be UpstreamUnreachable"
                heard = await hear(provider, bench.request())
                _judge(heard.failure(), (UpstreamUnreachable,), wants, "stream()")
                error = await failure_of(provider, bench.request(stream=False))
                _judge(error, (UpstreamUnreachable,), wants, "complete()")

    @pytest.mark.parametrize("pieces", [None, _PIECES], ids=["before-an-answer", "in-the-middle"])
    @check
    async def test_silence_is_told_as_unreachable(self, bench: Bench, pieces: tuple[str, ...] | None) -> None:
        """An upstream that says nothing for longer than its timeout; `impatient` sets that."""
        changes = bench.impatience()
        needed = bench.play(Stalls(pieces))
        wants = "silence past its timeout to be UpstreamUnreachable"
        async with bench.opened(**changes) as provider:
            heard = await hear(provider, bench.request(needed))
            _judge(heard.failure(), (UpstreamUnreachable,), wants, "stream()")

    @pytest.mark.parametrize("case", _FAILURES)
    @check
    async def test_a_failure_is_told_by_its_class(self, bench: Bench, case: str) -> None:
        """A cut, an end too early, an error in the stream, nonsense."""
        scenario, classes, wants = _FAILURES[case]
        needed = bench.play(scenario)
        async with bench.opened() as provider:
            heard = await hear(provider, bench.request(needed))
            _judge(heard.failure(), classes, wants, "stream()")
            if heard.raised is not None and not isinstance(heard.raised, MaestroError):
                _judge(heard.raised, classes, wants, "stream()")
            if _said(scenario) and not heard.text:
                wants = "that what came before a failure is told before it: nothing is held back"
                raise Breach(wants, "no text came", "errors")
            error = await failure_of(provider, bench.request(needed, stream=False))
            _judge(error, classes, wants, "complete()")


def _said(scenario: Scenario) -> bool:
    return isinstance(scenario, Breaks | Ends | Fails) and bool(scenario.pieces)


def _judge(error: BaseException | None, classes: tuple[type[Any], ...], wants: str, where: str) -> None:
    if not isinstance(error, classes):
        found = "an answer" if error is None else repr(error)
        raise Breach(wants, f"{where} made {found} of it", "errors") from error


def _judge_refusal(error: BaseException | None, refusal: Refuses, status: int, where: str) -> None:
    said = f"HTTP {refusal.status}"
    _judge(error, (UpstreamRefused,), f"{said} to be UpstreamRefused", where)
    assert isinstance(error, UpstreamError)
    if status in (401, 403):
        _judge(error, (CredentialsRefused,), f"{said} to be CredentialsRefused", where)
    _same(error.status, status, f"the status of {said}", where)
    if refusal.retry_after is not None:
        _same(error.retry_after, float(refusal.retry_after), f"retry_after of {said}, in seconds", where)
    if refusal.code is not None and status == refusal.status:
        _same(error.code, refusal.code, f"the code of {said}", where)
    if refusal.message not in error.message:
        wants = f"the upstream's own words in the message of {said}"
        raise Breach(wants, f"{where} says {error.message!r}", "errors")


def _same(found: Any, wanted: Any, what: str, where: str) -> None:
    if found != wanted:
        raise Breach(what, f"{where} gives {found!r} instead of {wanted!r}", "errors")
