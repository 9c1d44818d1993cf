"""Which account a provider speaks for, by a hash that is the same after a restart.

What an upstream seals (``encrypted_content``) only the account that minted it can read again; the hash is
how the house names that account on what clients keep.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import structlog

from maestro_daemon.protocol.sealing import ACCOUNT_DIGITS
from maestro_daemon.providers.provider import Provider

_log: Final = structlog.get_logger(__name__)


def account_hash(provider: Provider, name: str) -> str:
    """The hash of the account behind ``[providers.NAME]``; "" while the provider does not know it.

    A provider without the ability `Identified` has one account of its own, named by its plugin and `name`.
    """
    account = getattr(provider, "account", None)  # a runtime protocol's check costs ten times as much
    if not callable(account):
        plugin = type(provider).__module__.partition(".")[0]
        return _hash(f"{plugin}\0{name}")
    try:
        identity = account()
    except BaseException:  # noqa: BLE001  (outsiders' code; logged)
        _log.exception("a provider could not name its account", provider=name)
        return ""
    return _hash(identity) if isinstance(identity, str) and identity else ""


@lru_cache(maxsize=256)
def _hash(identity: str) -> str:
    return hashlib.sha256(b"maestro account\0" + identity.encode("utf-8", "replace")).hexdigest()[
        :ACCOUNT_DIGITS
    ]
