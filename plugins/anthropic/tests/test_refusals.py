"""What the API refuses, and what fails on the way, as clients of the house are told."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest

from maestro_anthropic.provider import AnthropicProvider
from maestro_daemon.plugin import CredentialsRefused, UpstreamBroken, UpstreamRefused
from messages_api import KEY, MessagesAPI, model_entry
from scripted_answers import Answer, Page, Refused, text
from serving_claude import MODEL, answer, claude_house, client_of, options
from tests.support import chat
from tests.support.fake_upstream import Stream, fake_upstream
from tests.support.house import house, no_retries
from tests.support.translated_provider import TranslatedProvider

TOO_LONG = "prompt is too long: 213000 tokens > 200000 maximum"
BOTH_TOO_LONG = (
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"
)


@pytest.mark.parametrize(
    ("refused", "status", "code"),
    [
        (Refused(400, "invalid_request_error", TOO_LONG), 400, "context_length_exceeded"),
        (Refused(400, "invalid_request_error", BOTH_TOO_LONG), 400, "context_length_exceeded"),
        (Refused(400, "invalid_request_error", "messages: bad"), 400, None),
        (Refused(401, "authentication_error", "invalid x-api-key"), 502, "upstream_credentials_refused"),
        (Refused(403, "permission_error", "not yours"), 502, "upstream_credentials_refused"),
        (Refused(402, "billing_error", "pay first"), 429, "insufficient_quota"),
        (
            Refused(
                400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."
            ),
            429,
            "insufficient_quota",
        ),
        (Refused(429, "rate_limit_error", "slow down"), 429, "rate_limit_exceeded"),
        (Refused(500, "api_error", "Internal server error"), 502, "upstream_error"),
        (Refused(529, "overloaded_error", "Overloaded"), 503, "server_is_overloaded"),
        (Page(b"<html>Bad gateway</html>", status=502), 502, "upstream_error"),
        (Page(b"<html>Login</html>"), 502, "upstream_broken"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_refusals_keep_their_status_and_say_a_code_that_clients_know(
    api: MessagesAPI, refused: Any, status: int, code: str | None, stream: bool
) -> None:
    api.play(refused)
    async with claude_house(api) as running:
        found, headers, body = await running.post({"model": MODEL, "input": "Hi", "stream": stream})
    error = json.loads(body)["error"]
    assert (found, error["code"]) == (status, code)
    assert ("retry-after" in {name.lower() for name in headers}) or status != 429
    if isinstance(refused, Refused) and status not in (502,):
        assert refused.message.rstrip(".") in error["message"]


async def test_an_unknown_model_is_not_found_with_its_code(api: MessagesAPI) -> None:
    async with claude_house(api) as running, client_of(running) as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.responses.create(model="claude/claude-none", input="Hi")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_limit_tells_its_own_wait(api: MessagesAPI) -> None:
    api.play(Refused(429, "rate_limit_error", "slow down", {"retry-after": "7"}))
    async with claude_house(api) as running:
        _, headers, body = await running.post({"model": MODEL, "input": "Hi"})
    assert headers["Retry-After"] == "7"
    assert "try again in 7s" in json.loads(body)["error"]["message"]


async def test_a_limit_without_a_wait_lasts_until_what_is_used_up_is_there_again(api: MessagesAPI) -> None:
    now = datetime.now(UTC)
    limits = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-reset": (now + timedelta(seconds=90)).isoformat(),
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": (now + timedelta(seconds=900)).isoformat(),
    }
    api.play(Refused(429, "rate_limit_error", "slow down", limits))
    async with claude_house(api) as running:
        _, headers, _ = await running.post({"model": MODEL, "input": "Hi"})
    assert 60 <= int(headers["Retry-After"]) <= 90
    assert headers["x-ratelimit-limit-requests"] == "50"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, "invalid_request_error", "You have reached your specified API usage limits."),
        (400, "invalid_request_error", "You have reached your specified workspace API usage limits."),
        (
            429,
            "rate_limit_error",
            "You have reached your API usage limits: your organization has crossed its monthly API usage "
            "threshold, set based on your organization's API tier.",
        ),
    ],
)
async def test_a_limit_of_spending_lasts_until_it_ends_and_leaves_the_turn_to_others(
    api: MessagesAPI, status: int, kind: str, message: str
) -> None:
    end = datetime.now(UTC) + timedelta(days=3)
    message += f" You will regain access on {end:%Y-%m-%d at %H:%M} UTC."
    api.play(Refused(status, kind, message))
    async with claude_house(api) as running:
        found, headers, body = await running.post({"model": MODEL, "input": "Hi"})
        (row,) = running.health.snapshot()
    error = json.loads(body)["error"]
    assert (found, error["code"]) == (429, "insufficient_quota")
    assert error["message"].startswith(message)
    assert 71 * 3600 < int(headers["Retry-After"]) <= 72 * 3600
    assert (row["state"], row["cause"]) == ("open", "quota")


async def test_limits_of_an_answer_are_passed_on_under_names_that_clients_know(api: MessagesAPI) -> None:
    limits = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": "no moment at all",
    }
    api.play(Answer(text("Hello"), headers=limits))
    async with claude_house(api) as running:
        for stream in (True, False):
            _, headers, _ = await running.post({"model": MODEL, "input": "Hi", "stream": stream})
            assert headers["x-ratelimit-limit-requests"] == "50"
            assert headers["x-ratelimit-remaining-tokens"] == "1000"
            assert "x-ratelimit-reset-tokens" not in headers


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (("overloaded_error", "Overloaded"), "server_is_overloaded"),
        (("rate_limit_error", "slow down"), "rate_limit_exceeded"),
        (("invalid_request_error", TOO_LONG), "context_length_exceeded"),
        (("api_error", "Internal server error"), "server_error"),
        (("an_error_of_next_year", "Hm"), "server_error"),
    ],
)
async def test_an_error_in_the_stream_fails_the_answer_that_was_begun(
    api: MessagesAPI, error: tuple[str, str], code: str
) -> None:
    api.play(Answer(text("Hello"), error=error))
    async with claude_house(api) as running:
        events = await running.stream(model=MODEL)
    response = events[-1]["response"]
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert response["error"]["code"] == code
    assert error[1] in response["error"]["message"]
    assert response["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize("fault", ["cut", "unfinished"])
async def test_an_answer_that_stops_early_fails(api: MessagesAPI, fault: str) -> None:
    api.play(Answer(text("Hello"), **{fault: True}))
    async with claude_house(api) as running:
        response = await answer(running)
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"


async def test_an_error_before_any_output_leaves_the_status_to_http(api: MessagesAPI) -> None:
    api.play(Answer(error=("overloaded_error", "Overloaded"), pings=3))
    async with claude_house(api) as running:
        status, _, body = await running.post({"model": MODEL, "input": "Hi"})
    assert (status, json.loads(body)["error"]["code"]) == (503, "server_is_overloaded")


async def test_another_target_goes_on_before_any_output(api: MessagesAPI) -> None:
    api.play(Answer(error=("overloaded_error", "Overloaded")))
    routes = {"coder": (["claude/claude-test"], ["home/gpt-test"])}
    async with fake_upstream() as upstream:
        upstream.play(Stream(*chat.text("From home.")))
        claude = AnthropicProvider("claude", options(base_url=api.url))
        providers = {"claude": claude, "home": TranslatedProvider("home", upstream.url)}
        async with house(providers, routes, budget=no_retries()) as running:
            response = await answer(running, model="coder")
    assert response["output"][0]["content"][0]["text"] == "From home."
    targets = [attempt.target for attempt in running.heard.attempts]
    assert targets == ["claude/claude-test", "home/gpt-test"]


async def test_a_silent_upstream_is_left(api: MessagesAPI) -> None:
    api.play(Answer(text("Hello"), stall=True))
    async with claude_house(api, idle_timeout="200ms") as running:
        response = await answer(running)
    assert response["status"] == "failed"
    assert await asyncio.wait_for(api.left.get(), 10) == "/v1/messages"


@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
async def test_no_key_is_told(api: MessagesAPI, auth: str, logged: list[dict[str, Any]]) -> None:
    api.play(
        Refused(400, "invalid_request_error", f"no {KEY}"), Answer(text("Hello"), error=("api_error", KEY))
    )
    async with claude_house(api, auth=auth) as running:
        _, _, refused = await running.post({"model": MODEL, "input": "Hi"})
        failed = await answer(running)
    assert KEY.encode() not in refused
    assert KEY not in json.dumps(failed)
    assert KEY not in repr(logged)


@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
async def test_headers_are_those_of_the_options(api: MessagesAPI, auth: str) -> None:
    api.play(Answer(text("Hello")))
    changes = {"auth": auth, "version": "2023-06-01", "betas": ["a-1", "b-2"], "headers": {"x-team": "blue"}}
    async with claude_house(api, **changes) as running:
        await answer(running)
    headers = {name.lower(): value for name, value in api.requests[0].headers.items()}
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["anthropic-beta"] == "a-1,b-2"
    assert headers["x-team"] == "blue"
    assert ("x-api-key" in headers, "authorization" in headers) == (auth != "bearer", auth == "bearer")


async def test_a_model_that_the_list_does_not_hold_is_asked_for_once(api: MessagesAPI) -> None:
    api.play(Answer(text("Hello")))
    async with claude_house(api) as running:
        await answer(running)
        await answer(running)
    assert api.questions == ["/v1/models/claude-test"]


async def test_a_request_is_served_though_the_list_cannot_be_read(api: MessagesAPI) -> None:
    api.play(Answer(text("Hello")))
    api.models_fail = True
    async with claude_house(api) as running:
        await answer(running)
        response = await answer(running, reasoning={"effort": "high"})
    assert response["status"] == "completed"
    assert api.bodies[1]["thinking"]["type"] == "adaptive"
    assert len(api.questions) == 1


async def test_the_models_own_ways_are_heeded(api: MessagesAPI) -> None:
    types = {kind: {"supported": kind != "adaptive"} for kind in ("adaptive", "enabled", "disabled")}
    api.models = [model_entry("claude-test", thinking={"supported": True, "types": types})]
    api.play(Answer(text("Hello")))
    async with claude_house(api) as running:
        response = await answer(running, reasoning={"effort": "low"})
    assert response["status"] == "completed"
    assert api.bodies[0]["thinking"] == {"type": "enabled", "budget_tokens": 4096}


async def test_what_is_dropped_is_logged_once_by_name(api: MessagesAPI, logged: list[dict[str, Any]]) -> None:
    api.play(Answer(text("Hello")))
    async with claude_house(api) as running:
        await answer(running, temperature=0.3)
    lines = [line for line in logged if line["event"] == "request fields dropped"]
    assert [line["dropped"] for line in lines] == [["temperature"]]


def test_errors_have_the_class_that_says_whose_fault_it_is() -> None:
    from maestro_anthropic.refusals import stream_refusal

    def refused(kind: Any) -> Any:
        return stream_refusal({"type": "error", "error": {"type": kind, "message": "No."}}, provider="claude")

    assert isinstance(refused("authentication_error"), CredentialsRefused)
    assert isinstance(refused("overloaded_error"), UpstreamRefused)
    assert isinstance(refused("other"), UpstreamBroken)
    assert isinstance(refused(None), UpstreamBroken)
    assert isinstance(stream_refusal({}, provider="claude"), UpstreamBroken)
