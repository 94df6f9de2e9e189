"""Endpoints, alerts and the outbox; an audit of what cannot be undone.

On PostgreSQL names sort by their bytes from here on, as they always did in SQLite: whatever
language a database was made for, both answer in one order. Numbers of incidents are not given
twice from here on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    "audit",
    "delivery_attempt",
    "outbox",
    "alert_held",
    "alert_incident",
    "alert",
    "endpoint",
)


def upgrade() -> None:
    _never_number_again()
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "endpoint",
        sa.Column("id", row_id, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger(), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("removed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
    )
    op.create_index(
        "ix_endpoint_name",
        "endpoint",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_ms IS NULL"),
        postgresql_where=sa.text("removed_ms IS NULL"),
    )
    op.create_table(
        "alert",
        sa.Column("id", row_id, nullable=False),
        sa.Column("alert_id", sa.String(length=40), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("worst", sa.String(length=10), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("warned_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint("alert_id", name=op.f("uq_alert_alert_id")),
    )
    op.create_index("ix_alert_warned", "alert", ["version_id", "warned_ms"], unique=False)
    op.create_index("ix_alert_state", "alert", ["version_id", "state"], unique=False)
    op.create_table(
        "alert_incident",
        sa.Column("incident_number", sa.BigInteger(), nullable=False),
        sa.Column("alert_row", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("episodes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_number", name=op.f("pk_alert_incident")),
    )
    op.create_index(
        op.f("ix_alert_incident_alert_row"), "alert_incident", ["alert_row"], unique=False
    )
    op.create_table(
        "alert_held",
        sa.Column("incident_number", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("incident_number", name=op.f("pk_alert_held")),
    )
    op.create_index(op.f("ix_alert_held_version_id"), "alert_held", ["version_id"], unique=False)
    op.create_index("ix_incident_standing", "incident", ["version_id", "resolved_ms"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", row_id, nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.String(length=80), nullable=False),
        sa.Column("alert_id", sa.String(length=40), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("leased_by", sa.String(length=200), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint(
            "endpoint_id", "webhook_id", name=op.f("uq_outbox_endpoint_id_webhook_id")
        ),
    )
    op.create_index("ix_outbox_due", "outbox", ["state", "due_ms"], unique=False)
    op.create_index(
        "ix_outbox_order", "outbox", ["endpoint_id", "alert_id", "sequence"], unique=False
    )
    op.create_table(
        "delivery_attempt",
        sa.Column("id", row_id, nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    op.create_index(
        op.f("ix_delivery_attempt_outbox_id"), "delivery_attempt", ["outbox_id"], unique=False
    )
    op.create_table(
        "audit",
        sa.Column("id", row_id, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    _collate("C")


def downgrade() -> None:
    _collate("default")
    op.drop_index("ix_incident_standing", "incident")
    for name in TABLES:
        op.drop_table(name)


def _collate(name: str) -> None:
    """Let every short text of ours sort so."""
    conn = op.get_bind()
    if conn.dialect.name != "postgresql":
        return
    columns = conn.execute(
        sa.text(
            "SELECT table_name, column_name, character_maximum_length "
            "FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND data_type = 'character varying' "
            "AND table_name <> 'alembic_version' ORDER BY table_name, ordinal_position"
        )
    )
    by_table: dict[str, list[str]] = {}
    for table, column, length in columns:
        by_table.setdefault(table, []).append(
            f'ALTER COLUMN "{column}" TYPE VARCHAR({length}) COLLATE "{name}"'
        )
    for table, changes in by_table.items():
        op.execute(f'ALTER TABLE "{table}" {", ".join(changes)}')


def _never_number_again() -> None:
    """A deleted model's incidents and versions have numbers that others know: none comes again.

    PostgreSQL's sequences never do; SQLite gives the highest one again unless it is told.
    """
    if op.get_bind().dialect.name == "sqlite":
        for name in ("incident", "model_version"):
            with op.batch_alter_table(
                name, recreate="always", table_kwargs={"sqlite_autoincrement": True}
            ):
                pass
