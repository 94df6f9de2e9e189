"""The evaluator: panes in SQL in, windows, findings and incidents in SQL out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from driftline.errors import StorageUnavailable
from monitor.evaluate.evaluator import EvaluateSettings, Evaluator
from monitor.storage import engine as storage

__all__ = ["EvaluateSettings", "Evaluator", "run"]

log = structlog.get_logger(__name__)


def run(
    settings: EvaluateSettings,
    stop: threading.Event,
    *,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    went_on: Callable[[], None] = lambda: None,
) -> None:
    """Judge what is due, again and again, until `stop` is set.

    A database that goes away is waited for. `went_on` is called at every round and, in a long
    one, before every stride of a version.

    Raises
    ------
    SchemaVersionError, StorageUnavailable
        At start: the database is of another release, or not there.
    """
    engine = storage.create(settings.database_url)
    try:
        storage.check_schema(engine)
        evaluator = Evaluator(engine, settings, now_ms=now_ms, went_on=went_on)
        is_up = True
        while not stop.is_set():
            went_on()
            try:
                count = evaluator.step()
            except StorageUnavailable as error:
                if is_up:
                    log.warning("database lost: waiting for it", error=str(error))
                is_up, count = False, 0
            else:
                if not is_up:
                    log.info("database is back")
                is_up = True
            if not count:
                stop.wait(settings.interval_s)
    finally:
        engine.dispose()
