"""What people do about incidents is kept, and what a silence holds back waits for its end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "incident_note",
        sa.Column("id", number, nullable=False),
        sa.Column("incident_number", sa.BigInteger(), nullable=False),
        sa.Column("action", _text(20), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("author", _text(100), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_note")),
    )
    op.create_index(op.f("ix_incident_note_incident_number"), "incident_note", ["incident_number"])
    op.create_table(
        "silence",
        sa.Column("number", number, nullable=False),
        sa.Column("model", _text(200), nullable=True),
        sa.Column("version", _text(200), nullable=True),
        sa.Column("segment", _text(500), nullable=True),
        sa.Column("feature", _text(200), nullable=True),
        sa.Column("kind", _text(20), nullable=True),
        sa.Column("severity", _text(10), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", _text(100), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", _text(100), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_silence")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_silence_until_ms"), "silence", ["until_ms"])
    op.add_column("alert_held", sa.Column("silence", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("alert_held") as batch_op:
        batch_op.drop_column("silence")
    op.drop_table("silence")
    op.drop_table("incident_note")


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
