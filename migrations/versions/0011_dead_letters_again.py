"""A dead letter knows in which form it was kept and to where it was sent again; a breaker stops.

Letters from before do not say their form: see `monitor.storage.letters`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_LETTER = ("form", "replay_ms", "replayed_partition", "replayed_offset")


def upgrade() -> None:
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column(
        "dead_letter", sa.Column("form", sa.String(length=8, collation=collation), nullable=True)
    )
    op.add_column("dead_letter", sa.Column("replay_ms", sa.BigInteger(), nullable=True))
    op.add_column("dead_letter", sa.Column("replayed_partition", sa.Integer(), nullable=True))
    op.add_column("dead_letter", sa.Column("replayed_offset", sa.BigInteger(), nullable=True))
    op.create_table(
        "breaker",
        sa.Column("stream_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("tripped_ms", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("undecodable", sa.BigInteger(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("samples", sa.Text(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=True),
        sa.Column("accepted_by", sa.String(length=200, collation=collation), nullable=True),
        sa.Column("over_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_breaker")),
    )


def downgrade() -> None:
    op.drop_table("breaker")
    with op.batch_alter_table("dead_letter") as batch_op:
        for column in _LETTER:
            batch_op.drop_column(column)
