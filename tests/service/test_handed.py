"""Sockets that systemd hands over, in a process that was started with them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.service.handed import handed_sockets

CODE = """
import os, sys
from maestro_daemon.service.handed import handed_sockets
if sys.argv[1] == "mine":
    os.environ["LISTEN_PID"] = str(os.getpid())
for each in handed_sockets():
    print(each.name, each.socket.family.name, each.socket.get_inheritable(), each.socket.gettimeout())
print(sorted(name for name in os.environ if name.startswith("LISTEN")))
"""


def told(sockets: Sequence[socket.socket], names: str, whose: str = "mine") -> list[str]:
    """What a process prints that was started with these sockets from descriptor 3 on."""

    def place() -> None:
        copies = [os.dup(each.fileno()) for each in sockets]
        high = [os.dup2(copy, 100 + number) for number, copy in enumerate(copies)]
        for number, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + number)

    environ = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names, "LISTEN_PID": "1"}
    result = subprocess.run(
        [sys.executable, "-c", CODE, whose],
        env=environ,
        preexec_fn=place,
        close_fds=False,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def tcp() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_sockets_are_taken_with_their_names(tcp: socket.socket) -> None:
    six = socket.create_server(("::", 0), family=socket.AF_INET6)  # ::1 is missing on many a machine
    with tcp, six:
        assert told([tcp, six], "http:other") == [
            "http AF_INET False 0.0",
            "other AF_INET6 False 0.0",
            "[]",
        ]


def test_sockets_without_names_are_taken(tcp: socket.socket) -> None:
    with tcp:
        assert told([tcp], "") == ["unknown AF_INET False 0.0", "[]"]


def test_sockets_of_another_process_are_left(tcp: socket.socket) -> None:
    with tcp:
        assert told([tcp], "http", "others") == ["[]"]


def environ_for(descriptor: int) -> dict[str, str]:
    return {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "http"}


@pytest.mark.parametrize(
    ("kind", "said"), [(socket.SOCK_DGRAM, "no stream socket"), (socket.SOCK_STREAM, "does not listen")]
)
def test_a_socket_of_the_wrong_kind_is_refused_with_what_its_unit_needs(
    kind: socket.SocketKind, said: str
) -> None:
    wrong = socket.socket(socket.AF_INET, kind)
    with pytest.raises(ConfigInvalid, match=said):
        handed_sockets(environ_for(wrong.fileno()), first=wrong.detach())


def test_a_file_is_refused() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ConfigInvalid, match="cannot be used"):
        handed_sockets(environ_for(descriptor), first=descriptor)
    os.close(descriptor)


def test_elsewhere_there_are_none() -> None:
    assert handed_sockets({}) == ()
    assert handed_sockets({"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())}) == ()
