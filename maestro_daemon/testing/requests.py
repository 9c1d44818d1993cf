"""Checks of what nobody knows: fields that are new to the provider reach the other side, or are told."""

from __future__ import annotations

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.providers.provider import NativeResponses
from maestro_daemon.testing.bench import Bench
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.check import check
from maestro_daemon.testing.hearing import hear
from maestro_daemon.testing.scenarios import ODD_EVENT, ODD_FIELD, Answers

_SECTION = "what-nobody-knows"
_TEXT = Answers(("Hel", "lo"))
_PREVIOUS = "resp_contract_0123456789abcdef"


class RequestChecks:
    """What is new to the provider, and what a request leads back to."""

    @check
    async def test_an_unknown_field_of_a_request_is_passed_on_or_told(self, bench: Bench) -> None:
        """A client that uses something new is not left in the dark."""
        needed = bench.play(_TEXT)
        async with bench.opened() as provider:
            seen = len(bench.stage.asked())
            heard = await hear(provider, bench.request(needed, {ODD_FIELD: {"deep": [1]}}))
        if isinstance(heard.raised, RequestInvalid):
            return
        passed = any(ODD_FIELD.encode() in each.body for each in bench.stage.asked()[seen:])
        if not passed and not bench.log.reported(ODD_FIELD):
            wants = "that a field of the request which the provider does not know reaches the upstream, is "
            wants += (
                'named by a log line of level info or above, or is refused by RequestInvalid("…", param=…)'
            )
            raise Breach(wants, f"{ODD_FIELD!r} vanished", _SECTION)

    @check
    async def test_the_model_reaches_the_upstream_by_its_own_id(self, bench: Bench) -> None:
        """`request.model` is what the upstream calls it."""
        needed = bench.play(_TEXT)
        async with bench.opened() as provider:
            seen = len(bench.stage.asked())
            await hear(provider, bench.request(needed))
        asked = bench.stage.asked()[seen:]
        model = bench.model
        if not any(model.encode() in each.body or model in each.where for each in asked):
            raise Breach(f"that the upstream is asked for {model!r}", "no request names it", "a-provider")

    @check
    async def test_an_odd_answer_is_an_answer(self, bench: Bench) -> None:
        """An upstream may say more than the provider knows."""
        heard = await bench.heard(Answers(_TEXT.pieces, odd=True))
        failure = heard.failure()
        wants = "that fields and records which nobody knows break no answer"
        if failure is not None:
            raise Breach(wants, repr(failure), _SECTION) from failure
        if bench.stage.says_what_it_is_told and heard.text != _TEXT.text:
            raise Breach(wants, f"the text became {heard.text!r}", _SECTION)
        if not bench.stage.passes_unknown:
            return
        wants = "that events and fields which nobody knows reach the client, where events pass as they are"
        if ODD_EVENT not in {event.type for event in heard.events}:
            raise Breach(wants, f"the event {ODD_EVENT} vanished", _SECTION)
        deltas = [event for event in heard.events if event.type == "response.output_text.delta"]
        if not all(ODD_FIELD.encode() in event.payload for event in deltas):
            raise Breach(wants, f"the field {ODD_FIELD!r} of the deltas vanished", _SECTION)

    @check
    async def test_a_kept_response_is_continued_by_its_id(self, bench: Bench) -> None:
        """`keeps_responses` promises that the upstream understands `previous_response_id`."""
        needed = bench.play(_TEXT)
        section = "continued-responses"
        async with bench.opened() as provider:
            if not isinstance(provider, NativeResponses):
                raise Inapplicable("it keeps no responses: it has no method keeps_responses")
            kept = provider.keeps_responses(bench.model)
            if not isinstance(kept, bool):
                raise Breach("keeps_responses() to say True or False", repr(kept), section)
            if not kept:
                raise Inapplicable(f"it keeps no responses of {bench.model}")
            seen = len(bench.stage.asked())
            await hear(provider, bench.request(needed, {"previous_response_id": _PREVIOUS}))
        if not any(_PREVIOUS.encode() in each.body for each in bench.stage.asked()[seen:]):
            wants = "that previous_response_id reaches an upstream which keeps responses"
            raise Breach(wants, f"{_PREVIOUS!r} was not sent", section)
