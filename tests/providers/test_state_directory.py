from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maestro_daemon.providers.state_directory import default_path, write_private


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/maestro-daemon", "XDG_STATE_HOME": "/s"}, "/var/lib/maestro-daemon"),
        ({"STATE_DIRECTORY": "/a:/b"}, "/a"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/maestro-daemon"),
        ({"HOME": "/h"}, "/h/.local/state/maestro-daemon"),
    ],
)
def test_the_state_is_where_the_system_says(environ: dict[str, str], expected: str) -> None:
    assert default_path(environ) == Path(expected)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_and_its_new_directories_are_the_owners_alone(tmp_path: Path) -> None:
    os.umask(os.umask(0o022))
    path = tmp_path / "a" / "b" / "c.json"
    write_private(path, b"first")
    assert path.read_bytes() == b"first"
    assert [mode(each) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_file_that_was_open_to_others_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    path = tmp_path / "c.json"
    path.symlink_to(elsewhere)
    write_private(path, b"ours")
    assert elsewhere.read_bytes() == b"theirs"
    assert path.read_bytes() == b"ours"


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.json"
    write_private(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]
