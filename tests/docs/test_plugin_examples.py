"""The plugins of the documents are installed beside the daemon, as a user would, and answer requests."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import json
import subprocess
import sys
import tomllib
import typing
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from maestro_daemon import plugin
from tests.support import chat, native
from tests.support.command import Place
from tests.support.documents import README, ROOT, block, blocks
from tests.support.environment import fetching
from tests.support.fake_upstream import FakeUpstream, Reply, Stream
from tests.support.house import parse_stream
from tests.support.installed_plugin import installed

PAGE: Final = ROOT / "docs" / "plugins.md"
ACME: Final = block(README, "python", holding="AcmeProvider")
ACME_CONFIG: Final = block(README, "toml", holding="[providers.acme]")
PROJECT: Final = block(README, "toml", holding="entry-points")
ZENITH: Final = block(PAGE, "python", holding="ZenithProvider")
MORSE: Final = block(PAGE, "python", holding="MorseProvider")
PARROT: Final = block(PAGE, "python", holding="ParrotProvider")
PROTOCOL: Final = block(PAGE, "python", holding="class Provider(Protocol)")
LISTENER: Final = block(PAGE, "python", holding="maestro_response_finished")


def post(url: str, **body: Any) -> bytes:
    request = urllib.request.Request(f"{url}/responses", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        sent: bytes = answer.read()
        return sent


def asked(
    place: Place, config: str, model: str, **environ: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Serve the configuration; the model's answer as JSON, and as the events of a stream."""
    place.write(f"[server]\nport = 0\n\n{config}")
    with place.serve(**environ) as daemon:
        url = daemon.lines_until("provider ")[0]
        whole = json.loads(post(url, model=model, input="Say hello."))
        events = parse_stream(post(url, model=model, input="Say hello.", stream=True))
        assert daemon.end() == 0
    assert "Traceback" not in daemon.log
    return whole, events


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


async def off_loop(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await asyncio.to_thread(function, *arguments, **named)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def acme_config(url: str) -> str:
    """The README's table, for an upstream that is there."""
    return ACME_CONFIG.replace('kind = "acme"\n', f'kind = "acme"\nbase_url = "{url}"\n')


async def check_acme(place: Place, upstream: FakeUpstream, packages: str) -> None:
    """The provider lists its models, and passes an answer on as JSON and as a stream."""
    upstream.play(
        Reply(native.response(status="completed", output=[native.message("Hello.")])),
        Stream(*native.text("Hel", "lo.")),
    )
    whole, events = await off_loop(
        asked, place, acme_config(upstream.url), "acme/gpt-test", PYTHONPATH=packages, ACME_KEY="sk-acme"
    )
    assert text_of(whole) == "Hello."
    assert [event["delta"] for event in events if event["type"].endswith("text.delta")] == ["Hel", "lo."]
    assert text_of(events[-1]["response"]) == "Hello."
    assert {each.headers["Authorization"] for each in upstream.requests} == {"Bearer sk-acme"}


async def test_the_native_plugin_answers(place: Place, upstream: FakeUpstream, tmp_path: Path) -> None:
    package = await off_loop(installed, tmp_path / "packages", "acme", ACME)
    await check_acme(place, upstream, package)


def test_the_native_plugin_is_about_twenty_lines() -> None:
    lines = ACME.splitlines()
    assert len([line for line in lines if line.strip()]) <= 22


def test_the_native_plugin_is_listed_with_its_kind(place: Place, tmp_path: Path) -> None:
    package = installed(tmp_path / "packages", "acme", ACME)
    listed = json.loads(place.run("plugins", "--json", PYTHONPATH=package).stdout)["plugins"]
    (row,) = (row for row in listed if row["name"] == "acme")
    assert row["state"] == "loaded"
    assert row["kinds"] == ["acme"]


def test_the_package_names_the_entry_point_that_the_daemon_looks_for() -> None:
    project = tomllib.loads(PROJECT)
    assert project["project"]["entry-points"] == {"maestro_daemon": {"acme": "maestro_acme"}}
    assert project["tool"]["setuptools"]["py-modules"] == ["maestro_acme"]


@pytest.mark.heavy
@pytest.mark.timeout(600)
async def test_the_package_is_installed_by_pip(place: Place, upstream: FakeUpstream, tmp_path: Path) -> None:
    def install() -> None:
        project = tmp_path / "maestro-acme"
        project.mkdir()
        (project / "maestro_acme.py").write_text(ACME)
        (project / "pyproject.toml").write_text(PROJECT)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        result = subprocess.run(
            [*pip, "--target", tmp_path / "packages", project],
            env=fetching(),
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert result.returncode == 0, result.stderr

    await off_loop(install)
    await check_acme(place, upstream, str(tmp_path / "packages"))


async def test_the_chat_plugin_answers(place: Place, upstream: FakeUpstream, tmp_path: Path) -> None:
    package = await off_loop(installed, tmp_path / "packages", "zenith", ZENITH)
    upstream.play(Stream(*chat.text("Hel", "lo.")))
    options = f'base_url = "{upstream.url}"\napi_key = "sk-z"\nidle_timeout = "9s"\n'
    config = f'[providers.z]\nkind = "zenith"\n{options}'
    whole, events = await off_loop(asked, place, config, "z/gpt-test", PYTHONPATH=package)
    assert text_of(whole) == "Hello."
    assert text_of(events[-1]["response"]) == "Hello."
    assert {each.path for each in upstream.requests} == {"/v1/chat/completions"}
    assert {each.headers["Authorization"] for each in upstream.requests} == {"Bearer sk-z"}


async def test_the_plugin_of_another_dialect_over_http_answers(
    place: Place, upstream: FakeUpstream, tmp_path: Path
) -> None:
    package = await off_loop(installed, tmp_path / "packages", "morse", MORSE)
    records: tuple[dict[str, Any], ...] = ({"word": "Hel"}, {"word": "lo."}, {"over": "stop"})
    upstream.play(Stream(*(f"data: {json.dumps(each)}\n\n".encode() for each in records)))
    config = f'[providers.m]\nkind = "morse"\nbase_url = "{upstream.url}"\napi_key = "sk-morse"\n'
    whole, events = await off_loop(asked, place, config, "m/station-1", PYTHONPATH=package)
    assert text_of(whole) == text_of(events[-1]["response"]) == "Hello."
    assert [event["delta"] for event in events if event["type"].endswith("text.delta")] == ["Hel", "lo."]
    assert upstream.requests[0].body == {
        "model": "station-1",
        "said": [{"by": "user", "text": "Say hello."}],
        "tools": [],
    }
    assert {each.headers["x-api-key"] for each in upstream.requests} == {"sk-morse"}


def test_the_plugin_without_http_answers(place: Place, tmp_path: Path) -> None:
    package = installed(tmp_path / "packages", "parrot", PARROT)
    config = '[providers.p]\nkind = "parrot"\n'
    whole, events = asked(place, config, "p/parrot-1", PYTHONPATH=package)
    assert text_of(whole) == "Say hello."
    assert whole["status"] == "completed"
    assert text_of(events[-1]["response"]) == "Say hello."


def test_the_listening_plugin_hears_and_has_its_command(place: Place, tmp_path: Path) -> None:
    told = "\nimport atexit, pathlib\natexit.register(lambda: pathlib.Path('told').write_text(str(tokens)))\n"
    package = installed(tmp_path / "packages", "tokens", LISTENER + told)
    parrot = installed(tmp_path / "more", "parrot", PARROT)
    assert place.run("hello", PYTHONPATH=package).stdout == "hello from a plugin\n"
    asked(place, '[providers.p]\nkind = "parrot"\n', "p/parrot-1", PYTHONPATH=f"{package}:{parrot}")
    assert (tmp_path / "told").read_text() == "{'': 4}"


def test_the_protocol_of_the_page_is_that_of_the_contract() -> None:
    page: dict[str, Any] = {**vars(plugin), **vars(typing), **vars(collections.abc)}
    exec(PROTOCOL, page)
    for method in ("models", "complete", "stream", "aclose"):
        told, real = (
            inspect.signature(getattr(each, method), eval_str=True, globals=page)
            for each in (page["Provider"], plugin.Provider)
        )
        assert told == real, method


def test_every_block_of_the_page_is_tried_somewhere() -> None:
    """Here, in tests/packaging/test_plugins.py (In an afternoon), or in tests/testing (contracts)."""
    page = PAGE.read_text()
    afternoon = page[page.index("## In an afternoon") : page.index("## Three depths")]
    here = {ZENITH, MORSE, PARROT, LISTENER, PROTOCOL}
    for text in blocks(PAGE, "python"):
        elsewhere = text in afternoon or "ProviderContract" in text or text.startswith("maestro_api = ")
        assert elsewhere or text in here, text
    for language in ("sh", "toml"):
        for text in blocks(PAGE, language):
            assert text in afternoon or "maestro-daemon[testing]" in text, text
