"""What must be known before anything is read: the topic's life, its stream, and the registry."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.engine import Engine

from consumers.breaker import Breaker
from consumers.settings import IngestSettings
from consumers.source import Identity, Source
from monitor.storage import checkpoint, registry
from monitor.storage.checkpoint import Stream
from monitor.storage.engine import transaction
from monitor.storage.registry import Registry


class Opened(NamedTuple):
    """One life of the topic, the row that stands for it, and what its events are admitted by."""

    identity: Identity
    stream: Stream
    registry: Registry


def open_topic(
    db: Engine,
    source: Source,
    settings: IngestSettings,
    breaker: Breaker,
    before: Registry | None,
    now_ms: int,
) -> Opened | None:
    """Open the topic's present life; None where there is no such topic.

    Parameters
    ----------
    before
        The registry as it was read last: what is unchanged of it is kept.

    Raises
    ------
    BrokerUnavailable, StorageUnavailable
        One of the two does not answer now.
    Conflict
        Another group counts it.
    DeadLetterLimit
        Its consumers have stopped, and nobody has accepted why.
    """
    identity = source.identity()
    if identity is None:
        return None
    bounds = source.bounds()
    with transaction(db) as conn:
        stream = checkpoint.open_stream(
            conn,
            cluster_id=identity.cluster_id,
            topic=settings.topic,
            topic_id=identity.topic_id,
            start_policy=settings.start_policy,
            group_id=settings.group_id,
            bounds=bounds,
            now_ms=now_ms,
            forgets=settings.stream_epoch is not None,
        )
        breaker.heed(conn, stream, now_ms)
    return Opened(identity, stream, registry.load(db, before))
