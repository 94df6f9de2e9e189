"""Hour findings by local day; the windows of one segment, and dead letters, in order.

The statement that counts a day is written out here: a later release may count
otherwise, and this revision must then still do what it did.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.windows.calendar import window_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATISTICS = ("psi", "missing", "type_error", "unseen", "out_of_range")
VERDICTS = (
    "insufficient_data", "collecting", "blind", "uncalibrated", "ok", "warning", "critical",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "finding_day",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("day_ms", sa.BigInteger(), nullable=False),
        sa.Column("feature", sa.String(length=200), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("ratio", sa.Float(), nullable=True),
        sa.Column("evidence", sa.String(length=16), nullable=True),
        *(sa.Column(name, sa.Float(), nullable=True) for name in STATISTICS),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("is_alarming", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id", "segment", "day_ms", "feature", name=op.f("pk_finding_day")
        ),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("window", schema=None) as batch_op:
        batch_op.create_index(
            "ix_window_segment", ["version_id", "segment", "length", "start_ms"], unique=False
        )
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.create_index(
            "ix_dead_letter_newest",
            ["created_ms", "stream_id", "partition", "offset", "line"],
            unique=False,
        )
    _fill()


def downgrade() -> None:
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index("ix_dead_letter_newest")
    with op.batch_alter_table("window", schema=None) as batch_op:
        batch_op.drop_index("ix_window_segment")
    op.drop_table("finding_day")


def _fill() -> None:
    """Count the days of what was judged before."""
    conn = op.get_bind()
    judged = conn.execute(
        sa.text(
            'SELECT w.version_id, w.segment, m.timezone, w.start_ms FROM "window" w '
            "JOIN model_version v ON v.id = w.version_id JOIN model m ON m.id = v.model_id "
            "WHERE w.length = 'hour'"
        )
    )
    days = {
        (version_id, segment, *window_of(start_ms, "day", timezone))
        for version_id, segment, timezone, start_ms in judged
    }
    if days:
        names = ("version_id", "segment", "from_ms", "to_ms")
        conn.execute(
            sa.text(_count_a_day()), [dict(zip(names, day, strict=True)) for day in sorted(days)]
        )


def _count_a_day() -> str:
    over = {
        name: f"{'f.psi' if name == 'psi' else f'ABS(f.{name}_excess)'} / NULLIF(f.{name}_limit, 0)"
        for name in STATISTICS
    }
    ranks = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(VERDICTS))
    words = " ".join(f"WHEN {place} THEN '{name}'" for place, name in enumerate(VERDICTS))
    worst = " ".join(f"WHEN h.by_{name} = h.ratio THEN '{name}'" for name in STATISTICS)
    by = ", ".join(
        f"MAX(CASE WHEN f.evidence = '{name}' THEN f.ratio END) AS by_{name}" for name in STATISTICS
    )
    most = ", ".join(f"MAX({over[name]}) AS {name}" for name in STATISTICS)
    return f"""
        INSERT INTO finding_day (version_id, segment, day_ms, feature, windows, ratio, evidence,
                                 {", ".join(STATISTICS)}, verdict, is_alarming)
        SELECT CAST(:version_id AS BIGINT), CAST(:segment AS VARCHAR), CAST(:from_ms AS BIGINT),
               h.feature, h.windows, h.ratio, CASE {worst} END,
               {", ".join(f"h.{name}" for name in STATISTICS)},
               CASE h.worst {words} END, h.alarms = 1
        FROM (
            SELECT f.feature AS feature, COUNT(*) AS windows, MAX(f.ratio) AS ratio, {by}, {most},
                   MAX(CASE f.verdict {ranks} ELSE 0 END) AS worst,
                   MAX(CASE WHEN f.is_alarming THEN 1 ELSE 0 END) AS alarms
            FROM "window" w CROSS JOIN finding f
            WHERE w.version_id = :version_id AND w.segment = :segment AND w.length = 'hour'
              AND w.start_ms >= :from_ms AND w.start_ms < :to_ms
              AND f.version_id = w.version_id AND f.length = w.length
              AND f.start_ms = w.start_ms + 0 AND f.segment = w.segment
            GROUP BY f.feature
        ) h
    """
