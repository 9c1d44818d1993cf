"""Clients offline: the echo plugin in a real daemon, with the openai package and with the real Codex CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.codex import Codex, codex_program
from tests.support.command import Place
from tests.support.documents import ROOT

TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
COMMAND = {"cmd": "printf 'edited\\n' > note.txt && echo it-was-written"}
PATCH = "*** Begin Patch\n*** Update File: note.txt\n@@\n-edited\n+edited twice\n*** End Patch\n"


@pytest.fixture
def base_url(tmp_path: Path) -> Iterator[str]:
    """A daemon with the plugin, as if pip had installed it."""
    metadata = tmp_path / "packages" / "maestro_daemon_echo-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: maestro-daemon-echo\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[maestro_daemon]\necho = maestro_echo\n")
    place = Place(tmp_path)
    place.write('[server]\nport = 0\n\n[providers.echo]\nkind = "echo"\n')
    path = f"{metadata.parent}:{ROOT / 'plugins' / 'echo'}"
    with place.serve(PYTHONPATH=path) as daemon:
        yield daemon.lines_until("http")[0]
        assert daemon.end() == 0
        assert "Traceback" not in daemon.log


def test_the_openai_package_goes_through_a_tool_loop(base_url: str) -> None:
    prompt = '/think Let me see.\n/call look {"where": "left"}\n/then\n/say It is there.'
    with openai.OpenAI(base_url=base_url, api_key="none") as client:
        first = client.responses.create(model="echo/echo", input=prompt, tools=[TOOL])
        (call,) = [item for item in first.output if item.type == "function_call"]
        assert (call.name, json.loads(call.arguments)) == ("look", {"where": "left"})
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "a door"}
        items: Any = [{"role": "user", "content": prompt}, *first.output, output]
        with client.responses.stream(model="echo/echo", input=items, tools=[TOOL]) as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            assert stream.get_final_response().output_text == "It is there."
    assert deltas == ["It ", "is ", "there."]


def test_failures_reach_the_client_as_the_prompt_says(base_url: str) -> None:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="Line 2 of the prompt, /wait"):
            client.responses.create(model="echo/echo", input="Hello.\n/wait long")
        stream = client.responses.create(model="echo/echo", input="One.\n/cut", stream=True)
        with pytest.raises(openai.APIError, match="its answer was cut off"):
            list(stream)
        with pytest.raises(openai.RateLimitError) as caught:
            client.responses.create(model="echo/echo", input="/fail 429 code=slow_down after=7s Slow down.")
        assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.heavy
@pytest.mark.timeout(180)
def test_codex_runs_a_command_and_edits_a_file(base_url: str, tmp_path: Path) -> None:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    codex = Codex(codex_program(), tmp_path / "home", tmp_path / "work")
    codex.configure(base_url, "echo/echo", key_command=True)  # asks for /models, and offers apply_patch then
    calls = [("exec_command", COMMAND), ("apply_patch", {"input": PATCH})]
    ran = codex.exec(
        "\n".join(f"/call {tool} {json.dumps(given)}\n/then" for tool, given in calls) + "\n/say Done."
    )
    assert ran.status == 0, ran
    assert (codex.work / "note.txt").read_text() == "edited twice\n", ran
    assert ran.messages == ["Done."]
