"""The installed service on a real systemd: started, asked, looked at."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.systemd.box import Box, box
from tests.support.systemd.installed import CONFIG, HERE, PREFIX, PROGRAM, UNITS, Service, free_port, service

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

SECRET = "sk-hunter22hunter22"
WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))


def provider(upstream: FakeUpstream) -> str:
    return (
        f'[providers.up]\nkind = "openai"\nbase_url = "{upstream.url}"\napi_key = {{ credential = "up" }}\n'
        '[routes.coder]\ntargets = ["up/gpt-test"]\n'
    )


async def ask(url: str, **body: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/responses", json={"input": "Hi", **body}) as answer,
    ):
        return answer.status, await answer.json()


async def test_a_service_answers_and_can_do_nothing_else(host: Box, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)

    def begin() -> Service:
        made = stack.__enter__()
        started = made.start()
        assert started.returncode == 0, started.stderr + made.status()
        return made

    stack = service(host, provider(upstream), {"up": SECRET})
    one = await asyncio.to_thread(begin)
    try:
        status, answer = await ask(one.url, model="coder")
        assert (status, answer["output"][0]["content"][0]["text"]) == (200, "Hello")
        over_unix = await asyncio.to_thread(lambda: one.ask_unix(model="up/gpt-test", input="Hi"))
        assert over_unix["output"][0]["content"][0]["text"] == "Hello"
        assert {each.headers["Authorization"] for each in upstream.requests} == {f"Bearer {SECRET}"}
        await asyncio.to_thread(look, one)
    finally:
        await asyncio.to_thread(stack.__exit__, None, None, None)


def look(one: Service) -> None:
    host = one.host
    host.until(lambda: "(not ready)" not in one.status(), "its models are read")
    (line,) = re.findall(r'Status: "(.*)"', one.status())
    assert line == f"serving on {one.url} and /run/maestro-daemon.sock; providers: up; routes: coder"
    shown = one.shown("DynamicUser", "MainPID", "NotifyAccess", "WatchdogUSec", "Type", "ActiveState")
    assert shown["DynamicUser"] == "yes"
    assert (shown["Type"], shown["ActiveState"], shown["WatchdogUSec"]) == ("notify", "active", "30s")

    # No other rights.
    process = dict(
        line.split(":\t", 1)
        for line in host.read(f"/proc/{shown['MainPID']}/status").splitlines()
        if "\t" in line
    )
    users = set(process["Uid"].split())
    assert users.isdisjoint({"0"})
    assert 61184 <= int(users.pop()) <= 65519
    assert {int(process[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert process["NoNewPrivs"] == "1"
    assert process["Seccomp"] == "2"

    # The journal is asked by field.
    entries = one.entries("EVENT=response", "TARGET=up/gpt-test")
    assert [entry["MODEL"] for entry in entries] == ["coder", "up/gpt-test"]
    assert entries[0]["HTTP_STATUS"] == "200"
    assert entries[0]["PRIORITY"] == "6"
    assert entries[0]["MESSAGE"].startswith("response request_id=")
    assert one.entries("TARGET=another") == []

    # The key is nowhere.
    told = [
        host.did("systemctl", "show", *UNITS),
        host.did("ps", "auxeww"),
        host.journal("-o", "export"),
        one.status(),
        host.read(CONFIG),
        host.did(PROGRAM, "status", "--json"),
    ]
    assert all(told)
    assert not any(SECRET in text for text in told)

    # Others than root are not told that there is none.
    for command in (["status"], ["keys", "list"]):
        asked = host.run("runuser", "-u", "nobody", "--", "env", "HOME=/tmp", PROGRAM, *command)
        assert "The machine's daemon answers root alone" in asked.stderr

    # Installed again, nothing changes.
    again = host.did(PROGRAM, "install-service").splitlines()
    assert [each.split()[0] for each in again] == ["the", "unchanged", "unchanged", "kept", "nothing"]


def test_the_embedded_engine_answers_under_all_of_it(host: Box) -> None:
    config = '[providers.embedded]\nkind = "local"\nengine = "embedded"\ncontext = 1024\n'
    with service(host, config) as one:
        assert one.start().returncode == 0, one.status()
        answer = one.ask_unix(model="auto", input="Hello", max_output_tokens=16)
        assert answer.get("status") in {"completed", "incomplete"}, answer
        assert answer["output"][0]["content"][0]["text"]


async def test_a_reload_says_by_its_status_whether_it_took_over(host: Box, upstream: FakeUpstream) -> None:
    upstream.play(WHOLE)

    def reload() -> None:
        with service(host, provider(upstream), {"up": SECRET}) as one:
            assert one.start().returncode == 0, one.status()
            one.configure(provider(upstream) + '[routes.other]\ntargets = ["up/gpt-test"]\n')
            assert host.run("systemctl", "reload", UNITS[1]).returncode == 0
            assert "routes: coder, other" in one.status()
            one.configure(provider(upstream) + "[rotues.third]\n")
            failed = host.run("systemctl", "reload", UNITS[1])
            assert failed.returncode == 1
            assert "did you mean 'routes'?" in one.said()
            assert "routes: coder, other; not taken over: /etc/maestro-daemon/config.toml:" in one.status()
            assert one.shown("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
            assert one.ask_unix(model="other", input="Hi")["status"] == "completed"

    await asyncio.to_thread(reload)


def test_what_is_uninstalled_leaves_nothing_but_its_state(possible: None, tmp_path: Path) -> None:
    def files_of_ours(host: Box) -> set[str]:
        command = "find / -xdev -iname '*maestro*' -not -path '/proc/*' -not -path '/tmp/*' 2>/dev/null; "
        command += "find /run -iname '*maestro*'; find /etc/systemd -xtype l"
        return set(host.run("sh", "-c", command).stdout.split())

    with box(tmp_path) as host:
        before = files_of_ours(host)
        dry = host.did(HERE, "install-service", "--prefix", PREFIX, "--dry-run")
        assert "would write /etc/systemd/system/maestro-daemon.service" in dry
        assert files_of_ours(host) == before
        host.did(HERE, "install-service", "--prefix", PREFIX, timeout=1500)
        one = Service(host, free_port())
        one.configure('[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:9/v1"\n')
        one.host.did(PROGRAM, "install-service")
        one.drop_in("Environment=MINE=1")
        assert one.start().returncode == 0, one.status()
        said = host.did(PROGRAM, "uninstall-service")
        assert said.endswith("the state stays in /var/lib/private/maestro-daemon\n")
        state = {"/var/lib/maestro-daemon", "/var/lib/private/maestro-daemon"}
        left = files_of_ours(host) - before
        assert {each for each in left if not any(each.startswith(place) for place in state)} == set()
        kept = "/var/lib/private/maestro-daemon/uninstalled"
        assert "providers.home" in host.read(f"{kept}/config.toml")
        assert "MINE=1" in host.read(f"{kept}/maestro-daemon.service.d/test.conf")
        for unit in UNITS:
            assert host.shown(unit, "LoadState") == {"LoadState": "not-found"}
        assert host.run(HERE, "uninstall-service").returncode == 0
