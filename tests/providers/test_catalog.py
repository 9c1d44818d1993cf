"""The catalogue: provider apart from provider, the last good list kept, retries with growing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from maestro_daemon.plugin import Model, UpstreamUnreachable
from maestro_daemon.providers.catalog import Catalog, listing


class Lister:
    """A provider whose lists are played one after the other; the last one stays."""

    def __init__(self, *played: Sequence[Any] | BaseException) -> None:
        self.played = list(played)
        self.calls = 0
        self.called = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def models(self) -> Any:
        self.calls += 1
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        now = self.played.pop(0) if len(self.played) > 1 else self.played[0]
        if isinstance(now, BaseException):
            raise now
        return now


class Clock:
    """A `sleep` that notes how long it should have been, and ends when the test says so."""

    def __init__(self) -> None:
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.tick = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)
        await self.tick.acquire()


def catalog(**providers: Any) -> Catalog:
    return Catalog(providers)


@asynccontextmanager
async def running(one: Catalog, *names: str) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.shelf(name).keep()) for name in names]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


DOWN = UpstreamUnreachable("home cannot be reached.")
A, B = Model("a"), Model("b")


async def test_nothing_is_known_before_the_first_reading() -> None:
    one = catalog(home=Lister([A]))
    assert one.models("home") is None
    assert one.failure("home") is None
    assert one.models("nobody") is None
    assert one.failure("nobody") is None


async def test_a_list_is_read_and_kept_as_one_object() -> None:
    one = catalog(home=Lister([A, B]))
    await one.refresh()
    models = one.models("home")
    assert models is not None
    assert [model.id for model in models] == ["a", "b"]
    assert one.models("home") is models


async def test_a_failed_first_reading_is_not_an_empty_list() -> None:
    one = catalog(home=Lister(DOWN))
    await one.refresh()
    assert one.models("home") is None
    assert one.failure("home") == "home cannot be reached."


async def test_an_empty_list_is_a_list() -> None:
    one = catalog(home=Lister([]))
    await one.refresh()
    assert one.models("home") == ()
    assert one.failure("home") is None


async def test_the_old_list_is_served_while_a_refresh_fails_and_the_failure_is_said() -> None:
    one = catalog(home=Lister([A], DOWN, [B]))
    await one.refresh("home")
    await one.refresh("home")
    assert one.models("home") == (A,)
    assert one.failure("home") == "home cannot be reached."
    await one.refresh("home")
    assert one.models("home") == (B,)
    assert one.failure("home") is None


async def test_a_list_that_is_forgotten_is_unknown_until_it_is_read_again() -> None:
    one = catalog(home=Lister([A], DOWN, [B]))
    await one.refresh()
    one.forget("home")
    assert one.models("home") is None
    await one.refresh()
    assert one.models("home") is None
    await one.refresh()
    assert one.models("home") == (B,)


async def test_what_was_being_read_while_the_list_was_forgotten_is_not_taken_for_it() -> None:
    home = Lister([A], [B])
    home.gate = asyncio.Event()
    one = catalog(home=home)
    reading = asyncio.create_task(one.refresh())
    await home.called.wait()
    one.forget("home")
    home.gate.set()
    await reading
    assert one.models("home") == (B,)


async def test_one_providers_failure_leaves_the_others_alone() -> None:
    one = catalog(a=Lister(RuntimeError("broken plugin")), b=Lister([B]))
    await one.refresh()
    assert one.models("b") == (B,)
    assert one.failure("a") == "The list of models cannot be read: RuntimeError: broken plugin"


async def test_one_bad_entry_does_not_spoil_the_list(logged: list[Any]) -> None:
    one = catalog(home=Lister([A, None, "b", Model(""), Model("a", name="again"), B]))
    await one.refresh()
    assert one.models("home") == (A, B)
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == [
        "an entry of the list of models is none"
    ] * 3


@pytest.mark.parametrize("nonsense", [None, 7])
async def test_an_answer_that_is_no_list_is_a_failure(nonsense: Any) -> None:
    one = catalog(home=Lister(nonsense))
    await one.refresh()
    assert one.models("home") is None
    assert "cannot be read" in (one.failure("home") or "")


async def test_a_provider_that_never_answers_is_given_up() -> None:
    silent = Lister([A])
    silent.gate = asyncio.Event()
    one = Catalog({"home": silent}, timeout=0.01)  # type: ignore[dict-item]
    await one.refresh()
    assert one.failure("home") == "The list of models did not come within 0.01 s."


async def test_who_asks_during_a_reading_waits_for_that_one() -> None:
    slow = Lister([A])
    slow.gate = asyncio.Event()
    one = catalog(home=slow)
    asking = [asyncio.create_task(one.refresh("home")) for _ in range(3)]
    await slow.called.wait()
    slow.gate.set()
    await asyncio.gather(*asking)
    assert slow.calls == 1


async def test_a_cancelled_reading_leaves_the_next_one_free() -> None:
    slow = Lister([A])
    slow.gate = asyncio.Event()
    one = catalog(home=slow)
    first = asyncio.create_task(one.refresh("home"))
    await slow.called.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    slow.gate.set()
    await one.refresh("home")
    assert one.models("home") == (A,)


async def test_all_are_read_at_once_and_it_is_told_when_all_were_tried() -> None:
    slow, quick = Lister([A]), Lister(DOWN)
    slow.gate = asyncio.Event()
    one = catalog(slow=slow, quick=quick)
    async with running(one, "slow", "quick"):
        await asyncio.gather(slow.called.wait(), quick.called.wait())
        tried = asyncio.create_task(one.tried())
        await asyncio.sleep(0)
        assert not tried.done()
        slow.gate.set()
        await tried
        assert one.models("slow") == (A,)
        assert one.failure("quick") == "home cannot be reached."


async def test_each_first_reading_is_news_and_no_later_one() -> None:
    slow, down = Lister([A], [B]), Lister(DOWN)
    slow.gate, down.gate = asyncio.Event(), asyncio.Event()
    one = catalog(slow=slow, down=down)
    async with running(one, "slow", "down"):
        news = asyncio.create_task(one.more_read())
        await asyncio.gather(slow.called.wait(), down.called.wait())
        assert not news.done()
        down.gate.set()
        assert await news
        news = asyncio.create_task(one.more_read())
        slow.gate.set()
        assert await news
        assert one.models("slow") == (A,)
        assert not await one.more_read()
        await one.refresh("slow")
        assert not await one.more_read()


async def test_a_list_is_read_again_after_ttl() -> None:
    clock, home = Clock(), Lister([A], [B])
    one = Catalog({"home": home}, ttl=300.0, sleep=clock.sleep)  # type: ignore[dict-item]
    async with running(one, "home"):
        assert await clock.pauses.get() == 300.0
        assert one.models("home") == (A,)
        clock.tick.release()
        assert await clock.pauses.get() == 300.0
        assert one.models("home") == (B,)


@pytest.mark.parametrize(
    ("said", "pause"), [(10, 10), (0.0, 1), (-5, 1), (600.0, 300), ("10s", 300), (None, 300)]
)
async def test_a_list_is_read_again_sooner_where_its_provider_says_so(said: Any, pause: float) -> None:
    clock, home = Clock(), Lister([A], [B])
    home.models_ttl = lambda: said  # type: ignore[attr-defined]
    one = Catalog({"home": home}, ttl=300.0, sleep=clock.sleep)  # type: ignore[dict-item]
    async with running(one, "home"):
        assert await clock.pauses.get() == pause


async def test_a_failed_reading_is_tried_again_soon_with_growing_pauses_up_to_ttl() -> None:
    clock, home = Clock(), Lister(*[DOWN] * 8, [A])
    one = Catalog({"home": home}, ttl=60.0, sleep=clock.sleep)  # type: ignore[dict-item]
    pauses = []
    async with running(one, "home"):
        for _ in range(9):
            pauses.append(await clock.pauses.get())
            clock.tick.release()
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]


async def test_a_lasting_failure_is_logged_once(logged: list[Any]) -> None:
    one = catalog(home=Lister(DOWN))
    for _ in range(3):
        await one.refresh()
    assert len([line for line in logged if line["log_level"] == "warning"]) == 1


async def test_the_listing_names_targets_and_problems() -> None:
    one = catalog(home=Lister([Model("a", context_window=8192, tools=False)]), away=Lister(DOWN))
    await one.refresh()
    document = listing(one, ["home", "away"])
    assert document["problems"] == {"away": "home cannot be reached."}
    (model,) = document["models"]
    assert (model["id"], model["context_window"], model["tools"]) == ("home/a", 8192, False)


async def test_the_listing_holds_details_that_can_be_written() -> None:
    models = [Model("a", details={"endpoints": ["/x"]}), Model("b", details={"made": object()})]
    one = catalog(home=Lister(models))
    await one.refresh()
    assert [model["details"] for model in listing(one, ["home"])["models"]] == [{"endpoints": ["/x"]}, {}]


@pytest.mark.parametrize(
    "failure",
    [asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_provider_that_cancels_itself_or_exits_fails_its_own_reading_alone(
    failure: BaseException,
) -> None:
    good = Lister([Model("m")])
    one = catalog(bad=Lister(failure), good=good)
    await one.refresh()
    assert one.models("good") == (Model("m"),)
    assert one.models("bad") is None
    assert type(failure).__name__ in (one.failure("bad") or "")


async def test_a_catalogue_knows_what_the_one_before_knew_of_the_same_objects() -> None:
    kept, replaced = Lister([A]), Lister([A])
    before = catalog(kept=kept, replaced=replaced)
    await before.refresh()
    after = Catalog({"kept": kept, "replaced": Lister([B])}, before)  # type: ignore[dict-item]
    assert after.models("kept") is before.models("kept")
    assert after.models("replaced") is None
    news = asyncio.create_task(before.more_read()), asyncio.create_task(after.more_read())
    await asyncio.sleep(0)
    await after.refresh("replaced")
    assert [await each for each in news] == [False, True]
    assert after.models("replaced") == (B,)
    assert before.models("replaced") == (A,)
    await before.refresh("kept")
    assert after.models("kept") is before.models("kept")
