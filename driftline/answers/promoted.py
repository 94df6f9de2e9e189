"""Promotions and the hooks by which MLflow tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that was made live; pending while it has no reference.

    Attributes
    ----------
    state
        live, planned (no event has come to its time), ended (a later one followed) or pending.
    effective
        From when on, in event time; None while pending.
    took_over
        From when on it alone had predictions, of itself and of what it replaces; None while that
        is not known.
    created
        False where promoting found it live already.
    """

    model: str
    version: str
    replaces: str | None
    state: str
    effective: datetime | None
    took_over: datetime | None
    source: str
    by: str
    at: datetime
    created: bool = True


@dataclass(frozen=True, slots=True)
class Hook:
    """Where MLflow tells which version it has promoted; how often it was believed and not."""

    name: str
    kind: str
    url: str
    model: str
    registered: str
    alias: str
    created: datetime
    accepted: int
    last_accepted: datetime | None
    refused: int
    last_refused: datetime | None
    refused_why: str | None


@dataclass(frozen=True, slots=True)
class NewHook(Hook):
    """A hook that was added; `secret` where it was made just now, told this once."""

    is_new: bool = True
    secret: str | None = None
