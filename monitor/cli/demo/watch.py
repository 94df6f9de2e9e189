"""Waiting for other processes by looking at the database they write."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from driftline.errors import StreamError
from monitor.cli.demo.loop import Desk
from monitor.cli.demo.memory import give_back
from monitor.cli.demo.produce import Slice
from monitor.cli.demo.result import Progress, View
from monitor.cli.demo.screen import Bar
from monitor.cli.tree import Tree
from monitor.detect.retraining import Policy
from monitor.storage.retrain_rows import Retrain

# No progress for so long is a fault that is said, not a wait without end.
_STUCK_S: Final = 120.0
# A training says nothing while it trains: ten seconds on an idle machine.
_TRAINS_S: Final = 900.0
_LOOK_S: Final = 0.5
# Between two looks of who waits for an answer that takes a tenth of a second.
_OFTEN_S: Final = 0.01


class Watch:
    """Looks at the processes and the database now and then, and shows what it sees."""

    def __init__(self, tree: Tree, view: View, bar: Bar) -> None:
        self._tree, self._view, self._bar = tree, view, bar
        self._looked_at_s = 0.0
        self._seen = view.progress()

    def look(self, *, now: bool = False) -> Progress:
        """What the database says, at most `_LOOK_S` old."""
        if now or time.monotonic() - self._looked_at_s >= _LOOK_S:
            self._tree.check()
            self._seen = self._view.progress()
            self._bar.show(self._seen)
            self._looked_at_s = time.monotonic()
        return self._seen

    def look_at_slice(self, _: Slice) -> None:
        """Look between two slices that are sent."""
        self.look()

    def wait_until(
        self,
        is_done: Callable[[Progress], bool],
        *,
        at_most_s: float | None = None,
        every_s: float = 0.1,
        stuck_s: float = _STUCK_S,
    ) -> None:
        """Return when `is_done`, or after `at_most_s`.

        Raises
        ------
        StreamError
            Nothing moved for `stuck_s`.
        """
        last, moved_at_s = self.look(now=at_most_s is not None), time.monotonic()
        give_up_s = math.inf if at_most_s is None else moved_at_s + at_most_s
        while not is_done(self._seen) and time.monotonic() < give_up_s:
            time.sleep(every_s)
            if self.look() != last:
                last, moved_at_s = self._seen, time.monotonic()
            elif time.monotonic() - moved_at_s > stuck_s:
                raise StreamError(
                    f"the demo is stuck: {last.records:,} records counted and nothing new for "
                    f"{stuck_s:.0f} s"
                )

    def desk(self, policy: Policy, say: Callable[[str], None]) -> Desk:
        """What the log waits for; `say` takes a sentence about each retraining."""

        def wait_for_day(version: str, at_ms: int) -> None:
            self.wait_until(lambda _: self._view.is_judged_to(version, at_ms), every_s=_OFTEN_S)

        def open_days(version: str, at_ms: int) -> int:
            return self._view.open_days(version, at_ms, policy.of_days)

        def wait_for_trainer(version: str) -> Retrain | None:
            asked = self._view.retrain_of(version)
            if asked is None or not asked.is_open:
                return asked
            say(f"Retraining: {asked.summary} ...")
            give_back()  # who trains needs it
            self.wait_until(lambda _: self._view.is_over(asked.id), stuck_s=_TRAINS_S)
            return self._view.retrain_of(version)

        return Desk(wait_for_day, open_days, wait_for_trainer)
