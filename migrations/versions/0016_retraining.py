"""When a retraining is asked for, each request, and what became of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "retraining",
        sa.Column("model_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_retraining")),
    )
    op.create_table(
        "retrain",
        sa.Column("id", number, nullable=False),
        sa.Column("key", _text(64), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("state", _text(12), nullable=False),
        sa.Column("is_dry_run", sa.Boolean(), nullable=False),
        sa.Column("origin", _text(10), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("basis_withdrawn", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                "event_ms",
                "requested_ms",
                "deadline_ms",
                "answer_within_ms",
                "endpoint_id",
            )
        ),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("look_ms", sa.BigInteger(), nullable=True),
        sa.Column("made_version", _text(200), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=True)
            for name in ("live_version_id", "live_ms", "ended_ms")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retrain")),
        sa.UniqueConstraint("key", name=op.f("uq_retrain_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_retrain_version_id"), "retrain", ["version_id"])
    op.create_index(
        "ix_retrain_open",
        "retrain",
        ["version_id"],
        unique=True,
        sqlite_where=sa.text("ended_ms IS NULL AND is_dry_run = 0"),
        postgresql_where=sa.text("ended_ms IS NULL AND is_dry_run = false"),
    )
    op.create_index("ix_retrain_look", "retrain", ["look_ms"])
    op.create_index("ix_retrain_model", "retrain", ["model_id", "event_ms"])
    op.create_index("ix_retrain_requested", "retrain", ["requested_ms"])
    op.create_table(
        "retrain_event",
        sa.Column("id", number, nullable=False),
        sa.Column("retrain_id", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", _text(20), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retrain_event")),
    )
    op.create_index(op.f("ix_retrain_event_retrain_id"), "retrain_event", ["retrain_id"])
    op.create_table(
        "retrain_incident",
        sa.Column("retrain_id", sa.BigInteger(), nullable=False),
        sa.Column("incident_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("retrain_id", "incident_number", name=op.f("pk_retrain_incident")),
    )
    op.create_index("ix_retrain_incident_number", "retrain_incident", ["incident_number"])


def downgrade() -> None:
    for table in ("retrain_incident", "retrain_event", "retrain", "retraining"):
        op.drop_table(table)


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
