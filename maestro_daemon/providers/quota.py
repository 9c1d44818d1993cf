"""The ability `Quota`: a provider that knows how much of a plan is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Allowance:
    """One thing that a plan counts, like requests of one sort. None is what is not known.

    `entitlement` is how many the plan has in its period, `remaining` how many are left of them, `percent`
    the share that is left (0 to 100). `overage` were used beyond the plan, which `overage_permitted` allows.
    `resets` is when the period ends, as the upstream writes it.
    """

    name: str
    entitlement: float | None = None
    remaining: float | None = None
    percent: float | None = None
    unlimited: bool | None = None
    overage: float | None = None
    overage_permitted: bool | None = None
    resets: str | None = None


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """What is left of a plan.

    `account` and `plan` are as the upstream names them, "" where it does not. `allowances` are what the plan
    counts, the one that matters most first. `note` is a sentence about what could not be asked.
    """

    account: str = ""
    plan: str = ""
    resets: str | None = None
    allowances: tuple[Allowance, ...] = ()
    note: str | None = None


@runtime_checkable
class Quota(Protocol):
    """A provider that can say what is left of its plan."""

    async def quota(self) -> QuotaReport:
        """What is left now. Raises the errors of `UpstreamError` and `ProviderUnavailable`."""
        ...
