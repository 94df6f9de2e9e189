"""A row for each process that runs, renewed while it does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "heartbeat",
        sa.Column("role", sa.String(length=20, collation=collation), nullable=False),
        sa.Column("instance", sa.String(length=200, collation=collation), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=40, collation=collation), nullable=False),
        sa.PrimaryKeyConstraint("role", "instance", name=op.f("pk_heartbeat")),
    )


def downgrade() -> None:
    op.drop_table("heartbeat")
