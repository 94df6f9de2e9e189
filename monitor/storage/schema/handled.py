"""What people do about incidents: they acknowledge, assign, comment, judge and silence."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from monitor.storage.schema.columns import Id, String, metadata

# Append-only: what somebody did about an incident, by the wall clock.
incident_note = Table(
    "incident_note",
    metadata,
    Column("id", Id, primary_key=True),
    Column("incident_number", BigInteger, nullable=False, index=True),
    Column("action", String(20), nullable=False),  # see monitor.storage.notes
    Column("at_ms", BigInteger, nullable=False),
    Column("author", String(100), nullable=False),  # as they call themselves
    Column("actor", String(200), nullable=False),  # who was let in: api:token | api:loopback
    Column("text", Text, nullable=False),  # the comment, the assignee
)

# Of what nobody is told for a while; null matches everything. Rows stay when it is over.
silence = Table(
    "silence",
    metadata,
    Column("number", Id, primary_key=True),
    Column("model", String(200)),
    Column("version", String(200)),
    Column("segment", String(500)),
    Column("feature", String(200)),
    Column("kind", String(20)),
    Column("severity", String(10)),  # the worst that is silenced
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", String(100), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),  # by hand, before its time
    Column("ended_by", String(100)),
    Index("ix_silence_until_ms", "until_ms"),
    sqlite_autoincrement=True,
)
