"""``maestro-daemon status``: how targets do, once or all the time."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.command import PROGRAM, Place

CONFIG = """
[server]
port = 0

[providers.home]
kind = "local"
base_url = "http://127.0.0.1:1/v1"

[routes.coder]
targets = ["home/a", "home/b"]
balance = "in_order"

[breaker]
failures = 2
cooldown = "1h"
longest_cooldown = "1h"
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write(CONFIG)
    return place


def ask(url: str, model: str) -> int:
    body = json.dumps({"model": model, "input": "Hi"}).encode()
    request = urllib.request.Request(f"{url}/responses", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@contextmanager
def watching(place: Place, *arguments: str, output: int | IO[Any] = subprocess.PIPE) -> Iterator[Any]:
    process = subprocess.Popen(
        [PROGRAM, "status", "--watch", "--interval", "0.1", *arguments],
        cwd=place.folder,
        env={**place.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert said == ""
    finally:
        process.kill()
        process.communicate()


def test_the_targets_of_routes_are_shown_before_and_after_they_were_asked(place: Place) -> None:
    with place.serve() as daemon:
        url = daemon.lines_until("route ")[0]
        before = json.loads(place.run("status", "--json").stdout)["targets"]
        assert [ask(url, "home/a"), ask(url, "home/a"), ask(url, "home/other")] == [502, 502, 502]
        after = json.loads(place.run("status", "--json").stdout)["targets"]
        shown = place.run("status").stdout
    assert [(row["target"], row["state"], row["attempts"]) for row in before] == [
        ("home/a", "closed", 0),
        ("home/b", "closed", 0),
    ]
    assert [(row["target"], row["state"], row["failures"]) for row in after] == [
        ("home/a", "open", 2),
        ("home/b", "closed", 0),
        ("home/other", "closed", 1),
    ]
    assert after[0]["cause"] == "unreachable"
    assert 2800 < after[0]["cooldown_left"] <= 3600
    (line,) = [line for line in shown.splitlines() if line.startswith("home/a ")]
    assert " open " in line
    assert "0.0%" in line
    assert "unreachable: home cannot be reached: connection refused." in line
    assert "TARGET" in shown


def test_watching_in_a_pipe_prints_one_page_after_another(place: Place) -> None:
    with place.serve() as daemon:
        daemon.lines_until("route ")
        with watching(place) as process:
            pages = 0
            while pages < 3:
                line = process.stdout.readline()
                assert line
                assert "\x1b" not in line
                pages += line.startswith("TARGET")


def test_watching_as_json_prints_a_line_each_time(place: Place) -> None:
    with place.serve() as daemon:
        daemon.lines_until("route ")
        with watching(place, "--json") as process:
            documents = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert all(document["targets"][0]["target"] == "home/a" for document in documents)


def test_watching_on_a_terminal_keeps_the_screen_and_gives_it_back(place: Place) -> None:
    ours, theirs = pty.openpty()
    seen = bytearray()
    enough = threading.Event()

    def look() -> None:
        # As a terminal does: what nobody takes would hold the program up at its end.
        while piece := _rest(ours):
            seen.extend(piece)
            if seen.count(b"home/a") >= 3:
                enough.set()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with place.serve() as daemon:
            daemon.lines_until("route ")
            with watching(place, output=theirs):
                assert enough.wait(20)
    finally:
        os.close(theirs)
        looking.join()
        os.close(ours)
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in seen


def _rest(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says the end of a terminal so
        return b""


def test_watching_ends_when_the_daemon_does(place: Place) -> None:
    done = place.run("status", "--watch")
    assert done.returncode == 1
    assert "No maestro-daemon is running here" in done.stderr
