"""The keeper: makes what is older than the policy allows smaller, a little at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import structlog
from sqlalchemy.engine import Connection, Engine

from driftline.errors import StorageUnavailable
from driftline.stats.calibration import from_reference
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import DAY_MS, LENGTHS
from monitor.clock import Clock
from monitor.retention.policy import LONGEST_DAYS, Policy
from monitor.storage import evaluation, lanes, reads, registry, uploads
from monitor.storage import retention as sql
from monitor.storage.engine import reading, transaction
from monitor.windows.calendar import Window, window_of

log = structlog.get_logger(__name__)

# Between two looks that find nothing more to do.
LOOK_S: Final = 600.0
# One transaction forgets so many dead letters.
AT_ONCE: Final = 500
# What belongs to no version, by what it is called where it cannot be done.
LETTERS: Final = "dead letters"
LANES: Final = "replays"
UPLOADS: Final = "uploads"
# By then whoever counted again what has ended was told so by its own look at the topic.
ENDED_MS: Final = DAY_MS


@dataclass
class Did:
    """What was done: rows of each kind that are no more.

    `hours` became the days' sums; `lanes` are of replays and uploads that nobody goes on with; the
    others expired.
    """

    hours: int = 0
    days: int = 0
    hour_windows: int = 0
    windows: int = 0
    letters: int = 0
    lanes: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def add(self, other: Did) -> None:
        """Take `other` in."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


# What is left to do, one small transaction each; and of what.
Task = Callable[[Connection], Did]
Of = sql.Version | str


class Keeper:
    """Works through what is due; any number of them may run on one database.

    Parameters
    ----------
    engine
        Of a database at this release's schema.
    policy
        For how long what is kept.
    """

    def __init__(self, engine: Engine, policy: Policy, clock: Clock) -> None:
        self._engine, self._policy, self._clock = engine, policy, clock
        self._next_s = clock.monotonic_s()
        self._left: list[tuple[Of, Iterator[Task]]] | None = None
        self._failures: dict[Of, str] = {}
        self._round = Did()
        # By reference: the segments of which it knows how hours wobble.
        self._known: dict[str, frozenset[str]] = {}

    @property
    def failures(self) -> dict[Of, str]:
        """What keeps old records as they are, by version, `LETTERS`, `LANES` or `UPLOADS`."""
        return dict(self._failures)

    def step(self) -> bool:
        """Do one piece where it is time to look; return whether there may be more.

        Raises
        ------
        StorageUnavailable
            The database cannot be used now.
        """
        if self._left is None:
            if self._clock.monotonic_s() < self._next_s:
                return False
            self._left, self._round = self._due(), Did()
        try:
            did = self._piece(self._left)
        except BaseException:
            self._left = None
            raise
        if did is not None:
            self._round.add(did)
            return True
        self._left = None
        self._next_s = self._clock.monotonic_s() + LOOK_S
        if self._round:
            log.info("old records take less room", **vars(self._round))
        return False

    def run(self, went_on: Callable[[Did], None] = lambda _: None) -> Did:
        """Do all that is due now; `went_on` is given what was done so far after every piece."""
        total, left = Did(), self._due()
        while (did := self._piece(left)) is not None:
            total.add(did)
            went_on(total)
        return total

    def _piece(self, left: list[tuple[Of, Iterator[Task]]]) -> Did | None:
        """Do one piece; None when nothing is left. A version that fails keeps no other waiting."""
        while left:
            of, tasks = left[0]
            try:
                task = next(tasks, None)
                if task is not None:
                    with transaction(self._engine) as conn:
                        return task(conn)
            except StorageUnavailable:
                raise
            except Exception as error:
                if self._failures.get(of) != repr(error):  # said once
                    self._failures[of] = repr(error)
                    what = of if isinstance(of, str) else of.id
                    log.exception("old records are kept as they are", of=what)
            else:
                self._failures.pop(of, None)
            left.pop(0)
        return None

    # What is due, found out piece by piece: between two of them others work on.

    def _due(self) -> list[tuple[Of, Iterator[Task]]]:
        """Return what is due of each version, and of what belongs to none."""
        with reading(self._engine) as conn:
            versions = sql.versions(conn)
        return [
            *((each, self._of_version(each)) for each in versions),
            (LETTERS, self._letters()),
            (LANES, self._lanes()),
            (UPLOADS, self._uploads()),
        ]

    def _of_version(self, version: sql.Version) -> Iterator[Task]:
        policy = self._policy
        with reading(self._engine) as conn:
            judged_ms = sql.judged_to(conn, version.id)
            digests = sql.digests(conn, version.id)
            revisions = registry.monitor_history(conn, version.id).revisions
        if judged_ms is None or not revisions:  # it was deleted meanwhile
            return
        horizon_ms = revisions[-1].spec.horizon_ms
        # A window that a late event still changes may reach so far back.
        at_least_ms = horizon_ms + (LONGEST_DAYS + 1) * DAY_MS
        if policy.hours_days:
            until_ms = judged_ms - max(policy.hours_days * DAY_MS, at_least_ms)
            for grids, learning in self._gridsets(version, digests):
                yield from self._hours(version, grids, learning, until_ms)
        for length in LENGTHS:
            if days := policy.findings_of(length):
                until_ms = judged_ms - max(days * DAY_MS, at_least_ms)
                yield from self._windows(version, length, until_ms)
        if policy.days_days:
            yield from self._days(version, judged_ms - policy.days_days * DAY_MS)

    def _gridsets(
        self, version: sql.Version, digests: list[str]
    ) -> list[tuple[Gridset, frozenset[str]]]:
        """Return what a version is counted on, with the segments that need their hours still.

        Those whose first hours are yet to teach what is natural: a replay must learn the same.
        """
        found: dict[str, tuple[Gridset, frozenset[str]]] = {}
        for digest in digests:
            with reading(self._engine) as conn:
                reference = reads.reference_document(conn, digest)
                if reference is None:
                    continue
                learnt = {
                    segment
                    for segment, length in evaluation.calibrations(conn, version.id, digest)
                    if length == "hour"
                }
            if digest not in self._known:
                known = (s for s in reference.profiles if from_reference(reference, s, "hour"))
                self._known[digest] = frozenset(known)
            learning = frozenset(reference.profiles) - self._known[digest] - learnt
            grids = reference.gridset
            _, others = found.get(grids.digest, (grids, frozenset()))
            found[grids.digest] = grids, others | learning
        return list(found.values())

    def _hours(
        self, version: sql.Version, grids: Gridset, learning: frozenset[str], until_ms: int
    ) -> Iterator[Task]:
        """Add up the days that end by `until_ms`, one partition of one day at a time."""
        while True:
            with reading(self._engine) as conn:
                first_ms = sql.first_hour(conn, version.id, grids.digest, without=learning)
                if first_ms is None:
                    return
                day = window_of(first_ms, "day", version.timezone)
                if day.end_ms > until_ms:
                    return
                parts = sql.parts_of(conn, version.id, grids.digest, *day)
            for part in parts:

                def add_up(conn: Connection, day: Window = day, part: sql.Part = part) -> Did:
                    return Did(
                        hours=sql.add_up(conn, grids, version.id, part, *day, without=learning)
                    )

                yield add_up

    def _windows(self, version: sql.Version, length: str, until_ms: int) -> Iterator[Task]:
        """Forget a length's windows that end by `until_ms`, a day of starts at a time."""
        while True:
            with reading(self._engine) as conn:
                first_ms = sql.first_window(conn, version.id, length)
            if first_ms is None:
                return
            if window_of(first_ms, length, version.timezone).end_ms > until_ms:
                return
            to_ms = min(window_of(first_ms, "day", version.timezone).end_ms, until_ms)

            def forget(conn: Connection, from_ms: int = first_ms, to_ms: int = to_ms) -> Did:
                count = sql.forget_windows(conn, version.id, length, from_ms, to_ms)
                return Did(hour_windows=count) if length == "hour" else Did(windows=count)

            yield forget

    def _days(self, version: sql.Version, until_ms: int) -> Iterator[Task]:
        while True:
            with reading(self._engine) as conn:
                day = sql.first_day(conn, version.id)
            if day is None or day[1] > until_ms:
                return

            def forget(conn: Connection, end_ms: int = day[1]) -> Did:
                return Did(days=sql.forget_day(conn, version.id, end_ms))

            yield forget

    def _letters(self) -> Iterator[Task]:
        if not self._policy.letters_days:
            return
        until_ms = self._clock.now_ms() - self._policy.letters_days * DAY_MS
        count = AT_ONCE
        while count == AT_ONCE:

            def forget(conn: Connection) -> Did:
                nonlocal count
                count = sql.forget_letters(conn, until_ms, AT_ONCE)
                return Did(letters=count)

            yield forget

    def _lanes(self) -> Iterator[Task]:
        with reading(self._engine) as conn:
            ended = lanes.ended(conn, self._clock.now_ms() - ENDED_MS)
        for stream_id in ended:

            def give_up(conn: Connection, stream_id: int = stream_id) -> Did:
                return Did(lanes=int(lanes.give_up(conn, stream_id)))

            yield give_up
        with reading(self._engine) as conn:
            orphans = lanes.orphans(conn)
        for stream_id in orphans:
            count = 1
            while count:

                def forget(conn: Connection, stream_id: int = stream_id) -> Did:
                    nonlocal count
                    count = lanes.forget(conn, stream_id)
                    return Did(lanes=count)

                yield forget

    def _uploads(self) -> Iterator[Task]:
        until_ms = self._clock.now_ms() - uploads.STALE_MS
        with reading(self._engine) as conn:
            stale = uploads.stale(conn, until_ms)
        for name in stale:

            def give_up(conn: Connection, name: str = name) -> Did:
                return Did(lanes=int(uploads.give_up(conn, name, until_ms)))

            yield give_up
        count = 1
        while count:

            def forget(conn: Connection) -> Did:
                nonlocal count
                count = uploads.forget(conn)
                return Did(lanes=count)

            yield forget
