"""A name that is used again is another model to those who are told; what was sent expires.

Models from before keep the ids that their alerts have: their nonce is empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column(
        "model",
        sa.Column(
            "nonce", sa.String(length=32, collation=collation), server_default="", nullable=False
        ),
    )
    op.create_index("ix_outbox_finished", "outbox", ["state", "finished_ms"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_outbox_finished", "outbox")
    with op.batch_alter_table("model") as batch_op:
        batch_op.drop_column("nonce")
