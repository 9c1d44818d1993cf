"""What the user of a service can reach, judged by the modes of files and by what is hidden from it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_daemon.service.reach import NotRunnable, hindrance, interpreter


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can reach; that of pytest is closed."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()


def test_what_everybody_may_read_can_be_reached(place: Path) -> None:
    (place / "file").write_text("")
    (place / "file").chmod(0o644)
    (place / "link").symlink_to("file")
    assert hindrance([place, place / "file", place / "link"], hidden=()) is None


def test_a_closed_folder_on_the_way_is_named(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    (place / "closed" / "file").write_text("")
    assert hindrance([place / "closed" / "file"], hidden=()) == f"{place}/closed is closed to other users"


def test_a_file_that_others_cannot_read_is_named(place: Path) -> None:
    (place / "file").write_text("")
    (place / "file").chmod(0o640)
    assert hindrance([place / "file"], hidden=()) == f"{place}/file cannot be read by other users"


def test_a_link_leads_where_it_leads(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    (place / "closed" / "python").write_text("")
    (place / "bin").mkdir(mode=0o755)
    (place / "bin" / "python3").symlink_to("../closed/python")
    (place / "bin" / "python").symlink_to(place / "bin" / "python3")
    assert hindrance([place / "bin" / "python"], hidden=()) == f"{place}/closed is closed to other users"


def test_what_the_service_does_not_see_is_no_place_for_it(place: Path) -> None:
    found = hindrance([place / "bin" / "python"], hidden=[str(place)])
    assert found == f"{place}/bin/python leads through {place}, which the service does not see"
    assert hindrance([Path("/root/x")]) == "/root/x leads through /root, which the service does not see"
    assert hindrance([Path("/home/you/x")]) is not None


def test_what_is_not_there_and_what_leads_in_a_circle_is_said(place: Path) -> None:
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert "leads in a circle" in (hindrance([place / "a"], hidden=()) or "")
    assert "No such file" in (hindrance([place / "nothing"], hidden=()) or "")


def test_an_interpreter_tells_of_itself() -> None:
    found = interpreter(Path(sys.executable))
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert any(path.name == "__init__.py" and "maestro_daemon" in path.parts for path in found.needs)
    assert found.chain.startswith(sys.executable)


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotRunnable, match="does not run as a Python"):
        interpreter(tmp_path)
    with pytest.raises(NotRunnable, match="does not run as a Python"):
        interpreter(Path("/bin/true"))
