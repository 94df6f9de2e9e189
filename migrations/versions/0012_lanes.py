"""A replay counts into a lane of its own, and an evaluator is told from when on to judge again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lane",
        sa.Column("stream_id", sa.BigInteger(), nullable=False, autoincrement=False),
        _number("epoch"),
        sa.Column("owner", _text(200), nullable=False),
        *map(_number, ("touched_ms", "created_ms", "registry_revision")),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_lane")),
    )
    op.create_table(
        "lane_position",
        *_place(),
        *map(_number, ("start_offset", "next_offset")),
        sa.Column("max_event_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("pending_advance", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("stream_id", "partition", name=op.f("pk_lane_position")),
    )
    _create(
        "lane_pane",
        ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition"),
        _number("version_id"),
        sa.Column("gridset", _text(64), nullable=False),
        _number("start_ms"),
        sa.Column("segment", _text(500), nullable=False),
        *_place(),
        *map(_number, ("rev", "rows")),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    _create(
        "lane_unseen",
        ("version_id", "gridset", "feature", "stream_id", "partition", "value"),
        _number("version_id"),
        sa.Column("gridset", _text(64), nullable=False),
        sa.Column("feature", _text(200), nullable=False),
        *_place(),
        sa.Column("value", _text(200), nullable=False),
        *map(_number, ("count", "first_seen_ms", "last_seen_ms")),
    )
    _create(
        "lane_counter",
        ("stream_id", "partition", "model", "version", "outcome"),
        *_place(),
        sa.Column("model", _text(200), nullable=False),
        sa.Column("version", _text(200), nullable=False),
        sa.Column("outcome", _text(80), nullable=False),
        _number("count"),
    )
    _create(
        "recount",
        ("id",),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *_place(),
        *map(
            _number,
            ("version_id", "from_ms", "from_offset", "to_offset", "registry_revision",
             "created_ms"),
        ),
    )  # fmt: skip
    op.create_index(op.f("ix_recount_stream_id"), "recount", ["stream_id"])
    op.add_column("evaluator_cursor", sa.Column("rejudge_from_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("evaluator_cursor") as batch_op:
        batch_op.drop_column("rejudge_from_ms")
    for table in ("recount", "lane_counter", "lane_unseen", "lane_pane", "lane_position", "lane"):
        op.drop_table(table)


def _create(name: str, key: Sequence[str], *columns: sa.Column[Any], **more: Any) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")), **more)


def _place() -> tuple[sa.Column[Any], ...]:
    return _number("stream_id"), sa.Column("partition", sa.Integer(), nullable=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
