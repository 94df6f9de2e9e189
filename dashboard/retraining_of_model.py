"""What a model's page says of its retraining: whether it is due, the button, and the last one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import parts
from dashboard import sentences_retraining as say
from dashboard.look import Look
from dashboard.parts import Kpi
from dashboard.sentences_incidents import version_tag
from dashboard.words import DASH, day_text
from monitor.storage import retrain_rows
from monitor.storage.promotions import Promotion
from monitor.storage.retrain_rows import Retrain
from monitor.views.retrained import Due, Effect, due, effect
from monitor.views.scope import Scope
from monitor.views.succession import successors

# Requests that a page marks on its time axis, the newest.
MARKED = 6


@dataclass(frozen=True)
class Retraining:
    """What is known of a model's retraining; `requests` of all its versions, newest first."""

    due: Due | None
    requests: tuple[Retrain, ...]
    effect: Effect | None
    version_id: int
    successor: Promotion | None = None

    @property
    def asked(self) -> tuple[Retrain, ...]:
        """Those that were sent."""
        return tuple(one for one in self.requests if not one.is_dry_run)

    @property
    def current(self) -> Retrain | None:
        """The newest that was sent for the version that is looked at."""
        return next((one for one in self.asked if one.version_id == self.version_id), None)

    @property
    def marks(self) -> tuple[int, ...]:
        """The event times of the newest requests."""
        return tuple(one.event_ms for one in self.asked[:MARKED])


def read(look: Look, scope: Scope) -> Retraining:
    """Read it; what the policy says is looked up once for each data version."""
    version = scope.version
    requests = tuple(retrain_rows.listed(look.conn, model=version.model, limit=20))
    found = look.cached(("due", version.id), lambda: due(look.conn, version, look.now_ms))
    last = next((one for one in requests if one.live_version_id is not None), None)
    changed = None
    if last is not None:
        changed = look.cached(
            ("retrained counts", last.id, last.live_version_id),
            lambda: effect(look.conn, last, ()),  # how many drifted: no feature of its own
        )
    after = look.cached(
        ("successors", version.model), lambda: successors(look.conn, version.model)
    ).get(version.id)
    return Retraining(found, requests, changed, version.id, after)


def line(found: Retraining, look: Look, *, is_firing: bool) -> str:
    """Return the sentence for the verdict; of a model that is well, only what is under way."""
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    current = found.current
    is_open = current is not None and current.is_open
    if not is_firing and not is_open:
        return ""
    return say.line(found.due, current, look.zone, year)


def kpi(found: Retraining, look: Look, zone: ZoneInfo) -> Kpi | None:
    """Return the last retraining with its effect; None of a model that nobody retrains.

    Its day is one of the model's `zone`, as those of windows are.
    """
    if not found.requests and found.due is None:
        return None
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    last = next((one for one in found.asked if one.live_version_id is not None), None)
    shown = last or next(iter(found.asked), None)
    if shown is None:
        return Kpi("Last retraining", DASH, "", "none was asked for yet")
    when = datetime.fromtimestamp(shown.event_ms / 1_000, zone).date()
    note = say.last_words(shown, found.effect if shown is last else None, look.zone, year)
    return Kpi("Last retraining", day_text(when, year=year), "", note)


def button(found: Retraining, scope: Scope) -> Any:
    """Return the button that asks in a dialog; with the reason where it cannot be asked for."""
    why = say.cannot(found.due, found.current, found.successor)
    words = [parts.icon("rotate-cw"), html.Span("Retrain ...")]
    if found.due is None and not found.requests:
        return None
    if why or found.due is None:
        # Not `disabled`: what cannot be focused has no tooltip, and its reason would be hidden.
        return html.Button(
            words, type="button", className="button off-with-reason", title=why,
            **{"aria-disabled": "true", "data-why": why},
        )  # fmt: skip
    about = {
        "model": scope.version.model,
        "version": scope.version.name,
        "trainer": found.due.trainer,
        "policy": say.policy_words(found.due.policy),
        "line": say.line(found.due, None, scope.zone, None),
        "budget": say.budget_words(found.due),
    }
    return html.Button(
        words, type="button", className="button",
        **{"data-do": "retrain", "data-about": json.dumps(about)},
    )  # fmt: skip


def replaced(found: Retraining, look: Look, zone: ZoneInfo) -> list[Any]:
    """Return that another version took over from this one; nothing of one that is live."""
    after = found.successor
    if after is None:
        return []
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    since = datetime.fromtimestamp(after.effective_ms / 1_000, zone).date()
    said = f"replaced by {version_tag(after.version)} since {day_text(since, year=year)}"
    return [parts.tag(said, 60)]


def twin(requests: Sequence[Retrain], look: Look, zone: ZoneInfo) -> list[str]:
    """Return the marks on the axis in words, for who does not see them."""
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    return [
        f"Retraining requested {day_text(_day(one, zone), year=year)}: request {one.id}, "
        f"{say.cell(one).lower()}."
        for one in requests[:MARKED]
    ]


def _day(one: Retrain, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(one.event_ms / 1_000, zone).date()
