"""Retraining: a model's policy, requests for one, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Retraining:
    """When the retraining of a model is asked for, and of whom.

    Critical drift must have stood on `open_days` of the last `of_days` local days.
    `cooldown_days` lie between two requests, in event time; the whole service makes
    `daily_budget` in 24 hours at most. A trainer that says nothing for `answer_within_hours` is
    waited for no longer. `dry_run` writes requests down and sends none. `trainer` and its `kind`
    are None once the endpoint was removed.
    """

    model: str
    trainer: str | None
    kind: str | None
    enabled: bool
    open_days: int
    of_days: int
    cooldown_days: int
    daily_budget: int
    answer_within_hours: int
    dry_run: bool
    updated: datetime


@dataclass(frozen=True, slots=True)
class RetrainRun:
    """A training, as who runs it knows it; `id` is "" where only its page is known."""

    kind: str
    id: str
    url: str | None


@dataclass(frozen=True, slots=True)
class RetrainEvent:
    """Something that became of a request: a state, or live, or basis_withdrawn."""

    at: datetime
    state: str
    actor: str
    words: str


@dataclass(frozen=True, slots=True)
class Retrain:
    """One request for a retraining.

    `state` is requested, accepted, running, succeeded, failed or expired. `event_time` is up to
    when it was decided; the other times are the wall clock's. It is open until `ended`; one that
    succeeded waits for its new version to take over (`live_version`, at `live`); `made_version`
    is the one that the trainer named.
    """

    id: int
    model: str
    version: str
    state: str
    is_open: bool
    is_dry_run: bool
    origin: str
    actor: str
    trainer: str
    summary: str
    evidence: dict[str, Any]
    basis_withdrawn: bool
    event_time: datetime
    requested: datetime
    deadline: datetime
    run: RetrainRun | None
    made_version: str | None
    live_version: str | None
    live: datetime | None
    ended: datetime | None
    url: str
    events: tuple[RetrainEvent, ...]


@dataclass(frozen=True, slots=True)
class RetrainSays:
    """What a policy says by itself at a midnight: ask, held or nothing, and what is against it."""

    verdict: str
    days: int
    why: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class RetrainAsked:
    """What asking for a retraining did; of a dry run `message` is what would be sent."""

    policy: RetrainSays
    request: Retrain | None
    message: dict[str, Any] | None
