"""The evaluator: panes in SQL in, windows, findings and incidents in SQL out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.engine import Engine

from driftline.errors import StorageUnavailable
from monitor.clock import Clock, SystemClock
from monitor.evaluate.evaluator import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage.pipeline_watch import PipelineWatch

__all__ = ["EvaluateSettings", "Evaluator", "run"]

log = structlog.get_logger(__name__)


def run(
    settings: EvaluateSettings,
    stop: threading.Event,
    *,
    clock: Clock | None = None,
    went_on: Callable[[], None] = lambda: None,
    meanwhile: Callable[[Engine], Callable[[], bool]] | None = None,
) -> None:
    """Judge what is due, again and again, until `stop` is set.

    A database that goes away is waited for. `went_on` is called at every round and, in a long
    one, before every stride of a version. What `meanwhile` makes of the engine is called while
    nothing is to be judged, again for as long as it says that there is more. The pipeline is
    watched, too.

    Raises
    ------
    SchemaVersionError, StorageUnavailable
        At start: the database is of another release, or not there.
    """
    engine = storage.create(settings.database_url)
    try:
        storage.check_schema(engine)
        clock = clock or SystemClock()
        evaluator = Evaluator(engine, settings, now_ms=clock.now_ms, went_on=went_on)
        watch = PipelineWatch(
            engine, clock, settings.web_url, stalled_after_s=settings.stalled_after_s
        )
        tidy = None if meanwhile is None else meanwhile(engine)
        is_up = True
        while not stop.is_set():
            went_on()
            looks_at_s = 0.0
            try:
                if settings.tells:
                    watch.step()
                count = evaluator.step()
                looks_at_s = time.monotonic() + settings.interval_s
                while tidy is not None and not count and time.monotonic() < looks_at_s:
                    if stop.is_set() or not tidy():
                        break
            except StorageUnavailable as error:
                if is_up:
                    log.warning("database lost: waiting for it", error=str(error))
                is_up, count = False, 0
                looks_at_s = time.monotonic() + settings.interval_s
            else:
                if not is_up:
                    log.info("database is back")
                is_up = True
            if not count:
                stop.wait(max(0.0, looks_at_s - time.monotonic()))
    finally:
        engine.dispose()
