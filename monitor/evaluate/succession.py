"""From promotions and panes to when a version was relieved by its successor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from monitor.detect.silence import HISTORY_MS, KNOWN_MS
from monitor.detect.succession import Takeover, successors_of, takeovers
from monitor.storage import evaluation as sql
from monitor.storage import promotions
from monitor.storage.registry import BoundVersion, Registry

Starts = np.ndarray[Any, np.dtype[np.int64]]


class SuccessionBook:
    """Keeps one version's takeovers equal to what promotions and panes say.

    Parameters
    ----------
    from_ms
        Takeovers that began before are left as they are, but for their end.
    clock_ms
        Event time up to which predictions are known. It may be behind what was known before.
    """

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        registry: Registry,
        *,
        from_ms: int,
        clock_ms: int,
    ) -> None:
        self._conn, self._bound = conn, bound
        made = promotions.of_version(conn, bound.version_id)
        stored = promotions.takeovers(conn, bound.version_id) if made else []
        self._found = stored
        self._changed_ms: int | None = None
        heirs = successors_of(bound.version_id, made)
        if not heirs:
            return
        by_id = {v.version_id: v for v in registry.versions.values() if v.model == bound.model}
        clock_ms = max([clock_ms, *(takeover.sure_ms for takeover in stored)])
        low_ms = from_ms - HISTORY_MS - KNOWN_MS
        starts = {
            number: _starts(conn, by_id[number], registry, low_ms)
            for number in {bound.version_id, *(heir.version_id for heir in heirs)} & by_id.keys()
        }
        own = starts[bound.version_id]
        found = takeovers(
            own,
            [(heir, starts[heir.version_id]) for heir in heirs if heir.version_id in starts],
            bound.pane_ms,
            clock_ms,
        )
        self._found = [
            *(_ended(takeover, own) for takeover in stored if takeover.since_ms < from_ms),
            *(takeover for takeover in found if takeover.since_ms >= from_ms),
        ]
        differs = set(stored) ^ set(self._found)
        self._changed_ms = min((takeover.since_ms for takeover in differs), default=None)

    @property
    def since_ms(self) -> int | None:
        """From when on it changed by whom the version was relieved; None where nothing did."""
        return self._changed_ms

    def update(self) -> None:
        """Store what is new."""
        promotions.store_takeovers(self._conn, self._bound.version_id, self._found)


def _starts(conn: Connection, version: BoundVersion, registry: Registry, from_ms: int) -> Starts:
    grids = {registry.references[digest].gridset.digest for _, digest in version.bindings}
    found = sql.pane_starts(conn, version.version_id, grids, from_ms)
    return np.array(found, dtype=np.int64)


def _ended(takeover: Takeover, own: Starts) -> Takeover:
    """Return a takeover with its end, should its version have predictions again."""
    at = int(np.searchsorted(own, takeover.since_ms))
    until_ms = int(own[at]) if at < len(own) else None
    return replace(takeover, until_ms=until_ms) if takeover.until_ms is None else takeover
