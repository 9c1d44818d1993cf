"""The list of models over its life: when it is read, and what holds while it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from maestro_copilot.account import Account
from maestro_copilot.gate import Gate
from maestro_copilot.listing import Listing
from maestro_copilot.options import CopilotOptions
from maestro_copilot.provider import CopilotProvider
from maestro_daemon.plugin import LoggedIn, ProviderUnavailable, UpstreamBroken, UpstreamRefused
from maestro_daemon.providers.catalog import Catalog, listing
from tests.support.copilot.catalogues import CHAT, MALFORMED, NATIVE, entry
from tests.support.copilot.copilot import Fake
from tests.support.copilot.refusing import Refused
from tests.support.copilot.served import Served, copilot_options
from tests.support.copilot.turns import Say


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def listed(fake: Fake, tmp_path: Path, clock: Clock) -> AsyncIterator[Listing]:
    options = copilot_options(fake)
    account = Account("work", options, tmp_path)
    gate = Gate("work", options, account)
    one = Listing("work", gate, 600.0, clock=clock)
    yield one
    await one.aclose()
    await gate.aclose()
    await account.aclose()


def offer(fake: Fake, *entries: Any) -> None:
    fake.copilot.catalogue = {"object": "list", "data": list(entries)}


async def test_a_good_list_is_not_asked_for_again(listed: Listing, fake: Fake, clock: Clock) -> None:
    """copilot.md §6 GET /models: refresh every 10 min."""
    assert "gpt-native" in await listed.models()
    clock.now += 599
    await listed.models()
    assert len(fake.copilot.catalogue_reads) == 1
    clock.now += 1
    await listed.models()
    assert len(fake.copilot.catalogue_reads) == 2


async def test_an_unchanged_list_is_not_sent_again(listed: Listing, fake: Fake, clock: Clock) -> None:
    first = await listed.models()
    clock.now += 600
    assert await listed.models() is first
    assert "if-none-match" not in fake.copilot.catalogue_reads[0]
    assert fake.copilot.catalogue_reads[1]["if-none-match"].startswith('W/"')
    clock.now += 600
    offer(fake, entry("new"))
    assert list(await listed.models()) == ["new"]


async def test_many_who_ask_cause_one_reading(listed: Listing, fake: Fake) -> None:
    await asyncio.gather(*(listed.models() for _ in range(20)), *(listed.model("x") for _ in range(20)))
    assert len(fake.copilot.catalogue_reads) == 1


async def test_a_list_that_does_not_come_holds_requests_up_once(
    listed: Listing, fake: Fake, clock: Clock
) -> None:
    fake.copilot.catalogue_held = asyncio.Event()
    first = asyncio.create_task(listed.model("gpt-native"))
    await fake.copilot.catalogue_asked.wait()
    clock.now += 10  # as long as anybody waits
    assert await listed.model("gpt-native") is None
    assert not first.done()
    fake.copilot.catalogue_held.set()
    assert await first is not None


async def test_the_old_list_stays_while_a_refresh_fails(listed: Listing, fake: Fake, clock: Clock) -> None:
    """copilot.md §6 GET /models: keeping the old list on 429."""
    await listed.models()
    clock.now += 600
    fake.copilot.catalogue_faults = [Refused(429, "slow", code="rate_limited")]
    with pytest.raises(UpstreamRefused):
        await listed.models()
    known = await listed.model("gpt-native")
    assert known is not None
    assert len(fake.copilot.catalogue_reads) == 2  # requests leave a server alone that has just refused


async def test_a_list_of_which_nothing_can_be_read_keeps_the_old_one(
    listed: Listing, fake: Fake, clock: Clock
) -> None:
    """copilot.md §6 GET /models: one changed entry broke a whole catalogue."""
    await listed.models()
    clock.now += 600
    offer(fake, *MALFORMED)
    said = rf"{len(MALFORMED)} models that cannot be read; data\[0\]: is no object"
    with pytest.raises(UpstreamBroken, match=said):
        await listed.models()
    assert await listed.model("gpt-native") is not None


async def test_what_is_no_json_keeps_the_old_list(listed: Listing, fake: Fake, clock: Clock) -> None:
    await listed.models()
    clock.now += 600
    fake.copilot.catalogue_faults = [
        Refused(200, "<html>busy</html>", shape="text", content_type="text/html")
    ]
    with pytest.raises(UpstreamBroken):
        await listed.models()
    assert await listed.model("gpt-native") is not None


async def test_a_request_with_an_old_list_is_not_held_up(listed: Listing, fake: Fake, clock: Clock) -> None:
    await listed.models()
    clock.now += 600
    offer(fake, entry("gpt-native", CHAT))
    old = await listed.model("gpt-native")
    assert old is not None
    assert old.dialect == "responses"
    await listed.models()
    new = await listed.model("gpt-native")
    assert new is not None
    assert new.dialect == "chat"
    assert len(fake.copilot.catalogue_reads) == 2


async def test_a_refused_bearer_is_renewed_for_the_list_too(
    listed: Listing, fake: Fake, clock: Clock
) -> None:
    """copilot.md §10: 401, 403: drop the token, re-mint, one retry."""
    await listed.models()
    clock.now += 600
    fake.state.revoke_copilot_tokens()
    assert "gpt-native" in await listed.models()
    assert fake.github.exchanges == 2


async def test_bad_entries_are_named_in_one_line_once(
    listed: Listing, fake: Fake, clock: Clock, logged: list[dict[str, Any]]
) -> None:
    """copilot.md §6 GET /models: parse per entry and skip bad ones."""
    offer(fake, *MALFORMED, entry("good"))
    assert list(await listed.models()) == ["good"]
    clock.now += 600
    offer(fake, *MALFORMED, entry("good"), entry("better"))
    assert list(await listed.models()) == ["good", "better"]
    (line,) = [each for each in logged if "skipped" in each["event"]]
    assert line["count"] == len(MALFORMED)
    assert any(said.startswith("tokens-text: ") for said in line["entries"])


async def test_what_an_account_before_was_offered_is_forgotten(
    listed: Listing, fake: Fake, clock: Clock
) -> None:
    await listed.models()
    offer(fake, entry("new"))
    listed.forget()
    assert await listed.model("gpt-native") is None
    assert list(await listed.models()) == ["new"]
    assert "if-none-match" not in fake.copilot.catalogue_reads[1]


async def test_a_list_that_was_asked_for_under_an_account_before_is_not_taken(
    listed: Listing, fake: Fake, clock: Clock
) -> None:
    fake.copilot.catalogue_held = asyncio.Event()
    asked = asyncio.create_task(listed.models())
    await fake.copilot.catalogue_asked.wait()
    listed.forget()
    fake.copilot.catalogue_held.set()
    assert "gpt-native" in await asked
    assert len(fake.copilot.catalogue_reads) == 2


async def test_another_account_has_its_own_models_at_once(fake: Fake, tmp_path: Path) -> None:
    places = dict.fromkeys(("base_url", "github_url", "github_api_url"), fake.url)
    options = CopilotOptions.model_validate({**places, "mode": "exchange"})
    provider = CopilotProvider("work", options, tmp_path)
    try:
        for id in ("first", "second"):
            offer(fake, entry(id))
            async with aclosing(provider.login()) as steps:
                assert isinstance([step async for step in steps][-1], LoggedIn)
            assert [model.id for model in await provider.models()] == [id]
        await provider.logout()
        with pytest.raises(ProviderUnavailable, match="not logged in"):
            await provider.models()
    finally:
        await provider.aclose()


async def test_the_models_are_those_of_a_login_by_another_process(fake: Fake, tmp_path: Path) -> None:
    places = dict.fromkeys(("base_url", "github_url", "github_api_url"), fake.url)
    options = CopilotOptions.model_validate({**places, "mode": "exchange"})
    provider, beside = (CopilotProvider("work", options, tmp_path) for _ in range(2))
    try:
        for id in ("first", "second"):
            offer(fake, entry(id))
            async with aclosing(beside.login()) as steps:
                assert isinstance([step async for step in steps][-1], LoggedIn)
            assert [model.id for model in await provider.models()] == [id]
        await beside.logout()
        assert not (await provider.login_state()).logged_in
    finally:
        await provider.aclose()
        await beside.aclose()


async def test_the_house_lists_what_is_offered(served: Served) -> None:
    catalogue = Catalog({"work": served.provider})
    await catalogue.refresh()
    (first, *_) = listing(catalogue, ["work"])["models"]
    assert first["id"] == "work/gpt-native"
    assert (first["context_window"], first["max_output_tokens"]) == (400000, 64000)
    assert (first["vision"], first["reasoning_efforts"]) == (True, ["low", "medium", "high"])
    assert first["details"]["endpoints"] == list(NATIVE)


async def test_a_model_may_change_its_dialect_without_a_restart(served: Served) -> None:
    """copilot.md §6 GET /models: the wrong endpoint is 400 unsupported_api_for_model."""
    served.copilot.play((Say("One"),))
    await served.ask()
    offer(served.fake, entry("gpt-native", CHAT))
    for _ in range(2):
        assert (await served.final())["output"][0]["content"][0]["text"] == "One"
    paths = [request.path for request in served.copilot.requests]
    assert paths == ["/responses", "/responses", "/chat/completions", "/chat/completions"]
    assert len(served.copilot.catalogue_reads) == 2


@pytest.mark.parametrize("streams", [True, False])
async def test_a_catalogue_that_is_wrong_about_a_dialect_is_learned_from(
    served: Served, streams: bool
) -> None:
    """copilot.md §6 GET /models: the wrong endpoint is 400 unsupported_api_for_model."""
    served.copilot.served_at["claude-chat"] = ("/responses",)
    for _ in range(2):
        asked = served.final("claude-chat") if streams else served.ask("claude-chat")
        assert (await asked)["status"] == "completed"
    paths = [request.path for request in served.copilot.requests]
    assert paths == ["/chat/completions", "/responses", "/responses"]


async def test_a_model_that_nobody_lists_is_tried_in_both_dialects(served: Served) -> None:
    """copilot.md §6 GET /models: the wrong endpoint is 400 unsupported_api_for_model."""
    hidden = {**entry("hidden", ("/responses",)), "policy": {"state": "disabled"}}
    offer(served.fake, hidden)
    assert (await served.ask("hidden"))["status"] == "completed"
    assert [request.path for request in served.copilot.requests] == ["/chat/completions", "/responses"]


async def test_a_model_that_is_refused_in_both_dialects_is_refused(served: Served) -> None:
    served.copilot.served_at["gpt-native"] = ("/v1/messages",)
    status, _, error = await served.refusal()
    assert (status, error["code"]) == (400, "unsupported_api_for_model")
    assert len(served.copilot.requests) == 2


async def test_requests_go_on_while_no_list_was_ever_read(served: Served) -> None:
    served.copilot.catalogue_faults = [Refused(503, "down") for _ in range(9)]
    assert (await served.ask("claude-chat"))["status"] == "completed"
