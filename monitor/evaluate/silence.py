"""From panes to incidents of silence: one for each stretch in which a model had no predictions.

A model's versions relieve each other, so a pause is one of all of them; the version that had
the last predictions has the incident.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.lengths import HOUR_MS
from driftline.stats.words import window_words
from monitor.detect.groups import ALL
from monitor.detect.incidents import IncidentState
from monitor.detect.silence import ENDS_MS, HISTORY_MS, KNOWN_MS, VOLUME, Silence, silences
from monitor.storage import evaluation as sql
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion, Registry

# What it is about, in the place of a feature: everything.
WHOLE_MODEL = ""


class SilenceBook:
    """Keeps one version's incidents of silence equal to what the model's panes say.

    Parameters
    ----------
    from_ms
        Silences that began before are left as they are.
    clock_ms
        Event time up to which predictions are known. It may be behind what was known before:
        the wall clock tells it only while nothing comes, and events after a long silence move
        the stream's time when a hundred of them have come.
    """

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        registry: Registry,
        *,
        from_ms: int,
        clock_ms: int,
        now_ms: int,
    ) -> None:
        self._conn, self._bound, self._now_ms = conn, bound, now_ms
        self._from_ms = from_ms
        c = t.incident.c
        query = sa.select(t.incident).where(
            c.version_id == bound.version_id,
            c.segment == ALL,
            c.feature == WHOLE_MODEL,
            c.kind == VOLUME,
            c.first_window_ms >= from_ms,
        )
        stored = {row.first_window_ms: row for row in conn.execute(query)}
        found = self._silences(registry, max([clock_ms, *map(_known_to, stored.values())]))
        self._stale = [
            (stored.get(silence.since_ms), silence)
            for silence in found
            if _differs(stored.get(silence.since_ms), silence)
        ]
        known = {silence.since_ms for silence in found}
        self._gone = [
            row
            for since_ms, row in stored.items()
            if since_ms not in known and row.state != IncidentState.WITHDRAWN
        ]

    @property
    def has_news(self) -> bool:
        """Whether `update` would write anything."""
        return bool(self._stale or self._gone)

    @property
    def since_ms(self) -> int | None:
        """When the first opened of those that `update` changes, before or after; None without."""
        before = [row.opened_ms for row in self._gone]
        before += [row.opened_ms for row, _ in self._stale if row is not None]
        return min([*before, *(silence.sure_ms for _, silence in self._stale)], default=None)

    def _silences(self, registry: Registry, clock_ms: int) -> list[Silence]:
        """Return the model's silences that began after this version's predictions."""
        bound = self._bound
        starts: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}
        low_ms = self._from_ms - HISTORY_MS - KNOWN_MS
        for other in registry.versions.values():
            if other.model == bound.model and other.bindings:
                grids = {registry.references[digest].gridset.digest for _, digest in other.bindings}
                found = sql.pane_starts(self._conn, other.version_id, grids, low_ms)
                starts[other.version_id] = np.array(found, dtype=np.int64)
        every = np.unique(np.concatenate([np.empty(0, np.int64), *starts.values()]))
        every = every[every < clock_ms]
        out = []
        for silence in silences(every, bound.pane_ms, clock_ms):
            last = silence.since_ms - bound.pane_ms
            owner = max(version_id for version_id, own in starts.items() if last in own)
            if owner == bound.version_id and silence.since_ms >= self._from_ms:
                out.append(silence)
        return out

    def update(self) -> set[int]:
        """Store what is new; return the numbers of incidents that changed."""
        changed = set()
        for row, silence in self._stale:
            number = self._insert(silence) if row is None else int(row.number)
            self._write(number, silence, is_new=row is None or row.state == "withdrawn")
            changed.add(number)
        for row in self._gone:
            self._conn.execute(
                sa.update(t.incident)
                .where(t.incident.c.number == row.number)
                .values(state=IncidentState.WITHDRAWN.value, resolved_ms=row.opened_ms)
            )
            self._event(row.number, "withdrawn", row.opened_ms, "late events filled it")
            changed.add(int(row.number))
        return changed

    def _insert(self, silence: Silence) -> int:
        made = (
            sa.insert(t.incident)
            .values(
                version_id=self._bound.version_id,
                segment=ALL,
                feature=WHOLE_MODEL,
                kind=VOLUME,
                severity="critical",
                state=IncidentState.FIRING.value,
                muted=False,
                first_window_ms=silence.since_ms,
                opened_ms=silence.sure_ms,
                episodes="[]",
                summary="",
                evidence="{}",
            )
            .returning(t.incident.c.number)
        )
        return int(self._conn.execute(made).scalar_one())

    def _write(self, number: int, silence: Silence, *, is_new: bool) -> None:
        said = _summary(silence, self._bound.timezone)
        last_ms = silence.until_ms or silence.sure_ms
        self._conn.execute(
            sa.update(t.incident)
            .where(t.incident.c.number == number)
            .values(
                state=_state(silence),
                opened_ms=silence.sure_ms,
                told_ms=silence.sure_ms,
                resolved_ms=silence.until_ms,
                episodes=json.dumps(
                    [[silence.sure_ms, silence.since_ms, last_ms, silence.until_ms]]
                ),
                summary=said,
                evidence=json.dumps(
                    {
                        VOLUME: {
                            "since_ms": silence.since_ms,
                            "usual_ms": silence.usual_ms,
                            "limit_ms": silence.sure_ms - silence.since_ms,
                        }
                    }
                ),
            )
        )
        if is_new:
            self._event(number, "opened", silence.sure_ms, said)
        if silence.until_ms is not None:
            self._event(
                number, "resolved", silence.until_ms, _ending(silence, self._bound.timezone)
            )

    def _event(self, number: int, event: str, at_ms: int, detail: str) -> None:
        self._conn.execute(
            sa.insert(t.incident_event).values(
                incident_number=number,
                event=event,
                at_ms=at_ms,
                recorded_ms=self._now_ms,
                detail=detail,
            )
        )


def looks_back_to(done_ms: int, horizon_ms: int) -> int:
    """Return from when on silences are derived anew, given how far its windows were judged before.

    One that has not ended may have begun as long ago as silences last; late events change
    those of the horizon. The stream's time may be far ahead by the events of another model.
    """
    return done_ms - max(ENDS_MS, horizon_ms) - KNOWN_MS


def _known_to(row: sa.Row[Any]) -> int:
    """Return up to when predictions were known when a silence was stored as it is."""
    if row.state == IncidentState.WITHDRAWN:
        return 0
    # Its end is the start of a pane, and known is what lies before the clock.
    return int(row.opened_ms if row.resolved_ms is None else row.resolved_ms + 1)


def _state(silence: Silence) -> str:
    if silence.until_ms is None:
        return IncidentState.FIRING.value
    ended = IncidentState.EXPIRED if silence.is_ended else IncidentState.RESOLVED
    return ended.value


def _differs(row: sa.Row[Any] | None, silence: Silence) -> bool:
    return row is None or (row.state, row.opened_ms, row.resolved_ms) != (
        _state(silence),
        silence.sure_ms,
        silence.until_ms,
    )


def _summary(silence: Silence, timezone: str) -> str:
    when = window_words(silence.since_ms, "hour", timezone).removeprefix("at ")
    return (
        f"No predictions since {when}; the longest pause of the 28 days before was "
        f"{_hours(silence.usual_ms)}, limit {_hours(silence.sure_ms - silence.since_ms)}."
    )


def _ending(silence: Silence, timezone: str) -> str:
    assert silence.until_ms is not None
    if silence.is_ended:
        return f"No predictions for {ENDS_MS // (24 * HOUR_MS)} days: nobody waits for them now."
    return f"Predictions came again {window_words(silence.until_ms, 'hour', timezone)}."


def _hours(ms: int) -> str:
    hours = ms / HOUR_MS
    return f"{hours:g} hour{'' if hours == 1 else 's'}" if hours < 48 else f"{hours / 24:.3g} days"
