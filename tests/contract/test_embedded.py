"""The contract, kept by the embedded engine as far as a model that says what it likes can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

import maestro_local
from maestro_daemon.testing import Answers, Fields, Inapplicable, ProviderContract, Scenario, Stage
from tests.support.tiny_gguf import write_tiny_gguf


class Prompted(Stage):
    """A model that answers anything with something, in sixteen tokens."""

    says_what_it_is_told = False

    def play(self, *scenarios: Scenario) -> Sequence[Fields]:
        for scenario in scenarios:
            match scenario:
                case Answers(thought="", calls=(), finish="length", odd=False, bytes_at_once=None):
                    continue
                case Answers(thought="", calls=(), odd=False, bytes_at_once=None):
                    continue
            raise Inapplicable("the engine does what its model does")
        return [{"max_output_tokens": 16, "temperature": 0} for _ in scenarios]


class TestEmbedded(ProviderContract):
    plugin = maestro_local
    model = "tiny"
    patience = 40.0
    gguf: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _model(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.gguf = write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")

    @pytest.fixture(autouse=True)
    def _sockets(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("run")))

    def table(self, url: str) -> dict[str, Any]:
        return {"engine": "embedded", "model": str(self.gguf), "context": 512, "parallel": 2, "threads": 1}

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        yield Prompted()
