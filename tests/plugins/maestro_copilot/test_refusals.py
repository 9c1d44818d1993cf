"""Copilot's errors by their own meanings."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot.chat_ways import ChatWays
from maestro_copilot.refusals import explained
from maestro_daemon.plugin import CredentialsRefused, UpstreamRefused
from tests.support.copilot.copilot import Fake
from tests.support.copilot.refusing import Refused
from tests.support.copilot.served import Served, serving_copilot
from tests.support.copilot.turns import Say

MODELS = pytest.mark.parametrize("model", ["gpt-native", "claude-chat"])
LIMIT_CODES = [
    "rate_limited",
    "user_model_rate_limited",
    "user_global_rate_limited:premium",
    "integration_rate_limited",
    "model_overloaded",
    "agent_mode_limit_exceeded",
    "extension_blocked",
]
QUOTA_CODES = ["quota_exceeded", "free_quota_exceeded", "overage_limit_reached", "billing_not_configured"]


def for_ever(*args: Any, **fields: Any) -> list[Any]:
    """The same refusal, however often it is asked."""
    return [Refused(*args, **fields) for _ in range(12)]


@MODELS
@pytest.mark.parametrize("streams", [True, False])
async def test_a_spent_quota_is_told_as_one(served: Served, model: str, streams: bool) -> None:
    """copilot.md §10: 402 quota exceeded; Retry-After = a date or seconds."""
    served.copilot.faults = for_ever(
        402, "You have no quota left.", code="quota_exceeded", headers={"retry-after": "3600"}
    )
    status, headers, error = await served.refusal(model, stream=streams)
    assert (status, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert headers["retry-after"] == "3600"
    assert "You have no quota left." in error["message"]
    assert "1 h" in error["message"]


async def test_a_spent_quota_leaves_the_other_models_of_the_account_alone(served: Served) -> None:
    """copilot.md §10: a cooldown per (account, model)."""
    served.copilot.faults = [Refused(402, "You have no quota left.", code="quota_exceeded")]
    await served.refusal("gpt-native")
    asked = len(served.copilot.requests)
    await served.refusal("gpt-native")
    assert len(served.copilot.requests) == asked  # it cools down
    assert (await served.ask("claude-chat"))["status"] == "completed"


@pytest.mark.parametrize("code", [*QUOTA_CODES, "insufficient_quota"])
@pytest.mark.parametrize("status", [402, 403, 429])
async def test_quota_codes_count_whatever_their_status(served: Served, code: str, status: int) -> None:
    """copilot.md §7 WebSocket: quota_exceeded, free_quota_exceeded, … → quota."""
    served.copilot.faults = for_ever(status, "No.", code=code)
    told, _, error = await served.refusal()
    assert (told, error["code"]) == (429, "insufficient_quota")
    assert served.fake.github.exchanges == 1  # no fault of the token's


async def test_a_date_to_retry_after_is_counted_by_copilots_clock(served: Served) -> None:
    """copilot.md §10: Retry-After = a date or seconds."""
    now = 1_900_000_000
    headers = {"retry-after": formatdate(now + 7200, usegmt=True), "date": formatdate(now, usegmt=True)}
    served.copilot.faults = for_ever(402, "Later.", headers=headers)
    _, told, error = await served.refusal()
    assert told["retry-after"] == "7200"
    assert "7200s (2 h)" in error["message"]


@MODELS
async def test_a_wait_of_hours_is_told_and_never_slept(served: Served, model: str) -> None:
    """copilot.md §10: waits can be long (2 h and 58 h seen), never a sleep inside a request."""
    served.copilot.faults = for_ever(
        429,
        "Sorry, you have been rate-limited.",
        code="rate_limited",
        shape="flat",
        headers={"retry-after": "208800", "x-ratelimit-exceeded": "premium_interactions_weekly"},
    )
    status, headers, error = await served.refusal(model)
    assert (status, error["code"], headers["retry-after"]) == (429, "rate_limit_exceeded", "208800")
    assert "premium_interactions_weekly" in error["message"]
    assert "Please try again in 208800s (58 h)." in error["message"]


@pytest.mark.parametrize("code", LIMIT_CODES)
async def test_every_limit_is_named(served: Served, code: str) -> None:
    """copilot.md §7 WebSocket: the code's prefix before ':' → rate limit."""
    served.copilot.faults = for_ever(429, "Slow down.", code=code)
    status, headers, error = await served.refusal()
    assert (status, error["code"]) == (429, "rate_limit_exceeded")
    assert int(headers["retry-after"]) >= 1
    assert code in error["message"]


async def test_a_client_that_is_too_old_is_told_what_to_set(served: Served) -> None:
    """copilot.md §10: 466, client too old: raise the editor versions."""
    served.copilot.faults = for_ever(466, "Please upgrade", shape="text", content_type="text/plain")
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (502, "client_too_old")
    assert "editor_version and editor_plugin_version of [providers.work]" in error["message"]


async def test_an_unknown_editor_is_told_what_to_set(fake: Fake, tmp_path: Path) -> None:
    """copilot.md §4 Request headers: missing or unknown → 400 missing/unknown Editor-Version header."""
    async with serving_copilot(fake, tmp_path, editor_version="") as served:
        _, _, error = await served.refusal()
    assert error["code"] == "unsupported_client"
    assert "Set editor_version" in error["message"]


async def test_the_content_filter_is_the_clients_to_know(served: Served) -> None:
    """copilot.md §10: 422 content filter."""
    served.copilot.faults = for_ever(422, "Filtered.", shape="flat")
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (422, "content_filter")
    assert "content filter" in error["message"]


async def test_a_failed_dependency_is_told(served: Served) -> None:
    """copilot.md §10: 424 agent dependency."""
    served.copilot.faults = for_ever(424, "The agent failed.")
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (502, "agent_dependency_failed")
    assert "HTTP 424" in error["message"]


async def test_an_overloaded_provider_behind_copilot_is_told(served: Served) -> None:
    """copilot.md §10: 503, the provider behind Copilot is rate limited."""
    served.copilot.faults = for_ever(503, "", shape="text", headers={"retry-after": "7"})
    status, headers, error = await served.refusal()
    assert (status, error["code"], headers["retry-after"]) == (503, "server_is_overloaded", "7")
    assert "behind GitHub Copilot" in error["message"]


async def test_a_prompt_that_is_too_long_is_a_full_context(served: Served) -> None:
    """copilot.md §10: 400 model_max_prompt_tokens_exceeded."""
    said = "prompt token count of 140000 exceeds the limit of 128000"
    served.copilot.faults = for_ever(400, said, code="model_max_prompt_tokens_exceeded")
    status, _, error = await served.refusal()
    assert (status, error["code"], error["message"]) == (400, "context_length_exceeded", said)


async def test_a_model_that_is_gone_is_not_found(served: Served) -> None:
    """copilot.md §10: 404, the model is gone."""
    served.copilot.faults = for_ever(404, "gone")
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("shape", ["envelope", "flat"])
async def test_json_that_is_called_plain_text_is_read(served: Served, shape: str) -> None:
    """copilot.md §10: text/plain even when the body is JSON."""
    served.copilot.faults = for_ever(
        400, "No such field.", code="invalid_request_body", param="x", shape=shape, content_type="text/plain"
    )
    status, _, error = await served.refusal()
    assert (status, error["message"], error["code"]) == (400, "No such field.", "invalid_request_body")


async def test_a_bare_bad_request_is_told_as_it_is(served: Served) -> None:
    """copilot.md §10: a bare "Bad Request\\n"."""
    served.copilot.faults = for_ever(400, "Bad Request", shape="text", content_type="text/plain")
    status, _, error = await served.refusal()
    assert (status, error["message"]) == (400, "Bad Request")


@MODELS
@pytest.mark.parametrize("streams", [True, False])
async def test_a_token_that_expired_is_renewed_and_the_request_sent_again(
    served: Served, model: str, streams: bool
) -> None:
    """copilot.md §10: 401, 403: drop the token, re-mint, one retry."""
    served.copilot.play((Say("Hello"),))
    await served.ask(model)
    served.fake.state.revoke_copilot_tokens()
    answer = await (served.final(model) if streams else served.ask(model))
    assert answer["output"][-1]["content"][0]["text"] == "Hello"
    assert served.fake.github.exchanges == 2
    assert len(served.copilot.requests) == 3


async def test_a_hundred_requests_on_a_token_that_expired_renew_it_once(served: Served) -> None:
    """copilot.md §3 Tokens: one shared refresh in flight."""
    await served.ask()
    served.fake.state.revoke_copilot_tokens()
    models = ["gpt-native", "claude-chat"] * 50
    answers = await asyncio.gather(*(served.ask(model, stream=False) for model in models))
    assert {answer["status"] for answer in answers} == {"completed"}
    assert served.fake.github.exchanges == 2


async def test_what_is_refused_after_a_renewal_is_not_sent_a_third_time(served: Served) -> None:
    """copilot.md §3 Tokens: one forced re-mint and one retry; a 403 can also be policy."""
    served.copilot.faults = for_ever(403, "Access to this model is disabled by policy.")
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (502, "upstream_credentials_refused")
    assert "disabled by policy" in error["message"]
    assert (len(served.copilot.requests), served.fake.github.exchanges) == (2, 2)


async def test_a_login_that_is_over_says_so(served: Served) -> None:
    """copilot.md §2 Login: a 401 on the exchange = log in again."""
    await served.ask()
    served.fake.state.revoke_copilot_tokens()
    served.fake.state.revoke_github_tokens()
    status, _, error = await served.refusal()
    assert status in (502, 503)
    assert "token" in error["message"].lower()
    assert len(served.copilot.requests) == 2


async def test_what_each_answer_says_of_the_quota_is_kept(served: Served) -> None:
    """copilot.md §10: x-quota-snapshot-premium_interactions; §7: copilot_quota_snapshots."""
    served.copilot.native.foreign = False
    await served.ask()
    served.copilot.quota_header = "ent=300&ov=0.0&ovPerm=false&rem=12.5&rst=2026-12-01T00%3A00%3A00Z"
    await served.final("claude-chat")
    assert premium(served) == 12.5
    served.copilot.native.foreign = True
    served.copilot.native.snapshots = {"premium_interactions": {"percent_remaining": 9.5}}
    await served.final()
    assert premium(served) == 9.5
    served.copilot.faults = for_ever(
        402, "Empty.", headers={"x-quota-snapshot-premium_interactions": "ent=300&rem=0.0"}
    )
    await served.refusal()
    assert premium(served) == 0.0


def premium(served: Served) -> float | None:
    """The share that is left, from answers alone."""
    report = served.provider._account._quota.report()
    return next(each.percent for each in report.allowances if "premium" in each.name)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7200", 7200.0),
        (formatdate(1060, usegmt=True), 60.0),
        (formatdate(10, usegmt=True), 0.0),
        ("soon", None),
    ],
)
def test_waits_are_read_in_every_form(header: str, wait: float | None) -> None:
    """copilot.md §10: Retry-After = a date or seconds."""
    seconds = float(header) if header.isdecimal() else None
    refused = UpstreamRefused("No.", status=402, headers={"retry-after": header}, retry_after=seconds)
    assert explained(refused, "work", now=lambda: 1000.0).retry_after == wait


@pytest.mark.parametrize("code", ["quota_exceeded", "user_model_rate_limited:gpt"])
def test_an_error_that_came_in_a_stream_keeps_its_meaning(code: str) -> None:
    """copilot.md §7: an error in a stream bears the same codes, which are in the house's words by now."""
    told = ChatWays("claude", None).chunk({"error": {"code": code, "message": "No more."}})["error"]
    meant = explained(UpstreamRefused("No more.", status=429, code=told["code"]), "work")
    assert (meant.status, meant.code) == (429, told["code"])
    assert told["code"] not in meant.message


def test_refusals_without_a_meaning_of_copilots_stay_as_they_are() -> None:
    for error in (
        UpstreamRefused("No.", status=400, code="invalid_request_body"),
        UpstreamRefused("No.", status=500),
        CredentialsRefused("No.", status=403),
    ):
        assert explained(error, "work") is error
