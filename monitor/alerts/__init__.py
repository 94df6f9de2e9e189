"""Alerts go out: from the outbox in SQL to the endpoints that people named.

`guard` says where to, `ways` how each kind of endpoint is sent to, `http`, `smtp` and `apprise`
send, `trainers` start trainings, `schedule` says when again, `dispatch` puts them together,
`following` looks at trainings until they end, `overdue` gives up those that nobody speaks of,
`expiry` forgets what was sent long ago.
Nothing here decides what is told: the evaluator has written it, and its body is frozen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from driftline.errors import StorageUnavailable
from monitor.alerts.apprise import Notifier
from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.expiry import Expiry, Keep
from monitor.alerts.following import Follower
from monitor.alerts.guard import Network
from monitor.alerts.http import Caller, Poster
from monitor.alerts.overdue import Overdue
from monitor.alerts.smtp import Mailer
from monitor.alerts.trainers import Trainers
from monitor.alerts.ways import Ways
from monitor.clock import Clock, SystemClock
from monitor.storage import engine as storage
from monitor.storage.pipeline_watch import PipelineWatch

__all__ = ["DeliverSettings", "Dispatcher", "Keep", "Poster", "run"]

log = structlog.get_logger(__name__)

# Time between two looks at an outbox that has nothing due: one indexed query.
_LOOK_S: Final = 0.5


@dataclass(frozen=True)
class DeliverSettings:
    """What the dispatcher needs to know; `allow` as `monitor.alerts.guard.networks` reads it.

    `web_url` and `stalled_after_s` are the evaluator's (`monitor.evaluate.EvaluateSettings`).
    """

    database_url: str = field(repr=False)
    allow: tuple[Network, ...] = ()
    keep: Keep = field(default_factory=Keep)
    web_url: str = "http://127.0.0.1:8050"
    stalled_after_s: float = 90.0


def ways_of(allow: Sequence[Network]) -> Ways:
    """Return what sends to every kind of endpoint."""
    return Ways(Poster(allow), Mailer(allow), Notifier(allow), Trainers(Caller(allow)))


def run(
    settings: DeliverSettings,
    stop: threading.Event,
    *,
    clock: Clock | None = None,
    went_on: Callable[[], None] = lambda: None,
) -> None:
    """Send what is due, again and again, until `stop` is set; a lost database is waited for.

    Where nothing is due, what was sent long ago is forgotten. Meanwhile the pipeline is watched,
    and retrainings that nobody speaks of any more are given up.
    `went_on` is called at every round.

    Raises
    ------
    SchemaVersionError, StorageUnavailable
        At start: the database is of another release, or not there.
    """
    engine = storage.create(settings.database_url)
    try:
        storage.check_schema(engine)
        clock = clock or SystemClock()
        ways = ways_of(settings.allow)
        dispatcher = Dispatcher(engine, ways, clock=clock)
        follower = Follower(engine, ways.train, clock=clock)
        expiry = Expiry(engine, clock, settings.keep)
        watch = PipelineWatch(
            engine, clock, settings.web_url, stalled_after_s=settings.stalled_after_s
        )
        overdue = Overdue(engine, clock)
        is_up = True
        while not stop.is_set():
            went_on()
            try:
                watch.step()
                overdue.step()
                # What is due first, and then a few of what was sent long ago.
                follower.step()
                begun = dispatcher.step() or expiry.step()
            except StorageUnavailable as error:
                if is_up:
                    log.warning("database lost: waiting for it", error=str(error))
                is_up, begun = False, 0
            else:
                if not is_up:
                    log.info("database is back")
                is_up = True
            if not begun:
                dispatcher.wait(_LOOK_S)
        # What is still under way is sent again when its lease ends, or looked at again.
        dispatcher.finish()
        follower.finish()
    finally:
        engine.dispose()
