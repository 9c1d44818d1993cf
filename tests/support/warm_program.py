"""The program in processes that are forked from one that has imported it.

Most of what a short command costs is importing the program, which is the same each time. Everything else is
as in a process that was started: arguments, working directory, environment, pipes, plugins, exit status.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_LONGEST_ASK: Final = 1 << 16


class WarmProgram:
    """Runs commands of the program; started with the first, ended with the process that uses it."""

    def __init__(self, program: Path, environ: Mapping[str, str]) -> None:
        self._program = program
        self._environ = dict(environ)
        self._starting = threading.Lock()
        self._control: socket.socket | None = None

    def start(
        self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str], stdout: int, stderr: int
    ) -> WarmProcess:
        """Start a command without an input that writes to these descriptors, which stay the caller's."""
        command = [str(self._program), *arguments]
        ask = json.dumps({"argv": command, "cwd": str(cwd), "environ": dict(environ)}).encode()
        control = self._started()
        reading, writing = os.pipe()
        stdin = os.open(os.devnull, os.O_RDONLY)
        try:
            socket.send_fds(control, [ask], [stdin, stdout, stderr, writing])
        finally:
            os.close(stdin)
            os.close(writing)
        return WarmProcess(command, reading)

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without an input. Raises `subprocess.TimeoutExpired`. Blocks."""
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        ends = time.monotonic() + timeout
        try:
            try:
                process = self.start(arguments, cwd=cwd, environ=environ, stdout=theirs[0], stderr=theirs[1])
            finally:
                for descriptor in theirs:
                    os.close(descriptor)
            try:
                stdout, stderr = _read_all(ours, process.args, timeout)
                status = process.wait(ends - time.monotonic())
            finally:
                process.kill()
                process.wait()
        finally:
            for descriptor in ours:
                os.close(descriptor)
        return subprocess.CompletedProcess(process.args, status, _text(stdout), _text(stderr))

    def _started(self) -> socket.socket:
        with self._starting:
            if self._control is None:
                self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    process = subprocess.Popen(
                        [sys.executable, "-P", __file__, str(theirs.fileno())],
                        env=self._environ,
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,  # so that Python takes them for what they will be
                        stderr=subprocess.PIPE,
                    )
                atexit.register(_end, self._control, process)
            return self._control


class WarmProcess:
    """A command that runs: of `subprocess.Popen` what the tests need."""

    def __init__(self, args: list[str], told: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self._told = told
        number = b""
        while not number.endswith(b" "):
            read = os.read(told, 1)
            assert read, "the program could not be imported"
            number += read
        self.pid = int(number)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit status. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._told, select.POLLIN)
            if not ready.poll(None if timeout is None else max(0.0, timeout) * 1000):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            told = os.read(self._told, 64)
            os.close(self._told)
            self.returncode = int(told)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.communicate()


def _read_all(descriptors: Sequence[int], args: list[str], timeout: float) -> list[bytes]:
    """What was written into each until all were closed."""
    read = dict.fromkeys(descriptors, b"")
    ends = time.monotonic() + timeout
    poll = select.poll()
    for descriptor in read:
        poll.register(descriptor, select.POLLIN)
    unfinished = set(read)
    while unfinished:
        ready = poll.poll(max(0.0, ends - time.monotonic()) * 1000)
        if not ready:
            raise subprocess.TimeoutExpired(args, timeout)
        for descriptor, _ in ready:
            if piece := os.read(descriptor, 65536):
                read[descriptor] += piece
            else:
                poll.unregister(descriptor)
                unfinished.remove(descriptor)
    return list(read.values())


def _text(written: bytes) -> str:
    """As `subprocess` gives it."""
    return io.TextIOWrapper(io.BytesIO(written), encoding="utf-8").read()


def _serve(control: socket.socket) -> bool:
    """Fork a process per ask until nobody can ask any more. Gives True in each of these, False at the end."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready, _ in poll.poll():
            if ready != control.fileno():
                pid, told = running.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                _, status = os.waitpid(pid, 0)
                _tell(told, os.waitstatus_to_exitcode(status))
                continue
            ask, descriptors, _, _ = socket.recv_fds(control, _LONGEST_ASK, 4)
            if not ask:
                return False
            stdin, stdout, stderr, told = descriptors
            pid = os.fork()
            if not pid:
                for standard, descriptor in enumerate((stdin, stdout, stderr)):
                    os.dup2(descriptor, standard)
                for descriptor in (*descriptors, *running, *(told for _, told in running.values())):
                    os.close(descriptor)
                control.close()
                _become(json.loads(ask))
                return True
            for descriptor in (stdin, stdout, stderr):
                os.close(descriptor)
            os.write(told, b"%d " % pid)
            handle = os.pidfd_open(pid)
            running[handle] = pid, told
            poll.register(handle, select.POLLIN)


def _tell(told: int, status: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # who asked had no more patience
        os.write(told, b"%d" % status)
    os.close(told)


def _become(ask: dict[str, object]) -> None:
    """Be a process that was started with these arguments, this environment, and here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(str(ask["cwd"]))
    os.environ.clear()
    os.environ.update(ask["environ"])  # type: ignore[call-overload]
    sys.argv[:] = ask["argv"]  # type: ignore[call-overload]
    gc.enable()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # typed for the tests, it ends this one with their end
    from maestro_daemon import cli

    gc.disable()
    commands = [f"cli.{name.replace('-', '_')}" for name in cli._COMMANDS]
    for module in (*commands, "plugin", "daemon"):
        importlib.import_module(f"maestro_daemon.{module}")
    gc.freeze()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        cli.main()
