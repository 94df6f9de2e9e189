"""What is counted beside what stands, until it takes its place at once: replays and uploads.

Nothing but them reads or writes these tables, so what is half counted is never shown. A stream
has one lane at a time: the tables have the stream in the place of a lane's number. An upload has
its own number there, negated: no stream has it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text, UniqueConstraint

from monitor.storage.schema.columns import Id, String, metadata
from monitor.storage.schema.counted import counter, pane, unseen_value

lane = Table(
    "lane",
    metadata,
    Column("stream_id", BigInteger, primary_key=True, autoincrement=False),
    # Whoever goes on with it raises it: that fences whoever counted before.
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("touched_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("registry_revision", BigInteger, nullable=False),
    Column("asked", Text, nullable=False),  # JSON: what the command said
    Column("versions", Text, nullable=False),  # JSON: version id -> first pane that is recounted
)

lane_position = Table(
    "lane_position",
    metadata,
    Column("stream_id", BigInteger, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("start_offset", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("max_event_time_ms", BigInteger),
    Column("pending_advance", Text),
)


def _as(table: Table, name: str) -> Table:
    """Return a table with the columns and the key of another, and no other index."""
    made = table.to_metadata(metadata, name=name)
    made.indexes.clear()
    made.primary_key.name = f"pk_{name}"
    return made


# What it counts is stored as what stands is. Of `lane_counter`, `recovered` = events that were
# unmonitored when they were read at first.
lane_pane = _as(pane, "lane_pane")
lane_unseen = _as(unseen_value, "lane_unseen")
lane_counter = _as(counter, "lane_counter")

# Append-only: which part of the log counts by which registry since a replay.
recount = Table(
    "recount",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, nullable=False, index=True),
    Column("partition", Integer, nullable=False),
    Column("version_id", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),  # panes from here on ...
    Column("from_offset", BigInteger, nullable=False),  # ... of records from here ...
    Column("to_offset", BigInteger, nullable=False),  # ... to here (exclusive)
    Column("registry_revision", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

# History that was counted elsewhere. Its panes are in `lane_pane`, and once they count in `pane`;
# there its number, negated, stands in the place of a stream's.
upload = Table(
    "upload",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("gridset", String(64), nullable=False),
    Column("chunks", BigInteger, nullable=False),  # how many have come, in their order ...
    Column("digest", String(64), nullable=False),  # ... and what they were
    Column("panes", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),  # of all segments together
    Column("first_ms", BigInteger),  # start of the first pane ...
    Column("end_ms", BigInteger),  # ... and end of the last; null before the first chunk
    Column("created_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger, nullable=False),
    Column("counted_ms", BigInteger),  # since when its panes count; null: it is not whole yet
    UniqueConstraint("name"),
    sqlite_autoincrement=True,  # what is left of one that was removed keeps its number
)
