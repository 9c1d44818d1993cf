"""Why a request got no answer: aiohttp's exceptions in the house's words."""

from __future__ import annotations

import errno
import os
from ssl import SSLError
from typing import Final

import aiohttp

from maestro_daemon.errors import (
    ConnectionLost,
    HostUnknown,
    MaestroError,
    UpstreamBroken,
    UpstreamUnreachable,
)

CONNECTION_LOST: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
"""Exceptions of a connection that stood and is no more."""

_TLS_ERRORS: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, SSLError)


def unanswered(
    error: Exception, provider: str, *, connect_timeout: float, first_byte_timeout: float, soon: bool
) -> MaestroError:
    """The error for a request whose answer did not begin.

    Timeouts are in seconds. `soon`: it failed at once, so that asking again costs the upstream little.
    """
    kind = UpstreamUnreachable
    lost = ConnectionLost if soon else UpstreamUnreachable
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        said = f"no connection within {connect_timeout:g} s"
    elif isinstance(error, TimeoutError):
        said = f"no answer within {first_byte_timeout:g} s"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        kind = HostUnknown
        said = f"its host name {error.host} could not be resolved"
    elif isinstance(error, _TLS_ERRORS):
        said = f"TLS failed ({error.__class__.__name__})"
    elif isinstance(error, aiohttp.ClientConnectorError):
        said = _os_reason(error.os_error)
    elif isinstance(error, aiohttp.ServerDisconnectedError) or _is_reset(error):
        kind = lost
        said = "it closed the connection before it answered"
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        said = f"the proxy answered HTTP {error.status}"
    elif isinstance(error, aiohttp.ClientResponseError):
        return UpstreamBroken(f"{provider} answered with something that is not HTTP.")
    else:
        kind = lost if isinstance(error, CONNECTION_LOST) else UpstreamUnreachable
        said = f"the connection failed ({error.__class__.__name__})"
    return kind(f"{provider} cannot be reached: {said}.")


def _is_reset(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)


def _os_reason(error: OSError) -> str:
    # asyncio puts the address where the system's text belongs
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "the connection failed"
