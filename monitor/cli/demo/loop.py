"""The year's log in event time: it waits where the model's retraining could be asked for.

Where it waits depends on the log and on what was found in it, never on how fast anything ran:
at the ends of local days, and of these only at those at which the policy could ask. What is in the
log is thus the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.cli.demo import retrain
from monitor.cli.demo.flights import ZONE
from monitor.cli.demo.produce import VERSION, Log, Slice
from monitor.detect.retraining import Policy
from monitor.detect.spec import MonitorSpec
from monitor.storage.retrain_rows import Retrain


@dataclass(frozen=True)
class Takeover:
    """A version that scores from then on.

    Attributes
    ----------
    live_ms
        Event time of the first flight that it scored.
    """

    version: str
    live_ms: int


@dataclass(frozen=True)
class Desk:
    """What the log waits for, and asks at.

    Attributes
    ----------
    wait_for_day
        Returns when the windows of a version up to an instant, the end of a local day, are
        judged, and what that asks for is decided.
    open_days
        On how many days that count critical drift of a version stood, at the end of a day.
    wait_for_trainer
        Returns a version's last request when it is over; None where there is none.
    """

    wait_for_day: Callable[[str, int], None]
    open_days: Callable[[str, int], int]
    wait_for_trainer: Callable[[str], Retrain | None]


def next_look(place: int, *, days: int, policy: Policy, asked: int | None) -> int:
    """The first day's end after the one at `place` at which a policy could ask.

    Parameters
    ----------
    place, asked
        Numbers of days: where one stands, and where it asked last.
    days
        On how many days critical drift stood; another day adds one at most.

    Examples
    --------
    >>> next_look(9, days=0, policy=Policy(), asked=None)
    14
    >>> next_look(9, days=4, policy=Policy(), asked=None)
    10
    >>> next_look(9, days=7, policy=Policy(), asked=8)
    36
    """
    at = place + max(1, policy.open_days - days)
    return at if asked is None else max(at, asked + policy.cooldown_days)


def stream(
    log: Log,
    send: Callable[[Iterable[Slice]], None],
    *,
    policy: Policy,
    desk: Desk,
    folder: Path,
    before: int,
) -> list[Takeover]:
    """Send the log, and let each new version score from the flight after it is live.

    Parameters
    ----------
    send
        Sends slices, in order.
    folder
        Where the trainer leaves its scores; of the first `before` flights, which come before the
        log, it has some, too.
    """
    stops = log.stops(ZONE, lateness_ms=MonitorSpec.lateness_ms)
    taken: list[Takeover] = []
    version, asked, at = VERSION, None, 0
    place = next_look(-1, days=0, policy=policy, asked=None)
    while place < len(stops):
        stop = stops[place]
        send(log.slices(at, stop.position))
        at = stop.position
        desk.wait_for_day(version, stop.day_end_ms)
        found = desk.wait_for_trainer(version)
        if found is not None and found.event_ms == stop.day_end_ms:
            asked = place
            if found.live_version is not None:
                version = found.live_version
                scores = np.load(retrain.scores_in(folder, version))[before:]
                live_ms = log.take_over(version, scores, stop.position)
                taken += [] if live_ms is None else [Takeover(version, live_ms)]
        days = 0 if asked == place else desk.open_days(version, stop.day_end_ms)
        place = next_look(place, days=days, policy=policy, asked=asked)
    send(log.slices(at))
    return taken
