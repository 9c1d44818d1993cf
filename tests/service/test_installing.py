"""Installing and uninstalling as it is on a machine without systemd: files in a user's own folders."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from maestro_daemon.config import load
from maestro_daemon.config.address import configured_address
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.providers.registry import Registry
from maestro_daemon.service import installing, own_environment
from maestro_daemon.service.installing import Installer, InstallFailed, Places
from maestro_daemon.service.own_environment import MARK, Wanted
from maestro_daemon.service.reach import NotRunnable
from maestro_daemon.service.unit_files import (
    SERVICE,
    SOCKET,
    Units,
    first_config,
    listen_address,
    program_of,
    units,
)
from tests.support.command import Place

PROGRAM = Path("/srv/maestro/bin/maestro-daemon")


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installing, "_RUNNING_SYSTEMD", tmp_path / "not-there")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of_user({"HOME": str(tmp_path)})


def made(places: Places, program: Path = PROGRAM) -> Units:
    return units(program, places.config, "127.0.0.1:8787", user=places.user)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# Units


@pytest.mark.parametrize("user", [True, False])
def test_a_unit_runs_the_program_that_was_found_and_listens_where_the_configuration_says(user: bool) -> None:
    found = units(PROGRAM, Path("/etc/m/c.toml"), "[::1]:9000", user=user)
    assert f"\nExecStart={PROGRAM} serve --config /etc/m/c.toml\n" in found.service
    assert f"\nExecReload={PROGRAM} reload\n" in found.service
    assert "/opt/maestro-daemon" not in found.service
    assert "\nListenStream=[::1]:9000\n" in found.socket
    assert "8787" not in found.socket
    assert program_of(found.service) == PROGRAM


def test_a_path_that_a_unit_would_misread_is_refused() -> None:
    with pytest.raises(NotRunnable, match="cannot stand in a unit"):
        units(Path("/srv/my maestro/%n"), Path("/etc/c.toml"), "127.0.0.1:1", user=False)


def test_an_address_is_written_as_systemd_reads_it() -> None:
    assert listen_address("127.0.0.1", 8787) == "127.0.0.1:8787"
    assert listen_address("::", 80) == "[::]:80"
    assert listen_address("localhost", 80) == "127.0.0.1:80"


def test_a_name_that_is_not_known_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a machine's name servers may say what they like
    with pytest.raises(NotRunnable, match=r"nowhere\.invalid.* is not known: Name or service not known"):
        listen_address("nowhere.invalid", 80)


@pytest.mark.parametrize("user", [True, False])
def test_the_first_configuration_is_right(tmp_path: Path, user: bool) -> None:
    file = tmp_path / "config.toml"
    file.write_text(first_config(user=user))
    assert configured_address(file) == ("127.0.0.1", 8787)
    assert load(file, Registry(), environ={}, discover=dict).providers == {}
    shown = file.read_text().replace("\n#[", "\n[").replace("\n#api", "\napi")
    for key in ("kind", "targets"):
        shown = shown.replace(f"\n#{key}", f"\n{key}")
    file.write_text(shown)
    (tmp_path / "openai").write_text("sk-test")
    (tmp_path / "openai.key").write_text("sk-test")
    read = load(file, Registry(), environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (list(read.providers), list(read.routes)) == (["openai"], ["coder"])


def test_the_address_is_read_though_secrets_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    assert configured_address(file) == ("127.0.0.1", 8787)
    file.write_text('[server]\nport = 9000\n[providers.a]\nkind = "x"\napi_key = { credential = "a" }\n')
    assert configured_address(file) == ("127.0.0.1", 9000)
    file.write_text('[server]\nport = "many"\n')
    with pytest.raises(ConfigInvalid, match=r"config\.toml:2:1: server\.port"):
        configured_address(file)
    file.write_text("[server\n")
    with pytest.raises(ConfigInvalid, match="is not valid TOML"):
        configured_address(file)


# Files


def test_installed_once_and_again(places: Places, tmp_path: Path) -> None:
    said: list[str] = []
    Installer(places, said.append).install(made(places))
    assert files_below(tmp_path) == {
        ".config/systemd/user/maestro-daemon.service",
        ".config/systemd/user/maestro-daemon.socket",
        ".config/maestro-daemon/config.toml",
    }
    assert stat.S_IMODE(places.config.stat().st_mode) == 0o600
    assert stat.S_IMODE((places.units / SERVICE).stat().st_mode) == 0o644
    places.config.write_text("# mine\n")
    said.clear()
    Installer(places, said.append).install(made(places))
    assert [line.split()[0] for line in said] == ["unchanged", "unchanged", "kept", "systemd", "next:"]
    assert places.config.read_text() == "# mine\n"
    said.clear()
    Installer(places, said.append).install(made(places, Path("/opt/other/bin/maestro-daemon")))
    assert said[0] == f"wrote {places.units / SERVICE}"
    assert "/opt/other" in (places.units / SERVICE).read_text()


def test_a_dry_run_does_nothing(places: Places, tmp_path: Path) -> None:
    said: list[str] = []
    Installer(places, said.append, dry=True).install(made(places))
    assert files_below(tmp_path) == set()
    assert said[:3] == [
        f"would write {path}" for path in (places.units / SERVICE, places.units / SOCKET, places.config)
    ]
    Installer(places, said.append).install(made(places))
    before = files_below(tmp_path)
    Installer(places, said.append, dry=True).uninstall()
    assert files_below(tmp_path) == before


def test_uninstalled_nothing_is_left_that_was_written(places: Places, tmp_path: Path) -> None:
    Installer(places, [].append).install(made(places))
    installer = Installer(places, [].append)
    installer.uninstall()
    assert files_below(tmp_path) == set()
    assert not places.config.parent.exists()
    assert installer.state_left() is None
    installer.uninstall()


def test_what_the_operator_wrote_is_kept_with_the_state(places: Places, tmp_path: Path) -> None:
    Installer(places, [].append).install(made(places))
    places.config.write_text("# mine\n")
    (places.config.parent / "openai.key").write_text("sk-mine")
    dropped = places.units / f"{SERVICE}.d" / "override.conf"
    dropped.parent.mkdir()
    dropped.write_text("[Service]\n")
    said: list[str] = []
    installer = Installer(places, said.append)
    installer.uninstall()
    assert files_below(tmp_path) == {
        ".local/state/maestro-daemon/uninstalled/config.toml",
        ".local/state/maestro-daemon/uninstalled/maestro-daemon.service.d/override.conf",
        ".config/maestro-daemon/openai.key",
    }
    assert f"left {places.config.parent}/openai.key: it was not written by install-service" in said
    assert installer.state_left() == places.state


def test_an_environment_of_our_own_goes_and_another_stays(places: Places, tmp_path: Path) -> None:
    for name, ours in (("ours", True), ("theirs", False)):
        prefix = tmp_path / name
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin" / "maestro-daemon").touch()
        (prefix / MARK).write_text(
            f"{places.units / SERVICE}\n" if ours else f"/etc/systemd/system/{SERVICE}\n"
        )
        Installer(places, [].append).install(made(places, prefix / "bin" / "maestro-daemon"))
        Installer(places, [].append).uninstall()
        assert prefix.exists() != ours


def test_what_cannot_be_written_is_named(places: Places, tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("in the way")
    with pytest.raises(InstallFailed, match=r"maestro-daemon\.service cannot be written: "):
        Installer(places, [].append).install(made(places))


# An environment of its own


def test_a_folder_of_others_is_left_alone() -> None:
    unit = Path("/etc/systemd/system", SERVICE)
    with pytest.raises(NotRunnable, match="was not made for this service"):
        own_environment.refuse_foreign(Path("/usr"), unit)
    with pytest.raises(NotRunnable, match="which the service does not see"):
        own_environment.refuse_foreign(Path("/root/maestro"), unit)
    own_environment.refuse_foreign(Path("/opt/there-is-no-such-folder/deep"), unit)


def test_what_is_installed_here_is_what_would_be_installed_there() -> None:
    first, *_ = own_environment.wanted(None)
    assert first.requirement.startswith("maestro-daemon")
    named, *_ = own_environment.wanted("maestro-daemon==9.9")
    assert named == Wanted("maestro-daemon==9.9")
    folder, *_ = own_environment.wanted("/usr")
    assert folder.source == Path("/usr")


def test_a_failing_program_is_shown_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(NotRunnable, match="could not be made"):
        own_environment.make(tmp_path / "env", Path("/bin/false"), [], Path("/x.service"))


def test_what_is_made_for_the_service_does_not_follow_the_packages_of_whoever_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, python = tmp_path / "seen", tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv >{seen}\nexit 1\n")
    python.chmod(0o755)
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "/elsewhere")
    with pytest.raises(NotRunnable):
        own_environment.make(tmp_path / "env", python, [], Path("/x.service"))
    names = [line.split("=")[0] for line in seen.read_text().splitlines() if line.endswith("=/elsewhere")]
    assert names == ["PIP_INDEX_URL"]


# By command


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_command_installs_for_a_user_and_says_what_to_do_next(place: Place) -> None:
    done = place.run("install-service", "--user")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        f"the service will run {Path(sys.executable).with_name('maestro-daemon')}, by "
    )
    assert "next: systemctl --user enable --now maestro-daemon.socket maestro-daemon.service" in lines
    unit = (place.folder / ".config/systemd/user/maestro-daemon.service").read_text()
    assert f"--config {place.folder}/.config/maestro-daemon/config.toml" in unit
    assert (
        place.run("check", "--config", f"{place.folder}/.config/maestro-daemon/config.toml").returncode == 0
    )
    gone = place.run("uninstall-service", "--user")
    assert gone.returncode == 0, gone.stderr
    assert gone.stdout.splitlines()[-1] == "no state is left"


def test_options_that_do_not_go_together_are_wrong_usage(place: Place) -> None:
    done = place.run("install-service", "--user", "--from", "x.whl")
    assert done.returncode == 2
    assert "--prefix" in done.stderr


def test_without_root_it_says_how() -> None:
    # Another user may not be able to read this interpreter, so root only says that it is somebody else.
    code = "import os; os.geteuid = lambda: 65534; from maestro_daemon.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "install-service"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "sudo maestro-daemon install-service" in done.stderr
    assert "--user" in done.stderr
