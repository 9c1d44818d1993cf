"""Providers with one fault each in their answers, and the check that has to find it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from maestro_daemon.plugin import Accepted, ResponseEvent, ResponseRequest
from maestro_daemon.testing import ODD_EVENT, ODD_FIELD, Answers, Scenario
from tests.testing.right import Right
from tests.testing.wrong import wrong


@wrong("test_text_is_streamed_as_it_was_said", "the tokens of input and output", "streams")
class CountsNothing(Right):
    def told(self, answer: Answers) -> Answers:
        return replace(answer, tokens=(1, 1))


@wrong("test_text_is_streamed_as_it_was_said", "'Hello, wrld !'", "streams")
class LosesWhatIsNotAscii(Right):
    def told(self, answer: Answers) -> Answers:
        pieces = tuple(each.encode("ascii", "ignore").decode() for each in answer.pieces)
        return answer if answer.bytes_at_once else replace(answer, pieces=tuple(filter(None, pieces)))


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "a reasoning item", "streams")
class KeepsItsThoughts(Right):
    def told(self, answer: Answers) -> Answers:
        return replace(answer, thought="")


@wrong("test_tool_calls_arrive_whole_and_in_order", "every tool call", "streams")
class TurnsCallsRound(Right):
    def told(self, answer: Answers) -> Answers:
        return replace(answer, calls=answer.calls[::-1])


@wrong("test_an_answer_at_its_bound_of_tokens_is_incomplete", "max_output_tokens", "streams")
class NeverCutShort(Right):
    def told(self, answer: Answers) -> Answers:
        return replace(answer, finish="stop")


@wrong("test_an_answer_may_arrive_in_pieces_of_any_size", "the text that the upstream said", "streams")
class ReadsWholeRecordsOnly(Right):
    def told(self, answer: Answers) -> Answers:
        return replace(answer, pieces=("H",)) if answer.bytes_at_once else answer


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "the daemon had to make of", "streams")
class LeavesItemsOpen(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        for event in super().events(answer):
            if (
                answer.thought
                and event.type == "response.output_item.done"
                and b'"reasoning"' in event.payload
            ):
                continue
            yield event


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "not what the deltas add up to", "streams")
class SaysMoreInTheEnd(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        for event in super().events(answer):
            if answer.thought and event.type == "response.output_text.done":
                payload = json.loads(event.payload)
                event = ResponseEvent(event.type, json.dumps({**payload, "text": "More."}).encode())
            yield event


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "exactly one terminal event", "streams")
class GoesOnAfterTheEnd(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        yield from super().events(answer)
        if answer.thought:
            yield ResponseEvent("response.completed", b'{"type":"response.completed"}')


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "the type that its payload says", "streams")
class MisnamesEvents(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        for event in super().events(answer):
            if answer.thought and event.type == "response.output_text.done":
                event = ResponseEvent("response.text.done", event.payload)
            yield event


@wrong("test_reasoning_is_streamed_as_an_item_of_its_own", "yields ResponseEvents", "streams")
class YieldsBytes(Right):
    async def stream(self, request: ResponseRequest) -> AsyncGenerator[Any, None]:
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                if event.type == "response.reasoning_summary_text.done":
                    yield event.payload
                yield event


@wrong("test_json_is_what_the_stream_adds_up_to[short]", "adds up to, its 'output'", "whole-answers")
class SaysOtherwiseInJson(Right):
    async def complete(self, request: ResponseRequest) -> Any:
        response = await super().complete(request)
        if response["status"] == "incomplete":
            response["output"][0]["content"][0]["text"] = "Another story."
        return response


@wrong("test_json_is_what_the_stream_adds_up_to[short]", "a Response object", "whole-answers")
class AnswersInWordsOfItsOwn(Right):
    async def complete(self, request: ResponseRequest) -> Any:
        response = await super().complete(request)
        return {"text": "Once upon a time"} if response["status"] == "incomplete" else response


@wrong("test_the_first_event_is_told_when_the_upstream_accepts", "as soon as the upstream", "streams")
class TellsLateOfAcceptance(Right):
    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                if not isinstance(event, Accepted):
                    yield event


@wrong("test_many_requests_are_served_at_once", "each with its own answer", "a-provider")
class MixesRequestsUp(Right):
    @asynccontextmanager
    async def line(self, request: ResponseRequest) -> AsyncIterator[Scenario]:
        async with super().line(request) as scenario:
            self.latest = scenario
            await asyncio.sleep(0)
            yield self.latest


@wrong("test_a_request_is_not_changed", "nobody changes request.body in place", "a-provider")
class ChangesTheRequest(Right):
    def body(self, request: ResponseRequest) -> Mapping[str, Any]:
        request.body.pop("metadata", None)  # type: ignore[attr-defined]
        return request.body


@wrong("test_an_unknown_field_of_a_request_is_passed_on_or_told", "vanished", "what-nobody-knows")
class DropsWhatItDoesNotKnow(Right):
    def body(self, request: ResponseRequest) -> Mapping[str, Any]:
        return {name: value for name, value in request.body.items() if name != ODD_FIELD}


@wrong("test_the_model_reaches_the_upstream_by_its_own_id", "no request names it", "a-provider")
class AsksForAnotherModel(Right):
    def body(self, request: ResponseRequest) -> Mapping[str, Any]:
        return {**request.body, "model": "always-this"}


@wrong("test_an_odd_answer_is_an_answer", "the event response.contract.unheard vanished", "what-nobody-knows")
class PassesKnownEventsOnly(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        return (event for event in super().events(answer) if event.type != ODD_EVENT)


@wrong("test_an_odd_answer_is_an_answer", "of the deltas vanished", "what-nobody-knows")
class PassesKnownFieldsOnly(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        for event in super().events(answer):
            payload = {name: value for name, value in json.loads(event.payload).items() if name != ODD_FIELD}
            yield ResponseEvent(event.type, json.dumps(payload).encode())


@wrong("test_an_odd_answer_is_an_answer", "KeyError", "what-nobody-knows")
class TripsOverWhatItDoesNotKnow(Right):
    def told(self, answer: Answers) -> Answers:
        if answer.odd:
            raise KeyError(ODD_FIELD)
        return answer


@wrong("test_a_kept_response_is_continued_by_its_id", "was not sent", "continued-responses")
class ForgetsWhatItContinues(Right):
    def body(self, request: ResponseRequest) -> Mapping[str, Any]:
        return {name: value for name, value in request.body.items() if name != "previous_response_id"}


@wrong("test_a_kept_response_is_continued_by_its_id", "True or False", "continued-responses")
class KeepsResponsesPerhaps(Right):
    def keeps_responses(self, model: str) -> Any:
        return "perhaps"
