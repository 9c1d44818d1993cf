"""A tiny model on the disk, and a runtime folder that must be empty in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def runtime_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where engines put their sockets; fails the test if one leaves something behind."""
    folder = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def long_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with so long a context that a prompt can keep it busy for minutes."""
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf", context=131072)


@pytest.fixture(scope="session")
def long_prompt() -> str:
    """About 120 000 tokens of the tiny model."""
    return "x" * 120_000
