"""The writer of one stream: few writes, bounded memory, no patience without end, no task left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from maestro_daemon.server.stream_writer import MOST_PENDING, Keepalive, StreamWriter
from maestro_daemon.ticker import Ticker


class Wire:
    """Stands for the response, its request, its writer and their transport: notes each write.

    While it is shut, what is written stays in the transport.
    """

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ended = False
        self.aborted = False
        self.unsent = 0
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.chunked = False
        self.transport: Any = self

    async def prepare(self, request: Any) -> Wire:
        assert request is self
        return self

    async def write(self, data: bytes, *, drain: bool = True) -> None:
        assert not drain
        if self.failure is not None:
            raise self.failure
        self.writes.append(data)

    async def drain(self) -> None:
        await self.open.wait()

    async def write_eof(self, data: bytes = b"") -> None:
        if data:
            await self.write(data, drain=False)
        await self.open.wait()
        self.ended = True

    def shut(self, unsent: int = 70_000) -> None:
        self.open.clear()
        self.unsent = unsent

    def take(self) -> None:
        self.unsent = 0
        self.open.set()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback


class Clock:
    """Stands for the loop, with a time that only the test moves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timers: list[Timer] = []
        self._now = 1000.0
        self.create_task = self._loop.create_task
        self.call_soon = self._loop.call_soon

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self._now + delay, callback)
        self._timers.append(timer)
        return timer

    @property
    def waiting(self) -> int:
        """How many timers are set."""
        return len(self._timers)

    def advance(self, seconds: float) -> None:
        """Let time pass; the timers that are due are called in their order."""
        end = self._now + seconds
        while due := [timer for timer in self._timers if timer.at <= end]:
            timer = min(due, key=lambda each: each.at)
            self._timers.remove(timer)
            self._now = timer.at
            timer.callback()
        self._now = end


def writer(wire: Any, send_timeout: float = 30.0, clock: Any = None, ticker: Any = None) -> StreamWriter:
    loop = clock or asyncio.get_running_loop()
    return StreamWriter(wire, wire, send_timeout, ticker or Ticker(send_timeout, loop), loop)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_gathers_between_two_turns_goes_out_in_one_write() -> None:
    wire = Wire()
    async with writer(wire) as out:
        for number in range(100):
            out.send("a", b"%d" % number)
        await turns()
        out.send("b", b"{}")
        out.send_raw(b": note\n\n")
    assert wire.writes == [
        b"".join(b"event: a\ndata: %d\n\n" % number for number in range(100)),
        b"event: b\ndata: {}\n\n: note\n\n",
    ]
    assert wire.ended
    assert out.pending == 0


async def test_what_gathers_while_the_client_does_not_take_goes_out_together_and_whole() -> None:
    wire = Wire()
    async with writer(wire) as out:
        wire.shut()
        for number in range(50):
            out.send("a", b"%d" % number)
            await turns(2)
        wire.take()
    assert b"".join(wire.writes) == b"".join(b"event: a\ndata: %d\n\n" % number for number in range(50))
    assert all(write.endswith(b"\n\n") for write in wire.writes)
    assert len(wire.writes) == 2


async def test_it_goes_on_by_itself_once_the_client_takes() -> None:
    wire = Wire()
    async with writer(wire) as out:
        wire.shut()
        out.send("a", b"1")
        await turns()
        out.send("a", b"2")
        await turns()
        assert len(wire.writes) == 1
        wire.take()
        await turns()
        assert wire.writes[1:] == [b"event: a\ndata: 2\n\n"]
        out.send("a", b"3")
        await turns()
        assert wire.writes[2:] == [b"event: a\ndata: 3\n\n"]


async def test_the_producer_waits_while_too_much_is_pending() -> None:
    wire = Wire()
    async with writer(wire) as out:
        wire.shut()
        out.send("a", b"{}")
        await turns()
        sent = 0
        while out.pending < MOST_PENDING:
            out.send("a", b"x" * 1000)
            sent += 1
        waiting = asyncio.create_task(out.room())
        await turns()
        assert not waiting.done()
        assert sent * 1000 < MOST_PENDING + 2000
        wire.take()
        await waiting
        assert out.pending < MOST_PENDING


async def test_room_is_there_at_once_while_little_is_pending() -> None:
    async with writer(Wire()) as out:
        out.send("a", b"{}")
        await out.room()


@pytest.mark.parametrize("when", ["in a write", "at the end"])
async def test_a_client_that_takes_nothing_is_dropped(when: str, logged: list[Any]) -> None:
    wire, clock = Wire(), Clock()
    wire.shut()
    out = writer(wire, 30, clock)

    async def run() -> None:
        async with out:
            if when == "in a write":
                out.send("a", b"{}")
                await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await turns()
    clock.advance(29)
    assert not wire.aborted
    clock.advance(9)
    assert wire.aborted
    task.cancel()  # as the server does when the connection is gone
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line["event"] for line in logged] == ["client dropped: it took nothing"]
    clock.advance(30)
    assert not clock.waiting


async def test_a_client_that_is_slow_but_takes_is_kept() -> None:
    wire, clock = Wire(), Clock()
    async with writer(wire, 30, clock) as out:
        wire.shut(5_000_000)
        out.send("a", b"x" * 5_000_000)
        await turns()
        for _ in range(40):
            clock.advance(20)
            wire.unsent -= 100_000
        assert not wire.aborted
        wire.take()
        await turns()
        wire.shut()
        out.send("a", b"{}")
        await turns()
        clock.advance(29)
        assert not wire.aborted
        wire.take()
    assert wire.ended
    clock.advance(30)
    assert not clock.waiting


async def test_an_idle_stream_is_no_reason_to_drop_its_client() -> None:
    wire, clock = Wire(), Clock()
    async with writer(wire, 30, clock) as out:
        out.send("a", b"{}")
        await turns()
        clock.advance(3600)
        out.send("a", b"{}")
    assert len(wire.writes) == 2
    assert not wire.aborted


@pytest.mark.parametrize("failure", [ConnectionResetError("gone"), RuntimeError("closed")])
async def test_a_connection_that_went_away_ends_the_writer_quietly(failure: Exception) -> None:
    wire = Wire()
    wire.failure = failure
    async with writer(wire) as out:
        out.send("a", b"x" * MOST_PENDING)
        await out.room()
        out.send("a", b"{}")
    assert wire.aborted
    assert not wire.ended


async def test_leaving_with_an_error_writes_nothing_more() -> None:
    wire = Wire()
    wire.shut()

    async def run() -> None:
        async with writer(wire) as out:
            out.send("a", b"1")
            await turns()
            out.send("a", b"2")
            raise KeyError

    with pytest.raises(KeyError):
        await run()
    assert wire.writes == [b"event: a\ndata: 1\n\n"]
    assert not wire.ended


async def test_being_cancelled_while_the_rest_is_written_ends_the_task_too() -> None:
    wire = Wire()
    wire.shut()
    before = asyncio.all_tasks()

    async def run() -> None:
        async with writer(wire) as out:
            out.send("a", b"1")

    task = asyncio.create_task(run())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert asyncio.all_tasks() == before


async def test_keepalives_come_again_and_again_until_nobody_looks() -> None:
    clock = Clock()
    calls: list[float] = []
    ticker = Ticker(15, clock)  # type: ignore[arg-type]
    async with writer(Wire(), 1e9, clock, ticker) as out:

        def say() -> None:
            calls.append(clock.time())
            out.last_sent = clock.time()

        keepalive = Keepalive(out, 15, say)
        ticker.add(keepalive)
        clock.advance(14)
        assert not calls
        clock.advance(31)
        assert calls == [1015.0, 1030.0, 1045.0]
        ticker.discard(keepalive)
        clock.advance(100)
        assert len(calls) == 3


async def test_what_is_sent_puts_the_next_keepalive_off() -> None:
    clock = Clock()
    calls: list[float] = []
    ticker = Ticker(15, clock)  # type: ignore[arg-type]
    async with writer(Wire(), 1e9, clock, ticker) as out:
        keepalive = Keepalive(out, 15, lambda: calls.append(clock.time()))
        ticker.add(keepalive)
        for _ in range(10):
            clock.advance(10)
            out.send("a", b"{}")
            await turns()
        assert not calls
        clock.advance(16)
        assert calls == [1115.5]  # the first look after 15 seconds of silence
        ticker.discard(keepalive)


class Below:
    """The transport of a chunked answer, beside its writer."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closing = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


def chunked() -> tuple[Wire, Below]:
    wire, below = Wire(), Below()
    wire.chunked, wire.transport = True, below
    return wire, below


async def test_behind_the_head_each_write_is_one_chunk() -> None:
    wire, below = chunked()
    async with writer(wire) as out:
        out.send_raw(b"first")
        await turns()
        out.send_raw(b"a" * 10)
        out.send_raw(b"b" * 7)
        await turns()
        out.send_raw(b"")
        await turns()
        out.send_raw(b"last")
    assert wire.writes == [b"first", b"", b"last"]
    assert below.writes == [b"11\r\n" + b"a" * 10 + b"b" * 7 + b"\r\n"]


async def test_a_chunk_for_a_client_that_is_gone_drops_it() -> None:
    wire, below = chunked()
    async with writer(wire) as out:
        out.send_raw(b"first")
        await turns()
        below.closing, wire.failure = True, ConnectionResetError()
        out.send_raw(b"second")
        await turns()
        assert below.aborted
        wire.failure = None
    assert below.writes == []
