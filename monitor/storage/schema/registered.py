"""What is registered: models, their versions, references and what judges them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, UniqueConstraint

from monitor.storage.schema.columns import Id, String, metadata

# One row (id = 1). `revision` grows with every change that can change what is counted.
registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
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
    # JSON of {length: ms}: its windows that end later are judged by it, in event time.
    Column("after_by_length", Text, nullable=False, server_default="{}"),
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

# Which version was made live when, in event time, and instead of which.
promotion = Table(
    "promotion",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", BigInteger, nullable=False),
    Column("version_id", BigInteger, nullable=False),
    Column("replaces_version_id", BigInteger),
    Column("effective_ms", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),  # registration | api | mlflow
    Column("actor", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("model_id", "effective_ms"),
    sqlite_autoincrement=True,
)
