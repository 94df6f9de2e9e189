"""Endpoints of several kinds, routes to them, messages asked for again, and what fails for days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("kind", _text(16), server_default="webhook", nullable=False),
        sa.Column("settings", sa.Text(), server_default="{}", nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("endpoint", column)
    op.add_column(
        "outbox", sa.Column("tried_before", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("outbox", sa.Column("not_before_ms", sa.BigInteger(), nullable=True))
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "service_incident",
        sa.Column("id", row_id, nullable=False),
        sa.Column("kind", _text(20), nullable=False),
        sa.Column("subject", _text(200), nullable=False),
        sa.Column("name", _text(200), nullable=False),
        sa.Column("severity", _text(10), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolved_as", _text(20), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_incident")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_service_incident_open",
        "service_incident",
        ["kind", "subject"],
        unique=True,
        sqlite_where=sa.text("resolved_ms IS NULL"),
        postgresql_where=sa.text("resolved_ms IS NULL"),
    )
    op.create_table(
        "route",
        sa.Column("id", row_id, nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("name", _text(100), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_route_model_id_name")),
    )


def downgrade() -> None:
    op.drop_table("route")
    op.drop_table("service_incident")
    for table, columns in (
        ("outbox", ("not_before_ms", "tried_before")),
        ("endpoint", ("failures", "failing_since_ms", "settings", "kind")),
    ):
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.drop_column(column)


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
