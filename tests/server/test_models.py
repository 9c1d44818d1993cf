from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from maestro_daemon.providers.provider import Model
from maestro_daemon.server.models import ModelsPage
from maestro_daemon.server.offer import Offer
from tests.support.edge import Edge, edge

CREATED = 1_700_000_000


class Shelf:
    """A catalogue that a test fills."""

    def __init__(self, **lists: Sequence[Model] | None) -> None:
        self.lists = dict(lists)
        self.failures: dict[str, str] = {}

    def models(self, provider: str) -> Sequence[Model] | None:
        return self.lists.get(provider)

    def failure(self, provider: str) -> str | None:
        return self.failures.get(provider)


def shelf() -> Shelf:
    return Shelf(
        openai=[
            Model("gpt-5.5", "GPT 5.5", context_window=272_000, max_output_tokens=128_000, tools=True),
            Model("text-embedding-4", tools=False),
            Model("shared"),
        ],
        home=[
            Model("org/qwen:8b", context_window=32_768, vision=False, details={"created": 1_600_000_000}),
            Model("shared"),
        ],
        cold=None,
    )


def offer(catalogue: Shelf, auto: str | None = "home/org/qwen:8b") -> Offer:
    routes = {
        "coder": ["openai/gpt-5.5", "home/org/qwen:8b"],
        "mixed": ["openai/gpt-5.5", "openai/text-embedding-4"],
        "far": ["cold/never-listed"],
    }
    return Offer(tuple(catalogue.lists), routes, catalogue, lambda: auto)


def page(catalogue: Shelf | None = None, auto: str | None = "home/org/qwen:8b") -> ModelsPage:
    made = offer(catalogue or shelf(), auto)
    return ModelsPage(lambda: made, created=CREATED)


async def listed(running: Edge, path: str = "/v1/models") -> dict[str, Any]:
    answer = await running.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    document: dict[str, Any] = json.loads(answer.body)
    return document


NAMES = [
    "coder",
    "mixed",
    "far",
    "auto",
    "openai/gpt-5.5",
    "openai/text-embedding-4",
    "openai/shared",
    "home/org/qwen:8b",
    "home/shared",
]


@pytest.mark.parametrize("path", ["/v1/models", "/api/openai/v1/models", "/v1/models?client_version=0.169.0"])
async def test_routes_auto_and_every_model_of_every_provider_are_listed(path: str) -> None:
    async with edge(page().routes()) as running:
        document = await listed(running, path)
        assert document["object"] == "list"
        assert [entry["id"] for entry in document["data"]] == NAMES
        for entry in document["data"]:
            assert entry["object"] == "model"
            assert type(entry["created"]) is int
            assert isinstance(entry["owned_by"], str)


async def test_an_entry_says_whose_model_it_is_and_what_is_known_of_it() -> None:
    async with edge(page().routes()) as running:
        entries = {entry["id"]: entry for entry in (await listed(running))["data"]}
    assert entries["openai/gpt-5.5"] == {
        "id": "openai/gpt-5.5",
        "object": "model",
        "created": CREATED,
        "owned_by": "openai",
        "name": "GPT 5.5",
        "context_window": 272_000,
        "max_output_tokens": 128_000,
    }
    assert entries["home/org/qwen:8b"]["created"] == 1_600_000_000
    assert entries["coder"]["owned_by"] == "maestro-daemon"
    assert entries["coder"]["context_window"] == 32_768, "the smallest of its targets"
    assert "context_window" not in entries["far"]


async def test_without_anything_for_auto_it_is_not_listed() -> None:
    async with edge(page(auto=None).routes()) as running:
        assert "auto" not in [entry["id"] for entry in (await listed(running))["data"]]


async def test_a_configured_route_named_auto_wins() -> None:
    catalogue = shelf()
    made = Offer(("home",), {"auto": ["home/shared"]}, catalogue, lambda: "home/org/qwen:8b")
    async with edge(ModelsPage(lambda: made, created=CREATED).routes()) as running:
        entries = [entry for entry in (await listed(running))["data"] if entry["id"] == "auto"]
        assert len(entries) == 1
        assert "context_window" not in entries[0]


async def test_codex_sees_only_what_can_call_tools_and_a_whole_prompt() -> None:
    async with edge(page().routes()) as running:
        document = await listed(running)
    slugs = [entry["slug"] for entry in document["models"]]
    assert slugs == [name for name in NAMES if name not in ("mixed", "openai/text-embedding-4")]
    for entry in document["models"]:
        assert len(entry["base_instructions"]) > 6000
        assert entry["base_instructions"].startswith("You are a coding agent.")
    assert [entry["priority"] for entry in document["models"]] == sorted(
        {entry["priority"] for entry in document["models"]}
    )


async def test_an_unread_or_empty_offer_is_an_empty_list() -> None:
    made = Offer(("cold",), {}, Shelf(cold=None))
    async with edge(ModelsPage(lambda: made, created=CREATED).routes()) as running:
        assert await listed(running) == {"object": "list", "data": [], "models": []}


async def test_the_list_has_a_strong_etag_and_an_unchanged_one_is_a_304() -> None:
    async with edge(page().routes()) as running:
        first = await running.ask("GET", "/v1/models")
        etag = first.headers["etag"]
        assert etag.startswith('"')
        assert etag.endswith('"')
        assert (await running.ask("GET", "/v1/models")).headers["etag"] == etag
        for said in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await running.ask("GET", "/v1/models", f"if-none-match: {said}")
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        for said in ('"other"', etag.strip('"'), "", '"'):
            assert (await running.ask("GET", "/v1/models", f"if-none-match: {said}")).status == 200


async def test_the_list_and_its_etag_follow_the_catalogue() -> None:
    catalogue = shelf()
    async with edge(page(catalogue).routes()) as running:
        before = await running.ask("GET", "/v1/models")
        catalogue.lists["cold"] = (Model("arrived"),)
        after = await running.ask("GET", "/v1/models", f"if-none-match: {before.headers['etag']}")
        assert after.status == 200
        assert after.headers["etag"] != before.headers["etag"]
        assert "cold/arrived" in [entry["id"] for entry in json.loads(after.body)["data"]]


async def test_the_same_offer_has_the_same_etag_in_another_daemon() -> None:
    etags = set()
    for _ in range(2):
        async with edge(page().routes()) as running:
            etags.add((await running.ask("GET", "/v1/models")).headers["etag"])
    assert len(etags) == 1


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("coder", "coder"),
        ("auto", "auto"),
        ("openai/gpt-5.5", "openai/gpt-5.5"),
        ("home/org/qwen:8b", "home/org/qwen:8b"),
        ("home%2Forg%2Fqwen:8b", "home/org/qwen:8b"),
        ("gpt-5.5", "gpt-5.5"),
        ("org/qwen:8b", "org/qwen:8b"),
    ],
)
@pytest.mark.parametrize("prefix", ["/v1", "/api/openai/v1"])
async def test_one_model_is_shown_by_its_id_slashes_included(prefix: str, asked: str, found: str) -> None:
    async with edge(page().routes()) as running:
        entry = await listed(running, f"{prefix}/models/{asked}")
        assert (entry["id"], entry["object"]) == (found, "model")


@pytest.mark.parametrize("asked", ["nothing", "shared", "openai/nothing", "x" * 3000, "%1b[31m"])
async def test_a_model_that_is_not_listed_is_a_404(asked: str) -> None:
    async with edge(page().routes()) as running:
        answer = await running.ask("GET", f"/v1/models/{asked}")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert len(answer.error["message"]) < 300
