"""Watches the pipeline: what stands for long enough becomes an incident, and so does its end.

Every evaluator and every dispatcher has one, so that each of them can say that the other, or the
consumers, are gone. When all are, nobody says anything. A start, a rebalance and a restart are no
trouble: what is wrong must stay so for two minutes before this very process, and what is over
must stay over for ten. What a watcher has seen it forgets at its end; what it has said is in the
database.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy.engine import Engine

from driftline.errors import StorageUnavailable
from monitor.clock import Clock
from monitor.detect.pipeline import STALLED_MS
from monitor.storage import pipeline
from monitor.storage.engine import reading, transaction
from monitor.storage.registry import bump_data_version

log = structlog.get_logger(__name__)

# Between two looks: five small queries.
LOOK_S: Final = 10.0
# A new consumer claims its partitions within seconds; a group that lost a member, within the
# session timeout of 45 s and a round of rebalancing.
STANDS_S: Final = 120.0
# Twice the time after which an owner counts as gone: one that dies again and again is gone.
OVER_S: Final = 600.0


class PipelineWatch:
    """Opens and ends the incidents of the pipeline; any number may watch one database.

    Parameters
    ----------
    web_url
        Where the pages are, for the links in messages.
    stalled_after_s
        More than three times the longest interval between two checkpoints.
    """

    def __init__(
        self, engine: Engine, clock: Clock, web_url: str, *, stalled_after_s: float = 0.0
    ) -> None:
        self._engine, self._clock, self._web_url = engine, clock, web_url
        self._stalled_after_ms = max(STALLED_MS, round(stalled_after_s * 1_000))
        self._next_s = clock.monotonic_s()
        # Since when, by the monotonic clock, each was seen to have begun or ended.
        self._begun: dict[str, float] = {}
        self._over: dict[str, float] = {}

    def step(self) -> int:
        """Look where it is time to; return how many incidents were opened or ended.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return 0
        self._next_s = now_s + LOOK_S
        try:
            return self._look(now_s, self._clock.now_ms())
        except StorageUnavailable:
            raise
        except Exception:
            # What it is beside has work of its own, which goes on.
            log.exception("the pipeline cannot be watched")
            return 0

    def _look(self, now_s: float, now_ms: int) -> int:
        after_ms = self._stalled_after_ms
        with reading(self._engine) as conn:
            found = pipeline.troubles(conn, now_ms, stalled_after_ms=after_ms)
            known = pipeline.standing(conn)
        self._begun = {s: self._begun.get(s, now_s) for s in found.keys() - known.keys()}
        self._over = {s: self._over.get(s, now_s) for s in known.keys() - found.keys()}
        begins = {
            s for s, at_s in self._begun.items() if found[s].is_fact or now_s - at_s >= STANDS_S
        }
        ends = {s for s, at_s in self._over.items() if now_s - at_s >= OVER_S}
        is_other = any(s in found and found[s].summary != known[s].summary for s in known)
        if not (begins or ends or is_other):
            return 0
        with transaction(self._engine) as conn:
            done = pipeline.settle(
                conn, begins=sorted(begins), ends=sorted(ends), now_ms=now_ms,
                web_url=self._web_url, stalled_after_ms=after_ms,
            )  # fmt: skip
            pipeline.restate(conn, found, known)
            # Pages that are open show it.
            bump_data_version(conn)
        for one in done.opened:
            log.warning("pipeline", incident=one.id, summary=one.summary)
        for one in done.ended:
            log.info("pipeline is in order again", incident=one.id, subject=one.subject)
        return len(done.opened) + len(done.ended)
