"""What systemd does with an installed service that fails: started again, or not where that would not help."""

from __future__ import annotations

import pytest

from tests.support.systemd.box import Box
from tests.support.systemd.installed import PROGRAM, UNITS, Service, service

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]

DOOMED = """
import os, signal, time
from maestro_daemon.plugin import Model, Table, hookimpl


class Options(Table):
    pass


class Doomed:
    def __init__(self, name, options):
        self.name = name

    async def models(self):
        return [Model("block"), Model("crash"), Model("exit")]

    async def complete(self, request):
        if request.model.endswith("block"):
            time.sleep(10_000)
        if request.model.endswith("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(3)

    async def stream(self, request):
        raise NotImplementedError
        yield

    async def aclose(self):
        pass


@hookimpl
def maestro_register_providers(register):
    register("doomed", Options, Doomed)
"""
CONFIG = '[providers.doomed]\nkind = "doomed"\n'


def ask(one: Service, model: str) -> None:
    """Ask without waiting for the answer, which never comes."""
    body = f'{{"model": "doomed/{model}", "input": "Hi"}}'
    command = ["curl", "-s", "-m", "10", "-H", "content-type: application/json", "-d", body]
    assert one.host.run(*command, f"{one.url}/responses").returncode != 0


@pytest.mark.parametrize(
    ("model", "result", "trace"),
    [("block", "watchdog", True), ("crash", "signal", True), ("exit", "exit-code", False)],
)
def test_a_daemon_that_hangs_or_crashes_is_started_again(
    host: Box, model: str, result: str, *, trace: bool
) -> None:
    with service(host, CONFIG) as one:
        one.plugin("doomed", DOOMED)
        one.drop_in("WatchdogSec=6", "RestartSec=100ms")
        assert one.start().returncode == 0, one.status()
        before = one.shown("MainPID")
        ask(one, model)
        host.until(lambda: one.shown("NRestarts") == {"NRestarts": "1"}, "it is started again")
        host.until(lambda: one.shown("ActiveState") == {"ActiveState": "active"}, "it runs again")
        assert one.shown("MainPID") != before
        said = one.said()
        assert f"Failed with result '{result}'" in said
        assert ('maestro_doomed.py", line' in said) == trace  # where it was
        assert host.did("curl", "-sS", f"{one.url.removesuffix('/v1')}/healthz") == '{"status":"ok"}'


def test_a_configuration_that_cannot_be_used_fails_the_start_once(host: Box) -> None:
    with service(host, "[providers.home]\nkind = 'locall'\n") as one:
        one.drop_in("RestartSec=100ms")
        started = one.start()
        assert started.returncode == 1
        status = one.status()
        assert "status=78" in status
        assert "/etc/maestro-daemon/config.toml:4:1: providers.home.kind: " in status
        assert "did you mean 'local'?" in status
        shown = one.shown("Result", "NRestarts", "ExecMainStatus")
        assert shown == {"Result": "exit-code", "NRestarts": "0", "ExecMainStatus": "78"}
        host.did("sleep", "1")
        assert one.said().count("Starting maestro-daemon.service") == 1


def test_who_waits_for_a_daemon_that_cannot_begin_is_told_so_and_it_is_not_tried_for_ever(host: Box) -> None:
    with service(host, "[providers.home]\nkind = 'locall'\n") as one:
        host.did("systemctl", "start", UNITS[0])
        for _ in range(3):
            told = host.did("curl", "-sS", "-i", "-m", "120", "-d", "{}", f"{one.url}/responses")
            assert told.startswith("HTTP/1.1 503 ")
            assert "retry-after: 30" in told
            assert '"code":"service_unavailable"' in told
        host.until(lambda: one.shown("ActiveState") == {"ActiveState": "failed"}, "it fails")
        assert one.said().count("Starting maestro-daemon.service") == 3
        assert "did you mean 'local'?" in one.said("-p", "err")


def test_an_address_for_everybody_needs_a_key(host: Box) -> None:
    with service(host) as one:
        host.write(
            "/etc/systemd/system/maestro-daemon.socket.d/open.conf",
            f"[Socket]\nListenStream=\nListenStream=0.0.0.0:{one.port}\n",
        )
        host.did("systemctl", "daemon-reload")
        assert one.start().returncode == 1
        assert "no client key is configured" in one.status()
        assert one.shown("ExecMainStatus") == {"ExecMainStatus": "78"}


def test_without_its_socket_unit_the_daemon_listens_by_itself(host: Box) -> None:
    with service(host, '[providers.home]\nkind = "local"\nbase_url = "http://127.0.0.1:9/v1"\n') as one:
        unit = "/etc/systemd/system/maestro-daemon.service"
        host.write(unit, host.read(unit).replace("Requires=maestro-daemon.socket\n", ""))
        host.did("systemctl", "daemon-reload")
        host.did("systemctl", "start", "maestro-daemon.service")
        assert f"serving on {one.url};" in one.status()
        assert host.did("curl", "-sS", f"{one.url.removesuffix('/v1')}/healthz") == '{"status":"ok"}'
        assert one.url in host.did(PROGRAM, "status")
