"""Driftline's SDK: what a data scientist's process imports.

Nothing heavy is loaded until it is used: `import driftline` costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from driftline.errors import (
    ApiConflict,
    ApiError,
    AuthenticationError,
    BrokerUnavailable,
    ConfigError,
    Conflict,
    DataError,
    DeadLetterLimit,
    DecodeError,
    DriftlineError,
    EventTimeError,
    Fenced,
    GridMismatch,
    InvalidEndpoint,
    InvalidFrame,
    InvalidReference,
    MissingExtra,
    MissingFile,
    NotAllowed,
    OffsetOutOfRange,
    SchemaError,
    SchemaVersionError,
    ServerUnavailable,
    StatisticError,
    StorageError,
    StorageUnavailable,
    StreamError,
    TooFewRows,
    WebhookVerificationError,
)

if TYPE_CHECKING:
    from driftline import answers
    from driftline.calibrating import CalibrationReport, calibrate
    from driftline.client import Client, Reference
    from driftline.comparing import Comparison, compare, profile
    from driftline.logger import EventLogger
    from driftline.webhooks import Alert, verify_webhook

__version__ = "0.1.0"

_LAZY = {
    "Alert": "driftline.webhooks",
    "CalibrationReport": "driftline.calibrating",
    "Client": "driftline.client",
    "Comparison": "driftline.comparing",
    "EventLogger": "driftline.logger",
    "Reference": "driftline.client",
    "calibrate": "driftline.calibrating",
    "compare": "driftline.comparing",
    "profile": "driftline.comparing",
    "verify_webhook": "driftline.webhooks",
}

__all__ = [
    "Alert",
    "ApiConflict",
    "ApiError",
    "AuthenticationError",
    "BrokerUnavailable",
    "CalibrationReport",
    "Client",
    "Comparison",
    "ConfigError",
    "Conflict",
    "DataError",
    "DeadLetterLimit",
    "DecodeError",
    "DriftlineError",
    "EventLogger",
    "EventTimeError",
    "Fenced",
    "GridMismatch",
    "InvalidEndpoint",
    "InvalidFrame",
    "InvalidReference",
    "MissingExtra",
    "MissingFile",
    "NotAllowed",
    "OffsetOutOfRange",
    "Reference",
    "SchemaError",
    "SchemaVersionError",
    "ServerUnavailable",
    "StatisticError",
    "StorageError",
    "StorageUnavailable",
    "StreamError",
    "TooFewRows",
    "WebhookVerificationError",
    "__version__",
    "answers",
    "calibrate",
    "compare",
    "profile",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    if name == "answers":
        return import_module("driftline.answers")
    if name in _LAZY:
        found = getattr(import_module(_LAZY[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'driftline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
