"""Clients at the sockets of a daemon that cannot begin."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.service.handed import HandedSocket
from maestro_daemon.service.turned_away import turned_away


def test_who_waits_is_answered_and_the_reason_is_kept_from_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        for client in clients:
            client.sendall(b"POST /v1/responses HTTP/1.1\r\ncontent-length: 300000\r\n\r\n" + b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConfigInvalid), turned_away([HandedSocket("", listening)]):
            raise ConfigInvalid("/etc/secret.toml is wrong")
        for client in clients:
            with client, client.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert json.loads(body)["error"]["code"] == "service_unavailable"
            assert b"secret" not in body


def test_a_client_that_takes_nothing_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        with socket.create_connection(listening.getsockname()):

            def fail() -> None:
                with pytest.raises(ConfigInvalid), turned_away([HandedSocket("", listening)]):
                    raise ConfigInvalid("wrong")

            thread = threading.Thread(target=fail)
            thread.start()
            thread.join(20)
            assert not thread.is_alive()


def test_all_else_is_none_of_its_business() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with turned_away([HandedSocket("", listening)]):
            pass
        with pytest.raises(KeyError), turned_away([HandedSocket("", listening)]):
            raise KeyError
