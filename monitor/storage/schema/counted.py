"""What consumers write: positions in streams, panes, and what became of every record.

No foreign keys here: a deleted model must not stop a partition and the models beside it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from monitor.storage.schema.columns import Id, String, metadata

# A stream is one life of a topic: made again, it is a new stream.
stream = Table(
    "stream",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster_id", String(200), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("topic_id", String(64), nullable=False),
    Column("start_policy", String(16), nullable=False),  # earliest | latest, resolved once
    Column("group_id", String(249), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    UniqueConstraint("cluster_id", "topic_id"),
)

stream_position = Table(
    "stream_position",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("start_offset", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("claim_epoch", BigInteger, nullable=False),
    Column("owner", String(200)),
    Column("group_id", String(249), nullable=False),
    # The watermark's raw material; null until the first event.
    Column("max_event_time_ms", BigInteger),
    # A jump of over a day waits until 100 records agree (JSON, see consumers.watermark).
    Column("pending_advance", Text),
    Column("registry_revision", BigInteger, nullable=False),
    # read_uncommitted end offset, and when it was fetched (wall clock).
    Column("end_offset", BigInteger),
    Column("fetched_ms", BigInteger),
    # For how long position == end has held, by the owner's monotonic clock; 0 = not caught up.
    Column("caught_up_for_ms", BigInteger, nullable=False, server_default="0"),
    # Kafka timestamp of the last record counted, and of the last one read.
    Column("last_counted_kafka_ms", BigInteger),
    Column("checkpointed_ms", BigInteger),
    Column("checkpoints", BigInteger, nullable=False, server_default="0"),
    Column("fenced", BigInteger, nullable=False, server_default="0"),
)

# From `switch_offset` on, this partition admitted records with this registry revision.
registry_switch = Table(
    "registry_switch",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("registry_revision", BigInteger, primary_key=True),
    Column("switch_offset", BigInteger, nullable=False),
)

pane = Table(
    "pane",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("gridset", String(64), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("rev", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # A segment's hours, without the panes of the other segments in between; as whole as the key,
    # so that a planner who takes it for the key passes no other partition's pane.
    Index(
        "ix_pane_segment",
        "version_id",
        "gridset",
        "segment",
        "start_ms",
        "stream_id",
        "partition",
    ),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# Panes of a local day of the model's zone, added up: what is left of hours that are judged no
# more. The sum of their revisions stays what it was, so that no longer window becomes stale. A
# late event still makes an hour of its own, which is added at the next look.
pane_day = Table(
    "pane_day",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("gridset", String(64), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),  # local midnight
    Column("segment", String(500), primary_key=True),
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("end_ms", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),  # start of the first hour in it
    Column("rev", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# The unseen values kept for display, never for a decision.
unseen_value = Table(
    "unseen_value",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("gridset", String(64), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("value", String(200), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("line", Integer, primary_key=True),  # of an NDJSON record; 0 otherwise
    Column("reason", String(64), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("payload", LargeBinary),  # its beginning, capped; null when keep_payload is off
    Column("payload_sha256", String(64), nullable=False),
    Column("kafka_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    # json: a record or line as it came; arrow: a whole stream; row: a row of one, as text.
    Column("form", String(8)),
    # When it was taken to be sent again; then where the new record lies. One without the other:
    # nobody knows whether it arrived.
    Column("replay_ms", BigInteger),
    Column("replayed_partition", Integer),
    Column("replayed_offset", BigInteger),
    # The order of the list, newest first.
    Index("ix_dead_letter_newest", "created_ms", "stream_id", "partition", "offset", "line"),
)

# Why a stream's consumers stopped: most of what came could not be read. Its last stop.
breaker = Table(
    "breaker",
    metadata,
    Column("stream_id", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Integer, nullable=False),  # where it was noticed
    Column("next_offset", BigInteger, nullable=False),  # nothing from here on is counted
    Column("tripped_ms", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),  # looked at ...
    Column("undecodable", BigInteger, nullable=False),  # ... and so many of them
    Column("reasons", Text, nullable=False),  # JSON: reason -> how many
    Column("samples", Text, nullable=False),  # JSON: the last of them
    # An operator lets it go on, until the flood is over: null = it stands.
    Column("accepted_ms", BigInteger),
    Column("accepted_by", String(200)),
    Column("over_ms", BigInteger),
)

data_gap = Table(
    "data_gap",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("kind", String(32), nullable=False),  # retention | truncation | recreated
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),
    # Event time the gap may have taken records from: its windows are incomplete.
    Column("from_ms", BigInteger),
    Column("to_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("stream_id", "partition", "kind", "from_offset", "to_offset"),
)

# Records of a version that were read before it had a reference.
deficit = Table(
    "deficit",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),  # exclusive
    Column("records", BigInteger, nullable=False),
    Column("first_ms", BigInteger),
    Column("last_ms", BigInteger),
)

# What became of every event, by partition (a shared row would deadlock). `outcome`:
# prediction | label | unmonitored | late | unknown_feature | dead:<reason>.
counter = Table(
    "counter",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("outcome", String(80), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
