"""Which file is the configuration, and what is said when it cannot be one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestro_daemon.config import files
from maestro_daemon.errors import ConfigInvalid


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home, system = tmp_path / "home", Path("/etc/maestro-daemon/config.toml")
    environ = {"HOME": str(home)}
    assert files.candidates(environ) == [
        Path("maestro.toml"),
        home / ".config/maestro-daemon/config.toml",
        system,
    ]
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    user = tmp_path / "xdg/maestro-daemon/config.toml"
    assert files.candidates(environ)[1] == user
    monkeypatch.setattr(files, "candidates", lambda environ: [Path("maestro.toml"), user])
    assert files.find(None, environ) is None
    user.parent.mkdir(parents=True)
    user.write_text("")
    assert files.find(None, environ) == user
    Path("maestro.toml").write_text("")
    assert files.find(None, environ) == Path("maestro.toml")
    environ["MAESTRO_CONFIG"] = "/elsewhere.toml"
    assert files.find(None, environ) == Path("/elsewhere.toml")
    assert files.find(Path("/named.toml"), environ) == Path("/named.toml")


def test_a_dangling_link_is_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("maestro.toml").symlink_to("gone.toml")
    assert files.find(None, {}) == Path("maestro.toml")
    with pytest.raises(ConfigInvalid, match=r"^maestro\.toml: cannot be read: No such file"):
        files.read(Path("maestro.toml"))


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_private_is_what_only_the_owner_can_read(tmp_path: Path, mode: int, private: bool) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a = 1")
    path.chmod(mode)
    assert files.read(path) == files.ConfigText(path, "a = 1", private)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="is a directory"):
        files.read(tmp_path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigInvalid, match=r"^/no/such\.toml: cannot be read: No such file or directory\.$"):
        files.read(Path("/no/such.toml"))


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert files.read(tmp_path / "pipe").text == ""


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="at most 4 MiB"):
        files.read(Path("/dev/zero"))


def test_text_that_is_not_utf8_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigInvalid, match=r"a\.toml:2: is not UTF-8 text \(at byte 11\)"):
        files.read(tmp_path / "a.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch(0o000)
    with pytest.raises(ConfigInvalid, match="Permission denied"):
        files.read(tmp_path / "a.toml")
