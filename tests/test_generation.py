"""What goes on from one configuration to the next: providers that are the same, and all that was learnt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from maestro_daemon.plugin import (
    HttpOptions,
    ProviderUnavailable,
    hookimpl,
)
from tests.support.fake_upstream import FakeUpstream, refusal
from tests.support.house import NativeProvider
from tests.support.reloaded import WHOLE, is_closed
from tests.support.standing import SERVER, provider, route, standing


async def test_what_did_not_change_is_kept_with_its_connection(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    one, two = provider("one", upstream.url), provider("two", other.url)
    async with standing(tmp_path, SERVER + one + two) as daemon:
        for name in ("one", "two"):
            await daemon.post(f"{name}/gpt-test")
        before = daemon.current
        become = await daemon.reload(
            SERVER
            + one
            + 'affinity = "5m"\n'
            + two
            + 'idle_timeout = "9s"\n'
            + route("coder", "one/gpt-test")
        )
        assert become["changed"] == ["providers.one.affinity", "providers.two.idle_timeout"]
        assert daemon.current.providers["one"] is before.providers["one"]
        assert daemon.current.catalog.models("one") is before.catalog.models("one")
        assert daemon.current.providers["two"] is not before.providers["two"]
        await daemon.only_current()
        assert is_closed(before.providers["two"])
        for name in ("one", "two"):
            await daemon.post(f"{name}/gpt-test")
    assert len({each.peer for each in upstream.requests}) == 1
    assert len({each.peer for each in other.requests}) == 2


async def test_conversations_stay_where_they_were(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url) + provider("two", other.url)
    text += route("coder", "one/gpt-test", "two/gpt-test")
    async with standing(tmp_path, text) as daemon:
        for _ in range(3):
            for conversation in ("a", "b"):
                assert (await daemon.post("coder", prompt_cache_key=conversation))[0] == 200
            text += f'[routes.more{len(upstream.requests)}]\ntargets = ["two/gpt-test"]\n'
            await daemon.reload(text)
    asked = [[each.body["prompt_cache_key"] for each in server.requests] for server in (upstream, other)]
    assert asked == [["a"] * 3, ["b"] * 3]


async def test_new_conversations_are_spread_evenly_over_all_reloads(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url) + provider("two", other.url)
    text += route("coder", "one/gpt-test", "two/gpt-test")
    async with standing(tmp_path, text) as daemon:
        for number in range(6):
            await daemon.post("coder", input=f"conversation {number}")
            await daemon.reload()
    assert (len(upstream.requests), len(other.requests)) == (3, 3)


async def test_a_breaker_stays_open_unless_its_provider_changed(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(refusal(429, headers={"retry-after": "600"}))
    other.play(refusal(429, headers={"retry-after": "600"}))
    one, two = provider("one", upstream.url), provider("two", other.url)
    breaker = "[breaker]\nfailures = 5\n"
    async with standing(tmp_path, SERVER + one + two) as daemon:
        for name in ("one", "two"):
            assert (await daemon.post(f"{name}/gpt-test"))[0] == 429
        await daemon.reload(SERVER + one + two + 'idle_timeout = "9s"\n' + breaker)
        states = {row["target"]: row["state"] for row in daemon.daemon.status()["targets"]}
        assert states == {"one/gpt-test": "open", "two/gpt-test": "closed"}
        for name in ("one", "two"):
            assert (await daemon.post(f"{name}/gpt-test"))[0] == 429
    assert (len(upstream.requests), len(other.requests)) == (1, 2)


async def test_status_tells_of_no_target_whose_provider_is_gone(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text + provider("two", other.url)) as daemon:
        await daemon.post("one/gpt-test")
        await daemon.post("two/gpt-test")
        await daemon.reload(text)
        status = daemon.daemon.status()
        assert [row["target"] for row in status["targets"]] == ["one/gpt-test"]
        assert status["providers"].keys() == {"one"}


async def test_what_is_remembered_of_answers_outlives_a_reload(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text + route("coder", "one/gpt-test")) as daemon:
        _, first = await daemon.post("one/gpt-test")
        await daemon.reload(text)
        assert (await daemon.post("one/gpt-test", previous_response_id=first["id"]))[0] == 200
    assert upstream.requests[-1].body["previous_response_id"] == "resp_1"


class Absent:
    """A plugin whose providers cannot be made, until they can."""

    able = False

    def plugin(self) -> Any:
        def make(name: str, options: Any) -> Any:
            if not self.able:
                raise ProviderUnavailable("A part is missing.")
            return NativeProvider(name, options.base_url)

        @hookimpl
        def maestro_register_providers(register: Any) -> None:
            register("fickle", HttpOptions, make)

        return SimpleNamespace(maestro_register_providers=maestro_register_providers)


async def test_a_provider_that_could_not_be_made_is_tried_anew(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    fickle = Absent()
    text = SERVER + f'[providers.one]\nkind = "fickle"\nbase_url = "{upstream.url}"\n'
    async with standing(tmp_path, text, plugins={"fickle": fickle.plugin()}) as daemon:
        assert (await daemon.post("one/gpt-test"))[0] == 503
        assert (await daemon.reload())["problems"] == {"one": "A part is missing."}
        fickle.able = True
        assert (await daemon.reload())["problems"] == {}
        assert (await daemon.post("one/gpt-test"))[0] == 200
