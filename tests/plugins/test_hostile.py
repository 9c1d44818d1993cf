"""A plugin that does everything wrong, in a real daemon: it is named, and hurts only its own targets."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import Daemon, Place
from tests.support.documents import ROOT, block
from tests.support.hostile_plugin import HOSTILE
from tests.support.house import parse_stream
from tests.support.installed_plugin import installed

PARROT: Final = block(ROOT / "docs" / "plugins.md", "python", holding="ParrotProvider")
MARKED: Final = "import pathlib\npathlib.Path({marker!r}).touch()\n"
PLACES: Final = (
    *("", "abilities", "factory", "start raises", "start exits", "start hangs"),
    *("models raises", "models exits", "models hangs", "models nonsense", "aclose raises", "aclose exits"),
)
TABLES: Final = "".join(
    f'[providers.h{number}]\nkind = "hostile"\nat = "{place}"\n' for number, place in enumerate(PLACES)
)
GOOD: Final = '[providers.p]\nkind = "parrot"\n'


def asked(url: str, model: str, *, stream: bool, timeout: float = 20) -> tuple[int, bytes]:
    """Status and body; status 0 for silence of `timeout` seconds."""
    body = json.dumps({"model": model, "input": "Hello.", "stream": stream}).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/responses", body), timeout=timeout
        ) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except TimeoutError:
        return 0, b""


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.log.splitlines()]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Daemon, str]]:
    folder = tmp_path_factory.mktemp("hostile")
    packages = [
        installed(folder / name, name, text) for name, text in (("hostile", HOSTILE), ("parrot", PARROT))
    ]
    place = Place(folder)
    place.write(f'[server]\nport = 0\ndrain = "100ms"\n{GOOD}{TABLES}')
    with place.serve(PYTHONPATH=":".join(packages)) as daemon:
        yield place, daemon, daemon.lines_until("http")[0]


@pytest.mark.parametrize("number", [n for n, place in enumerate(PLACES) if place != "factory"])
def test_what_goes_wrong_beside_answers_stops_no_answer(
    served: tuple[Place, Daemon, str], number: int
) -> None:
    url = served[2]
    for stream in (False, True):
        status, body = asked(url, f"h{number}/well", stream=stream)
        assert status == 200
        assert b"Hello." in body


def test_a_provider_that_could_not_be_made_says_so(served: tuple[Place, Daemon, str]) -> None:
    status, body = asked(served[2], f"h{PLACES.index('factory')}/well", stream=False)
    assert status == 503
    error = json.loads(body)["error"]
    assert error["code"] == "provider_unavailable"
    assert "plugin 'hostile' failed with KeyError" in error["message"]


@pytest.mark.parametrize(
    "model", ["raises at once", "exits", "cancels itself", "yields no event", "yields nothing"]
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_before_the_first_output_it_is_an_error_of_the_upstream(
    served: tuple[Place, Daemon, str], model: str, stream: bool
) -> None:
    status, body = asked(served[2], f"h0/{model}", stream=stream)
    if status == 200:  # its `complete` does not heed the event that is none
        assert (model, stream) == ("yields no event", False)
        return
    assert status == 502
    assert json.loads(body)["error"]["code"] == "upstream_broken"
    assert asked(served[2], "p/parrot-1", stream=stream)[0] == 200


@pytest.mark.parametrize("model", ["raises midway", "yields no bytes", "yields none"])
def test_after_it_the_stream_ends_with_one_terminal_event(
    served: tuple[Place, Daemon, str], model: str
) -> None:
    status, body = asked(served[2], f"h0/{model}", stream=True)
    events = parse_stream(body)
    assert status == 200
    assert events[-1]["type"] == "response.failed"
    assert b"Traceback" not in body
    served[0].run("status")  # by then the line is written
    told = [line.get("target") for line in lines(served[1]) if "traceback" in line]
    assert f"h0/{model}" in told


@pytest.mark.parametrize("model", ["cancels its request", "cancels midway"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_request_that_its_plugin_cancels_ends_as_well_as_any(
    served: tuple[Place, Daemon, str], model: str, stream: bool
) -> None:
    status, body = asked(served[2], f"h0/{model}", stream=stream)
    if stream and model == "cancels midway":
        assert status == 200
        events = parse_stream(body)
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello."
    else:
        assert status == 500
        assert "What was to answer the request cancelled it" in json.loads(body)["error"]["message"]
    assert asked(served[2], "p/parrot-1", stream=stream)[0] == 200


@pytest.mark.parametrize("model", ["never ends", "ignores its end", "refuses to close"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_an_answer_that_never_ends_holds_up_only_who_waits_for_it(
    served: tuple[Place, Daemon, str], model: str, stream: bool
) -> None:
    assert asked(served[2], f"h0/{model}", stream=stream, timeout=0.3)[0] == 0
    assert asked(served[2], "p/parrot-1", stream=stream)[0] == 200


def test_what_it_cannot_say_of_itself_hurts_no_page(served: tuple[Place, Daemon, str]) -> None:
    place, daemon, url = served
    status = json.loads(place.run("status", "--json").stdout)
    number = PLACES.index("abilities")
    problem = f"Provider 'h{number}' failed to say how it is: ZeroDivisionError; the log has details."
    assert status["providers"][f"h{number}"]["problem"] == problem
    listed = {each["id"] for each in json.loads(place.run("models", "--json").stdout)["models"]}
    assert "p/parrot-1" in listed
    assert {each for each in listed if each.startswith("h0/")} == {"h0/well"}
    with urllib.request.urlopen(f"{url}/models", timeout=20) as answer:
        assert answer.status == 200
    assert asked(url, "auto", stream=False)[0] == 503  # some list was never read
    assert asked(url, f"h{number}/well", stream=True)[0] == 200
    wanted = {"problem", "unmetered_rank", "keeps_responses"}
    until = time.monotonic() + 30
    while time.monotonic() < until:  # lines are written a moment after they were made
        unanswered = [line for line in lines(daemon) if line["event"] == "a provider could not answer"]
        if wanted <= {line["method"] for line in unanswered}:
            break
    assert {(line["provider"], line["method"]) for line in unanswered} == {
        (f"h{number}", each) for each in wanted
    }


def test_a_blocked_loop_is_told_with_the_line_that_blocks_it(served: tuple[Place, Daemon, str]) -> None:
    place, daemon, url = served
    assert asked(url, "h0/blocks", stream=False)[0] == 200
    held = [line for line in lines(daemon) if line["event"] == "the event loop is held up"]
    assert held[0]["plugin"] == "hostile"
    assert re.search(r"/maestro_hostile\.py:\d+ in stream$", held[0]["at"])
    (row,) = rows(place, "hostile")
    assert row["blocked"] >= 1


def rows(place: Place, name: str) -> list[dict[str, Any]]:
    document = json.loads(place.run("plugins", "--json").stdout)
    assert document["running"] is True
    return [row for row in document["plugins"] if row["name"] == name]


def test_the_running_daemon_tells_what_each_plugin_did(served: tuple[Place, Daemon, str]) -> None:
    place, daemon, url = served
    (before,) = rows(place, "hostile")
    asked(url, "h0/raises at once", stream=False)
    (after,) = rows(place, "hostile")
    assert after["raised"] == before["raised"] + 1
    assert after["last_fault"] == "an answer of h0: ZeroDivisionError"
    assert (after["state"], after["distribution"], after["version"]) == ("loaded", "hostile", "0.1.0")
    assert after["kinds"] == ["hostile"]
    assert after["providers"] == [f"h{number}" for number, _ in enumerate(PLACES)]
    (good,) = rows(place, "parrot")
    assert (good["raised"], good["blocked"], good["last_fault"]) == (0, 0, None)
    shown = place.run("plugins").stdout
    assert "hostile lately: an answer of h0: ZeroDivisionError" in shown
    told = {line["provider"] for line in lines(daemon) if line["event"] == "provider not started"}
    assert told == {f"h{PLACES.index(place)}" for place in ("start raises", "start exits")}


def test_plugins_that_are_not_wanted_are_not_imported(tmp_path: Path) -> None:
    marked = {name: tmp_path / f"{name}-was-imported" for name in ("unwanted", "wanted")}
    spy = "import atexit, sys\natexit.register(lambda: open('modules', 'w').write(' '.join(sys.modules)))\n"
    packages = [
        installed(
            tmp_path / name, name, MARKED.format(marker=str(marker)) + spy + PARROT.replace("parrot", name)
        )
        for name, marker in marked.items()
    ]
    place = Place(tmp_path)
    table = '[server]\nport = 0\n[providers.w]\nkind = "wanted"\n'
    for plugins in ('enabled = ["wanted"]', 'disabled = ["unwanted", "openai", "copilot", "local"]'):
        place.write(f"{table}[plugins]\n{plugins}\n")
        with place.serve(PYTHONPATH=":".join(packages)) as daemon:
            url = daemon.lines_until("http")[0]
            assert asked(url, "w/wanted-1", stream=False)[0] == 200
            assert daemon.end() == 0
        modules = set((tmp_path / "modules").read_text().split())
        assert "maestro_wanted" in modules
        assert modules.isdisjoint({"maestro_unwanted", "maestro_copilot", "maestro_openai", "maestro_local"})
        assert not marked["unwanted"].exists()


def test_a_plugin_that_hangs_as_it_is_imported_does_not_keep_the_daemon_from_serving(tmp_path: Path) -> None:
    packages = [
        installed(tmp_path / "parrot", "parrot", PARROT),
        installed(tmp_path / "stuck", "stuck", "import time\ntime.sleep(3600)\n"),
    ]
    place = Place(tmp_path)
    place.write(f'[server]\nport = 0\n[plugins]\nenabled = ["parrot", "stuck"]\nload_timeout = "4s"\n{GOOD}')
    with place.serve(PYTHONPATH=":".join(packages)) as daemon:
        url = daemon.lines_until("http")[0]
        assert asked(url, "p/parrot-1", stream=False)[0] == 200
        (row,) = rows(place, "stuck")
        assert daemon.end() == 0
    assert row["state"] == "broken"
    assert row["error"].startswith("was not loaded within 4 s and is left out")
    assert row["error"].endswith("maestro_stuck.py:2 in <module>")
    assert [line["plugin"] for line in lines(daemon) if line["event"] == "plugin not loaded"] == ["stuck"]


def test_calls_of_hooks_are_shown_where_that_is_asked_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    shown = place.run("plugins", MAESTRO_TRACE_HOOKS="1")
    traced = [json.loads(line) for line in shown.stderr.splitlines()]
    assert {"openai", "local", "copilot"} <= {line["plugin"] for line in traced}
    assert {line["hook"] for line in traced} == {"maestro_register_providers"}
    assert all(line["ms"] > 0 for line in traced)
    assert "maestro_register" not in place.run("plugins").stderr


@pytest.mark.heavy
@pytest.mark.timeout(120)
def test_the_daemon_ends_though_nothing_of_it_does(tmp_path: Path) -> None:
    package = installed(tmp_path / "packages", "hostile", HOSTILE)
    place = Place(tmp_path)
    tables = "".join(
        f'[providers.{place.replace(" ", "-")}]\nkind = "hostile"\nat = "{place}"\n'
        for place in ("factory blocks", "aclose hangs", "start hangs", "models hangs")
    )
    place.write(f'[server]\nport = 0\ndrain = "100ms"\n{tables}')
    with place.serve(PYTHONPATH=package) as daemon:
        url = daemon.lines_until("http")[0]
        for model in ("ignores its end", "refuses to close"):
            asked(url, f"start-hangs/{model}", stream=True, timeout=0.3)
        daemon.process.terminate()
        assert daemon.process.wait(100) == 0
    held = [line for line in lines(daemon) if line["event"] == "the event loop is held up"]
    assert [(line["plugin"], line["at"].split()[-1]) for line in held] == [("hostile", "__init__")]
    last = lines(daemon)[-1]
    assert last["event"] == "ended by force: a plugin's code does not end"
    assert "start of start-hangs" in last["tasks"]
