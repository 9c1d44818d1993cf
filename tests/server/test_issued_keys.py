from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from maestro_daemon.errors import ConfigInvalid, RequestInvalid
from maestro_daemon.server.client import Client
from maestro_daemon.server.issued_keys import IssuedKeys, KeysNotKept, Wanted, digest_of, were_issued

ALICE = Client("alice", True, ("coder", "home/*"), 60, 4, 1000)


def issue(keys: IssuedKeys, client: Client) -> str:
    key, after = keys.made(client)
    keys.write(after)
    keys.take(after)
    return key


def test_a_key_outlives_the_process_as_a_hash_in_a_private_file(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "maestro"
    assert not were_issued(folder)
    key = issue(IssuedKeys.read(folder), ALICE)
    assert were_issued(folder)
    kept = folder / "clients.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert key not in kept.read_text()
    again = IssuedKeys.read(folder)
    assert again.find(digest_of(key)) == ALICE
    assert again.find(digest_of(key + "x")) is None
    assert again.needed
    assert [*again.all()] == ["alice"]


def test_keys_are_long_random_and_never_the_same(tmp_path: Path) -> None:
    keys = IssuedKeys.read(tmp_path)
    made = {issue(keys, Client(f"client{number}")) for number in range(20)}
    assert len(made) == 20
    assert all(key.startswith("mk-") and len(key) == 46 for key in made)


def test_a_revoked_key_is_unknown_and_keys_are_needed_all_the_same(tmp_path: Path) -> None:
    keys = IssuedKeys.read(tmp_path)
    key = issue(keys, ALICE)
    after = keys.without("alice")
    keys.write(after)
    keys.take(after)
    for each in (keys, IssuedKeys.read(tmp_path)):
        assert each.find(digest_of(key)) is None
        assert each.needed


def test_a_name_is_given_once_and_only_what_is_there_is_revoked(tmp_path: Path) -> None:
    keys = IssuedKeys.read(tmp_path)
    issue(keys, ALICE)
    with pytest.raises(RequestInvalid, match="'alice' already: revoke it first"):
        keys.made(Client("alice"))
    with pytest.raises(RequestInvalid, match="No key was issued for 'bob'; there are keys for: alice"):
        keys.without("bob")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2, "clients": []}',
        b'{"version": 1, "clients": {}}',
        b'{"version": 1, "clients": [{"name": "a", "sha256": "x", "created": 1}]}',
        b'{"version": 1, "clients": [], "more": 1}',
    ],
)
def test_a_file_that_is_not_ours_stops_the_start_instead_of_opening_the_daemon(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "clients.json").write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"clients\.json: is not what the daemon wrote"):
        IssuedKeys.read(tmp_path)


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "clients.json").mkdir()
    with pytest.raises(ConfigInvalid, match=r"clients\.json: cannot be read: Is a directory"):
        IssuedKeys.read(tmp_path)
    (tmp_path / "file").touch()
    keys = IssuedKeys(tmp_path / "file")
    with pytest.raises(KeysNotKept, match="cannot be written"):
        keys.write(keys.made(ALICE)[1])
    with pytest.raises(KeysNotKept, match="no state directory"):
        IssuedKeys().write({})


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    keys = IssuedKeys.read(tmp_path)
    issue(keys, ALICE)
    issue(keys, Client("bob"))
    assert os.listdir(tmp_path) == ["clients.json"]
    assert json.loads((tmp_path / "clients.json").read_bytes())["version"] == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "name: "),
        ({"name": "a b"}, "name: holds only letters"),
        ({"name": "-a"}, "name: holds only letters"),
        ({"name": "a\n"}, "name: holds only letters"),
        ({"name": "a" * 65}, "name: holds only letters"),
        ({"name": "a", "streams": 0}, "streams: Input should be greater than or equal to 1"),
        ({"name": "a", "streams": "4"}, "streams: Input should be a valid integer"),
        ({"name": "a", "routes": []}, "routes: "),
        ({"name": "a", "routes": "coder"}, "routes: "),
        ({"name": "a", "admin": "yes"}, "admin: "),
        ({"name": "a", "limit": 1}, "limit: "),
    ],
)
def test_what_is_wanted_is_checked(fields: dict[str, object], said: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        Wanted.parse(fields)
    assert refused.value.message.startswith(said)
