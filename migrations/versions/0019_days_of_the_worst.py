"""A day of findings no longer counts its hours: an hour that is not its worst changes no row of it.

Nothing read the number, and a row a feature and segment was written every hour for its sake.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not in a batch, which would copy the table, and forget that SQLite keeps it as one tree.
    op.execute("ALTER TABLE finding_day DROP COLUMN windows")


def downgrade() -> None:
    # Releases from before ask for it, and none shows it.
    op.execute("ALTER TABLE finding_day ADD COLUMN windows INTEGER NOT NULL DEFAULT 0")
