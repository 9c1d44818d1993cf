"""One configuration after another while requests run: each request ends under its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from maestro_daemon.plugin import (
    HttpOptions,
    LoggedIn,
    LoginState,
    LoginStep,
    Model,
    ProviderUnavailable,
    Waiting,
    hookimpl,
)
from maestro_daemon.server.control_socket import follow, tell
from tests.support.fake_upstream import PAUSE, STALL, FakeUpstream, Stream, refusal
from tests.support.house import NativeProvider, parse_stream
from tests.support.reloaded import HELLO, WHOLE, is_closed
from tests.support.standing import SERVER, Standing, provider, route, standing, told, until


async def test_an_added_provider_and_route_answer_at_once(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    before = SERVER + provider("one", upstream.url) + route("coder", "one/gpt-test")
    async with standing(tmp_path, before) as daemon:
        assert (await daemon.post("two/gpt-test"))[0] == 404
        assert (await daemon.post("chat"))[0] == 404
        become = await daemon.reload(before + provider("two", other.url) + route("chat", "two/gpt-test"))
        assert become == {
            "config": str(daemon.file),
            "added": ["providers.two", "routes.chat"],
            "removed": [],
            "changed": [],
            "restart": [],
            "problems": {},
        }
        assert (await daemon.post("two/gpt-test"))[0] == 200
        assert (await daemon.post("chat"))[0] == 200
        _, models = await daemon.get("/v1/models")
        assert [model["id"] for model in models["data"]] == ["coder", "chat", "one/gpt-test", "two/gpt-test"]
        assert (await daemon.get("/readyz"))[1]["providers"].keys() == {"one", "two"}
    assert len(other.requests) == 2


async def test_a_bare_model_of_a_new_provider_is_known_as_soon_as_the_reload_has_answered(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    other.models = {"object": "list", "data": [{"id": "fresh"}]}
    before = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, before) as daemon:
        await daemon.reload(before + provider("two", other.url))
        assert daemon.current.catalog.models("two") is not None
        assert (await daemon.post("fresh"))[0] == 200


async def test_a_provider_that_is_down_does_not_keep_the_others_from_taking_over(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    before = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, before) as daemon:
        become = await daemon.reload(before + provider("two", "http://127.0.0.1:1/v1"))
        assert become["added"] == ["providers.two"]
        assert (await daemon.post("two/gpt-test"))[0] == 502
        assert (await daemon.post("one/gpt-test"))[0] == 200


async def test_a_stream_ends_whole_on_a_route_and_a_provider_that_are_gone(
    tmp_path: Path, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    upstream.play(Stream(*HELLO[:4], PAUSE, *HELLO[4:]))
    rest = SERVER + provider("two", other.url)
    async with standing(
        tmp_path, rest + provider("one", upstream.url) + route("coder", "one/gpt-test")
    ) as daemon:
        gone = daemon.current.providers["one"]
        sent = {"model": "coder", "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
            begun = await answer.content.readuntil(b"\n\n")
            become = await daemon.reload(rest)
            assert become["removed"] == ["providers.one", "routes.coder"]
            assert (await daemon.post("coder"))[0] == 404
            assert (await daemon.post("one/gpt-test"))[0] == 404
            assert daemon.daemon.succession.lingering == 1
            assert not is_closed(gone)
            upstream.go_on()
            events = parse_stream(begun + await answer.read())
        assert events[-1]["type"] == "response.completed"
        await daemon.only_current()
        assert is_closed(gone)


async def test_a_request_that_is_read_under_one_configuration_is_answered_under_it(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    before = SERVER + provider("one", upstream.url) + route("coder", "one/gpt-test")
    async with standing(tmp_path, before) as daemon:
        host, port = daemon.url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"model": "coder", "input": "Hi"}'
        head = f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:5])
        await until(lambda: daemon.current.front.in_flight == 1)
        await daemon.reload(SERVER + provider("one", upstream.url))
        writer.write(body[5:])
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        await writer.wait_closed()


async def test_the_daemon_ends_while_an_earlier_configuration_still_serves(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*HELLO[:4], STALL))
    text = SERVER + 'drain = "50ms"\n' + provider("one", upstream.url)
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(standing(tmp_path, text))
        gone = daemon.current.providers["one"]
        sent = {"model": "one/gpt-test", "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
            begun = await answer.content.readuntil(b"\n\n")
            await daemon.reload(SERVER + 'drain = "50ms"\n' + provider("two", upstream.url))
            await daemon.daemon.drain(asyncio.Event())
            events = parse_stream(begun + await answer.read())
        assert events[-1]["type"] == "response.failed"
        await stack.aclose()
    assert is_closed(gone)


async def test_requests_that_never_end_do_not_keep_their_providers_for_ever(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]], monkeypatch: Any
) -> None:
    monkeypatch.setattr("maestro_daemon.generation._LAST_WORDS", 0.01)
    limits = 'body_timeout = "1ms"\nsend_timeout = "1ms"\n'
    one = provider("one", upstream.url, 'total_timeout = "1ms"')
    async with standing(tmp_path, SERVER + limits + one) as daemon:
        before = daemon.current
        with before.front.entered():
            await daemon.reload(SERVER + provider("two", upstream.url))
            await daemon.only_current()
        assert is_closed(before.providers["one"])
    assert (
        len(told(logged, "requests under an earlier configuration do not end: its providers are closed")) == 1
    )


class Doorkeeper(NativeProvider):
    """A provider with a login that goes on when the test says so."""

    def __init__(self, name: str, base_url: str) -> None:
        super().__init__(name, base_url)
        self.may_go_on = asyncio.Event()
        self.logged_out = False

    async def models(self) -> Sequence[Model]:
        if self.logged_out:
            raise ProviderUnavailable("Log in first.")
        return await super().models()

    async def login(self) -> AsyncGenerator[LoginStep, None]:
        yield Waiting(1.0)
        await self.may_go_on.wait()
        self.logged_out = False
        yield LoggedIn("somebody")

    async def logout(self) -> str:
        self.logged_out = True
        return "Forgotten."

    async def login_state(self) -> LoginState:
        return LoginState(False)


@hookimpl
def _doorkeeper(register: Any) -> None:
    register("doorkeeper", HttpOptions, lambda name, options: Doorkeeper(name, options.base_url))


DOORKEEPER = {"doorkeeper": SimpleNamespace(maestro_register_providers=_doorkeeper)}


def kept(upstream: FakeUpstream) -> str:
    """A configuration of the one provider that has to be logged in to."""
    return SERVER + f'[providers.one]\nkind = "doorkeeper"\nbase_url = "{upstream.url}"\n'


@asynccontextmanager
async def at_the_door(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[tuple[Standing, Path]]:
    """A daemon with that provider, and the socket by which it is logged in to."""
    socket = tmp_path / "control.sock"
    async with (
        standing(tmp_path, kept(upstream), plugins=DOORKEEPER) as daemon,
        daemon.daemon.controlled(socket),
    ):
        yield daemon, socket


async def test_models_are_listed_from_a_login_to_its_logout(tmp_path: Path, upstream: FakeUpstream) -> None:
    async with at_the_door(tmp_path, upstream) as (daemon, socket):
        one: Any = daemon.current.providers["one"]
        one.may_go_on.set()

        async def listed() -> list[str]:
            return [model["id"] for model in (await daemon.get("/v1/models"))[1]["data"]]

        assert await listed() == ["one/gpt-test"]
        await asyncio.to_thread(tell, socket, "/logout", {"provider": "one"}, timeout=60.0)
        assert await listed() == []
        await asyncio.to_thread(list, follow(socket, "/login", {"provider": "one"}))
        assert await listed() == ["one/gpt-test"]


async def test_a_login_under_way_keeps_its_provider_and_heals_the_one_that_took_its_place(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(refusal(401), WHOLE)
    async with at_the_door(tmp_path, upstream) as (daemon, socket):
        before: Any = daemon.current.providers["one"]
        steps = follow(socket, "/login", {"provider": "one"})
        assert (await asyncio.to_thread(next, steps))["step"] == "waiting"
        await daemon.reload(kept(upstream) + 'idle_timeout = "9s"\n')
        assert daemon.current.providers["one"] is not before
        for _ in range(2):
            assert (await daemon.post("one/gpt-test"))[0] >= 500
        assert len(upstream.requests) == 1
        assert not before.http._session.closed
        before.may_go_on.set()
        assert (await asyncio.to_thread(next, steps))["step"] == "done"
        await asyncio.to_thread(steps.close)
        await daemon.only_current()
        assert before.http._session.closed
        assert (await daemon.post("one/gpt-test"))[0] == 200
