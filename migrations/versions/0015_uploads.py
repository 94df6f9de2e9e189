"""History that was counted elsewhere is uploaded into a lane of its own, and counted when whole."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "upload",
        sa.Column("id", number, nullable=False),
        sa.Column("name", _text(100), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("gridset", _text(64), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("panes", "rows")),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("first_ms", "end_ms")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("created_ms", "touched_ms")
        ),
        sa.Column("counted_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
        sa.UniqueConstraint("name", name=op.f("uq_upload_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_upload_version_id"), "upload", ["version_id"])


def downgrade() -> None:
    op.drop_table("upload")


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
