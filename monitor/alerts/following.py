"""Following trainings: asks trainers how the runs are that they began, until those end.

In the dispatcher's process, of which several may run: whoever moves a run's next look by
compare-and-swap is the one that looks. It moves on for the time that a look can take, and then
for the time until the next, which grows with the run's age. What a trainer does not say is
asked again; only what it does say moves a request, and its deadline ends what it never says.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, StorageUnavailable
from monitor.alerts.trainers.talk import Seen
from monitor.alerts.ways import Train
from monitor.clock import Clock
from monitor.storage import endpoints, retrains
from monitor.storage.engine import reading, take_turns, transaction
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retrains import NoSuchRetrain

log = structlog.get_logger(__name__)

# A conversation takes 20 s at most, its record a moment.
LEASE_S: Final = 60.0
WORKERS: Final = 4
# A training of minutes is told within seconds, one of hours within minutes.
SHORTEST_S: Final = 5.0
LONGEST_S: Final = 300.0
_SHARE: Final = 0.1
_STOP_S: Final = 2.0
ENDS: Final = ("succeeded", "failed")
UNTOLD: Final = "asked in vain how it is: "


def wait_s(age_s: float, asked_for_s: float | None = None) -> float:
    """Return after how long a run is looked at again, from its age and what its trainer wants.

    Examples
    --------
    >>> wait_s(0), wait_s(600), wait_s(86_400), wait_s(0, 120), wait_s(0, 1)
    (5.0, 60.0, 300.0, 120.0, 5.0)
    """
    own_s = min(max(age_s * _SHARE, SHORTEST_S), LONGEST_S)
    return max(own_s, asked_for_s or 0.0)


class Follower:
    """Looks at runs that are due; any number of them may do so.

    Parameters
    ----------
    engine
        An upgraded database.
    train
        What asks trainers.
    clock
        Of looks and leases.
    after_looking
        Called with what was looked at, before it is recorded: where a test ends the process.
    """

    def __init__(
        self,
        engine: Engine,
        train: Train,
        *,
        clock: Clock,
        workers: int = WORKERS,
        after_looking: Callable[[Retrain], None] = lambda _: None,
    ) -> None:
        self._engine, self._train, self._clock = engine, train, clock
        self._workers, self._after_looking = workers, after_looking
        self._under_way = 0
        self._changed = threading.Condition()

    def step(self) -> int:
        """Begin to look at what is due, as far as there are hands; return how many that was.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        with self._changed:
            free = self._workers - self._under_way
        if free <= 0:
            return 0
        now_ms = self._clock.now_ms()
        with reading(self._engine) as conn:
            found = retrains.to_follow(conn, now_ms, free)
        return sum(self._begin(one, now_ms) for one in found)

    def finish(self, timeout_s: float = _STOP_S) -> bool:
        """Wait for what is being looked at; False when some of it is still under way."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, timeout_s)

    def _begin(self, one: Retrain, now_ms: int) -> bool:
        until_ms = now_ms + round(LEASE_S * 1_000)
        with transaction(self._engine) as conn:
            if not retrains.look_again(conn, one.id, until_ms, was_ms=one.look_ms):
                return False
        with self._changed:
            self._under_way += 1
        threading.Thread(
            target=self._work, args=(one, until_ms), name="follow", daemon=True
        ).start()
        return True

    def _work(self, one: Retrain, until_ms: int) -> None:
        try:
            self._look(one, until_ms)
        except StorageUnavailable as error:
            log.warning("cannot record a look yet", request=one.id, error=str(error))
        except Exception:
            # The lease ends, and it is looked at again.
            log.exception("following", request=one.id)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _look(self, one: Retrain, until_ms: int) -> None:
        with reading(self._engine) as conn:
            trainer = endpoints.by_id(conn, one.endpoint_id)
        if trainer is None or one.run is None:
            # Without its credentials nobody can ask; its training may still report.
            words = f"{one.trainer} was removed: nobody asks how its run is, which may report"
            with transaction(self._engine) as conn:
                if retrains.look_again(conn, one.id, None, was_ms=until_ms):
                    now_ms = self._clock.now_ms()
                    retrains.event(conn, one.id, one.state, now_ms, actor=one.trainer, words=words)
            log.warning("a run is not followed any more", request=one.id, why=words)
            return
        seen = self._train.look(trainer, one.run)
        self._after_looking(one)
        now_ms = self._clock.now_ms()
        age_s = (now_ms - one.requested_ms) / 1_000
        again_ms = now_ms + round(wait_s(age_s, seen.retry_after_s) * 1_000)
        with transaction(self._engine) as conn:
            # Whoever writes messages takes turns: the end of a request is told.
            take_turns(conn, "tell")
            # Another may look at it by now, where this process stood still.
            if retrains.look_again(conn, one.id, again_ms, was_ms=until_ms):
                _record(conn, one, trainer.name, seen, now_ms)
        said = {"request": one.id, "state": seen.state, "words": seen.words}
        if seen.state is None:
            log.warning("a training is not told of", **said)
        elif seen.state in ENDS:
            log.info("a training ended", **said)


def _record(conn: Connection, one: Retrain, actor: str, seen: Seen, now_ms: int) -> None:
    """Write down what is new of a run."""
    is_new = seen.state in ENDS or (seen.state == "running" and one.state == "accepted")
    if is_new and seen.state is not None:
        # It may be over, or somebody reported what is later than this.
        with contextlib.suppress(Conflict, NoSuchRetrain):
            retrains.report(conn, one.id, seen.state, actor=actor, words=seen.words, now_ms=now_ms)
        return
    words = f"{UNTOLD}{seen.words}" if seen.state is None else seen.words
    last = one.events[-1].words if one.events else ""
    # Once, however often it is asked: that it waits, and for what, or that nobody says how it is.
    is_known = last.startswith(UNTOLD) if seen.state is None else last == words
    if not is_known and seen.state != "running":
        retrains.event(conn, one.id, one.state, now_ms, actor=actor, words=words)
