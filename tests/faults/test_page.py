"""``docs/failures.md`` says what the fault matrix plays."""

from __future__ import annotations

from tests.support.faults.page import PAGE, page


def test_the_page_is_the_table_of_the_matrix() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.support.faults.page"
