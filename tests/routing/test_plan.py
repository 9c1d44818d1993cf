"""One plan for one request: who is asked, in what order, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.plugin import Model
from maestro_daemon.protocol.sealing import MARK
from maestro_daemon.providers.account import account_hash
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.affinity import Affinity
from maestro_daemon.routing.memory import Memory, Origin
from maestro_daemon.routing.plan import Plan, Planner
from maestro_daemon.routing.target import Balance, Route, Target
from tests.support.house import FixedCatalogue

HELLO: Any = {"role": "assistant", "content": "Hello"}


class Named:
    """A provider that is only named, with an account of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def account(self) -> str:
        return self.name

    def keeps_responses(self, model: str) -> bool:
        return self.name != "home"


class Watched:
    """Health as it is set."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.busy: Counter[str] = Counter()

    def available(self, target: Target) -> bool:
        return target.name not in self.open

    def in_flight(self, target: Target) -> int:
        return self.busy[target.name]


class Bench:
    """A planner over the route ``r`` of the targets a/m, b/m, c/m and the fallback home/z."""

    def __init__(
        self,
        targets: Sequence[str] = ("a/m", "b/m", "c/m"),
        fallbacks: Sequence[str] = ("home/z",),
        *,
        balance: Balance = "round_robin",
        weights: Mapping[str, int] | None = None,
        models: Mapping[str, Sequence[Model]] | None = None,
        affinity: Affinity | None = None,
        keeps: Mapping[str, float] | None = None,
    ) -> None:
        self.providers: dict[str, Any] = {name: Named(name) for name in ("a", "b", "c", "home")}
        self.health = Watched()
        self.memory = Memory()
        self.affinity = Affinity() if affinity is None else affinity
        self.keeps = keeps or {}

        route = Route(
            "r",
            tuple(map(self.target, targets)),
            tuple(map(self.target, fallbacks)),
            balance,
            weights or {},
        )
        self.planner = Planner(
            self.providers,
            {"r": route, "s": Route("s", route.targets)},
            FixedCatalogue(models or {}),
            self.memory,
            health=self.health,
            affinity=self.affinity,
        )

    def target(self, name: str) -> Target:
        provider, _, model = name.partition("/")
        return Target(self.providers[provider], provider, model, self.keeps.get(provider, 60.0))

    def plan(self, input: Any = "Hi", *, model: str = "r", client: str = "", **body: Any) -> Plan:
        headers = body.pop("headers", {})
        whole = {"model": model, "input": input, **body}
        return self.planner.plan(
            ResponseRequest(whole, model, model, headers=headers, client=client, text=orjson.dumps(whole))
        )

    def served(self, input: Any = "Hi", **more: Any) -> str:
        """Plan, and let the first candidate answer."""
        plan = self.plan(input, **more)
        plan.served_by(plan.candidates[0])
        return plan.candidates[0].name


def names(targets: Sequence[Target]) -> list[str]:
    return [target.name for target in targets]


# Balance


def test_new_conversations_begin_with_the_next_target_each_and_fallbacks_stay_behind() -> None:
    bench = Bench()
    assert [names(bench.plan().candidates) for _ in range(4)] == [
        ["a/m", "b/m", "c/m", "home/z"],
        ["b/m", "c/m", "a/m", "home/z"],
        ["c/m", "a/m", "b/m", "home/z"],
        ["a/m", "b/m", "c/m", "home/z"],
    ]


def test_routes_turn_each_for_itself() -> None:
    bench = Bench()
    assert [bench.plan(model=name).candidates[0].name for name in "rssr"] == ["a/m", "a/m", "b/m", "b/m"]


def test_in_order_always_begins_with_the_first() -> None:
    bench = Bench(balance="in_order")
    assert {bench.plan().candidates[0].name for _ in range(3)} == {"a/m"}


def test_weights_are_shares_of_conversations() -> None:
    bench = Bench(balance="weighted", weights={"a/m": 3, "c/m": 2})
    assert Counter(bench.served() for _ in range(60)) == {"a/m": 30, "b/m": 10, "c/m": 20}


def test_the_least_busy_is_first_and_idle_ones_share() -> None:
    bench = Bench(balance="least_busy")
    bench.health.busy.update({"a/m": 2, "b/m": 1})
    assert names(bench.plan().candidates) == ["c/m", "b/m", "a/m", "home/z"]
    bench.health.busy.clear()
    assert {bench.plan().candidates[0].name for _ in range(3)} == {"a/m", "b/m", "c/m"}


@pytest.mark.parametrize("balance", ["round_robin", "weighted", "least_busy"])
def test_the_share_of_a_cooling_target_is_spread_evenly(balance: Balance) -> None:
    bench = Bench(balance=balance)
    bench.health.open.add("b/m")
    chosen = Counter(bench.plan().candidates[0].name for _ in range(20))
    assert chosen == {"a/m": 10, "c/m": 10}


# Health


def test_cooling_targets_are_set_aside_in_their_order() -> None:
    bench = Bench()
    bench.health.open |= {"a/m", "home/z"}
    plan = bench.plan()
    assert names(plan.candidates) == ["b/m", "c/m"]
    assert names(plan.cooling) == ["a/m", "home/z"]


def test_a_plan_whose_targets_all_cool_has_no_candidates() -> None:
    bench = Bench()
    bench.health.open |= {"a/m", "b/m", "c/m", "home/z"}
    plan = bench.plan()
    assert plan.candidates == ()
    assert names(plan.cooling) == ["a/m", "b/m", "c/m", "home/z"]
    bench.health.open.remove("home/z")
    assert names(bench.plan().candidates) == ["home/z"]


def test_a_single_target_cools_too() -> None:
    bench = Bench()
    bench.health.open.add("a/x")
    plan = bench.plan(model="a/x")
    assert (plan.candidates, names(plan.cooling)) == ((), ["a/x"])


# Affinity


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"headers": {"session-id": "k"}}, {"headers": {"session-id": "k"}}),
        ({"input": "Hi"}, {"input": [{"role": "user", "content": "Hi"}, HELLO]}),
    ],
    ids=["key", "header", "history"],
)
def test_a_conversation_stays_with_who_served_it(first: Any, later: Any) -> None:
    bench = Bench()
    bench.served("another")
    assert bench.served(**first) == "b/m"
    for _ in range(5):
        plan = bench.plan(**later)
        assert plan.candidates[0].name == "b/m"
        assert sorted(names(plan.candidates[1:3])) == ["a/m", "c/m"]
        assert plan.kept_by in ("key", "header", "history")
    assert bench.served("a third") == "c/m"


@pytest.mark.parametrize("balance", ["in_order", "weighted", "least_busy"])
def test_affinity_goes_before_every_balance(balance: Balance) -> None:
    bench = Bench(balance=balance)
    plan = bench.plan(prompt_cache_key="k")
    plan.served_by(bench.target("c/m"))
    bench.health.busy["c/m"] = 9
    assert bench.plan(prompt_cache_key="k").candidates[0].name == "c/m"


def test_equal_first_turns_are_balanced_although_they_are_one_history() -> None:
    bench = Bench()
    assert Counter(bench.served("Hi") for _ in range(30)) == {"a/m": 10, "b/m": 10, "c/m": 10}
    assert bench.plan("Hi").kept_by is None


def test_conversations_that_begin_alike_stay_each_where_it_was_answered() -> None:
    bench = Bench()
    where = {}
    for number in range(9):
        plan = bench.plan("Hi")
        plan.served_by(plan.candidates[0])
        answer = [{"type": "message", "role": "assistant", "content": [{"text": f"Hello {number}"}]}]
        plan.answered(answer)
        where[number] = (answer, plan.candidates[0].name)
    assert len({name for _, name in where.values()}) == 3
    for answer, name in where.values():
        for more in range(3):
            history = [{"role": "user", "content": "Hi"}, *answer, *[HELLO] * more]
            assert bench.served(history) == name


def test_conversations_of_other_clients_and_routes_are_others() -> None:
    bench = Bench()
    bench.plan(prompt_cache_key="k").served_by(bench.target("c/m"))
    assert bench.plan(prompt_cache_key="k", client="alice").kept_by is None
    assert bench.plan(prompt_cache_key="k", model="s").kept_by is None
    assert bench.plan(prompt_cache_key="k").candidates[0].name == "c/m"


def test_what_one_conversation_asks_at_once_goes_to_one_target() -> None:
    bench = Bench()
    asked = {bench.plan(prompt_cache_key="k").candidates[0].name for _ in range(3)}
    assert len(asked) == 1


def test_a_conversation_moves_once_when_its_target_cools_and_does_not_come_back() -> None:
    bench = Bench()
    assert bench.served(prompt_cache_key="k") == "a/m"
    bench.health.open.add("a/m")
    moved = bench.served(prompt_cache_key="k")
    assert moved in ("b/m", "c/m")
    bench.health.open.clear()
    assert {bench.served(prompt_cache_key="k") for _ in range(3)} == {moved}


def test_conversations_of_a_cooling_target_are_spread_over_the_others() -> None:
    bench = Bench()
    keys = [f"k{number}" for number in range(60)]
    homes = {key: bench.served(prompt_cache_key=key) for key in keys}
    bench.health.open.add("b/m")
    moved = {key: bench.served(prompt_cache_key=key) for key in keys}
    assert all(moved[key] == home for key, home in homes.items() if home != "b/m")
    assert Counter(moved.values()) == {"a/m": 30, "c/m": 30}


def test_a_fallback_stands_in_and_keeps_nobody() -> None:
    bench = Bench()
    assert bench.served(prompt_cache_key="k") == "a/m"
    bench.health.open |= {"a/m", "b/m", "c/m"}
    assert bench.served(prompt_cache_key="k") == "home/z"
    bench.health.open.clear()
    assert bench.plan(prompt_cache_key="k").candidates[0].name == "a/m"


def test_affinity_outlives_its_planner_and_forgets_targets_that_went() -> None:
    affinity = Affinity()
    assert Bench(affinity=affinity).served(prompt_cache_key="k") == "a/m"
    assert Bench(("c/m", "a/m"), affinity=affinity).served(prompt_cache_key="k") == "a/m"
    assert Bench(("c/m", "b/m"), affinity=affinity).served(prompt_cache_key="k") == "c/m"
    assert Bench(("b/m", "c/m"), affinity=affinity).served(prompt_cache_key="k") == "c/m"


def test_a_provider_may_keep_nobody() -> None:
    bench = Bench(("a/m", "b/m"), keeps={"a": 0.0})
    assert [bench.served(prompt_cache_key="k") for _ in range(3)] == ["a/m", "b/m", "b/m"]


def test_a_route_of_one_target_remembers_nothing() -> None:
    bench = Bench(("a/m",), ("home/z",))
    assert bench.served(prompt_cache_key="k") == "a/m"
    assert bench.served(model="b/x", prompt_cache_key="k") == "b/x"
    assert len(bench.affinity) == 0


# A response that is continued, and reasoning that is sealed


def test_a_continued_response_pins_its_target_whatever_else_would_be() -> None:
    bench = Bench()
    bench.plan(prompt_cache_key="k").served_by(bench.target("a/m"))
    bench.memory.remember("", "resp_1", Origin("c", "resp_up", True), [])
    plan = bench.plan(prompt_cache_key="k", previous_response_id="resp_1")
    assert (names(plan.candidates), plan.kept_by) == (["c/m"], "response")
    bench.health.open.add("c/m")
    plan = bench.plan(previous_response_id="resp_1")
    assert (plan.candidates, names(plan.cooling)) == ((), ["c/m"])
    with pytest.raises(RequestInvalid) as unknown:
        bench.plan(previous_response_id="resp_2")
    assert unknown.value.code == "previous_response_not_found"


def sealed(bench: Bench, provider: str) -> Any:
    account = account_hash(bench.providers[provider], provider)
    return {"type": "reasoning", "summary": [], "encrypted_content": f"{MARK}{account}.gAAA"}


def test_sealed_reasoning_goes_to_its_account_first() -> None:
    bench = Bench()
    for _ in range(4):
        plan = bench.plan([{"role": "user", "content": "Hi"}, sealed(bench, "b"), HELLO])
        assert plan.candidates[0].name == "b/m"
        assert plan.kept_by == "sealed"
        assert sorted(names(plan.candidates)) == ["a/m", "b/m", "c/m", "home/z"]


def test_affinity_chooses_among_the_targets_of_the_sealing_account() -> None:
    bench = Bench(("a/m", "b/m", "b/n"))
    bench.plan(prompt_cache_key="k").served_by(bench.target("b/n"))
    history = [{"role": "user", "content": "Hi"}, sealed(bench, "b"), HELLO]
    assert names(bench.plan(history, prompt_cache_key="k").candidates)[:2] == ["b/n", "b/m"]
    bench.plan(prompt_cache_key="k").served_by(bench.target("a/m"))
    plan = bench.plan(history, prompt_cache_key="k")
    assert plan.candidates[0].provider_name == "b"
    assert plan.candidates[-2].name == "a/m"


def test_where_the_sealing_account_cools_or_is_unknown_the_conversation_goes_on_elsewhere() -> None:
    bench = Bench()
    bench.health.open.add("b/m")
    plan = bench.plan([sealed(bench, "b"), HELLO])
    assert names(plan.cooling) == ["b/m"]
    assert plan.kept_by is None
    stranger = {"type": "reasoning", "summary": [], "encrypted_content": f"{MARK}{'0' * 12}.gAAA"}
    assert len(bench.plan([stranger, HELLO]).candidates) == 3


def test_reasoning_sealed_by_a_fallback_does_not_bring_it_to_the_front() -> None:
    bench = Bench()
    plan = bench.plan([sealed(bench, "home"), HELLO])
    assert plan.candidates[-1].name == "home/z"


# Needs


PICTURE = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]
TOOLS = [{"type": "function", "name": "f"}]


def test_who_is_known_to_lack_something_is_left_out() -> None:
    bench = Bench(
        models={"a": [Model("m", vision=False)], "b": [Model("m", tools=False)], "home": [Model("z")]}
    )
    assert sorted(names(bench.plan().candidates)) == ["a/m", "b/m", "c/m", "home/z"]
    plan = bench.plan(PICTURE)
    assert sorted(names(plan.candidates)) == ["b/m", "c/m", "home/z"]
    assert [(lack.target.name, lack.why) for lack in plan.lacking] == [("a/m", "cannot see images")]
    plan = bench.plan(PICTURE, tools=TOOLS)
    assert names(plan.candidates) == ["c/m", "home/z"]
    assert [lack.target.name for lack in plan.lacking] == ["a/m", "b/m"]


def test_if_nobody_is_left_the_400_says_why_for_each() -> None:
    bench = Bench(
        ("a/m", "b/m"),
        models={
            "a": [Model("m", vision=False)],
            "b": [Model("m", tools=False)],
            "home": [Model("z", context_window=100)],
        },
    )
    picture = [*PICTURE, {"role": "user", "content": "word " * 200}]
    with pytest.raises(RequestInvalid) as refused:
        bench.plan(picture, tools=TOOLS)
    assert refused.value.status == 400
    assert refused.value.code == "context_length_exceeded"
    assert refused.value.message == (
        "No target of 'r' can serve this request: a/m cannot see images; b/m cannot call tools; "
        "home/z has a context of 100 tokens, and the input needs 200 at least."
    )
    with pytest.raises(RequestInvalid, match=r"^a/m cannot see images\.$"):
        bench.plan(PICTURE, model="a/m")


def test_whoever_lacks_something_stays_out_though_the_others_cool() -> None:
    bench = Bench(("a/m", "b/m"), (), models={"a": [Model("m", vision=False)]})
    bench.health.open.add("b/m")
    plan = bench.plan(PICTURE)
    assert (plan.candidates, names(plan.cooling)) == ((), ["b/m"])


def test_a_context_of_a_model_counts_only_where_the_input_is_too_long_for_certain() -> None:
    bench = Bench(models={"a": [Model("m", context_window=1000)]})
    assert "a/m" in names(bench.plan("word " * 990).candidates)
    assert "a/m" in names(bench.plan("x" * 100_000).candidates)
    assert "a/m" not in names(bench.plan("word " * 1001).candidates)


def test_who_can_say_less_than_is_asked_for_gives_way_to_others_only() -> None:
    models = {name: [Model("m", max_output_tokens=100)] for name in "abc"}
    bench = Bench(models=models, fallbacks=())
    assert len(bench.plan(max_output_tokens=200).candidates) == 3
    bench = Bench(models={**models, "c": [Model("m", max_output_tokens=300)]}, fallbacks=())
    plan = bench.plan(max_output_tokens=200)
    assert names(plan.candidates) == ["c/m"]
    assert {lack.why for lack in plan.lacking} == {"answers 100 tokens at most"}
    assert len(bench.plan(max_output_tokens=100).candidates) == 3
    assert len(bench.plan(max_output_tokens=None).candidates) == 3


def test_a_list_that_was_read_anew_counts_at_once() -> None:
    bench = Bench(("a/m", "b/m"), ())
    catalogue = FixedCatalogue({"a": [Model("m", vision=False)]})
    bench.planner = Planner(
        bench.providers,
        {"r": Route("r", (bench.target("a/m"), bench.target("b/m")))},
        catalogue,
        bench.memory,
    )
    assert names(bench.plan(PICTURE).candidates) == ["b/m"]
    catalogue.listed = {"a": [Model("m", vision=True)]}
    assert sorted(names(bench.plan(PICTURE).candidates)) == ["a/m", "b/m"]


# Whatever comes together


ALL = ("a/m", "b/m", "b/n", "c/m", "home/z")


@given(
    st.sampled_from(["round_robin", "in_order", "weighted", "least_busy"]),
    st.sets(st.sampled_from(ALL)),
    st.sets(st.sampled_from("abc")),
    st.sampled_from([None, *ALL]),
    st.sampled_from([None, "a", "b", "home"]),
    st.booleans(),
)
def test_every_target_is_a_candidate_or_cools_or_lacks_something_and_fallbacks_come_last(
    balance: Balance, cools: set[str], blind: set[str], served: str | None, sealer: str | None, seen: bool
) -> None:
    models = {name: [Model("m", vision=False), Model("n", vision=False)] for name in blind}
    bench = Bench(ALL[:4], ALL[4:], balance=balance, models=models)
    bench.health.open = cools
    if served is not None:
        bench.plan(prompt_cache_key="k").served_by(bench.target(served))
    history: list[Any] = [*PICTURE] if seen else [{"role": "user", "content": "Hi"}]
    if sealer is not None:
        history += [sealed(bench, sealer), HELLO]
    plan = bench.plan(history, prompt_cache_key="k")
    lacking = names([lack.target for lack in plan.lacking])
    candidates, cooling = names(plan.candidates), names(plan.cooling)
    assert sorted([*candidates, *cooling, *lacking]) == sorted(ALL)
    assert set(cooling) == cools - set(lacking)
    assert "home/z" not in candidates[:-1]
    if plan.kept_by == "sealed":
        assert candidates[0].startswith(f"{sealer}/")
    elif served in candidates[:-1] and sealer is None:
        assert (candidates[0], plan.kept_by) == (served, "key")
