"""What an ingest process is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from driftline.errors import ConfigError
from driftline.program import command
from driftline.wire import MAX_RECORD_BYTES

TOPIC: Final = "driftline.events"
GROUP: Final = "driftline"
# Kafka's default; a member that died is missed after this long.
SESSION_MS: Final = 45_000
# A broker without memory is on this machine: its member is missed soon, and it lets a
# group wait for half the session before the first assignment.
EMBEDDED_SESSION_MS: Final = 4_000


@dataclass(frozen=True)
class IngestSettings:
    """Where to read, where to count, and how often.

    Attributes
    ----------
    database_url, bootstrap, topic, group_id : str
    checkpoint_interval_s : float
        Counts reach the database this often, or earlier by size.
    stream_epoch : str, optional
        Names one start of a broker that keeps nothing; each start is its own stream.
    start_policy : {"earliest", "latest"}
        Where a topic that was never seen is read from; resolved once and stored.
    max_record_bytes : int
        Larger records are dead letters.
    keep_payload : bool
        Whether dead letters keep the beginning of their record.
    client : {"kafka-python", "confluent"}
        What reads the records; both count the same.
    client_options : mapping
        Further options of kafka-python's client (TLS, SASL, ``session_timeout_ms``).
    max_rows, max_bytes : int
        Events and bytes (records and counts) held before a checkpoint is made early.
    owner : str, optional
        Who holds a partition, for people; made up when None.
    breaker, breaker_ratio, breaker_events
        Whether it stops when more than this share of the last so many events cannot be read.
    accepts_undecodable : str, optional
        Who lets consumers go on that have stopped so; None = nobody.
    """

    database_url: str = field(repr=False)  # it may hold a password
    bootstrap: str
    topic: str = TOPIC
    group_id: str = GROUP
    checkpoint_interval_s: float = 30.0
    stream_epoch: str | None = None
    start_policy: Literal["earliest", "latest"] = "earliest"
    max_record_bytes: int = MAX_RECORD_BYTES
    keep_payload: bool = True
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    # Passwords are among them.
    client_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    max_rows: int = 500_000
    max_bytes: int = 96_000_000
    owner: str | None = None
    breaker: bool = True
    breaker_ratio: float = 0.5
    breaker_events: int = 1_000
    accepts_undecodable: str | None = None

    def __post_init__(self) -> None:
        if self.start_policy not in ("earliest", "latest"):
            raise ConfigError("start_policy", "ingest", self.start_policy, "'earliest' or 'latest'")
        if self.client not in ("kafka-python", "confluent"):
            raise ConfigError("client", "ingest", self.client, "'kafka-python' or 'confluent'")
        if self.client == "confluent" and self.stream_epoch is not None:
            # Its answer for a topic that was deleted names none: librdkafka 2.16 crashes on that.
            raise ConfigError(
                "kafka.client", "settings", self.client,
                f"kafka-python with the broker that `{command('up')}` brings: librdkafka does "
                "not survive all of its answers",
            )  # fmt: skip
        if not self.checkpoint_interval_s > 0:
            raise ConfigError(
                "checkpoint_interval_s", "ingest", self.checkpoint_interval_s, "more than 0 s"
            )

    @property
    def session_ms(self) -> int:
        """How long the group waits for a member that says nothing."""
        default = EMBEDDED_SESSION_MS if self.stream_epoch else SESSION_MS
        return int(self.client_options.get("session_timeout_ms", default))
