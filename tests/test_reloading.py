"""A configuration read anew: what it changes, what it cannot, and what becomes of a wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.reloading import NotReloaded
from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.standing import SERVER, provider, route, standing, told, until

WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))


async def test_nothing_changed_is_said(tmp_path: Path, upstream: FakeUpstream) -> None:
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        become = await daemon.reload()
        assert not any(become[key] for key in ("added", "removed", "changed", "restart"))


async def test_a_wrong_configuration_changes_nothing_and_says_where_it_is_wrong(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url) + route("coder", "one/gpt-test")
    async with standing(tmp_path, text) as daemon:
        before = daemon.current
        with pytest.raises(ConfigInvalid) as refused:
            await daemon.reload(text + route("other", "none/gpt-test") + "[serve]\n")
        assert refused.value.message.split("\n") == [
            f"{daemon.file}:10:12: routes.other.targets[0]: 'none/gpt-test' can never be tried: "
            "no provider 'none'; did you mean 'one'?",
            f"{daemon.file}:11:1: serve: unknown key; did you mean 'server'?",
        ]
        assert daemon.current is before
        assert (await daemon.post("coder"))[0] == 200
    (line,) = told(logged, "configuration not taken over, the earlier one stays")
    assert line["log_level"] == "error"
    assert line["count"] == 2


@pytest.mark.parametrize("text", ["[server", "\0", "routes = 3"])
async def test_what_is_no_configuration_changes_nothing(
    tmp_path: Path, upstream: FakeUpstream, text: str
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        with pytest.raises(ConfigInvalid, match=r"maestro\.toml:1:"):
            await daemon.reload(text)
        assert (await daemon.post("one/gpt-test"))[0] == 200


@pytest.mark.parametrize("text", ["", SERVER])
async def test_a_file_without_any_provider_is_taken_for_a_half_written_one(
    tmp_path: Path, upstream: FakeUpstream, text: str
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        with pytest.raises(ConfigInvalid, match=r"maestro\.toml: providers: there is none any more"):
            await daemon.reload(text)
        assert (await daemon.post("one/gpt-test"))[0] == 200


async def test_a_file_that_is_gone_changes_nothing_and_no_other_is_looked_for(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        await asyncio.to_thread(daemon.file.unlink)
        with pytest.raises(ConfigInvalid, match=r"maestro\.toml: cannot be read: No such file"):
            await daemon.reload()
        assert (await daemon.post("one/gpt-test"))[0] == 200


async def test_a_key_that_is_taken_away_is_refused_at_the_next_request_of_an_open_connection(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url) + '[clients.alice]\nkey = "alice-key-1"\n'
    bob = '[clients.bob]\nkey = "bob-key-1"\n'
    async with standing(tmp_path, text + bob) as daemon:
        keys = {name: {"authorization": f"Bearer {name}-key-1"} for name in ("alice", "bob")}
        for name in ("alice", "bob"):
            assert (await daemon.post("one/gpt-test", headers=keys[name]))[0] == 200
        become = await daemon.reload(text)
        assert become["removed"] == ["clients.bob"]
        assert (await daemon.post("one/gpt-test", headers=keys["bob"]))[0] == 401
        assert (await daemon.post("one/gpt-test", headers=keys["alice"]))[0] == 200
        become = await daemon.reload(text.replace("alice-key-1", "alice-key-2"))
        assert become["changed"] == ["clients.alice.key"]
        assert (await daemon.post("one/gpt-test", headers=keys["alice"]))[0] == 401
    assert len(upstream.requests) == 3


async def test_limits_are_those_of_the_new_configuration(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    rest = provider("one", upstream.url)
    async with standing(tmp_path, SERVER + rest) as daemon:
        assert (await daemon.post("one/gpt-test"))[0] == 200
        become = await daemon.reload(SERVER + 'max_body = "10B"\nheader_timeout = "3s"\n' + rest)
        assert become["changed"] == ["server.max_body", "server.header_timeout"]
        assert (await daemon.post("one/gpt-test"))[0] == 413


async def test_where_it_listens_and_its_plugins_stay_until_a_restart_and_are_named_each_time(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    upstream.play(WHOLE)
    rest = provider("one", upstream.url)
    async with standing(tmp_path, SERVER + rest) as daemon:
        url = daemon.url
        text = (
            '[server]\nport = 9\nhost = "localhost"\ndrain = "1s"\n[plugins]\ndisabled = ["local"]\n' + rest
        )
        for _ in range(2):
            become = await daemon.reload(text)
            assert become["restart"] == ["server.host", "server.port", "plugins.disabled"]
        assert become["changed"] == []
        assert daemon.url == url
        assert (await daemon.post("one/gpt-test"))[0] == 200
        assert daemon.current.config.server.port == 0
        assert daemon.current.config.server.drain == 1.0
    assert len(told(logged, "these take effect with a restart only, and stay as they were")) == 2


async def test_a_plugin_that_is_in_use_cannot_be_left_out(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        with pytest.raises(ConfigInvalid, match=r"kind 'openai' is disabled: \[plugins\] leaves out"):
            await daemon.reload(text + '[plugins]\ndisabled = ["openai"]\n')


async def test_a_plugin_that_was_left_out_at_the_start_needs_a_restart(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    text = SERVER + provider("one", upstream.url)
    local = '[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:1/v1"\n'
    async with standing(tmp_path, text + '[plugins]\ndisabled = ["local"]\n') as daemon:
        with pytest.raises(ConfigInvalid, match=r"left out its plugin 'local' when .* started; restart it"):
            await daemon.reload(text + local)


async def test_the_last_key_cannot_go_while_other_machines_can_reach_the_daemon(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    rest = provider("one", upstream.url)
    alice = '[clients.alice]\nkey = "alice-key-1"\n'
    open_to_all = '[server]\nport = 0\nhost = "0.0.0.0"\n'
    async with standing(tmp_path, open_to_all + rest + alice) as daemon:
        with pytest.raises(ConfigInvalid, match=r"listens on '0\.0\.0\.0'.*or restart with \[server\] host"):
            await daemon.reload(SERVER + rest)
        assert daemon.current.access.has_keys
        become = await daemon.reload(SERVER + rest + alice)
        assert become["restart"] == ["server.host"]


async def test_no_secret_is_told_of_what_changed(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    before = provider("one", upstream.url)
    after = before.replace("sk-up", "sk-hunter2") + 'headers = { "x-team" = "sk-hunter3" }\n'
    async with standing(tmp_path, SERVER + before) as daemon:
        become = await daemon.reload(SERVER + after + '[clients.al]\nkey = "sk-hunter4"\n')
    assert become["changed"] == ["providers.one.headers", "providers.one.api_key"]
    (line,) = told(logged, "configuration taken over")
    assert line["changed"] == become["changed"]
    assert line["added"] == ["clients.al"]
    assert "hunter" not in f"{become}{logged}"


async def test_a_secret_in_a_file_is_read_anew(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    key = tmp_path / "key"
    await asyncio.to_thread(key.write_text, "sk-first")
    text = SERVER + provider("one", upstream.url).replace('"sk-up"', f'{{ file = "{key.name}" }}')
    async with standing(tmp_path, text) as daemon:
        await daemon.post("one/gpt-test")
        await asyncio.to_thread(key.write_text, "sk-second")
        assert (await daemon.reload())["changed"] == ["providers.one.api_key"]
        await daemon.post("one/gpt-test")
    shown = [each.headers["Authorization"] for each in upstream.requests]
    assert shown == ["Bearer sk-first", "Bearer sk-second"]


async def test_whoever_asks_during_a_reload_is_answered_by_a_later_one(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        await daemon.write(text + route("a", "one/gpt-test"))
        first = asyncio.create_task(daemon.daemon.reloading.asked({}))
        await until(lambda: bool(told(logged, "configuration taken over")))
        # The first has taken over but not answered yet: what is written now, it has not read.
        await daemon.write(text + route("b", "one/gpt-test"))
        later = [asyncio.create_task(daemon.daemon.reloading.asked({})) for _ in range(5)]
        assert (await first)["added"] == ["routes.a"]
        become = await asyncio.gather(*later)
        assert all(each["added"] == ["routes.b"] for each in become)
    assert len(told(logged, "configuration taken over")) == 2


async def test_a_reload_goes_on_though_whoever_asked_has_left(tmp_path: Path, upstream: FakeUpstream) -> None:
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        before = daemon.current
        await daemon.write(text + route("a", "one/gpt-test"))
        asking = asyncio.create_task(daemon.daemon.reloading.asked({}))
        await asyncio.sleep(0)
        asking.cancel()
        await until(lambda: daemon.current is not before)
        assert "a" in daemon.current.config.routes


async def test_a_reload_under_way_is_dropped_by_a_stop_and_later_ones_are_refused(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    asked = asyncio.Event()

    async def never_lists(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(never_lists, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
    text = SERVER + provider("one", upstream.url)
    async with silent, standing(tmp_path, text) as daemon:
        before = daemon.current
        await daemon.write(text + provider("two", url))
        asking = asyncio.create_task(daemon.daemon.reloading.asked({}))
        await asked.wait()
        await daemon.daemon.drain(asyncio.Event())
        with pytest.raises(NotReloaded, match="being stopped"):
            await asking
        with pytest.raises(NotReloaded, match="being stopped"):
            await daemon.reload()
        assert daemon.current is before
