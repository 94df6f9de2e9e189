"""The consumer as a process: what `driftline ingest` runs."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from consumers.bounded import batch_bytes
from consumers.confluent import ConfluentSource
from consumers.heap import keep_pages
from consumers.kafka import KafkaSource
from consumers.loop import Loop
from consumers.meter import NOBODY, Meter
from consumers.settings import IngestSettings
from consumers.source import Source
from monitor.clock import Clock, SystemClock
from monitor.storage import breakers, engine

__all__ = ["IngestSettings", "run"]

log = logging.getLogger(__name__)


def run(
    settings: IngestSettings,
    stop: threading.Event,
    clock: Clock | None = None,
    *,
    meter: Meter = NOBODY,
) -> None:
    """Read the topic into the database until `stop` is set; `meter` is told how it goes.

    Raises
    ------
    BrokerUnavailable, StorageUnavailable, SchemaVersionError, Conflict, ConfigError, MissingExtra
        At the start, in one line; what is lost later is waited for.
    DeadLetterLimit
        Most of what comes cannot be read: nothing of it is counted or passed.
    """
    db = engine.create(settings.database_url)
    engine.check_schema(db)
    if settings.accepts_undecodable is not None:
        with engine.transaction(db) as conn:
            found = breakers.accept(
                conn, actor=settings.accepts_undecodable,
                now_ms=(clock or SystemClock()).now_ms(), topic=settings.topic,
            )  # fmt: skip
        log.info("let go on: %s", [stop.topic for stop in found] or "nothing had stopped")
    # The client's own complaints come several a second while a broker is away; ours come once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # Records come by the thousand and hold no cycles: looking for some cost a sixth of the time.
    gc.set_threshold(50_000, 20, 20)
    keep_pages()
    options: dict[str, Any] = dict(settings.client_options)
    options.setdefault("session_timeout_ms", settings.session_ms)
    options.setdefault("heartbeat_interval_ms", min(3_000, settings.session_ms // 4))
    kind: Callable[..., Source] = partial(
        ConfluentSource if settings.client == "confluent" else KafkaSource,
        batch_bytes=batch_bytes(settings.max_record_bytes),
    )
    source = kind(
        settings.bootstrap,
        settings.topic,
        settings.group_id,
        options=options,
        epoch=settings.stream_epoch,
    )
    try:
        Loop(db, source, settings, clock, meter=meter).run(stop)
    finally:
        db.dispose()
