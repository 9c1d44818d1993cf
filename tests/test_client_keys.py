"""Client keys over real sockets: issued and revoked while requests run, and what each of them may."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.errors import RequestInvalid
from tests.support import native
from tests.support.fake_upstream import STALL, FakeUpstream, Reply, Stream
from tests.support.standing import SERVER, Standing, provider, route, standing, told, until

WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))
MODEL = "one/gpt-test"


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def issue(daemon: Standing, name: str, **fields: Any) -> dict[str, str]:
    """A new client's headers."""
    return bearing((await daemon.daemon.surface.actions["/keys/add"]({"name": name, **fields}))["key"])


async def revoke(daemon: Standing, name: str) -> None:
    await daemon.daemon.surface.actions["/keys/revoke"]({"name": name})


async def asked(
    daemon: Standing, method: str, path: str, headers: Mapping[str, str], **more: Any
) -> tuple[int, Mapping[str, str], Any]:
    url = daemon.url.removesuffix("/v1") + path
    async with daemon.session.request(method, url, headers=headers, **more) as answer:
        return answer.status, answer.headers, await answer.json()


async def post(
    daemon: Standing, headers: Mapping[str, str], model: str = MODEL, **body: Any
) -> tuple[int, Mapping[str, str], Any]:
    sent = {"model": model, "input": "Hi", **body}
    return await asked(daemon, "POST", "/v1/responses", headers, json=sent)


async def test_a_key_is_in_force_at_once_and_refused_at_the_next_request_after_it_was_revoked(
    tmp_path: Path, upstream: FakeUpstream, logged: list[MutableMapping[str, Any]]
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        assert (await post(daemon, {}))[0] == 200
        alice = await issue(daemon, "alice")
        assert (await post(daemon, alice))[0] == 200
        assert (await post(daemon, {}))[0] == 401
        bob = await issue(daemon, "bob")
        await revoke(daemon, "alice")
        assert (await post(daemon, alice))[0] == 401
        assert (await post(daemon, bob))[0] == 200
        await revoke(daemon, "bob")
        assert [(await post(daemon, each))[0] for each in ({}, alice, bob)] == [401, 401, 401]
    assert len(upstream.requests) == 3
    keys = [headers["authorization"].split()[1] for headers in (alice, bob)]
    assert told(logged, "client key issued")
    assert not any(key in json.dumps(line, default=str) for key in keys for line in logged)


async def test_keys_outlive_the_daemon(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        alice = await issue(daemon, "alice")
        bob = await issue(daemon, "bob")
        await revoke(daemon, "bob")
    async with standing(tmp_path, text) as daemon:
        assert [(await post(daemon, each))[0] for each in (alice, bob, {})] == [200, 401, 401]


async def test_a_reload_leaves_issued_keys_alone_and_the_configurations_name_goes_first(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        alice = await issue(daemon, "alice")
        await daemon.reload(text + '[clients.alice]\nkey = "her-key-of-the-file"\n')
        assert (await post(daemon, alice))[0] == 401
        assert (await post(daemon, bearing("her-key-of-the-file")))[0] == 200
        rows = daemon.daemon.surface.answers["/keys"]()["clients"]
        assert [(row["from"], "problem" in row) for row in rows] == [
            ("configuration", False),
            ("command", True),
        ]
        await daemon.reload(text + '[clients.bob]\nkey = "his-key-of-the-file"\n')
        with pytest.raises(RequestInvalid, match=r"\[clients\.bob\] of the configuration"):
            await issue(daemon, "bob")
        assert (await post(daemon, alice))[0] == 200


async def test_a_client_sees_and_asks_for_its_own_models_alone(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url) + provider("two", upstream.url)
    text += route("coder", MODEL) + route("secret", "two/gpt-test")
    async with standing(tmp_path, text) as daemon:
        alice = await issue(daemon, "alice", routes=["coder", "two/*"])
        root = await issue(daemon, "root")
        _, everybody, document = await asked(daemon, "GET", "/v1/models", root)
        assert {"coder", "secret"} <= {each["id"] for each in document["data"]}
        _, headers, document = await asked(daemon, "GET", "/v1/models", alice)
        assert {each["id"] for each in document["data"]} <= {"coder", "two/gpt-test"}
        assert "coder" in {each["id"] for each in document["data"]}
        assert headers["etag"] != everybody["etag"]
        assert (await asked(daemon, "GET", "/v1/models/coder", alice))[0] == 200
        for model in ("secret", MODEL, "gpt-test", "none"):
            status, _, document = await post(daemon, alice, model)
            assert (status, document["error"]["code"]) == (404, "model_not_found")
            assert "secret" not in document["error"]["message"].replace("'secret'", "")
        assert (await asked(daemon, "GET", "/v1/models/secret", alice))[0] == 404
        assert [(await post(daemon, alice, model))[0] for model in ("coder", "two/gpt-test")] == [200, 200]
        with pytest.raises(RequestInvalid, match="'codr' can never be asked for: known are coder, secret"):
            await issue(daemon, "bob", routes=["codr"])


async def test_requests_of_a_minute_are_bounded_per_key(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    text += '[clients.alice]\nkey = "her-key-of-the-file"\nrequests_per_minute = 2\n'
    async with standing(tmp_path, text) as daemon:
        alice, bob = bearing("her-key-of-the-file"), await issue(daemon, "bob")
        answers = [await post(daemon, alice) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        for (_, headers, _), left in zip(answers, ("1", "0", "0"), strict=True):
            assert headers["x-ratelimit-limit-requests"] == "2"
            assert headers["x-ratelimit-remaining-requests"] == left
            assert headers["x-ratelimit-reset-requests"]
        _, headers, document = answers[2]
        assert 1 <= int(headers["retry-after"]) <= 60
        assert document["error"]["code"] == "rate_limit_exceeded"
        assert (await post(daemon, bob))[0] == 200
        assert (await asked(daemon, "GET", "/v1/models", alice))[0] == 200
        stream = await post(daemon, alice, stream=True)
        assert stream[0] == 429
    assert len(upstream.requests) == 3


async def test_requests_that_are_wrong_in_themselves_count_and_those_refused_for_a_limit_do_not(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        alice = await issue(daemon, "alice", requests_per_minute=3, routes=["one/gpt-test"])
        assert (await asked(daemon, "POST", "/v1/responses", alice, data=b"{"))[0] == 400
        assert (await post(daemon, alice, "one/other"))[0] == 404
        assert (await post(daemon, alice))[0] == 200
        for _ in range(3):
            assert (await asked(daemon, "POST", "/v1/responses", alice, data=b"{"))[0] == 429
    assert len(upstream.requests) == 1


async def test_open_streams_are_bounded_per_key_and_free_again_when_they_end(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(Stream(*native.text("Hel", "lo")[:4], STALL))
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        alice = await issue(daemon, "alice", streams=1)
        sent = {"model": MODEL, "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent, headers=alice) as open_one:
            assert open_one.status == 200
            (row,) = daemon.daemon.surface.answers["/keys"]()["clients"]
            assert row["open_streams"] == 1
            status, headers, document = await post(daemon, alice, stream=True)
            assert (status, headers["retry-after"]) == (429, "1")
            assert headers["x-ratelimit-limit-streams"] == "1"
            assert headers["x-ratelimit-remaining-streams"] == "0"
            assert "1 stream open" in document["error"]["message"]
            open_one.close()
        await until(lambda: daemon.daemon.surface.answers["/keys"]()["clients"][0]["open_streams"] == 0)
        upstream.play(WHOLE)
        assert (await post(daemon, alice))[0] == 200


async def test_the_tokens_of_a_day_are_bounded_and_kept_over_a_restart(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    now = [20_000 * 86_400.0]
    upstream.play(WHOLE)
    text = SERVER + provider("one", upstream.url)
    used = native.response("resp_1", "completed", [native.message("Hello")])["usage"]["total_tokens"]
    async with standing(tmp_path, text, wall=lambda: now[0]) as daemon:
        alice = await issue(daemon, "alice", tokens_per_day=used + 1)
        _, headers, _ = await post(daemon, alice)
        assert headers["x-ratelimit-limit-tokens"] == str(used + 1)
        assert (await post(daemon, alice))[0] == 200
        status, headers, _ = await post(daemon, alice)
        assert (status, headers["retry-after"]) == (429, "86400")
        assert headers["x-should-retry"] == "false"
    async with standing(tmp_path, text, wall=lambda: now[0]) as daemon:
        assert (await post(daemon, alice))[0] == 429
        assert daemon.daemon.surface.answers["/keys"]()["clients"][0]["tokens_today"] == 2 * used
        now[0] += 86_400
        assert (await post(daemon, alice))[0] == 200


async def test_what_was_used_is_written_soon(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        assert (await post(daemon, await issue(daemon, "alice")))[0] == 200
        file = tmp_path / "state" / "usage.json"
        while not await asyncio.to_thread(file.exists):  # noqa: ASYNC110  (another writes it)
            await asyncio.sleep(0.01)
        kept = json.loads(await asyncio.to_thread(file.read_text))
        assert kept["tokens"]["alice"] > 0


@pytest.mark.parametrize("content", ["", "[]", '{"day": 1, "tokens": {"alice": 5}}', '{"tokens": 5}'])
async def test_a_file_of_usage_that_is_of_no_use_stops_nothing(
    tmp_path: Path, upstream: FakeUpstream, content: str
) -> None:
    upstream.play(WHOLE)
    state = tmp_path / "state"
    await asyncio.to_thread(state.mkdir)
    await asyncio.to_thread((state / "usage.json").write_text, content)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        alice = await issue(daemon, "alice", tokens_per_day=5)
        assert (await post(daemon, alice))[0] == 200


async def test_over_tcp_only_an_admin_is_answered_what_the_control_socket_is(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        paths = ("/admin/status", "/admin/keys", "/admin/models")
        for path in paths:
            status, _, document = await asked(daemon, "GET", path, {})
            assert (status, document["error"]["code"]) == (403, "access_forbidden")
        root = await issue(daemon, "root", admin=True)
        alice = await issue(daemon, "alice")
        for path in paths:
            assert [(await asked(daemon, "GET", path, each))[0] for each in (root, alice, {})] == [
                200,
                403,
                401,
            ]
        _, _, status_page = await asked(daemon, "GET", "/admin/status", root)
        assert status_page["status"] in ("ready", "degraded")
        added = {"name": "bob"}
        assert (await asked(daemon, "POST", "/admin/keys/add", alice, json=added))[0] == 403
        status, _, made = await asked(daemon, "POST", "/admin/keys/add", root, json=added)
        assert status == 200
        bob = bearing(made["key"])
        assert (await post(daemon, bob))[0] == 200
        listed = (await asked(daemon, "GET", "/admin/keys", root))[2]
        assert [row["name"] for row in listed["clients"]] == ["root", "alice", "bob"]
        assert made["key"] not in json.dumps(listed)
        assert "sha256" not in json.dumps(listed)
        assert (await asked(daemon, "POST", "/admin/keys/revoke", root, json=added))[0] == 200
        assert (await post(daemon, bob))[0] == 401
        status, _, document = await asked(daemon, "POST", "/admin/keys/revoke", root, json=added)
        assert (status, document["error"]["code"]) == (400, "no_such_key")
        assert (await asked(daemon, "POST", "/admin/keys/add", root, data=b"["))[0] == 400
        assert (await asked(daemon, "POST", "/admin/keys/add", root, data=io.BytesIO(b"x" * 2**21)))[0] == 413
        status, _, become = await asked(daemon, "POST", "/admin/reload", root)
        assert (status, become["changed"]) == (200, [])
        assert (await asked(daemon, "GET", "/admin/nothing", root))[0] == 404


async def test_many_changes_at_once_are_all_kept(tmp_path: Path, upstream: FakeUpstream) -> None:
    async with standing(tmp_path, SERVER + provider("one", upstream.url)) as daemon:
        names = [f"client{number}" for number in range(20)]
        keys = await asyncio.gather(*(issue(daemon, name) for name in names))
        await asyncio.gather(*(revoke(daemon, name) for name in names[::2]))
        statuses = [(await asked(daemon, "GET", "/v1/models", each))[0] for each in keys]
        assert statuses == [401, 200] * 10
    kept = json.loads(await asyncio.to_thread((tmp_path / "state" / "clients.json").read_text))
    assert [each["name"] for each in kept["clients"]] == names[1::2]


async def test_a_daemon_that_others_can_reach_needs_keys_be_there_none(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    state = tmp_path / "state"
    text = SERVER + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        await issue(daemon, "alice")
        await revoke(daemon, "alice")
    everywhere = SERVER.replace("[server]", '[server]\nhost = "0.0.0.0"') + provider("one", upstream.url)
    async with standing(tmp_path, everywhere, STATE_DIRECTORY=str(state)) as daemon:
        here = daemon.url.replace("0.0.0.0", "127.0.0.1")
        sent = {"model": MODEL, "input": "Hi"}
        async with daemon.session.post(f"{here}/responses", json=sent) as answer:
            assert answer.status == 401
