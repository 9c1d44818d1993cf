"""The real Codex reads our list: every kind of entry is taken, with our prompt and its tools."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from maestro_daemon.providers.provider import Model
from maestro_daemon.server.body import read_body
from maestro_daemon.server.codex_models import CODING_AGENT_PROMPT
from maestro_daemon.server.models import ModelsPage
from maestro_daemon.server.offer import Offer
from tests.server.test_models import CREATED, Shelf
from tests.support.codex import Codex, codex_program
from tests.support.edge import edge

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(180)]

MODELS = (
    Model("plain"),
    Model("known", "Known", context_window=4096, max_output_tokens=512, tools=True, vision=False),
    Model(
        "thinks", reasoning_efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max", "galactic")
    ),
    Model("no-tools", tools=False),
    Model("a/b:c d", "Spaced \N{SNOWMAN}"),
)


class Gateway:
    """The list, and a model that says hello to everything."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        catalogue = Shelf(home=MODELS)
        routes = {"coder": ["home/known", "home/thinks"], "blind": ["home/no-tools"]}
        offer = Offer(("home",), routes, catalogue, lambda: "home/plain")
        self.page = ModelsPage(lambda: offer, created=CREATED)

    def routes(self) -> list[web.RouteDef]:
        return [*self.page.routes(), web.post("/v1/responses", self.answer)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(json.loads(await read_body(request, limit=1 << 26, timeout=30)))
        text = {"type": "output_text", "text": "hello", "annotations": []}
        item = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [text],
        }
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "resp_1"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": "resp_1", "output": [item], "usage": usage}},
        ]
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return web.Response(text=body, content_type="text/event-stream")


@pytest.fixture(scope="module")
def program() -> Path:
    return codex_program()


@pytest.fixture
def codex(program: Path, tmp_path: Path) -> Codex:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return Codex(program, tmp_path / "home", tmp_path / "work")


async def say_hello(codex: Codex, gateway: Gateway, model: str, more: str = "") -> list[dict[str, Any]]:
    async with edge(gateway.routes()) as running:

        def work() -> list[dict[str, Any]]:
            codex.configure(f"{running.url}/v1", model, key_command=True)
            config = codex.home / "config.toml"
            config.write_text(
                config.read_text().replace("[model_providers.gw.auth]", f"{more}[model_providers.gw.auth]")
            )
            ran = codex.exec("Say hello.")
            assert (ran.status, ran.messages) == (0, ["hello"]), ran
            return ran.items("error")

        return await asyncio.to_thread(work)


@pytest.mark.parametrize(
    "model", ["coder", "auto", "home/plain", "home/known", "home/thinks", "home/a/b:c d"]
)
async def test_every_listed_model_has_our_prompt_and_apply_patch(codex: Codex, model: str) -> None:
    gateway = Gateway()
    complaints = await say_hello(codex, gateway, model)
    assert complaints == []
    [body] = gateway.bodies
    assert body["model"] == model
    assert body["input"][0]["role"] == "developer"
    assert body["input"][0]["content"][0]["text"].strip() == CODING_AGENT_PROMPT
    assert "apply_patch" in [tool.get("name") for tool in body["tools"]]


async def test_a_model_that_is_left_out_falls_back_to_codex_own_prompt(codex: Codex) -> None:
    gateway = Gateway()
    complaints = await say_hello(codex, gateway, "blind")
    assert "metadata" in complaints[0]["message"]
    assert CODING_AGENT_PROMPT not in json.dumps(gateway.bodies[0])


async def test_the_426_makes_codex_use_http_at_once(codex: Codex) -> None:
    gateway = Gateway()
    assert await say_hello(codex, gateway, "coder", "supports_websockets = true\n") == []
    assert len(gateway.bodies) == 1
