"""Promotions as they are shown: which version is live, since when, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import awaited_promotions, promotions
from monitor.storage import schema as t

State = Literal["planned", "live", "ended", "pending"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A version that was made live, or that waits for its reference.

    Attributes
    ----------
    id
        Of the promotion; None while it is pending.
    state
        planned (no event has come to its time), live (the last effective one), ended (a later one
        followed) or pending.
    effective_ms
        From when on in event time; None while it is pending.
    took_over_ms
        From when on it alone had predictions, of itself and of what it replaces; None while that
        is not known.
    """

    id: int | None
    model: str
    version: str
    replaces: str | None
    state: State
    effective_ms: int | None
    took_over_ms: int | None
    source: str
    actor: str
    at_ms: int


def shown(conn: Connection, model: str) -> list[Shown]:
    """Return a model's promotions: what is pending first, then the last effective."""
    made = promotions.listed(conn, model)
    planned = promotions.planned(conn, made)
    began = _takeovers(conn, made)
    out = [
        Shown(
            None, model, waits.version, None, "pending", None, None, waits.source, waits.actor,
            waits.at_ms,
        )
        for waits in awaited_promotions.waiting(conn, model)
    ]  # fmt: skip
    until_ms, following = None, False
    for one in made:
        is_planned = one.id in planned
        state: State = "planned" if is_planned else "ended" if following else "live"
        following = not is_planned
        starts = [
            since_ms
            for since_ms in began.get((one.replaces_version_id, one.version_id), [])
            if since_ms >= one.effective_ms and (until_ms is None or since_ms < until_ms)
        ]
        out.append(
            Shown(
                one.id, one.model, one.version, one.replaces, state, one.effective_ms,
                min(starts, default=None), one.source, one.actor, one.at_ms,
            )
        )  # fmt: skip
        until_ms = one.effective_ms
    return out


def _takeovers(
    conn: Connection, made: list[promotions.Promotion]
) -> dict[tuple[int | None, int], list[int]]:
    """Return when each version took over from which, by their ids."""
    replaced = {one.replaces_version_id for one in made if one.replaces_version_id is not None}
    c = t.takeover.c
    query = sa.select(c.version_id, c.by_version_id, c.since_ms).where(c.version_id.in_(replaced))
    found: dict[tuple[int | None, int], list[int]] = {}
    for version_id, by, since_ms in conn.execute(query.order_by(c.since_ms)):
        found.setdefault((version_id, by), []).append(since_ms)
    return found
