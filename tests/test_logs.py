"""Logs are lines that cost nobody anything: they do not block, do not raise, and do not tell."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import pty
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from maestro_daemon import logs
from maestro_daemon.plugin import Secret


@pytest.fixture
def unpatched() -> Iterator[None]:
    """structlog as the process has it: the suite's own capture is put back by its fixture afterwards."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Pipe:
    """A pipe that a log writes into; `text` is what it wrote, once closed."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def text(self) -> str:
        os.close(self.write_end)
        with open(self.read_end, "rb") as file:
            return file.read().decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def pipe(unpatched: None) -> Pipe:
    return Pipe()


Log = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def logged_by(pipe: Pipe) -> Log:
    """The JSON lines that a function logs."""

    def run(function: Callable[[Any], object], **options: Any) -> list[dict[str, Any]]:
        configured = logs.configure(descriptor=pipe.write_end, **options)
        try:
            function(structlog.get_logger("test"))
        finally:
            configured.close()
        return pipe.lines()

    return run


def test_a_line_holds_time_level_event_and_fields(logged_by: Log) -> None:
    (line,) = logged_by(lambda log: log.info("started", port=8787, host="::1"))
    assert list(line) == ["time", "level", "event", "port", "host"]
    assert (line["level"], line["event"], line["port"]) == ("info", "started", 8787)
    assert line["time"].endswith("Z")


def test_what_was_bound_at_the_edge_stands_in_every_line(logged_by: Log) -> None:
    def log_it(log: Any) -> None:
        with structlog.contextvars.bound_contextvars(request_id="req_1"):
            log.bind(target="a/b").warning("one")
        log.info("two")

    one, two = logged_by(log_it)
    assert (one["request_id"], one["target"]) == ("req_1", "a/b")
    assert "request_id" not in two


def test_lines_below_the_level_are_left_out(logged_by: Log) -> None:
    def log_it(log: Any) -> None:
        log.debug("no")
        log.info("no")
        log.warning("yes")
        logging.getLogger("library").info("no")

    assert [line["event"] for line in logged_by(log_it, level="warning")] == ["yes"]


def test_libraries_are_heard_from_warning_up_and_at_debug_wholly(logged_by: Log) -> None:
    def log_it(log: Any) -> None:
        logging.getLogger("library").info("chatter")
        logging.getLogger("library").warning("at %s", "once")
        log.info("ours")

    lines = logged_by(log_it, level="info")
    assert [(line["event"], line.get("logger")) for line in lines] == [("at once", "library"), ("ours", None)]


def test_at_debug_libraries_say_everything(logged_by: Log) -> None:
    (line,) = logged_by(lambda log: logging.getLogger("library").debug("chatter"), level="debug")
    assert (line["level"], line["event"]) == ("debug", "chatter")


def test_warnings_of_python_are_lines(logged_by: Log) -> None:
    def warn(log: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn("old thing", UserWarning, stacklevel=1)

    (line,) = logged_by(warn)
    assert "old thing" in line["event"]


def test_an_exception_brings_its_traceback_without_secrets(logged_by: Log) -> None:
    def log_it(log: Any) -> None:
        try:
            raise ValueError("sent Bearer abcdefgh12345678")
        except ValueError:
            log.exception("failed")

    (line,) = logged_by(log_it)
    assert line["level"] == "error"
    assert "ValueError: sent ***" in line["traceback"]


class Hostile:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def nothing_raises(log: Any) -> None:
    log.info("done [red]%s[/red]", payload="[/]")
    log.info("%s %d", "too few")
    log.info(Hostile())
    log.info("hostile", value=Hostile(), key={Hostile(): 1})
    log.info("clash", event_dict={}, _logger=1, method_name="x")
    log.info("surrogate \ud800", deep=[[[[[[[[[[1]]]]]]]]]])
    log.info("big", number=2**100, nan=float("nan"))
    log.exception("without any exception")
    log.info("long", **{f"k{number}": "x" * 3000 for number in range(20)})
    bridge = logging.getLogger().handlers[-1]
    bridge.handle(logging.LogRecord("library", logging.WARNING, "", 1, "%s %s", ("too few",), None))


def test_nothing_that_is_logged_can_raise(logged_by: Log) -> None:
    lines = logged_by(nothing_raises)
    assert len(lines) == 10
    assert lines[0]["event"] == "done [red]%s[/red]"
    assert all(len(json.dumps(line)) < 20_000 for line in lines)


def test_known_secrets_are_kept_out_of_every_field(pipe: Pipe) -> None:
    configured = logs.configure(descriptor=pipe.write_end)
    configured.keep_out([Secret('hunter"22é')])
    structlog.get_logger().info('hunter"22é', other=['hunter"22é'], text='a hunter"22é b')
    configured.close()
    text = pipe.text()
    assert "hunter" not in text
    assert text.count("***") == 3


def test_a_reader_that_takes_nothing_blocks_nobody_and_the_loss_is_said(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 4096)
    configured = logs.configure(descriptor=pipe.write_end)
    log = structlog.get_logger()
    for number in range(5000):
        log.info("line", number=number, filler="x" * 1000)
    text: list[list[dict[str, Any]]] = []
    reader = threading.Thread(target=lambda: text.append(read_until_closed(pipe.read_end)))
    reader.start()
    configured.close()
    os.close(pipe.write_end)
    reader.join()
    (lines,) = text
    lost = sum(line["count"] for line in lines if line["event"] == "log lines dropped")
    written = [line["number"] for line in lines if line["event"] == "line"]
    assert lost + len(written) == 5000
    assert lost > 0
    assert written == sorted(written)


def read_until_closed(descriptor: int) -> list[dict[str, Any]]:
    with open(descriptor, "rb") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def test_closing_gives_up_on_a_reader_that_takes_nothing(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 4096)
    writer = logs.LineWriter(pipe.write_end, lambda count: b"lost")
    for _ in range(100):
        writer.put(b"x" * 1000)
    writer.close(timeout=0.01)
    writer.put(b"after the end")
    os.close(pipe.read_end)


def test_a_closed_reader_is_no_error(pipe: Pipe) -> None:
    os.close(pipe.read_end)
    configured = logs.configure(descriptor=pipe.write_end)
    structlog.get_logger().info("to nobody")
    configured.close()
    os.close(pipe.write_end)


def test_a_descriptor_that_does_not_block_gets_every_byte(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 4096)
    writer = logs.LineWriter(pipe.write_end, lambda count: b"lost")
    got: list[bytes] = []

    def read() -> None:
        with open(pipe.read_end, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    for number in range(100):
        writer.put(b"%03d" % number * 100)
    reader.start()
    writer.close()
    os.close(pipe.write_end)
    reader.join()
    assert [line[:3] for line in got[0].splitlines()] == [b"%03d" % number for number in range(100)]


async def test_logging_on_the_loop_does_not_block(pipe: Pipe) -> None:
    configured = logs.configure(descriptor=pipe.write_end)
    structlog.get_logger().info("on the loop")
    logging.getLogger("library").warning("on the loop")
    await asyncio.to_thread(configured.close)
    assert [line["event"] for line in await asyncio.to_thread(pipe.lines)] == ["on the loop"] * 2


def on_terminal(function: Callable[[Any], object], **options: Any) -> str:
    leader, follower = pty.openpty()
    configured = logs.configure(descriptor=follower, **options)
    function(structlog.get_logger())
    configured.close()
    os.set_blocking(leader, False)
    text = os.read(leader, 65536).decode()
    os.close(leader)
    os.close(follower)
    return text.replace("\r\n", "\n")


def test_a_terminal_gets_text_in_colour(unpatched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = on_terminal(lambda log: log.info("started", port=8787, name="a b", seconds=1.23456))
    assert "\x1b[32minfo   \x1b[0m started" in text
    assert "\x1b[36mport\x1b[0m=8787" in text
    assert "'a b'" in text
    assert "1.235" in text


def test_no_color_is_respected(unpatched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_terminal(lambda log: log.info("started", port=8787))


def test_what_comes_from_outside_cannot_write_lines_or_colours_of_its_own(
    unpatched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    evil = "a\n12:00:00 error  forged\x1b[2J"
    text = on_terminal(lambda log: log.info(evil, field=evil, nested={"x": evil}))
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_a_traceback_keeps_its_lines_on_a_terminal(unpatched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    def fail(log: Any) -> None:
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("failed")

    lines = on_terminal(fail).splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: no"


def test_json_can_be_had_on_a_terminal(unpatched: None) -> None:
    assert json.loads(on_terminal(lambda log: log.info("started"), json=True))["event"] == "started"


def test_text_can_be_had_in_a_pipe(pipe: Pipe) -> None:
    configured = logs.configure(descriptor=pipe.write_end, json=False)
    structlog.get_logger().info("started", port=1)
    configured.close()
    assert pipe.text().endswith("info    started port=1\n")


def test_closing_gives_the_standard_library_back(pipe: Pipe) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    logs.configure(descriptor=pipe.write_end).close()
    assert (root.level, list(root.handlers)) == before
    pipe.text()


def test_a_body_is_written_whole_and_without_secrets(pipe: Pipe) -> None:
    configured = logs.configure(descriptor=pipe.write_end)
    configured.keep_out([Secret("hunter22hunter22")])
    body = b'{"input": "' + b"x" * 100_000 + b' hunter22hunter22 sk-abcdefgh12345678"}'
    configured.write_body("request body", {"request_id": "req_1"}, body)
    configured.write_body("request body", {}, b"\xff\xd8 cut in a character \xe2\x82")
    configured.close()
    first, second = pipe.lines()
    assert (first["event"], first["request_id"], first["level"]) == ("request body", "req_1", "info")
    assert first["body"] == '{"input": "' + "x" * 100_000 + ' *** ***"}'
    assert "cut in a character" in second["body"]


def test_bodies_are_not_written_above_info(pipe: Pipe) -> None:
    configured = logs.configure(descriptor=pipe.write_end, level="warning")
    configured.write_body("request body", {}, b"{}")
    configured.close()
    assert pipe.text() == ""


def test_few_bodies_wait_and_what_is_lost_is_said(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, 4096)
    configured = logs.configure(descriptor=pipe.write_end)
    for _ in range(500):
        configured.write_body("request body", {}, b"x" * 10_000)
    lines: list[list[dict[str, Any]]] = []
    reader = threading.Thread(target=lambda: lines.append(read_until_closed(pipe.read_end)))
    reader.start()
    configured.close()
    os.close(pipe.write_end)
    reader.join()
    written = [line for line in lines[0] if line["event"] == "request body"]
    lost = sum(line["count"] for line in lines[0] if line["event"] == "log lines dropped")
    assert lost > 0
    assert len(written) + lost == 500
