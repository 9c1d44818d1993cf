"""From the name that a client asks for to targets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from maestro_daemon.errors import CatalogueUnread, ModelUnknown
from maestro_daemon.plugin import Model
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing import plan
from maestro_daemon.routing.memory import Memory
from maestro_daemon.routing.plan import Balance, Planner, Route, Target
from tests.support.house import FixedCatalogue


class Named:
    """A provider that is only named; `rank` says whether it is free of charge."""

    def __init__(self, rank: int | None = None, keeps: bool = False) -> None:
        self.rank = rank
        self.keeps = keeps

    def unmetered_rank(self) -> int | None:
        return self.rank

    def keeps_responses(self, model: str) -> bool:
        return self.keeps


def planner(
    listed: Mapping[str, Sequence[str] | None],
    routes: Mapping[str, tuple[Sequence[str], Sequence[str], Balance]] | None = None,
    ranks: Mapping[str, int] | None = None,
) -> Planner:
    providers: dict[str, Any] = {name: Named((ranks or {}).get(name)) for name in listed}

    def target(name: str) -> Target:
        provider, _, model = name.partition("/")
        return Target(providers[provider], provider, model)

    built = {
        name: Route(name, tuple(map(target, targets)), tuple(map(target, fallbacks)), balance)
        for name, (targets, fallbacks, balance) in (routes or {}).items()
    }
    models = {name: None if ids is None else [Model(id) for id in ids] for name, ids in listed.items()}
    return Planner(providers, built, FixedCatalogue(models), Memory())


def asking(name: str, **body: Any) -> ResponseRequest:
    return ResponseRequest(body={"model": name, "input": "Hi", **body}, model=name, asked_model=name)


def names(planner: Planner, asked: str) -> list[str]:
    return [target.name for target in planner.plan(asking(asked)).candidates]


LISTED = {"openai": ["gpt-5", "gpt-5-mini"], "home": ["qwen", "org/model:7b"], "other": ["gpt-5"]}


def test_a_route_comes_before_all_else() -> None:
    routes: Any = {
        "gpt-5-mini": (["home/qwen"], [], "in_order"),
        "openai/gpt-5": (["other/gpt-5"], ["home/qwen"], "in_order"),
    }
    assert names(planner(LISTED, routes), "gpt-5-mini") == ["home/qwen"]
    assert names(planner(LISTED, routes), "openai/gpt-5") == ["other/gpt-5", "home/qwen"]


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("openai/gpt-5", "openai/gpt-5"),
        ("openai/not-listed", "openai/not-listed"),
        ("home/org/model:7b", "home/org/model:7b"),
        ("home/qwen/", "home/qwen/"),
        ("org/model:7b", "home/org/model:7b"),
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("qwen", "home/qwen"),
    ],
)
def test_a_name_without_a_route_is_one_target(asked: str, target: str) -> None:
    assert names(planner(LISTED), asked) == [target]


def test_the_rest_behind_the_provider_goes_upstream_as_it_is() -> None:
    (target,) = planner(LISTED).plan(asking("home/org/model:7b")).candidates
    assert (target.provider_name, target.model) == ("home", "org/model:7b")


def test_an_id_that_several_list_is_unknown_and_names_the_candidates() -> None:
    with pytest.raises(ModelUnknown, match="openai/gpt-5, other/gpt-5") as unknown:
        planner(LISTED).plan(asking("gpt-5"))
    assert (unknown.value.status, unknown.value.code) == (404, "model_not_found")
    assert unknown.value.param == "model"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("gpt-5-mni", "openai/gpt-5-mini"),
        ("qwem", "home/qwen"),
        ("openia/gpt-5-mini", "openai/gpt-5-mini"),
        ("codr", "coder"),
        ("zzz", "Known are coder"),
        ("home/", "home/qwen"),
        ("/qwen", "home/qwen"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(asked: str, hint: str) -> None:
    routes: Any = {"coder": (["home/qwen"], [], "in_order")}
    with pytest.raises(ModelUnknown, match="does not exist") as unknown:
        planner(LISTED, routes).plan(asking(asked))
    assert hint in unknown.value.message
    assert (unknown.value.status, unknown.value.code, unknown.value.param) == (
        404,
        "model_not_found",
        "model",
    )


def test_where_nothing_is_known_the_message_says_so() -> None:
    with pytest.raises(ModelUnknown, match="No model is known here"):
        planner({}).plan(asking("gpt-5"))


def test_a_long_name_is_not_echoed_whole() -> None:
    with pytest.raises(ModelUnknown) as unknown:
        planner(LISTED).plan(asking("x" * 512))
    assert len(unknown.value.message) < 400


def test_while_a_list_was_never_read_a_bare_name_cannot_be_judged() -> None:
    with pytest.raises(CatalogueUnread, match="cloud") as unread:
        planner({**LISTED, "cloud": None}).plan(asking("unknown"))
    assert unread.value.status == 503
    assert int(unread.value.headers["retry-after"]) > 0


def test_names_that_need_no_list_work_while_one_was_never_read() -> None:
    routes: Any = {"coder": (["cloud/a"], [], "in_order")}
    known = planner({**LISTED, "cloud": None}, routes)
    assert names(known, "coder") == ["cloud/a"]
    assert names(known, "cloud/anything") == ["cloud/anything"]
    assert names(known, "qwen") == ["home/qwen"]


def test_auto_is_its_route_if_there_is_one() -> None:
    routes: Any = {"auto": (["openai/gpt-5"], [], "in_order")}
    assert names(planner(LISTED, routes, {"home": 0}), "auto") == ["openai/gpt-5"]


@pytest.mark.parametrize(
    ("ranks", "target"),
    [
        ({"home": 0}, "home/qwen"),
        ({"home": 1, "other": 0}, "other/gpt-5"),
        ({"home": 0, "other": 0}, "home/qwen"),
        ({"empty": 0, "other": 1}, "other/gpt-5"),
    ],
)
def test_auto_is_the_first_model_of_what_costs_nothing(ranks: dict[str, int], target: str) -> None:
    assert names(planner({**LISTED, "empty": []}, None, ranks), "auto") == [target]


def test_auto_is_never_a_provider_that_costs_money() -> None:
    with pytest.raises(ModelUnknown, match=r"\[routes.auto\]"):
        planner(LISTED).plan(asking("auto"))


def test_auto_waits_for_a_list_that_was_never_read() -> None:
    with pytest.raises(CatalogueUnread):
        planner({"home": None}, None, {"home": 0}).plan(asking("auto"))


class ReadingCatalogue(FixedCatalogue):
    """A catalogue under way: each news is a provider and what it lists, None where reading it failed."""

    def __init__(self, *news: tuple[str, Sequence[Model] | None]) -> None:
        super().__init__({})
        self.news = list(news)

    async def more_read(self) -> bool:
        if not self.news:
            return False
        provider, models = self.news.pop(0)
        self.listed = {**self.listed, provider: models}
        return True


def starting(*news: tuple[str, Sequence[Model] | None]) -> tuple[Planner, ReadingCatalogue]:
    catalogue = ReadingCatalogue(*news)
    providers: Any = {name: Named(0 if name == "home" else None) for name, _ in news}
    return Planner(providers, {}, catalogue, Memory()), catalogue


@pytest.mark.parametrize("asked", ["auto", "qwen"])
async def test_a_first_request_waits_for_the_list_that_it_needs_and_no_other(asked: str) -> None:
    planner, catalogue = starting(("home", [Model("qwen")]), ("cloud", [Model("gpt-5")]))
    assert [target.name for target in (await planner.plan_patiently(asking(asked))).candidates] == [
        "home/qwen"
    ]
    assert [name for name, _ in catalogue.news] == ["cloud"]


async def test_waiting_goes_on_until_a_name_can_be_judged() -> None:
    planner, _ = starting(("home", [Model("qwen")]), ("cloud", [Model("gpt-5")]))
    assert [target.name for target in (await planner.plan_patiently(asking("gpt-5"))).candidates] == [
        "cloud/gpt-5"
    ]
    planner, _ = starting(("home", [Model("qwen")]), ("cloud", [Model("gpt-5")]))
    with pytest.raises(ModelUnknown):
        await planner.plan_patiently(asking("gpt-6"))


async def test_a_list_that_cannot_be_read_is_not_waited_for_again() -> None:
    planner, _ = starting(("home", None), ("cloud", [Model("gpt-5")]))
    for _ in range(2):
        with pytest.raises(CatalogueUnread, match="home"):
            await planner.plan_patiently(asking("auto"))


async def test_a_list_that_does_not_come_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_PATIENCE", 0.01)
    planner, catalogue = starting(("home", [Model("qwen")]))
    monkeypatch.setattr(catalogue, "more_read", asyncio.Event().wait)
    with pytest.raises(CatalogueUnread):
        await planner.plan_patiently(asking("auto"))


def test_every_known_name_is_listed_once_routes_first() -> None:
    routes: Any = {"coder": (["home/qwen"], [], "in_order")}
    known = planner({**LISTED, "cloud": None}, routes, {"home": 0})
    assert list(known.names()) == [
        "coder",
        "auto",
        "openai/gpt-5",
        "openai/gpt-5-mini",
        "home/qwen",
        "home/org/model:7b",
        "other/gpt-5",
    ]
    assert "auto" not in list(planner(LISTED).names())


def test_every_listed_name_can_be_asked_for() -> None:
    routes: Any = {"coder": (["home/qwen"], [], "in_order")}
    known = planner(LISTED, routes, {"home": 0})
    for name in known.names():
        assert known.plan(asking(name)).candidates
