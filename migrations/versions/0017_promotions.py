"""Which version was made live instead of which, and when one was relieved by another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "promotion",
        sa.Column("id", number, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("model_id", "version_id")),
        sa.Column("replaces_version_id", sa.BigInteger(), nullable=True),
        sa.Column("effective_ms", sa.BigInteger(), nullable=False),
        sa.Column("source", _text(16), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
        sa.UniqueConstraint(
            "model_id", "effective_ms", name=op.f("uq_promotion_model_id_effective_ms")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "takeover",
        sa.Column("version_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sure_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("by_version_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "since_ms", name=op.f("pk_takeover")),
    )


def downgrade() -> None:
    op.drop_table("takeover")
    op.drop_table("promotion")


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
