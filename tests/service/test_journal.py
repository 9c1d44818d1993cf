"""Entries of the journal, as a journal would get them."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from maestro_daemon import log_writer, logs
from maestro_daemon.service import journal


class FakeJournal:
    """A socket where entries arrive."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(10)

    def entry(self) -> dict[str, str]:
        """The next entry."""
        content, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_LEN(4))
        for _, _, passed in ancillary:
            (descriptor,) = array.array("i", passed)
            with open(descriptor, "rb") as file:
                assert os.fstat(descriptor).st_nlink == 0
                file.seek(0)
                content = file.read()
        return parsed(content)


def parsed(content: bytes) -> dict[str, str]:
    """The fields of an entry, read as the protocol's description says."""
    fields = {}
    while content:
        line, _, content = content.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(content[:8], "little")
            value, content = content[8 : 8 + size], content[8 + size :]
            assert content[:1] == b"\n"
            content = content[1:]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeJournal]:
    made = FakeJournal(tmp_path / "socket")
    yield made
    made.socket.close()


def test_fields_are_upper_case_and_nothing_but_what_is_there() -> None:
    made = journal.entry(
        "warning", "said", {"target": "a/b", "n": 3, "none": None, "ok": True, "of": [1]}, b"x"
    )
    assert parsed(made) == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "x",
        "MESSAGE": "said",
        "TARGET": "a/b",
        "N": "3",
        "OK": "true",
        "OF": "[1]",
    }


def test_values_of_several_lines_cannot_make_fields_of_their_own() -> None:
    made = parsed(journal.entry("info", "one\nPRIORITY=0", {"a": "b\nTARGET=forged", "c=d\n": "e"}, b"x"))
    assert made["MESSAGE"] == "one\nPRIORITY=0"
    assert made["A"] == "b\nTARGET=forged"
    assert made["C_D_"] == "e"
    assert "TARGET" not in made


@pytest.mark.parametrize(
    ("name", "field"),
    [("_pid", "PID"), ("1st", "ST"), ("message", "FIELD_MESSAGE"), ("é", "FIELD"), ("x" * 99, "X" * 64)],
)
def test_a_name_that_the_journal_would_not_take_is_changed(name: str, field: str) -> None:
    assert parsed(journal.entry("info", "m", {name: "v"}, b"x"))[field] == "v"


def test_an_entry_too_large_for_a_message_arrives_whole(fake: FakeJournal) -> None:
    sender = journal.Journal(fake.path)
    sender.send(journal.entry("info", "m", {"big": "x" * 3_000_000}, b"x"))
    assert fake.entry()["BIG"] == "x" * 3_000_000
    sender.close()


def test_a_journal_that_was_restarted_gets_the_next_entry(fake: FakeJournal, tmp_path: Path) -> None:
    sender = journal.Journal(fake.path)
    fake.socket.close()
    Path(fake.path).unlink()
    again = FakeJournal(tmp_path / "socket")
    sender.send(journal.entry("info", "m", {}, b"x"))
    assert again.entry()["MESSAGE"] == "m"
    sender.close()
    again.socket.close()


def test_what_leads_to_the_journal_is_told_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        there = os.fstat(file.fileno())
        stream = f"{there.st_dev}:{there.st_ino}"
        assert journal.is_journal(file.fileno(), {"JOURNAL_STREAM": stream})
        assert not journal.is_journal(file.fileno(), {"JOURNAL_STREAM": f"{there.st_dev}:1"})
        assert not journal.is_journal(file.fileno(), {})
    assert not journal.is_journal(99999, {"JOURNAL_STREAM": stream})


def test_under_systemd_a_line_is_an_entry(
    fake: FakeJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = structlog.get_config()
    monkeypatch.setattr("maestro_daemon.logs.Journal", lambda: journal.Journal(fake.path))
    with (tmp_path / "stderr").open("w") as file:
        there = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        configured = logs.configure(descriptor=file.fileno())
        log = structlog.get_logger()
        try:
            log.info("response", target="openai/gpt-5.5", attempts=1, reason="a b", api_key="sk-abcdefgh1234")
            try:
                raise ValueError("no")
            except ValueError:
                log.exception("failed")
        finally:
            configured.close()
            structlog.configure(**before)
    entry = fake.entry()
    assert entry == {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "maestro-daemon",
        "MESSAGE": "response target=openai/gpt-5.5 attempts=1 reason='a b' api_key=***",
        "EVENT": "response",
        "TARGET": "openai/gpt-5.5",
        "ATTEMPTS": "1",
        "REASON": "a b",
        "API_KEY": "***",
    }
    failed = fake.entry()
    assert failed["PRIORITY"] == "3"
    assert failed["MESSAGE"].splitlines()[0] == "failed"
    assert failed["MESSAGE"].splitlines()[-1] == "ValueError: no"
    assert (tmp_path / "stderr").read_text() == ""


def test_a_journal_that_takes_nothing_blocks_nobody(fake: FakeJournal) -> None:
    fake.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer = log_writer.JournalWriter(journal.Journal(fake.path), lambda count: b"MESSAGE=%d lost\n" % count)
    for _ in range(5000):
        writer.put(b"MESSAGE=%b\n" % (b"x" * 1000))
    writer.close(timeout=0.01)
