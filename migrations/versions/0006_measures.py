"""Every distance of a finding, the verdict on a whole model, and room for more statistics.

What was judged before has no measures: its panes may be gone, and a page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MEASURES = (
    "psi_star", "psi_p", "ks_p", "w1_low", "w1_high", "w1_sigma", "w1_tail", "js", "hellinger",
    "tv", "linf", "chi_square", "chi_square_df", "chi_square_p", "mean", "mean_shift", "sd_low",
    "sd_high", "sd_ratio", "infinite", "zero", "negative", "differs",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "finding_measure",
        *_window_key(),
        sa.Column("feature", _text(200), nullable=False),
        *(
            sa.Column(name, sa.Integer() if name == "chi_square_df" else sa.Float(), nullable=True)
            for name in MEASURES
        ),
        sa.Column("parts", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(*_KEY, "feature", name=op.f("pk_finding_measure")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_window",
        *_window_key(),
        sa.Column("judged", sa.Integer(), nullable=False),
        sa.Column("drifted", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=True),
        sa.Column("weighted", sa.Float(), nullable=True),
        sa.Column("verdict", _text(20), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name=op.f("pk_model_window")),
        sqlite_with_rowid=False,
    )
    op.add_column("finding", sa.Column("visible", sa.Float(), nullable=True))
    _widen(marks=(120, 400), exceeds=(80, 200))


def downgrade() -> None:
    _widen(marks=(400, 120), exceeds=(200, 80))
    with op.batch_alter_table("finding", table_kwargs=_ONE_TREE) as batch_op:
        batch_op.drop_column("visible")
    op.drop_table("model_window")
    op.drop_table("finding_measure")


_KEY: Sequence[str] = ("version_id", "length", "start_ms", "segment")
# SQLite copies a table to change it; the copy keeps its rows in the key's tree, too.
_ONE_TREE: dict[str, Any] = {"sqlite_with_rowid": False}


def _widen(**lengths: tuple[int, int]) -> None:
    with op.batch_alter_table("finding", table_kwargs=_ONE_TREE) as batch_op:
        for name, (before, after) in lengths.items():
            batch_op.alter_column(
                name, existing_type=_text(before), type_=_text(after), existing_nullable=False
            )


def _window_key() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("length", _text(16), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("segment", _text(500), nullable=False),
    )


def _text(length: int) -> sa.String:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    return sa.String(length=length, collation="C" if is_postgres else None)
