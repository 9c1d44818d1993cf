"""Where an account's GitHub token comes from (copilot.md §2)."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from maestro_copilot import login_editor
from maestro_daemon.plugin import (
    ProviderUnavailable,
    Secret,
)
from tests.support.copilot.kept import editors, kept
from tests.support.copilot.overheard import refusal
from tests.support.copilot.state import User


@pytest.mark.parametrize("key", ["token", "api_key"])
async def test_the_configurations_token_is_exchanged(make, github, key) -> None:
    token = github.state.github_token()
    account = make(**{key: token})
    bearer = await account.bearer()
    assert github.state.copilot_user(bearer.authorization) is github.state.user
    assert dict(github.seen[0][1])["Authorization"] == f"token {token}"


async def test_the_configurations_token_goes_before_a_login(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(User("other", 2)), host=host, login="other", id=2)
    account = make(token=github.state.github_token())
    await account.bearer()
    assert (await account.login_state()).account == "octocat"


async def test_a_kept_login_is_used(make, github, tmp_path, host) -> None:
    await kept(tmp_path, github.state.github_token(), host=host, login="octocat", id=583231)
    account = make()
    await account.start()
    assert account.problem() is None
    assert github.seen == []
    assert (await account.bearer()).token
    assert github.counts["/user"] == 0


async def test_a_login_that_appears_later_is_found_without_a_restart(
    make, github, tmp_path, host, heard
) -> None:
    account = make()
    await account.start()
    assert "maestro-daemon login work" in account.problem()
    assert isinstance(await refusal(account, heard), ProviderUnavailable)
    await kept(tmp_path, github.state.github_token(), host=host)
    assert (await account.bearer()).token
    assert account.problem() is None


async def test_without_a_login_nobody_is_asked_and_the_command_is_named(make, github, heard) -> None:
    failure = await refusal(make("home"), heard)
    assert failure.message == "Provider 'home' is not logged in: run: maestro-daemon login home"
    assert failure.status == 503
    assert github.seen == []


async def test_a_login_at_another_github_is_never_sent_to_this_one(make, github, tmp_path, heard) -> None:
    await kept(tmp_path, github.state.github_token(), host="octo.ghe.com")
    assert isinstance(await refusal(make(), heard), ProviderUnavailable)
    assert github.seen == []


async def test_logins_of_several_providers_stand_side_by_side(make, github, tmp_path, host) -> None:
    users = {"work": User("worker", 1), "home": User("homer", 2)}
    for name, user in users.items():
        await kept(tmp_path, github.state.github_token(user), name=name, host=host)
    bearers = {name: await make(name).bearer() for name in users}
    for name, user in users.items():
        assert github.state.copilot_user(bearers[name].authorization) is user


async def test_a_login_that_others_can_read_is_made_private_and_said(
    make, github, tmp_path, host, logged
) -> None:
    path = await kept(tmp_path, github.state.github_token(), host=host)
    await asyncio.to_thread(path.chmod, 0o644)
    await make().bearer()
    assert stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode) == 0o600
    assert any("could be read by others" in line["event"] for line in logged)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"github_token": 5}', b'{"github_token": "a b"}']
)
async def test_a_damaged_login_says_to_log_in(make, tmp_path, heard, content) -> None:
    path = await kept(tmp_path, "", host="x")
    await asyncio.to_thread(path.write_bytes, content)
    failure = await refusal(make(), heard)
    assert "maestro-daemon login work" in failure.message
    assert str(path) in failure.message


async def test_a_login_that_cannot_be_read_is_a_sentence(make, tmp_path, heard) -> None:
    await asyncio.to_thread((tmp_path / "state" / "copilot" / "work.json").mkdir, parents=True)
    assert "cannot be read" in (await refusal(make(), heard)).message


# An editor's login (§2: "keys start with the domain, value.oauth_token")


async def test_an_editors_login_is_never_used_silently(
    make, github, tmp_path, host, monkeypatch, heard
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    await editors(tmp_path / "github-copilot", "hosts.json", **{host: github.state.github_token()})
    failure = await refusal(make(), heard)
    assert failure.message == "Provider 'work' is not logged in: run: maestro-daemon login work"
    account = make("other", editor_login=True)
    assert (await account.bearer()).token
    assert "hosts.json" in (await account.login_state()).source


@pytest.mark.parametrize("file", ["hosts.json", "apps.json"])
async def test_an_editors_login_of_a_named_place(make, github, tmp_path, host, file) -> None:
    key = host if file == "hosts.json" else f"{host}:Iv1.b507a08c87ecfe98"
    folder = await editors(
        tmp_path / "editor", file, **{key: github.state.github_token(), "github.com": "ghu_wrong"}
    )
    for place in (folder, folder / file):
        assert (await make(place.name, editor_login=str(place)).bearer()).token


async def test_of_several_editors_that_of_the_client_id_is_taken(github, tmp_path) -> None:
    folder = await editors(
        tmp_path / "e", "apps.json", **{"h:Iv1.other": "ghu_a", "h:Iv1.mine": "ghu_b", "h2": "ghu_c"}
    )
    await editors(folder, "hosts.json", h="ghu_d")

    def read() -> tuple[Secret | None, ...]:
        return (
            login_editor.read(folder, "h", "Iv1.mine"),
            login_editor.read(folder, "h", "Iv1.none"),
            login_editor.read(folder, "h3", "Iv1.mine"),
        )

    mine, any_, none = await asyncio.to_thread(read)
    assert (mine.reveal(), any_.reveal(), none) == ("ghu_b", "ghu_a", None)


async def test_an_own_login_goes_before_an_editors(make, github, tmp_path, host) -> None:
    folder = await editors(
        tmp_path / "editor", "hosts.json", **{host: github.state.github_token(User("editor", 3))}
    )
    await kept(tmp_path, github.state.github_token(), host=host)
    account = make(editor_login=str(folder))
    assert (await account.login_state()).account == "octocat"


async def test_a_place_without_an_editors_login_is_named(make, tmp_path, heard) -> None:
    failure = await refusal(make(editor_login=str(tmp_path / "nowhere")), heard)
    assert "nowhere" in failure.message
    assert "maestro-daemon login work" in failure.message


async def test_an_editors_file_that_cannot_be_read_is_a_sentence(make, tmp_path, heard) -> None:
    await asyncio.to_thread((tmp_path / "apps.json").mkdir)
    failure = await refusal(make(editor_login=str(tmp_path)), heard)
    assert "cannot be read" in failure.message


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/github-copilot"),
        ({"HOME": "/h"}, "/h/.config/github-copilot"),
    ],
)
def test_where_editors_keep_their_login(environ, expected) -> None:
    assert login_editor.usual_folder(environ) == Path(expected)
