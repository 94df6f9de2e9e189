"""One ingest process whose memory is watched; it says how it is at a port, as `ingest` does.

python tests/pressure_member.py '{"database_url": ..., "port": 9101, "max_bytes": 8000000}'
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from consumers.kafka import KafkaSource
from consumers.loop import RETRY_S, Loop
from consumers.metrics import Ingesting
from consumers.settings import IngestSettings
from monitor.api import metrics
from monitor.clock import SystemClock
from monitor.storage import engine as storage


@dataclass(frozen=True)
class Given:
    """What a member is told; `is_unbounded` makes it the control."""

    database_url: str
    bootstrap: str
    topic: str
    port: int
    max_bytes: int
    is_unbounded: bool = False
    checkpoint_interval_s: float = 1.0
    session_ms: int = 6_000
    # Within an outage: whoever does not poll meanwhile loses its partitions.
    max_poll_interval_ms: int = 8_000


class Unbounded(Loop):
    """It keeps what it cannot write, reads on, and never finds it too much."""

    def _is_heavy(self) -> bool:
        super()._is_heavy()
        return False

    def _storage_lost(self, error: Exception) -> None:
        self._storage_at_s = self._clock.monotonic_s() + RETRY_S
        self._outages.down("database", str(error))


def run(given: Given, stop: threading.Event) -> None:
    """Ingest until `stop` is set."""
    db = storage.create(given.database_url)
    settings = IngestSettings(
        given.database_url,
        given.bootstrap,
        given.topic,
        given.topic,
        checkpoint_interval_s=given.checkpoint_interval_s,
        client_options={
            "session_timeout_ms": given.session_ms,
            "heartbeat_interval_ms": given.session_ms // 4,
            "max_poll_interval_ms": given.max_poll_interval_ms,
        },
        max_bytes=given.max_bytes,
    )
    source = KafkaSource(
        settings.bootstrap, settings.topic, settings.group_id, options=settings.client_options
    )
    meter = Ingesting(SystemClock())
    # No heartbeat of the role's here: the loop alone says whether the database answers.
    app = metrics.create_role_app(meter, token=None, is_loopback=True)
    kind = Unbounded if given.is_unbounded else Loop
    with metrics.served(app, "127.0.0.1", given.port):
        kind(db, source, settings, meter=meter).run(stop)


def main() -> None:
    """Run until SIGTERM."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(Given(**json.loads(sys.argv[1])), stop)


if __name__ == "__main__":
    main()
