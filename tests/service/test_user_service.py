"""A service of one user's own, under that user's systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.systemd.box import Box
from tests.support.systemd.installed import PREFIX, PROGRAM, UNITS, free_port

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

NAME = "alice-of-tests"  # nobody of the machine's, whose users the host has
HOME = f"/srv/{NAME}"
CONFIG = f"{HOME}/.config/maestro-daemon/config.toml"


class User:
    """A user of the host, and the commands that it runs."""

    def __init__(self, host: Box) -> None:
        host.did("useradd", "-m", "-d", HOME, NAME)
        self.host = host
        self.runtime = f"/run/user/{host.did('id', '-u', NAME).strip()}"
        host.did("install", "-d", "-o", NAME, "-m", "0700", self.runtime)
        manager = ["-p", f"User={NAME}", "-p", "Delegate=yes", "-p", "Type=notify"]
        host.did(
            "systemd-run", "-u", "alices-systemd", *manager, "--setenv", f"XDG_RUNTIME_DIR={self.runtime}",
            "/lib/systemd/systemd", "--user",
        )  # fmt: skip

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environ = [f"XDG_RUNTIME_DIR={self.runtime}", f"HOME={HOME}", "PATH=/usr/bin:/bin"]
        return self.host.run("runuser", "-u", NAME, "--", "env", *environ, *command)

    def did(self, *command: str) -> str:
        """Run a command that must succeed; what it said."""
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def alice(host: Box) -> Iterator[User]:
    made = User(host)
    yield made
    host.run("systemctl", "stop", "alices-systemd")
    host.run("userdel", "-r", NAME)


def test_a_user_installs_asks_reloads_and_uninstalls(alice: User, host: Box) -> None:
    refused = alice.run(PROGRAM, "install-service")
    assert refused.returncode == 1
    assert "sudo maestro-daemon install-service" in refused.stderr

    alice.did(PROGRAM, "install-service", "--user")
    port = free_port()
    alice.did("sed", "-i", f"s/8787/{port}/", CONFIG)
    said = alice.did(PROGRAM, "install-service", "--user")
    assert "next: systemctl --user enable --now maestro-daemon.socket maestro-daemon.service" in said
    host.write(
        CONFIG, host.read(CONFIG) + '[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:9"\n'
    )
    alice.did("systemctl", "--user", "enable", "--now", *UNITS)
    status = alice.did("systemctl", "--user", "status", "--no-pager", "--full", UNITS[1])
    assert (
        f'Status: "serving on http://127.0.0.1:{port}/v1 and {alice.runtime}/maestro-daemon.sock;' in status
    )
    over_unix = ["--unix-socket", f"{alice.runtime}/maestro-daemon.sock", "http://localhost/healthz"]
    assert alice.did("curl", "-sS", *over_unix) == '{"status":"ok"}'
    assert alice.did("curl", "-sS", f"http://127.0.0.1:{port}/healthz") == '{"status":"ok"}'
    assert f"127.0.0.1:{port}" in alice.did(PROGRAM, "status")
    alice.did("systemctl", "--user", "reload", UNITS[1])

    gone = alice.did(PROGRAM, "uninstall-service", "--user")
    assert gone.endswith(f"the state stays in {HOME}/.local/state/maestro-daemon\n")
    left = host.did("find", HOME, "-name", "*maestro*", "-o", "-path", "*/uninstalled/*").split()
    assert left == [
        f"{HOME}/.local/state/maestro-daemon",
        f"{HOME}/.local/state/maestro-daemon/uninstalled/config.toml",
    ]
    host.did("test", "-d", PREFIX)  # that of the machine's service
