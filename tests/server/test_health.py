from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from maestro_daemon.providers.provider import Model
from maestro_daemon.server.access import Access
from maestro_daemon.server.health import HealthPages
from maestro_daemon.server.offer import Offer
from tests.support.edge import edge


class Shelf:
    """`works` has models, `down` fails, `cold` has not been read."""

    def models(self, provider: str) -> Sequence[Model] | None:
        return [Model("m")] if provider == "works" else None

    def failure(self, provider: str) -> str | None:
        return "Connection refused." if provider == "down" else None


def pages(*providers: str, keys: dict[str, str] | None = None, **routes: list[str]) -> HealthPages:
    offer, access = Offer(providers, routes, Shelf()), Access(keys or {})
    return HealthPages(lambda: offer, lambda: access)


async def ready(made: HealthPages, *headers: str, access: Access | None = None) -> tuple[int, dict[str, Any]]:
    async with edge(made.routes(), access=access) as running:
        answer = await running.ask("GET", "/readyz", *headers)
        return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_daemon_is_alive_whatever_its_providers_are(method: str) -> None:
    async with edge(pages("down").routes()) as running:
        answer = await running.ask(method, "/healthz")
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        assert method == "HEAD" or json.loads(answer.body) == {"status": "ok"}


async def test_all_well_is_ready() -> None:
    assert await ready(pages("works", coder=["works/m"])) == (
        200,
        {"status": "ready", "providers": {"works": {"ready": True}}, "routes": {"coder": {"ready": True}}},
    )


async def test_what_cannot_serve_is_named_with_its_reason_while_the_rest_is_ready() -> None:
    status, report = await ready(
        pages("works", "down", "cold", both=["down/m", "works/m"], gone=["down/m", "cold/m"])
    )
    assert (status, report["status"]) == (200, "degraded")
    assert report["providers"]["down"] == {"ready": False, "reason": "Connection refused."}
    assert report["providers"]["cold"] == {"ready": False, "reason": "its models have not been read yet"}
    assert report["routes"]["both"] == {"ready": True}
    assert report["routes"]["gone"] == {"ready": False, "reason": "none of its providers can serve"}


@pytest.mark.parametrize("providers", [(), ("down",), ("down", "cold")])
async def test_when_nothing_can_serve_it_is_a_503(providers: tuple[str, ...]) -> None:
    status, report = await ready(pages(*providers))
    assert (status, report["status"]) == (503, "not_ready")


async def test_a_daemon_that_drains_is_not_ready() -> None:
    made = pages("works")
    made.draining = True
    status, report = await ready(made)
    assert (status, report["status"], report["reason"]) == (503, "not_ready", "the daemon is shutting down")


async def test_reasons_are_told_only_to_who_may_send_requests() -> None:
    keys = {"alice": "key"}
    made = pages("down", keys=keys)
    assert await ready(made, access=Access(keys)) == (503, {"status": "not_ready"})
    _, report = await ready(made, "x-api-key: key", access=Access(keys))
    assert report["providers"]["down"]["reason"] == "Connection refused."
