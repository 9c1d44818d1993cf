"""The daemon as a service of a throw-away host."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.installed_plugin import installed
from tests.support.systemd.box import Box, box

HERE: Final = Path(sys.executable).with_name("maestro-daemon")
PREFIX: Final = "/opt/maestro-daemon"
PROGRAM: Final = f"{PREFIX}/bin/maestro-daemon"
CONFIG: Final = "/etc/maestro-daemon/config.toml"
UNITS: Final = ("maestro-daemon.socket", "maestro-daemon.service")
UNIX_SOCKET: Final = "/run/maestro-daemon.sock"
_PLUGINS: Final = "/opt/test-plugins"

_ASK: Final = """
import http.client, socket, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
connection = Connection("localhost", timeout=120)
connection.request("POST", "/v1/responses", sys.argv[2], {"content-type": "application/json"})
print(connection.getresponse().read().decode())
"""


def free_port() -> int:
    """A port of this machine, whose network the host shares, that nobody listens on.

    None of those that the kernel hands out: a connection of anybody's would take it before the host does.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(1024, max(first, 2048)), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port was found")


class Service:
    """The units of the host. `port` is where they listen."""

    def __init__(self, host: Box, port: int) -> None:
        self.host = host
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self._began = f"@{time.time():.6f}"

    def start(self) -> subprocess.CompletedProcess[str]:
        """Start both units, as `install-service` says."""
        return self.host.run("systemctl", "enable", "--now", *UNITS)

    def configure(self, text: str) -> None:
        """Write the configuration, which everybody may read."""
        self.host.write(CONFIG, f"[server]\nport = {self.port}\n{text}")

    def drop_in(self, *lines: str, name: str = "test") -> None:
        """What ``systemctl edit`` would write."""
        path = f"/etc/systemd/system/maestro-daemon.service.d/{name}.conf"
        self.host.write(path, "\n".join(["[Service]", *lines, ""]))
        self.host.did("systemctl", "daemon-reload")

    def credential(self, name: str, secret: str) -> None:
        """A key that only root can read, handed over by systemd."""
        path = f"/etc/maestro-daemon/{name}.key"
        self.host.write(path, f"{secret}\n", "0600")
        self.drop_in(f"LoadCredential={name}:{path}", name=f"credential-{name}")

    def plugin(self, name: str, module: str) -> None:
        """Another installed plugin."""
        with tempfile.TemporaryDirectory() as folder:
            installed(Path(folder), name, module)
            for file in Path(folder).rglob("*"):
                if file.is_file():
                    self.host.write(f"{_PLUGINS}/{file.relative_to(folder)}", file.read_text())
        self.drop_in(f"Environment=PYTHONPATH={_PLUGINS}", name="plugins")

    def status(self) -> str:
        """What ``systemctl status`` prints."""
        return self.host.run("systemctl", "status", "--no-pager", "--full", UNITS[1]).stdout

    def shown(self, *properties: str) -> dict[str, str]:
        """Properties of the service."""
        return self.host.shown(UNITS[1], *properties)

    def said(self, *words: str) -> str:
        """What the journal has of it, and of what systemd did with it; `words` are journalctl's."""
        return self.host.journal("-u", UNITS[1], f"--since={self._began}", *words)

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """The entries of the journal that match."""
        return [json.loads(line) for line in self.said("-o", "json", *matches).splitlines()]

    def ask_unix(self, **body: Any) -> Any:
        """The answer over the unix socket."""
        python = f"{PREFIX}/bin/python"
        return json.loads(self.host.did(python, "-c", _ASK, UNIX_SOCKET, json.dumps(body)))


@contextmanager
def host_with_daemon(folder: Path, shared: Sequence[Path] = ()) -> Iterator[Box]:
    """A host on which the tested daemon is installed in an environment of its own, and not started."""
    with box(folder, shared) as host:
        said = host.did(HERE, "install-service", "--prefix", PREFIX, timeout=1500)
        assert f"the service will run {PROGRAM}" in said
        yield host


@contextmanager
def service(host: Box, config: str = "", credentials: Mapping[str, str] | None = None) -> Iterator[Service]:
    """The service with that configuration, installed and not started; all of it is gone with the block."""
    made = Service(host, free_port())
    made.configure(config)
    host.did(PROGRAM, "install-service")
    for name, secret in (credentials or {}).items():
        made.credential(name, secret)
    try:
        yield made
    finally:
        host.run("systemctl", "disable", "--now", *UNITS)
        host.run("systemctl", "reset-failed", *UNITS)
        host.did("sh", "-c", f"rm -rf /etc/systemd/system/maestro-daemon.* /etc/maestro-daemon {_PLUGINS}")
        host.did("systemctl", "daemon-reload")
