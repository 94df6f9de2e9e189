"""Panes of days, into which the hours that are judged no more are added up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEY = ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition")


def upgrade() -> None:
    op.create_table(
        "pane_day",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("gridset", _text(64), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("segment", _text(500), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_pane_day")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("pane_day")


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
