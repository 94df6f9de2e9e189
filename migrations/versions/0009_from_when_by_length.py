"""A monitor judges from another time on for each length: one long window holds back no other.

Monitors from before judge as they did: all lengths from the one time they had.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_LENGTHS = ("hour", "day", "week", "4weeks")
_monitor = sa.table(
    "monitor",
    sa.column("model_id", sa.BigInteger()),
    sa.column("revision", sa.Integer()),
    sa.column("after_ms", sa.BigInteger()),
    sa.column("after_by_length", sa.Text()),
)


def upgrade() -> None:
    op.add_column(
        "monitor", sa.Column("after_by_length", sa.Text(), server_default="{}", nullable=False)
    )
    _set("after_by_length", "after_ms", lambda at: json.dumps(dict.fromkeys(_LENGTHS, at)))
    with op.batch_alter_table("monitor") as batch_op:
        batch_op.drop_column("after_ms")


def downgrade() -> None:
    op.add_column(
        "monitor", sa.Column("after_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    _set("after_ms", "after_by_length", lambda text: max(json.loads(text).values(), default=0))
    with op.batch_alter_table("monitor") as batch_op:
        batch_op.drop_column("after_by_length")


def _set(column: str, before: str, become: Callable[[Any], Any]) -> None:
    conn, m = op.get_bind(), _monitor.c
    for model_id, number, was in conn.execute(sa.select(m.model_id, m.revision, m[before])).all():
        if was not in (0, "{}"):
            conn.execute(
                sa.update(_monitor)
                .where(m.model_id == model_id, m.revision == number)
                .values({column: become(was)})
            )
