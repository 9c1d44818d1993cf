"""A target knows its name, and whether its provider keeps responses."""

from __future__ import annotations

import pytest

from maestro_daemon.routing.target import Target


class Keeps:
    def __init__(self, *models: str) -> None:
        self.models = models

    def keeps_responses(self, model: str) -> bool:
        return model in self.models


def test_the_name_is_the_provider_and_its_model() -> None:
    assert Target(Keeps(), "home", "org/model:7b").name == "home/org/model:7b"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "keeps"), [(Keeps("m"), True), (Keeps("other"), False), (Keeps(), False), (object(), False)]
)
def test_only_a_provider_that_says_so_keeps_responses(provider: object, keeps: bool) -> None:
    assert Target(provider, "a", "m").keeps_responses is keeps  # type: ignore[arg-type]
