"""MLflow tells of promotions, and one of a version without a reference waits for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hook",
        sa.Column("id", number, nullable=False),
        sa.Column("name", _text(100), nullable=False),
        sa.Column("kind", _text(16), nullable=False),
        *(sa.Column(name, _text(200), nullable=False) for name in ("model", "registered", "alias")),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused_ms", sa.BigInteger(), nullable=True),
        sa.Column("refused_why", sa.Text(), nullable=True),
        sa.Column("audited_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook")),
        sa.UniqueConstraint("name", name=op.f("uq_hook_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hook_delivery",
        sa.Column("hook_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("delivery_id", _text(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", _text(16), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hook_id", "delivery_id", name=op.f("pk_hook_delivery")),
    )
    op.create_index(op.f("ix_hook_delivery_at_ms"), "hook_delivery", ["at_ms"])
    op.create_table(
        "promotion_wanted",
        sa.Column("id", number, nullable=False),
        *(sa.Column(name, _text(200), nullable=False) for name in ("model", "version")),
        sa.Column("source", _text(16), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_wanted")),
        sa.UniqueConstraint("model", name=op.f("uq_promotion_wanted_model")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("promotion_wanted", "hook_delivery", "hook"):
        op.drop_table(table)


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
