"""The judge of Responses streams: that of the contract kit."""

from maestro_daemon.testing.oracle import (
    check_stream,
)

__all__ = [
    "check_stream",
]
