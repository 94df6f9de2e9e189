"""From when on a monitor and a calibration judge, in event time: a replay judges as it was done.

Monitors and calibrations from before judge as they did: from the beginning, and what was learnt
live from the end of the windows that it was learnt from.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "monitor", sa.Column("after_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("calibration", sa.Column("after_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for table in ("calibration", "monitor"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("after_ms")
