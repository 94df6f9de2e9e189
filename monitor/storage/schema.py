"""The tables, in one place (SQLAlchemy Core); `migrations/` brings a database here.

Instants are epoch milliseconds in UTC (`_ms`). No table that a consumer
writes has a foreign key: a deleted model must not stop a partition and the
models beside it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy import String as AnyString

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def String(length: int) -> AnyString:
    """A short text that sorts by its bytes, whatever language a PostgreSQL was made for."""
    return AnyString(length).with_variant(AnyString(length, collation="C"), "postgresql")


# SQLite gives only INTEGER PRIMARY KEY its row id.
Id = BigInteger().with_variant(Integer, "sqlite")

# One row (id = 1). `revision` grows with every change that can change what is
# counted; `data_version` with every evaluation, so that pages know when to ask again.
registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

data_version = Table(
    "data_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

model = Table(
    "model",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("timezone", String(64), nullable=False),
    Column("owner", String(200)),
    Column("description", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("archived_ms", BigInteger),
    # In the ids of its alerts: a name that is used again after a deletion gives other ids.
    Column("nonce", String(32), nullable=False, server_default=""),
)

model_version = Table(
    "model_version",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", BigInteger, nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("replaces", String(200)),
    UniqueConstraint("model_id", "name"),
    sqlite_autoincrement=True,  # no number comes again after a deletion
)

# `body` is the reference document, compressed; immutable, keyed by its digest.
reference = Table(
    "reference",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("gridset", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("first_ms", BigInteger),
    Column("last_ms", BigInteger),
    Column("warnings", Text, nullable=False),  # JSON list of sentences
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

binding = Table(
    "binding",
    metadata,
    Column("id", Id, primary_key=True),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("reference_digest", String(64), nullable=False),
    Column("effective_from_ms", BigInteger, nullable=False),
    Column("registry_revision", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("version_id", "effective_from_ms"),
)

monitor = Table(
    "monitor",
    metadata,
    Column("model_id", BigInteger, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("spec", Text, nullable=False),  # JSON of monitor.detect.spec.MonitorSpec
    Column("created_ms", BigInteger, nullable=False),
    # Windows that end later are judged by it, in event time.
    Column("after_ms", BigInteger, nullable=False, server_default="0"),
)

# What a length learnt of its natural wobble from live windows; a later revision is made by
# `driftline monitor recalibrate` alone.
calibration = Table(
    "calibration",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("reference_digest", String(64), primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("source", String(16), nullable=False),
    Column("windows", Text, nullable=False),  # JSON list of the windows it came from
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # Windows that end later are judged by it, in event time; null: after those it came from.
    Column("after_ms", BigInteger),
)

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
    # A jump of over a day waits until 100 records agree (JSON, see consumers.admit).
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
    # The order of the list, newest first.
    Index("ix_dead_letter_newest", "created_ms", "stream_id", "partition", "offset", "line"),
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

# The evaluator's place, moved by compare-and-swap; its lease only saves work.
evaluator_cursor = Table(
    "evaluator_cursor",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("watermark_ms", BigInteger),
    Column("owner", String(200)),
    Column("lease_until_ms", BigInteger),
)

window = Table(
    "window",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("end_ms", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rev_sum", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("closed_by", String(16), nullable=False),  # watermark | idle | hold
    Column("incomplete", Text),  # JSON list of causes; null = complete
    Column("reference_digest", String(64), nullable=False),
    Column("monitor_revision", Integer, nullable=False),
    Column("fold", Text, nullable=False),  # JSON: the verdicts' state after this window
    Column("judged_ms", BigInteger, nullable=False),
    Index("ix_window_version_length_end", "version_id", "length", "end_ms"),
    # A segment's windows in order, without those of the other segments in between.
    Index("ix_window_segment", "version_id", "segment", "length", "start_ms"),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# One feature of one window. A null number was not computable or not judged there.
finding = Table(
    "finding",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("rows", BigInteger, nullable=False),  # rows of the window
    Column("n", BigInteger, nullable=False),  # values in bins
    Column("psi", Float),
    Column("psi_limit", Float),  # warning
    Column("psi_critical", Float),
    Column("psi_lower", Float),  # 99.9 % sure that the true PSI is above this
    Column("ks_low", Float),
    Column("ks_high", Float),
    # A rate: its value, the 99.9 % bound of its excess over the reference (signed: below
    # zero where it fell), and the tolerance that excess is held against.
    Column("missing", Float),
    Column("missing_excess", Float),
    Column("missing_limit", Float),
    Column("type_error", Float),
    Column("type_error_excess", Float),
    Column("type_error_limit", Float),
    Column("unseen", Float),
    Column("unseen_excess", Float),
    Column("unseen_limit", Float),
    Column("out_of_range", Float),
    Column("out_of_range_excess", Float),
    Column("out_of_range_limit", Float),
    # Worst evidence over its limit (1 = at the limit), and which statistic that is.
    Column("ratio", Float),
    Column("evidence", String(16)),
    # The smallest change the window could have shown: a shift in standard deviations of the
    # reference, or points of the rate that judges it; null where nothing was judged.
    Column("visible", Float),
    # ok | warning | critical | insufficient_data | blind | uncalibrated | collecting
    Column("verdict", String(20), nullable=False),
    # What the fold of verdicts reads, by statistic: warning and critical, each `e` (exceeds),
    # `c` (below the clearing line) or `-` (in between), as in "psi=e- missing=cc"; a
    # statistic that could not be evaluated is left out.
    Column("marks", String(400), nullable=False),
    Column("exceeds", String(200), nullable=False),  # statistics above their limit, comma-separated
    Column("is_alarming", Boolean, nullable=False),  # a latch is closed after this window
    Index("ix_finding_feature", "version_id", "feature", "length", "segment", "start_ms"),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# What else is known of a finding's distance, read for one feature and never for a page of them:
# beside it, so that lists stay narrow. Only where the window had values; a null number was not
# computable there. `driftline.stats.measures` says what each is.
finding_measure = Table(
    "finding_measure",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("psi_star", Float),  # PSI less what chance adds
    Column("psi_p", Float),
    Column("ks_p", Float),
    Column("w1_low", Float),  # the Wasserstein-1 distance lies between, in the feature's units
    Column("w1_high", Float),
    Column("w1_sigma", Float),  # its lower end in standard deviations of the reference
    Column("w1_tail", Float),  # share of it that comes from the outermost 1 % of values
    Column("js", Float),
    Column("hellinger", Float),
    Column("tv", Float),
    Column("linf", Float),
    Column("chi_square", Float),
    Column("chi_square_df", Integer),
    Column("chi_square_p", Float),
    Column("mean", Float),
    Column("mean_shift", Float),  # signed, in standard deviations of the reference
    Column("sd_low", Float),  # the standard deviation lies between
    Column("sd_high", Float),
    Column("sd_ratio", Float),  # over the reference's
    Column("infinite", Float),  # share of rows
    Column("zero", Float),  # shares of values
    Column("negative", Float),
    Column("differs", Float),  # from the one value of a constant reference
    Column("parts", Text),  # JSON list: what each group adds to PSI, in the gridset's order
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# All features of one window together: how many of those judged have drifted (an open latch
# after it; the model's own outputs are not counted).
model_window = Table(
    "model_window",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("judged", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    Column("share", Float),  # drifted over judged; null where none was judged
    Column("weighted", Float),  # the same by importance; null without one
    Column("verdict", String(20), nullable=False),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# The hour findings of one local day, added up: a year of hours is too many rows for a page.
# Written by `monitor.storage.rollup` with the findings, and equal to a recount of them.
finding_day = Table(
    "finding_day",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True),  # local midnight of the model's zone
    Column("feature", String(200), primary_key=True),
    Column("windows", Integer, nullable=False),  # hours with a finding
    # The worst hour: its evidence over its limit, and which statistic that is of.
    Column("ratio", Float),
    Column("evidence", String(16)),
    # Each statistic's worst hour, over its limit.
    Column("psi", Float),
    Column("missing", Float),
    Column("type_error", Float),
    Column("unseen", Float),
    Column("out_of_range", Float),
    Column("verdict", String(20), nullable=False),  # the worst
    Column("is_alarming", Boolean, nullable=False),  # in any hour
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# One latch of one length: from the window that closed it to the one that opened it again.
latch = Table(
    "latch",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("statistic", String(16), primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("level", String(10), primary_key=True),  # warning | critical
    Column("opened_ms", BigInteger, primary_key=True),  # end of the window that latched
    Column("last_ms", BigInteger, nullable=False),  # end of the last exceeding window
    Column("closed_ms", BigInteger),
    Column("closed_as", String(12)),  # cleared | expired
    Column("clear_count", Integer, nullable=False),  # clear windows in a row, while open
    Column("last_evaluable_ms", BigInteger, nullable=False),
    Column("exceeding", Text, nullable=False),  # JSON [[start, end], ...]: the first ones
)

incident = Table(
    "incident",
    metadata,
    Column("number", Id, primary_key=True),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("segment", String(500), nullable=False),
    Column("feature", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("muted", Boolean, nullable=False),
    Column("first_window_ms", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("told_ms", BigInteger),
    Column("resolved_ms", BigInteger),
    Column("episodes", Text, nullable=False),  # JSON
    Column("summary", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
    Index("ix_incident_key", "version_id", "segment", "feature", "kind", "opened_ms"),
    # What stood at some time or later, without what was over long before.
    Index("ix_incident_standing", "version_id", "resolved_ms"),
    sqlite_autoincrement=True,  # no number comes again after a deletion
)

# Append-only: what happened to an incident, in event time and in wall time.
incident_event = Table(
    "incident_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("incident_number", BigInteger, nullable=False, index=True),
    Column("event", String(20), nullable=False),  # opened | escalated | resolved | reopened | ...
    Column("at_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)

# Where alerts are sent. `secrets` is JSON, newest first: [{"secret", "until_ms"}]; two sign
# while one takes over from the other.
endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("url", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
    Column("disabled_reason", Text),
    Column("removed_ms", BigInteger),
    # A removed endpoint keeps its row for what was sent to it; its name is free again.
    Index(
        "ix_endpoint_name",
        "name",
        unique=True,
        sqlite_where=text("removed_ms IS NULL"),
        postgresql_where=text("removed_ms IS NULL"),
    ),
)

# One problem as the world was told of it: the incidents of one version that belong together.
alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", String(40), nullable=False, unique=True),
    Column("version_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),  # the incident that its URL names
    Column("state", String(12), nullable=False),  # open | resolved | withdrawn, as last told
    Column("severity", String(10), nullable=False),  # as last told
    Column("worst", String(10), nullable=False),  # the worst that was told since it was detected
    Column("opened_ms", BigInteger, nullable=False),  # event time from which it stood
    Column("sequence", Integer, nullable=False),  # of the last message
    Column("told_ms", BigInteger, nullable=False),  # event time of the last message
    Column("recorded_ms", BigInteger, nullable=False),  # wall time of it
    # Event time of its last detection or update below critical: there is one a day.
    Column("warned_ms", BigInteger),
    Index("ix_alert_warned", "version_id", "warned_ms"),
    Index("ix_alert_state", "version_id", "state"),
)

# What a receiver knows of each incident, by the last message that concerned it; the
# severity is the worst that was told of its episode.
alert_incident = Table(
    "alert_incident",
    metadata,
    Column("incident_number", BigInteger, primary_key=True),
    Column("alert_row", BigInteger, nullable=False, index=True),
    Column("severity", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("episodes", Integer, nullable=False),
)

# Incidents with something new that waits: for the next message, or for the day to be over.
alert_held = Table(
    "alert_held",
    metadata,
    Column("incident_number", BigInteger, primary_key=True),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),  # event time of the evaluation that held it
    Column("recorded_ms", BigInteger, nullable=False),  # wall time of it
)

# One message for one endpoint, its body frozen; written in the transaction that decided it.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("endpoint_id", BigInteger, nullable=False),
    Column("webhook_id", String(80), nullable=False),
    Column("alert_id", String(40)),  # null for a test and for what is no alert
    Column("sequence", Integer, nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # pending | delivered | dead | cancelled
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_ms", BigInteger, nullable=False),  # of the next attempt
    Column("leased_by", String(200)),
    Column("lease_until_ms", BigInteger),
    Column("finished_ms", BigInteger),
    UniqueConstraint("endpoint_id", "webhook_id"),
    Index("ix_outbox_due", "state", "due_ms"),
    Index("ix_outbox_finished", "state", "finished_ms"),
    Index("ix_outbox_order", "endpoint_id", "alert_id", "sequence"),
)

# Append-only: each time a message was sent, and what came back.
delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("outbox_id", BigInteger, nullable=False, index=True),
    Column("number", Integer, nullable=False),  # from 1
    Column("at_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Integer),  # of the answer; null without one
    Column("error", Text),  # why it failed, in one line; null when delivered
    Column("response", Text),  # the answer's beginning, capped
)

# Append-only: who changed what, where it cannot be undone or others must know of it.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),  # cli:<user> | api:token | api:loopback
    Column("action", String(60), nullable=False),  # such as model.archive
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
)

# The processes that run, each renewing its row; whoever ends in order takes it away.
heartbeat = Table(
    "heartbeat",
    metadata,
    Column("role", String(20), primary_key=True),  # ingest | evaluate | deliver | web
    Column("instance", String(200), primary_key=True),
    Column("started_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),
    Column("version", String(40), nullable=False),
    Column("moved_ms", BigInteger),  # when its work last went on; null: it does not say
)
