"""Providers with one fault each in what they are, keep or let out, and the check that has to find it."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from maestro_daemon.plugin import Model, ResponseEvent, Secret, Table, Timeout
from maestro_daemon.testing import Answers, Refuses
from tests.testing.right import Right, RightOptions
from tests.testing.wrong import wrong

LISTED = "test_models_are_listed"
LET_OUT = "test_no_secret_gets_out"
DOCUMENTED = "test_options_are_documented"
_numbers = itertools.count()
_log = logging.getLogger(__name__)


@wrong("test_the_plugin_registers_a_provider_that_can_be_made", "its name is 'right'", "a-provider")
class HasANameOfItsOwn(Right):
    def __init__(self, name: str, options: Any) -> None:
        super().__init__("right", options)


@wrong("test_the_account_stays_the_same", "the same text each time", "accounts")
class IsAlwaysSomeoneElse(Right):
    def __init__(self, name: str, options: Any) -> None:
        super().__init__(name, options)
        self.number = next(_numbers)

    def account(self) -> str:
        return f"account {self.number}"


@wrong("test_a_problem_is_a_sentence", "None or one sentence", "a-provider")
class HasLongProblems(Right):
    def problem(self) -> str | None:
        return "Traceback:\n  everywhere"


@wrong(LISTED, "are missing", "models")
class ListsTheFirst(Right):
    def read_models(self, entries: Sequence[Any]) -> Sequence[Model]:
        found = super().read_models(entries)
        return found[:1] if len(entries) == 2 else found


@wrong(LISTED, "every model once", "models", also=("test_an_odd_entry_hides_no_other_model",))
class ListsTwice(Right):
    def read_models(self, entries: Sequence[Any]) -> Sequence[Model]:
        return [*super().read_models(entries)] * 2


@wrong(LISTED, "the types that they say", "models")
class ListsTokensAsText(Right):
    def read_models(self, entries: Sequence[Any]) -> Sequence[Model]:
        found = super().read_models(entries)
        wrong: Any = "128k"
        return [Model(each.id, context_window=wrong) for each in found] if len(entries) == 2 else found


@wrong("test_an_odd_entry_hides_no_other_model", "can read the list", "models")
class TripsOverOddEntries(Right):
    def read_models(self, entries: Sequence[Any]) -> Sequence[Model]:
        return [Model(each["id"]) for each in entries]


@wrong("test_a_list_that_cannot_be_had_is_a_failure", "never is an empty one", "models")
class ListsNothingAfterAFailure(Right):
    async def models(self) -> Sequence[Model]:
        try:
            return await super().models()
        except Exception:  # noqa: BLE001
            return []


@wrong(LET_OUT, "in the log", "secrets")
class LogsItsKey(Right):
    async def models(self) -> Sequence[Model]:
        _log.debug("asking with %s", self.options.api_key.reveal())
        return await super().models()


@wrong(LET_OUT, "in what it gives or raises", "secrets")
class RepeatsItsKey(Right):
    def refused(self, refusal: Refuses) -> Exception:
        error = super().refused(refusal)
        error.__cause__ = ValueError(refusal.message)
        return error


@wrong(LET_OUT, "in what it gives or raises", "secrets")
class ShowsItsKey(Right):
    def __repr__(self) -> str:
        return f"Right(key={self.options.api_key.reveal()})"


@wrong(LET_OUT, "in a URL", "secrets")
class AsksWithItsKey(Right):
    def where(self, path: str) -> str:
        return f"/v1{path}?key={self.options.api_key.reveal()}"


@wrong("test_nothing_blocks_the_loop", "Blocking call to time.sleep", "the-event-loop")
class Sleeps(Right):
    async def models(self) -> Sequence[Model]:
        time.sleep(0.0001)  # noqa: ASYNC251
        return await super().models()


@wrong("test_nothing_blocks_the_loop", "Blocking call to os.listdir", "the-event-loop")
class LooksAround(Right):
    def __init__(self, name: str, options: Any) -> None:
        super().__init__(name, options)
        os.listdir("/")


@wrong("test_nothing_blocks_the_loop", "Blocking call to os.listdir", "the-event-loop")
class LooksAroundAndSaysNothing(Right):
    def events(self, answer: Answers) -> Iterator[ResponseEvent]:
        try:
            os.listdir("/")
        except Exception as error:  # noqa: BLE001
            _log.warning("could not look: %s", error)
        return super().events(answer)


class Undocumented(RightOptions):
    """A provider of kind `right`."""

    region: str = "here"


class Inner(Table):
    """A table within."""

    deep: int = 1


class UndocumentedWithin(RightOptions):
    """A provider of kind `right`."""

    inner: Inner = Inner()
    """A table."""


class Headless(RightOptions):
    pass


class KeyAsText(RightOptions):
    """A provider of kind `right`."""

    other_token: str = ""
    """Another one."""


class Lenient(BaseModel):
    """A provider of kind `right`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    base_url: str = "https://upstream.test/v1"
    """Where the API is."""

    api_key: Secret
    """The key."""

    idle_timeout: Timeout = 60.0
    """How long the upstream may be silent."""


@wrong(DOCUMENTED, "region has none", "options", options=Undocumented)
class DocumentsLittle(Right):
    pass


@wrong(DOCUMENTED, "inner.deep has none", "options", options=UndocumentedWithin)
class DocumentsTheSurface(Right):
    pass


@wrong("test_secrets_are_of_the_type_for_them", "other_token is", "options", options=KeyAsText)
class TakesKeysAsText(Right):
    pass


@wrong("test_a_misspelt_option_is_refused", "nobody minded one", "options", options=Lenient)
class TakesAnyOption(Right):
    pass


@wrong(DOCUMENTED, "which heads their example", "options", options=Headless)
class DocumentsNothing(Right):
    pass
