"""The ability `Login`: a provider whose credentials come from a person who logs in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class CodeShown:
    """The person is to open `url` and to type `code` there, within `expires_in` seconds."""

    url: str
    code: str
    expires_in: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """The person has not answered yet; asked again in `seconds`. `problem` says why the last try failed."""

    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The last step of a login that went well, kept by now.

    `account` is whom the upstream knows, "" where it does not say; `kept` is where the login is kept, `note`
    what else the person should know.
    """

    account: str = ""
    kept: str = ""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The last step of a login that came to nothing; nothing has changed.

    `reason`: the code ran out (``expired``), the person said no (``denied``), the upstream refuses the
    account (``refused``), or something else went wrong (``failed``). `message` is the sentence for people.
    """

    reason: Literal["expired", "denied", "refused", "failed"]
    message: str


LoginStep = CodeShown | Waiting | LoggedIn | LoginFailed


@dataclass(frozen=True, slots=True)
class LoginState:
    """Whether a provider has a login that works.

    `account` is whom the upstream knows ("" if not known), `source` where the credentials come from, in
    words ("" without any). `problem` is one sentence with the remedy, None when all is well; with
    `logged_in` it is one that may pass, like a network that is down.
    """

    logged_in: bool
    account: str = ""
    source: str = ""
    problem: str | None = None


@runtime_checkable
class Login(Protocol):
    """A provider that a person logs in to. What these raise of `MaestroError` is shown as a sentence."""

    def login(self) -> AsyncGenerator[LoginStep, None]:
        """An async generator: `CodeShown`, then `Waiting` at least every two minutes, then one last step.

        The login counts, and is kept, only with `LoggedIn`; whoever closes the generator before ends it.
        """
        ...

    async def logout(self) -> str:
        """Forget the login, also where it is kept; one sentence of what was done."""
        ...

    async def login_state(self) -> LoginState:
        """How it stands, tried at the upstream if that is not known."""
        ...
