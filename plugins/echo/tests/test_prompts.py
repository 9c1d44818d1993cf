"""What prompts make the model say and do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from maestro_echo.options import EchoOptions
from maestro_echo.provider import EchoProvider

from maestro_daemon.plugin import RequestInvalid, ResponseRequest, UpstreamBroken, UpstreamRefused
from maestro_daemon.testing import check_response

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}
    for name in ("look", "listen")
]


def answer(prompt: str | list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The Response to a prompt, after its stream and its JSON were compared and judged."""

    async def asked() -> dict[str, Any]:
        provider = EchoProvider("e", EchoOptions())
        body = {"model": "echo", "input": prompt, **fields}
        request = ResponseRequest(body, "echo", "echo", stream=True)
        events = [event async for event in provider.stream(request)]
        streamed: dict[str, Any] = json.loads(events[-1].payload)["response"]
        reply = await provider.complete(ResponseRequest(body, "echo", "echo"))
        whole: dict[str, Any] = json.loads(reply.body)
        check_response(whole)
        assert [said(item) for item in whole["output"]] == [said(item) for item in streamed["output"]]
        return whole

    return asyncio.run(asked())


def said(item: dict[str, Any]) -> Any:
    """What an item says, without ids."""
    match item["type"]:
        case "message":
            return "".join(part.get("text", part.get("refusal")) for part in item["content"])
        case "function_call":
            return item["name"], json.loads(item["arguments"])
    return item["type"]


def outputs(*prompt: str, **fields: Any) -> list[Any]:
    """What the items of the answer to these lines say."""
    return [said(item) for item in answer("\n".join(prompt), **fields)["output"]]


def test_plain_text_comes_back() -> None:
    assert outputs("Hello there,", "/usr/bin is a folder.") == ["Hello there,\n/usr/bin is a folder."]


def test_words_come_one_at_a_time() -> None:
    async def asked() -> list[bytes]:
        provider = EchoProvider("e", EchoOptions())
        request = ResponseRequest({"model": "echo", "input": "/times 3 la"}, "echo", "echo", stream=True)
        return [event.payload async for event in provider.stream(request) if event.type.endswith(".delta")]

    deltas = [json.loads(payload)["delta"] for payload in asyncio.run(asked())]
    assert deltas == ["la ", "la ", "la "]


def test_tools_are_called_with_the_given_json() -> None:
    prompt = ("/think Let me see.", '/call listen {"to": "x"}', "/call", "/say Well.")
    assert outputs(*prompt, tools=TOOLS) == ["reasoning", ("listen", {"to": "x"}), ("look", {}), "Well."]


def test_a_call_of_a_tool_that_is_not_offered_names_those_that_are() -> None:
    with pytest.raises(RequestInvalid, match=r"calls smell, .* it offers look, listen") as caught:
        answer("/call smell {}", tools=TOOLS)
    assert caught.value.param == "tools"


def test_a_demanded_call_is_made() -> None:
    assert outputs("Hi.", tools=TOOLS, tool_choice="required") == ["Hi.", ("look", {})]
    named = {"type": "function", "name": "listen"}
    assert outputs("Hi.", tools=TOOLS, tool_choice=named) == ["Hi.", ("listen", {})]


def after_calls(prompt: str, *rounds: str) -> list[dict[str, Any]]:
    """A conversation in which the tools have answered the prompt's calls so often."""
    items: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for number, returned in enumerate(rounds):
        call_id = f"call_{number}"
        items.append({"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": call_id, "output": returned})
    return items


def test_a_script_goes_on_when_the_tools_have_answered() -> None:
    prompt = "/call look\n/then\n/call listen\n/then\n/say Done."
    for rounds, expected in (
        ([], ("look", {})),
        (["a"], ("listen", {})),
        (["a", "b"], "Done."),
        (["a", "b", "c"], "look returned: c"),
    ):
        (item,) = answer(after_calls(prompt, *rounds), tools=TOOLS)["output"]
        assert said(item) == expected


def test_the_last_prompt_counts() -> None:
    items = [
        *after_calls("/call look", "x"),
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "Hi."},
    ]
    assert [said(item) for item in answer(items, tools=TOOLS)["output"]] == ["Hi."]


def test_refusals_limits_and_cuts() -> None:
    assert outputs("/refuse I will not.") == ["I will not."]
    short = answer("/times 20 la", max_output_tokens=16)
    assert (short["status"], said(short["output"][0])) == ("incomplete", "la " * 16)
    filtered = answer("one\n/stop content_filter\ntwo")
    assert filtered["incomplete_details"] == {"reason": "content_filter"}
    with pytest.raises(UpstreamBroken, match="cut off"):
        answer("one\n/cut\ntwo")


def test_tokens_can_be_told() -> None:
    usage = answer("/usage 70 5\nHello.")["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (70, 5)


def test_failures_bear_what_the_prompt_says() -> None:
    with pytest.raises(UpstreamRefused, match="Slow down") as caught:
        answer("/fail 429 code=rate_limit_exceeded after=1.5s Slow down.")
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
    assert caught.value.retry_after == 1.5
    with pytest.raises(UpstreamBroken, match="Oh"):
        answer("One.\n/fail 500 Oh.")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/slow", "duration"),
        ("/wait soon", "duration"),
        ("/fail twice", "status"),
        ("/fail 200", "status"),
        ("/stop now", "length"),
        ("/times many x", "number"),
        ("/times 9999999 x", "number"),
        ("/call look {", "JSON"),
        ("/usage 1", "two numbers"),
    ],
)
def test_a_command_without_sense_names_its_line(line: str, complaint: str) -> None:
    with pytest.raises(RequestInvalid, match=f"Line 2 of the prompt, {line.split()[0]}: .*{complaint}"):
        answer(f"Hello.\n{line}", tools=TOOLS)
