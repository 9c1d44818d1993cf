"""When an upstream counts as silent, told by a clock that the test holds."""

from __future__ import annotations

import aiohttp
import pytest

from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.silence import Silence
from tests.support.raw_upstream import READ, STALL, STREAM_HEAD, chunks, raw_upstream

FIRST_BYTE, IDLE = 10.0, 30.0


@pytest.fixture
def silences(monkeypatch: pytest.MonkeyPatch) -> list[Silence]:
    """The watches of all exchanges, in order."""
    made: list[Silence] = []

    def silence(self: HttpUpstream) -> Silence:
        made.append(Silence(FIRST_BYTE, IDLE))
        return made[-1]

    monkeypatch.setattr(HttpUpstream, "silence", silence)
    return made


async def test_the_time_for_the_headers_does_not_hold_for_the_body(silences: list[Silence]) -> None:
    script = [READ, STREAM_HEAD, chunks([b"{"], end=False), STALL]
    async with raw_upstream(script) as raw:
        upstream = HttpUpstream(raw.url, provider="first", idle_timeout=IDLE)
        try:
            async with upstream.request("POST", "/responses", body=b"{}") as answer:
                (silence,) = silences
                began = silence._heard_at
                assert await answer.body.readany() == b"{"
                silence.look(began + 1)
                silence.look(began + FIRST_BYTE * 2)
                assert not silence.fell
                silence.look(began + 1 + IDLE)
                assert silence.fell
                with pytest.raises(aiohttp.ClientError):
                    await answer.body.readany()
        finally:
            await upstream.aclose()


async def test_nothing_falls_before_there_is_a_connection() -> None:
    silence = Silence(FIRST_BYTE, IDLE)
    silence.look(1e9)
    assert not silence.fell
