"""The judge of one event, item or Response: that of the contract kit."""

from maestro_daemon.testing.response_oracle import (
    REQUIRED_FIELDS,
    check_item,
    check_response,
    check_types,
)

__all__ = [
    "REQUIRED_FIELDS",
    "check_item",
    "check_response",
    "check_types",
]
