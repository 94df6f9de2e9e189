"""The demo from start to end: train, register, stream, wait, close, and take stock.

Everything goes the way a user's own service would: the reference over HTTP, the events
through Kafka, the alerts as webhooks. The parent only watches the database that the other
processes write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import pandas as pd

from driftline import Client
from driftline.errors import StreamError
from monitor.cli.broker import PARTITIONS
from monitor.cli.demo import flights, model
from monitor.cli.demo.memory import Memory, give_back
from monitor.cli.demo.produce import MODEL, VERSION, Slice, log, send
from monitor.cli.demo.receiver import ENDPOINT, Receiver
from monitor.cli.demo.result import Progress, Result, View
from monitor.cli.demo.screen import Bar, Screen
from monitor.cli.tree import Tree
from monitor.clock import SystemClock
from monitor.evaluate import EvaluateSettings, Evaluator

# No progress for so long is a fault that is said, not a wait without end.
_STUCK_S: Final = 120.0
# The log is complete and read to its end: a short silence closes the last windows.
_IDLE_S: Final = 1.0
_LOOK_S: Final = 0.5
# Every message is told once to a receiver in this process: a moment is enough for all of them.
_DRAIN_S: Final = 60.0


def run(tree: Tree, screen: Screen, receiver: Receiver) -> Result:
    """Run the year on a tree that is not started yet.

    Afterwards the tree still runs, but for the evaluator, which has nothing left to judge.

    Raises
    ------
    ChildDied
        A process of the tree ended.
    StreamError
        The stream got stuck.
    """
    with Memory() as memory:
        tree.start()
        screen.say(f"The dashboard is at {tree.web_url}")
        stream = _register_january(tree, screen, receiver)
        give_back()
        with View(tree.database_url, MODEL, VERSION) as view:
            with screen.progress(len(stream)) as bar:
                watch = _Watch(tree, view, bar)
                sent = send(
                    log(stream, partitions=PARTITIONS),
                    bootstrap=tree.bootstrap,
                    topic=tree.topic,
                    told=watch.look_at_slice,
                )
                watch.wait_until(lambda seen: seen.records >= sent)
                # One evaluator at a time: the last one knows that the log is complete.
                tree.end("evaluate")
                closing = Evaluator(
                    view.engine,
                    EvaluateSettings(
                        tree.database_url,
                        owner="demo",
                        idle_timeout_s=_IDLE_S,
                        web_url=tree.public_url,
                    ),
                    now_ms=SystemClock().now_ms,
                )
                watch.wait_until(lambda _: closing.step() == 0 and view.is_judged())
                # A message that has to wait for another attempt may take days: not here.
                watch.wait_until(lambda seen: seen.pending == 0, at_most_s=_DRAIN_S)
                watch.look(now=True)
            return view.result(seconds=memory.seconds, peak_bytes=memory.peak_bytes)


def _register_january(tree: Tree, screen: Screen, receiver: Receiver) -> pd.DataFrame:
    """Build, train, score and register, and name the receiver; return the scored stream."""
    screen.say("Reading the flights of 2013 ...")
    year = flights.build()
    give_back()
    tree.check()
    screen.say("Training the model on January ...")
    year = model.score(year)
    give_back()
    tree.wait_for_web()
    screen.say("Registering January as the reference ...")
    client = Client(tree.web_url, tree.web_token)
    reference = client.register_reference(
        MODEL,
        VERSION,
        year.reference,
        prediction="prediction",
        score="score",
        timestamp="time",
        timezone=flights.ZONE,
        features=list(flights.FEATURES),
        categorical=flights.CATEGORICAL,
        segments=("origin",),
        description="Will the flight arrive more than 15 minutes late?",
    )
    for warning in reference.warnings:
        screen.say(f"  {warning}")
    client.add_endpoint(ENDPOINT, receiver.url, secret=receiver.secret)
    return year.stream


class _Watch:
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
        self, is_done: Callable[[Progress], bool], *, at_most_s: float | None = None
    ) -> None:
        """Return when `is_done`, or after `at_most_s`.

        Raises
        ------
        StreamError
            Nothing moved for `_STUCK_S`.
        """
        last, moved_at_s = self.look(now=True), time.monotonic()
        give_up_s = math.inf if at_most_s is None else moved_at_s + at_most_s
        while not is_done(self._seen) and time.monotonic() < give_up_s:
            time.sleep(0.1)
            if self.look() != last:
                last, moved_at_s = self._seen, time.monotonic()
            elif time.monotonic() - moved_at_s > _STUCK_S:
                raise StreamError(
                    f"the demo is stuck: {last.records:,} records counted and nothing new for "
                    f"{_STUCK_S:.0f} s"
                )
