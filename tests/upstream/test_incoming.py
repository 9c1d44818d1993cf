"""What comes over a connection, byte by byte: every framing of HTTP, any split, and what nobody asked for."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientOSError, ClientPayloadError, ServerDisconnectedError
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.upstream.body import Body
from maestro_daemon.upstream.incoming import Incoming, NotHttp

PARTS = (b"event: a\ndata: 1\n\n", b"event: b\ndata: 2\n\n", b"data: [DONE]\n\n")
TEXT = b"".join(PARTS)
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in PARTS) + b"0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Two: a\r\nx-two: b\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS
MEASURED = HEAD + b"content-length: %d\r\n\r\n%b" % (len(TEXT), TEXT)
UNTIL_CLOSED = HEAD + b"\r\n" + TEXT


class Wire(asyncio.Transport):
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.told


def run(test: Callable[[Incoming], Coroutine[Any, Any, None]]) -> None:
    async def running() -> None:
        connection = Incoming(asyncio.get_running_loop())
        connection.connection_made(Wire())
        connection.expect()
        await test(connection)

    asyncio.run(running())


def wire(connection: Incoming) -> Wire:
    assert isinstance(connection.transport, Wire)
    return connection.transport


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


async def text(body: Body) -> bytes:
    return b"".join([piece async for piece in body])


@given(
    st.sampled_from([CHUNKED, MEASURED, UNTIL_CLOSED]),
    st.booleans(),
    st.lists(st.integers(0, 1000), max_size=20),
    st.booleans(),
)
def test_any_framing_in_any_split_gives_the_answer(
    sent: bytes, continues: bool, places: list[int], at_once: bool
) -> None:
    if continues:
        sent = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + sent

    async def test(connection: Incoming) -> None:
        body, read = connection.body, b""
        for piece in cut(sent, places):
            connection.data_received(piece)
            if not at_once:
                read += body.arrived() or b""
        if not body.whole:
            connection.connection_lost(None)
        status, headers = await connection.head()
        assert (status, headers["content-type"], headers.getall("x-two")) == (
            200,
            "text/event-stream",
            ["a", "b"],
        )
        assert "link" not in headers
        assert read + await text(body) == TEXT
        assert body.at_end
        assert connection.should_close is sent.endswith(UNTIL_CLOSED)

    run(test)


@pytest.mark.parametrize("sent", [CHUNKED, MEASURED])
@pytest.mark.parametrize("lost", [None, ConnectionResetError(104, "reset")])
def test_an_answer_that_is_cut_anywhere_is_never_taken_for_whole(sent: bytes, lost: Exception | None) -> None:
    async def test(connection: Incoming, cut_at: int) -> None:
        body = connection.body
        connection.data_received(sent[:cut_at])
        connection.connection_lost(lost)
        assert connection.should_close
        assert not body.whole
        if sent.find(b"\r\n\r\n") + 4 > cut_at:
            with pytest.raises(ServerDisconnectedError if lost is None else ClientOSError):
                await connection.head()
            return
        await connection.head()
        read = body.arrived() or b""
        with pytest.raises(ClientPayloadError):
            await body.readany()
        assert TEXT.startswith(read)

    for cut_at in range(len(sent)):
        run(lambda connection, cut_at=cut_at: test(connection, cut_at))  # type: ignore[misc]


def test_what_came_before_a_cut_is_read_before_the_error() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(CHUNKED[: -len(b"0\r\n\r\n")])
        connection.connection_lost(ConnectionResetError())
        assert await connection.body.readany() == TEXT
        for _ in range(2):
            with pytest.raises(ClientPayloadError):
                await connection.body.readany()
        assert not connection.body.at_end

    run(test)


@pytest.mark.parametrize(
    "behind",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"HTTP", b"garbage", b"\r\n\r\nHTTP/1.1 200 OK"],
)
@pytest.mark.parametrize("sent", [CHUNKED, MEASURED, HEAD + b"content-length: 0\r\n\r\n"])
@pytest.mark.parametrize("later", [False, True])
def test_what_nobody_asked_for_is_in_no_answer_and_ends_the_connection(
    sent: bytes, behind: bytes, later: bool
) -> None:
    async def test(connection: Incoming) -> None:
        body = connection.body
        for piece in (sent, behind) if later else (sent + behind,):
            connection.data_received(piece)
        assert await text(body) == (b"" if sent.endswith(b": 0\r\n\r\n") else TEXT)
        assert connection.should_close
        if later:
            with pytest.raises(ServerDisconnectedError):
                connection.expect()

    run(test)


@pytest.mark.parametrize("size", [1, 1000])
def test_what_a_server_says_before_the_first_request_is_its_answer(size: int) -> None:
    async def running() -> None:
        connection = Incoming(asyncio.get_running_loop())
        connection.connection_made(Wire())
        said = MEASURED.replace(b"200 OK", b"503 Full")
        for start in range(0, len(said), size):
            connection.data_received(said[start : start + size])
        connection.expect()
        assert (await connection.head())[0] == 503
        assert await text(connection.body) == TEXT
        assert not connection.should_close

    asyncio.run(running())


def test_much_that_a_server_says_before_the_first_request_holds_it_up_until_it_is_read() -> None:
    async def running() -> None:
        connection = Incoming(asyncio.get_running_loop())
        connection.connection_made(Wire())
        connection.data_received(HEAD + b"content-length: 1000000\r\n\r\n")
        connection.data_received(b"x" * 300_000)
        assert wire(connection).told == ["pause"]
        connection.expect()
        assert wire(connection).told == ["pause", "resume", "pause"]
        assert await connection.body.readany() == b"x" * 300_000
        assert wire(connection).told == ["pause", "resume", "pause", "resume"]

    asyncio.run(running())


def test_a_connection_that_closes_behind_its_answer_says_so_at_once() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(MEASURED.replace(b"X-Two: a", b"connection: close"))
        assert await text(connection.body) == TEXT
        assert connection.should_close

    run(test)


@pytest.mark.parametrize(
    ("sent", "in_the_head"),
    [
        (b"SSH-2.0-OpenSSH\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nx-big: " + b"x" * 200_000, True),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n", True),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n", False),
    ],
)
def test_what_is_no_http_ends_the_connection(sent: bytes, in_the_head: bool) -> None:
    async def test(connection: Incoming) -> None:
        body = connection.body
        for start in range(0, len(sent), 1000):
            connection.data_received(sent[start : start + 1000])
        assert "close" in wire(connection).told
        assert connection.should_close
        if in_the_head:
            with pytest.raises(NotHttp):
                await connection.head()
            return
        assert (await connection.head())[0] == 200
        assert await body.readany() == b"abc"
        with pytest.raises(ClientPayloadError):
            await body.readany()

    run(test)


BEGUN = HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nx-big: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (BEGUN, b"0"),
        (BEGUN + b"3;", b"x"),
        (BEGUN + b"0\r\nx-big: ", b"x"),
        (BEGUN + b"0\r\n", b"x: y\r\n"),
    ],
)
@pytest.mark.parametrize("reads_first", [False, True])
def test_what_is_around_the_content_has_to_end(sent: bytes, more: bytes, reads_first: bool) -> None:
    async def test(connection: Incoming) -> None:
        body, read = connection.body, b""
        connection.data_received(sent)
        for _ in range(20):
            if reads_first:
                read += body.arrived() or b""
            connection.data_received(more * (20_000 // len(more)))
            if "pause" in wire(connection).told:
                read += body.arrived() or b""
        assert "close" in wire(connection).told
        assert body.came <= 300_000
        assert connection.should_close
        if sent.startswith(BEGUN):
            assert read == b"abc"
            with pytest.raises(ClientPayloadError):
                await body.readany()
        else:
            with pytest.raises(NotHttp):
                await connection.head()

    run(test)


def test_any_number_of_frames_may_stand_around_content() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            for piece in (b"00001\r\n", b"x", b"\r\n"):
                connection.data_received(piece)
            assert await connection.body.readany() == b"x"
        connection.data_received(b"0\r\n\r\n")
        assert connection.body.at_end

    run(test)


@pytest.mark.parametrize("behind", [b"", b"\x01\x02"])
def test_a_connection_that_speaks_something_else_from_now_on_is_not_used_again(behind: bytes) -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + behind
        )
        assert (await connection.head())[0] == 101
        assert connection.body.at_end
        assert connection.should_close

    run(test)


def test_a_word_before_the_answer_that_has_a_body_is_no_http() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(b"HTTP/1.1 199 Odd\r\ncontent-length: 4\r\n\r\nevil" + MEASURED)
        with pytest.raises(NotHttp):
            await connection.head()
        assert "close" in wire(connection).told

    run(test)


@pytest.mark.parametrize("framing", [b"", b"transfer-encoding: chunked, gzip\r\n"])
@pytest.mark.parametrize("cut_by_us", [False, True])
def test_only_the_upstream_ends_a_body_by_ending_the_connection(framing: bytes, cut_by_us: bool) -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(HEAD + framing + b"\r\n" + TEXT)
        if cut_by_us:
            connection.abort()
        connection.connection_lost(None)
        assert await connection.body.readany() == TEXT
        if not cut_by_us:
            assert await connection.body.readany() == b""
            return
        with pytest.raises(ClientPayloadError):
            await connection.body.readany()

    run(test)


def test_while_much_lies_unread_the_connection_is_read_no_further() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(HEAD + b"content-length: 1000000\r\n\r\n")
        for _ in range(3):
            connection.data_received(b"x" * 60_000)
        assert wire(connection).told == ["pause"]
        assert await connection.body.readany() == b"x" * 180_000
        assert wire(connection).told == ["pause", "resume"]

    run(test)


def test_who_waits_is_woken_by_each_read_and_may_leave() -> None:
    async def test(connection: Incoming) -> None:
        head = asyncio.create_task(connection.head())
        await asyncio.sleep(0)
        connection.data_received(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        assert (await head)[0] == 200
        leaving = asyncio.create_task(connection.body.readany())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        reading = asyncio.create_task(connection.body.readany())
        await asyncio.sleep(0)
        connection.data_received(b"3\r\nabc\r\n")
        assert await reading == b"abc"
        reading = asyncio.create_task(connection.body.readany())
        await asyncio.sleep(0)
        connection.data_received(b"0\r\n\r\n")
        assert await reading == b""

    run(test)


def test_what_was_looked_at_is_read_as_well() -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(CHUNKED)
        assert await connection.body.peek() == TEXT
        assert not connection.body.at_end
        assert await text(connection.body) == TEXT

    run(test)


CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "identity": TEXT,
    "made-up": TEXT,  # given as it came
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_upstream_that_compresses_though_it_was_not_asked_is_understood(
    coding: str, looks: bool, size: int
) -> None:
    coded = CODED[coding]
    sent = HEAD + f"content-encoding: {coding}\r\ncontent-length: {len(coded)}\r\n\r\n".encode() + coded

    async def test(connection: Incoming) -> None:
        for start in range(0, len(sent), size):
            connection.data_received(sent[start : start + size])
        if looks:
            assert TEXT.startswith(await connection.body.peek())
        assert await text(connection.body) == TEXT
        assert connection.body.at_end

    run(test)


def test_a_little_that_decodes_to_very_much_is_decoded_a_piece_at_a_time_and_others_get_their_turn() -> None:
    coded = gzip.compress(bytes(50_000_000))

    async def test(connection: Incoming) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        connection.data_received(
            HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(coded) + coded
        )
        others = asyncio.create_task(other())
        sizes = [len(piece) async for piece in connection.body]
        others.cancel()
        assert sum(sizes) == 50_000_000
        assert max(sizes) <= 64 * 1024
        assert turns >= 40

    run(test)


@pytest.mark.parametrize("coded", [gzip.compress(TEXT, mtime=0)[:-1], b"no gzip at all", b""])
def test_what_does_not_decode_is_an_answer_that_broke_off(coded: bytes) -> None:
    async def test(connection: Incoming) -> None:
        connection.data_received(
            HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(coded) + coded
        )
        with pytest.raises(ClientPayloadError):
            await text(connection.body)
        assert not connection.body.at_end

    run(test)
