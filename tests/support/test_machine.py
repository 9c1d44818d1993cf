"""The machine's own daemon is out of the tests' sight, and of theirs alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
from pathlib import Path
from tests.support.machine import hide_system_daemon
path = Path(sys.argv[1])
print(hide_system_daemon(path), path.exists(), hide_system_daemon(path.with_name("none.sock")))
"""


def test_where_it_may_be_the_socket_is_hidden_from_this_process_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        said = subprocess.check_output([sys.executable, "-c", _PROGRAM, path], text=True).split()
        assert said in (["True", "False", "False"], ["False", "True", "False"])
        assert path.exists()
