"""What the processes say of themselves, and who changed what."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from monitor.storage.schema.columns import Id, String, metadata

# One row (id = 1). `value` grows with every evaluation, so that pages know when to ask again.
data_version = Table(
    "data_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),
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
