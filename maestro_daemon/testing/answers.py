"""Checks of answers: what a client gets where all goes well."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from typing import Any, Final

import pytest

from maestro_daemon.events import is_preamble
from maestro_daemon.providers.provider import Provider
from maestro_daemon.request import ResponseRequest
from maestro_daemon.testing.bench import Bench
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach
from maestro_daemon.testing.check import check
from maestro_daemon.testing.hearing import completed, hear, judged, opened, refuse_foreign
from maestro_daemon.testing.response_oracle import check_response
from maestro_daemon.testing.scenarios import Answers, Stalls, ToolCall

TEXT: Final = Answers(("Hel", "lo, ", "wörld ", "🌍!"), tokens=(23, 5))
CUT_UP: Final = Answers(("Grüße, ", "世界! ", "🌍🌎🌏 ", "ёлки"), bytes_at_once=29)
THOUGHT: Final = Answers(("Four.",), thought="Two and two.")
SHORT: Final = Answers(("Once upon", " a time"), finish="length")
CALLS: Final = Answers(
    calls=(
        ToolCall("look", '{"where": "left", "how": {"far": 2}}', "call_a"),
        ToolCall("look", '{"where": "right"}', "call_b"),
    )
)
TOOLS: Final = {
    "tools": [
        {
            "type": "function",
            "name": "look",
            "description": "Look somewhere.",
            "parameters": {"type": "object", "properties": {"where": {"type": "string"}}},
            "strict": False,
        }
    ]
}
_MANY: Final = 8


class AnswerChecks:
    """What a client gets where all goes well."""

    @check
    async def test_text_is_streamed_as_it_was_said(self, bench: Bench) -> None:
        """Text, usage and status arrive in a well-formed stream."""
        final = judged(await bench.heard(TEXT))
        _compare_text(bench, final, TEXT.text, "streams")
        if bench.stage.says_what_it_is_told:
            _expect(final["status"], "completed", "the status of a whole answer", "streams")
        if bench.stage.says_what_it_is_told and bench.stage.counts_tokens:
            told = final["usage"]["input_tokens"], final["usage"]["output_tokens"]
            _expect(told, TEXT.tokens, "the tokens of input and output that the upstream counted", "streams")

    @check
    async def test_reasoning_is_streamed_as_an_item_of_its_own(self, bench: Bench) -> None:
        """What the model thought stands apart from what it said."""
        final = judged(await bench.heard(THOUGHT))
        _compare_text(bench, final, THOUGHT.text, "streams")
        thoughts = [item for item in final["output"] if item["type"] == "reasoning"]
        said = [part["text"] for item in thoughts for part in (*item["summary"], *item.get("content", ()))]
        _expect("".join(said), THOUGHT.thought, "a reasoning item with what the model thought", "streams")

    @check
    async def test_tool_calls_arrive_whole_and_in_order(self, bench: Bench) -> None:
        """Two calls of one tool, with their arguments and call ids."""
        final = judged(await bench.heard(CALLS, TOOLS))
        _compare_calls(final, "streams")

    @check
    async def test_an_answer_at_its_bound_of_tokens_is_incomplete(self, bench: Bench) -> None:
        """The status tells a client that the model was cut short."""
        final = judged(await bench.heard(SHORT))
        _compare_text(bench, final, SHORT.text, "streams")
        told = final["status"], (final["incomplete_details"] or {}).get("reason")
        wants = "an answer that ended at its bound of tokens to be incomplete, for max_output_tokens"
        _expect(told, ("incomplete", "max_output_tokens"), wants, "streams")

    @check
    async def test_an_answer_may_arrive_in_pieces_of_any_size(self, bench: Bench) -> None:
        """The network cuts where it likes, also within a character."""
        final = judged(await bench.heard(CUT_UP))
        _compare_text(bench, final, CUT_UP.text, "streams")

    @pytest.mark.parametrize("answer", [TEXT, CALLS, SHORT], ids=["text", "calls", "short"])
    @check
    async def test_json_is_what_the_stream_adds_up_to(self, bench: Bench, answer: Answers) -> None:
        """A client gets the same whether it streams or not."""
        needed = bench.play(answer)
        tools = TOOLS if answer.calls else {}
        async with bench.opened() as provider:
            streamed = judged(await hear(provider, bench.request(needed, tools)))
            whole = await _whole(provider, bench.request(needed, tools, stream=False))
        if not bench.stage.says_what_it_is_told:
            return
        for name in ("status", "output", "usage", "incomplete_details", "error"):
            wants = f"complete() to give the Response that the stream adds up to, its {name!r} among it"
            _expect(_lasting(whole.get(name)), _lasting(streamed.get(name)), wants, "whole-answers")

    @check
    async def test_the_first_event_is_told_when_the_upstream_accepts(self, bench: Bench) -> None:
        """The daemon knows by it that no other target is needed, long before the model speaks."""
        needed = bench.play(Stalls(()))
        async with bench.opened() as provider:
            events = opened(provider, bench.request(needed))
            wants = "a first event as soon as the upstream accepts the request, best Accepted(headers)"
            try:
                first = await soon(anext(events), wants, "streams")
            finally:
                await soon(events.aclose(), "that a stream lets itself be closed", "leaving-and-ending")
            refuse_foreign(first)
            if not is_preamble(first.type):
                raise Breach(wants, f"the first event is {first.type}", "streams")

    @check
    async def test_many_requests_are_served_at_once(self, bench: Bench) -> None:
        """One object serves all requests, and mixes none of them up."""
        scenarios = [Answers((f"<{number}", f"-{number}", f"-{number}>")) for number in range(_MANY)]
        needed = bench.stage.play(*scenarios)
        wants = "that one provider serves many requests at once, each with its own answer"
        async with bench.opened() as provider:
            heard = await asyncio.gather(*(hear(provider, bench.request(each)) for each in needed))
        said = [_text_of(judged(each)) for each in heard]
        if bench.stage.says_what_it_is_told:
            _expect(sorted(said), sorted(each.text for each in scenarios), wants, "a-provider")

    @check
    async def test_a_request_is_not_changed(self, bench: Bench) -> None:
        """Other targets get the same object when this one fails."""
        needed = bench.play(TEXT)
        wants = "that nobody changes request.body in place: make a new one, as request.aimed_at() does"
        async with bench.opened() as provider:
            for stream in (True, False):
                request = bench.request(needed, TOOLS, {"metadata": {"a": "1"}}, stream=stream)
                before = deepcopy(dict(request.body))
                await _asked(provider, request)
                _expect(dict(request.body), before, wants, "a-provider")


async def _asked(provider: Provider, request: ResponseRequest) -> None:
    if request.stream:
        judged(await hear(provider, request))
    else:
        await _whole(provider, request)


async def _whole(provider: Provider, request: ResponseRequest) -> dict[str, Any]:
    """A good answer that was not streamed. Raises `Breach` if it is none."""
    wants = "complete() to give a Response object, as responses.create does"
    try:
        response = await completed(provider, request)
        check_response(response)
    except Breach:
        raise
    except Exception as error:
        raise Breach(wants, f"{type(error).__name__}: {error}", "whole-answers") from error
    return response


def _compare_text(bench: Bench, final: dict[str, Any], text: str, section: str) -> None:
    if bench.stage.says_what_it_is_told:
        _expect(_text_of(final), text, "the text that the upstream said", section)


def _compare_calls(final: dict[str, Any], section: str) -> None:
    calls = [item for item in final["output"] if item["type"] == "function_call"]
    told = [(each["name"], _parsed(each["arguments"])) for each in calls]
    wanted = [(each.name, _parsed(each.arguments)) for each in CALLS.calls]
    _expect(told, wanted, "every tool call of the answer, in order, with its name and arguments", section)


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _text_of(final: dict[str, Any]) -> str:
    parts = [part for item in final["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)


def _lasting(value: Any) -> Any:
    """A part of a Response without ids, which may differ from one answer to the next."""
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in ("id", "logprobs")}
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    return value


def _expect(found: Any, wanted: Any, wants: str, section: str) -> None:
    if found != wanted:
        raise Breach(wants, f"{found!r} instead of {wanted!r}", section)
