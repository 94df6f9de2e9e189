"""Hours of a segment are found without those of the other segments in between.

Every look asks when a model had predictions in the last weeks. The key begins with the time, so
that each pane of each segment was passed: of a month of twenty segments that took longer than an
hour takes to be judged. A pane is entered when it is first written, and never again. It has all of
the key's columns, so that a pane which is looked up by it is found at once, too.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_pane_segment",
        "pane",
        ["version_id", "gridset", "segment", "start_ms", "stream_id", "partition"],
    )


def downgrade() -> None:
    op.drop_index("ix_pane_segment", table_name="pane")
