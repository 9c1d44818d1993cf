"""``maestro-daemon keys``: through the running daemon, and without one."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.command import Daemon, Place

CONFIG = """
[server]
port = 0

[providers.home]
kind = "local"
base_url = "http://127.0.0.1:1/v1"

[routes.coder]
targets = ["home/a"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write(CONFIG)
    return place


def base_url(daemon: Daemon) -> str:
    return daemon.lines_until("http://")[-1]


def status(url: str, key: str = "") -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/models", headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def kept(place: Place) -> Path:
    return place.folder / ".local" / "state" / "maestro-daemon" / "clients.json"


def test_a_key_is_printed_once_alone_and_in_force_without_a_restart(place: Place) -> None:
    with place.serve() as daemon:
        url = base_url(daemon)
        assert status(url) == 200
        added = place.run("keys", "add", "alice", "--routes", "coder,home/*", "--streams", "4")
        assert added.returncode == 0, added.stderr
        key = added.stdout.removesuffix("\n")
        assert key.startswith("mk-")
        assert "\n" not in key
        assert key not in added.stderr
        assert [status(url), status(url, key), status(url, key + "x")] == [401, 200, 401]
        listed = place.run("keys", "list")
        assert key not in listed.stdout
        assert "coder, home/*" in listed.stdout
        assert "0 of 4" in listed.stdout
        revoked = place.run("keys", "revoke", "alice")
        assert revoked.stdout == "The key of alice is revoked.\n"
        assert [status(url), status(url, key)] == [401, 401]
        assert "every request is refused" in place.run("keys", "list").stdout
        assert daemon.end() == 0
        assert key not in daemon.log
    assert stat.S_IMODE(kept(place).stat().st_mode) == 0o600
    assert key not in kept(place).read_text()


def test_without_a_daemon_it_is_kept_for_the_next_one(place: Place) -> None:
    assert "no client keys" in place.run("keys", "list").stdout
    assert f"of {kept(place)}, for the next one" in place.run("keys", "list").stderr
    assert "in force as soon as a daemon runs" in place.run("keys", "add", "other").stderr
    added = place.run("keys", "add", "root", "--admin", "--json")
    assert f"kept in {kept(place)}" in added.stderr
    told = json.loads(added.stdout)
    assert told["admin"] is True
    assert "clients: those of 'maestro-daemon keys list'" in place.run("check").stdout
    with place.serve() as daemon:
        url = base_url(daemon)
        assert daemon.lines_until("clients: ")[-1].startswith("clients: those of 'maestro-daemon keys list'")
        assert [status(url), status(url, told["key"])] == [401, 200]
        ask = urllib.request.Request(
            url.removesuffix("/v1") + "/admin/status", headers={"x-api-key": told["key"]}
        )
        with urllib.request.urlopen(ask) as answer:
            assert json.load(answer)["in_flight"] == 0
        daemon.end()
    assert place.run("keys", "revoke", "root").returncode == 0
    document = json.loads(place.run("keys", "list", "--json").stdout)
    assert (document["needed"], [row["name"] for row in document["clients"]]) == (True, ["other"])


@pytest.mark.parametrize("running", [False, True])
def test_what_cannot_be_done_is_one_sentence(place: Place, running: bool) -> None:
    def check() -> None:
        assert place.run("keys", "add", "alice").returncode == 0
        for arguments, said in (
            (("add", "alice"), "Error: There is a key for 'alice' already: revoke it first"),
            (("add", "a b"), "Error: name: holds only letters, digits"),
            (("add", "bob", "--routes", ","), "Error: routes: "),
            (("revoke", "bob"), "Error: No key was issued for 'bob'; there are keys for: alice."),
        ):
            told = place.run("keys", *arguments)
            assert (told.returncode, told.stdout) == (1, "")
            assert told.stderr.startswith(said)
        assert place.run("keys", "add", "bob", "--streams", "0").returncode == 2

    if running:
        with place.serve() as daemon:
            base_url(daemon)
            check()
            unknown = place.run("keys", "add", "bob", "--routes", "codr")
            assert "'codr' can never be asked for: known are coder, auto, home/*" in unknown.stderr
            daemon.end()
    else:
        check()


def test_a_broken_file_of_keys_stops_the_daemon_instead_of_opening_it(place: Place) -> None:
    kept(place).parent.mkdir(parents=True)
    kept(place).write_text("{")
    told = place.run("serve")
    assert told.returncode == 78
    assert "clients.json: is not what the daemon wrote" in told.stderr
    assert place.run("keys", "list").returncode == 78


def test_issued_keys_let_the_daemon_listen_for_other_machines(place: Place) -> None:
    place.write(CONFIG.replace("port = 0", 'port = 0\nhost = "0.0.0.0"'))
    refused = place.run("check")
    assert refused.returncode == 78
    assert "make one with 'maestro-daemon keys add NAME'" in refused.stderr
    key = place.run("keys", "add", "alice").stdout.strip()
    assert place.run("check").returncode == 0
    with place.serve() as daemon:
        url = base_url(daemon).replace("0.0.0.0", "127.0.0.1")
        assert [status(url), status(url, key)] == [401, 200]
        assert place.run("keys", "revoke", "alice").returncode == 0
        assert [status(url), status(url, key)] == [401, 401]
        daemon.end()


def test_clients_routes_that_nobody_can_ask_for_are_wrong(place: Place) -> None:
    place.write(CONFIG + '[clients.alice]\nkey = "her-own-key"\nroutes = ["coder", "codr", "hom/*"]\n')
    told = place.run("check")
    assert told.returncode == 78
    assert "clients.alice.routes[1]: 'codr' can never be asked for" in told.stderr
    assert "did you mean 'coder'?" in told.stderr
    assert "clients.alice.routes[2]: 'hom/*'" in told.stderr
