"""Logins and quotas at a real terminal and in pipes, with and without a running daemon."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.copilot.copilot import fake_copilot
from tests.support.copilot.desk import Desk
from tests.support.copilot.github import (
    DENIED,
    EXPIRED,
    GRANTED,
    NO_ACCESS,
    PENDING,
    Fault,
    GitHubHalf,
    Poll,
)
from tests.support.copilot.overheard import Overheard

WITH_OR_WITHOUT = pytest.mark.parametrize("running", [True, False], ids=["daemon", "no daemon"])


@pytest.fixture
def desk(tmp_path: Path, github_and_url: tuple[GitHubHalf, str], heard: Overheard) -> Desk:
    return Desk(tmp_path, github_and_url[1], heard)


async def mode_of(path: Path) -> int:
    return stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode)


@WITH_OR_WITHOUT
async def test_a_login_shows_page_and_code_and_ends_when_the_person_agreed(desk, github, running) -> None:
    github.polls = [PENDING, GRANTED]
    async with desk.daemon(running), desk.terminal("login", "work") as terminal:
        shown = await terminal.until("Ctrl-C gives up")
        assert "https://github.com/login/device" in shown
        assert "ABCD-1234" in shown
        status, shown = await terminal.end()
        assert (status, "Logged in to work as octocat." in shown) == (0, True), shown
        assert str(desk.file()) in shown.replace("\n", "")
        assert await mode_of(desk.file()) == 0o600
        assert github.exchanges >= 1


@WITH_OR_WITHOUT
async def test_each_other_end_has_its_sentence_and_status(desk, github, running) -> None:
    wrong = Poll({"error": "incorrect_device_code", "error_description": "The device_code is not valid."})
    async with desk.daemon(running):
        for poll, status, said in (
            (EXPIRED, 3, "The code has expired before it was entered"),
            (DENIED, 4, "The login was denied at GitHub; nothing has changed."),
            (wrong, 1, "GitHub ended the login: The device_code is not valid."),
        ):
            github.polls = [poll]
            async with desk.terminal("login", "work") as terminal:
                ended, shown = await terminal.end()
            assert ended == status
            assert f"Error: {said}" in shown
        github.polls = [GRANTED]
        github.state.user.refusal = NO_ACCESS
        async with desk.terminal("login", "work") as terminal:
            ended, shown = await terminal.end()
        assert ended == 5
        said = shown.replace("\n", "")
        assert "has no Copilot subscription" in said
        assert "https://github.com/settings/copilot" in said
        assert not await asyncio.to_thread(desk.file().exists)


@WITH_OR_WITHOUT
async def test_ctrl_c_gives_up_and_asks_github_nothing_more(desk, github, running) -> None:
    github.polls = [PENDING]
    async with desk.daemon(running):
        async with desk.terminal("login", "work") as terminal:
            await terminal.until("ABCD-1234")
            await terminal.type("\x03")
            status, shown = await terminal.end()
            assert status == 130
            assert "Given up; nothing has changed." in shown
            assert "Aborted" not in shown
        github.polls = [GRANTED]
        asked = github.counts["/login/oauth/access_token"]
        # A login after that one is the next that GitHub hears of.
        async with desk.terminal("login", "home") as terminal:
            assert (await terminal.end())[0] == 0
        assert github.counts["/login/oauth/access_token"] == asked + 1
        assert not await asyncio.to_thread(desk.file("work").exists)
        assert await asyncio.to_thread(desk.file("home").exists)


async def test_a_killed_command_ends_the_login_in_the_daemon(desk, github) -> None:
    github.polls = [PENDING]
    async with desk.daemon() as daemon:
        async with desk.terminal("login", "work") as terminal:
            await terminal.until("ABCD-1234")
        github.polls = [GRANTED]
        async with desk.terminal("login", "home") as terminal:
            assert (await terminal.end())[0] == 0
        assert not await asyncio.to_thread(desk.file("work").exists)
        assert daemon.process.poll() is None


@WITH_OR_WITHOUT
async def test_the_status_of_every_provider_and_a_logout(desk, github, running) -> None:
    async with desk.daemon(running):
        async with desk.terminal("login", "--status") as terminal:
            status, shown = await terminal.end()
        assert status == 0
        assert "maestro-daemon login work" in shown
        assert "maestro-daemon login home" in shown
        assert (await desk.run("login", "--status", "home")).returncode == 1
        await desk.log_in(github)
        async with desk.terminal("login", "--status") as terminal:
            status, shown = await terminal.end()
        (work,) = [line for line in shown.splitlines() if line.split()[:1] == ["work"]]
        assert "octocat" in work
        assert "logged in" in shown
        document = json.loads((await desk.run("login", "--status", "--json")).stdout)
        assert document["logins"]["work"]["logged_in"] is True
        assert document["logins"]["work"]["account"] == "octocat"
        assert document["logins"]["home"]["logged_in"] is False
        assert (await desk.run("login", "--status", "work")).returncode == 0
        async with desk.terminal("logout", "work") as terminal:
            status, shown = await terminal.end()
        assert (status, "is logged out" in shown) == (0, True)
        assert not await asyncio.to_thread(desk.file().exists)
        assert (await desk.run("login", "--status", "work")).returncode == 1


@WITH_OR_WITHOUT
async def test_the_quota_at_a_terminal_and_for_scripts(desk, github, running) -> None:
    async with desk.daemon(running):
        done = await desk.run("quota")
        assert done.returncode == 1
        assert "work: Provider 'work' is not logged in: run: maestro-daemon login work" in done.stderr
        await desk.log_in(github)
        async with desk.terminal("quota", "work") as terminal:
            status, shown = await terminal.end()
        assert status == 0
        for said in ("individual", "premium interactions", "212.5 of 300 (70.8 %)", "2026-12-01", "octocat"):
            assert said in shown, shown
        report = json.loads((await desk.run("quota", "work", "--json")).stdout)["quotas"]["work"]
        assert (report["plan"], report["resets"]) == ("individual", "2026-12-01")
        assert report["allowances"][0]["remaining"] == 212.5
        github.state.user.copilot = {}
        done = await desk.run("quota", "work")
        assert (done.returncode, done.stderr) == (0, "")
        assert "octocat" in done.stdout


@WITH_OR_WITHOUT
async def test_a_login_in_a_pipe_is_text_or_json_lines(desk, github, running) -> None:
    async with desk.daemon(running):
        done = await desk.run("login", "work")
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert "enter  ABCD-1234\n" in done.stdout
        done = await desk.run("login", "home", "--json")
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        assert [step["step"] for step in steps] == ["code", "waiting", "done"]
        assert (steps[0]["code"], steps[-1]["account"]) == ("ABCD-1234", "octocat")
        github.polls = [DENIED]
        done = await desk.run("login", "home", "--json")
        assert done.returncode == 4
        assert json.loads(done.stdout.splitlines()[-1])["reason"] == "denied"


@WITH_OR_WITHOUT
async def test_what_cannot_be_is_a_sentence(desk, running) -> None:
    async with desk.daemon(running):
        for command in ("login", "logout", "quota"):
            done = await desk.run(command, "wrok")
            assert done.returncode == 1
            assert done.stderr == "Error: There is no provider 'wrok' here; did you mean 'work'?\n"


async def test_the_daemon_that_ends_in_the_middle_is_a_sentence(desk, github) -> None:
    github.polls = [PENDING]
    async with desk.daemon() as daemon, desk.terminal("login", "work") as terminal:
        await terminal.until("ABCD-1234")
        daemon.process.send_signal(signal.SIGTERM)
        status, shown = await terminal.end()
        assert status == 1
        assert "ended before its answer was complete" in shown
        # A second signal, as at the end of every daemon here, would cut short what the first one began.
        assert await asyncio.to_thread(daemon.process.wait, 20) == 0


async def test_a_daemon_starts_without_a_login_and_serves_after_one(desk, github) -> None:
    async with desk.daemon() as daemon:
        urls = json.loads((await desk.run("status", "--json")).stdout)["urls"]

        async def ready() -> dict[str, Any]:
            root = urls[0].removesuffix("/v1")
            async with aiohttp.ClientSession() as session, session.get(f"{root}/readyz") as answer:
                document: dict[str, Any] = await answer.json()
                return document

        await asyncio.to_thread(daemon.lines_until, "provider home")
        status = json.loads((await desk.run("status", "--json")).stdout)
        for name in ("work", "home"):
            said = f"Provider '{name}' is not logged in: run: maestro-daemon login {name}"
            assert status["providers"][name]["problem"] == said
            assert (await ready())["providers"][name]["reason"] == said
        listed = json.loads((await desk.run("models", "--json")).stdout)
        assert "maestro-daemon login work" in listed["problems"]["work"]
        assert (await desk.run("login", "work")).returncode == 0
        status = json.loads((await desk.run("status", "--json")).stdout)
        # Its models were asked for at once, where nobody listens: what lacks now is no login.
        assert "cannot be reached" in status["providers"]["work"]["problem"]
        assert "not logged in" in status["providers"]["home"]["problem"]
        assert "cannot be reached" in (await ready())["providers"]["work"]["reason"]


async def test_a_login_without_the_daemon_is_found_by_one_that_starts_later(desk, github) -> None:
    async with desk.daemon(False):
        assert (await desk.run("login", "work")).returncode == 0
    async with desk.daemon():
        document = json.loads((await desk.run("login", "--status", "--json")).stdout)
        assert document["logins"]["work"]["logged_in"] is True


async def test_a_login_beside_the_running_daemon_is_found_by_it(desk, github) -> None:
    async with desk.daemon():
        done = await desk.run("login", "work", "--config", "maestro.toml")
        assert done.returncode == 0
        document = json.loads((await desk.run("login", "--status", "--json")).stdout)
        assert document["logins"]["work"]["logged_in"] is True
        assert (await desk.run("quota", "work")).returncode == 0


async def test_a_revoked_login_is_told_where_one_looks(desk, github) -> None:
    async with desk.daemon():
        await desk.log_in(github)
        github.state.revoke_github_tokens()
        done = await desk.run("quota", "work")
        assert done.returncode == 1
        assert "does not accept the token" in done.stderr
        assert "run: maestro-daemon login work" in done.stderr
        github.user_faults = [Fault(500)]


async def test_a_token_of_the_environment_needs_no_login(desk, github) -> None:
    desk.place.environ["WORK_TOKEN"] = github.state.github_token()
    config = desk.config.replace("[providers.home]", 'token = { env = "WORK_TOKEN" }\n[providers.home]')
    async with desk.daemon(config=config):
        document = json.loads((await desk.run("login", "--status", "work", "--json")).stdout)
        assert document["logins"]["work"]["logged_in"] is True
        assert document["logins"]["work"]["source"] == "the environment variable WORK_TOKEN"
        done = await desk.run("login", "work")
        assert done.returncode == 1
        assert "takes its token from the environment variable WORK_TOKEN" in done.stderr


async def asked(url: str, model: str) -> tuple[int, str]:
    """Status and body of a request for an answer."""
    body = {"model": model, "input": "Hi"}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/responses", json=body) as answer:
        return answer.status, await answer.text()


async def test_after_a_login_the_running_daemon_answers(tmp_path, heard) -> None:
    async with fake_copilot() as fake:
        desk = Desk(tmp_path, fake.url, heard)
        config = desk.config.replace("http://127.0.0.1:1", fake.url)
        async with desk.daemon(config=config):
            (url,) = json.loads((await desk.run("status", "--json")).stdout)["urls"]
            status, said = await asked(url, "work/gpt-native")
            assert status == 503
            assert "run: maestro-daemon login work" in said
            async with desk.terminal("login", "work") as terminal:
                assert (await terminal.end())[0] == 0
            listed = json.loads((await desk.run("models", "--json")).stdout)
            assert "work/gpt-native" in [each["id"] for each in listed["models"]]
            assert (await asked(url, "work/gpt-native"))[0] == 200
            # Revoked in the middle: minted anew once, and the client notices nothing.
            exchanges = fake.github.exchanges
            fake.state.revoke_copilot_tokens()
            assert (await asked(url, "work/gpt-native"))[0] == 200
            assert fake.github.exchanges == exchanges + 1
            # What the last answer's headers said counts while GitHub itself cannot be asked.
            fake.github.user_faults = [Fault(503)]
            report = json.loads((await desk.run("quota", "work", "--json")).stdout)["quotas"]["work"]
            assert report["allowances"][0]["percent"] == 41.5
            assert "from earlier answers" in report["note"]
            assert (await desk.run("logout", "work")).returncode == 0
            status, said = await asked(url, "work/gpt-native")
            assert status == 503
            assert "run: maestro-daemon login work" in said
            heard.text(said)
