"""What else is known of a finding's distance stands in its own row, and its key is its only index.

Both halves of a finding were found by the same five columns, and an index by feature held them a
third time: of what an hour of many features and segments takes to be judged, most was writing
keys. A table of a year of hours is copied: that takes minutes, and as much room again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_KEY: Sequence[str] = ("version_id", "length", "start_ms", "segment", "feature")
_RATES = ("missing", "type_error", "unseen", "out_of_range")
_NUMBERS = (
    "psi", "psi_limit", "psi_critical", "psi_lower", "ks_low", "ks_high",
    *(f"{rate}{part}" for rate in _RATES for part in ("", "_excess", "_limit")), "ratio",
)  # fmt: skip
_MEASURES = (
    "psi_star", "psi_p", "ks_p", "w1_low", "w1_high", "w1_sigma", "w1_tail", "js", "hellinger",
    "tv", "linf", "chi_square", "chi_square_df", "chi_square_p", "mean", "mean_shift", "sd_low",
    "sd_high", "sd_ratio", "infinite", "zero", "negative", "differs",
)  # fmt: skip
_DISTANCES = (*_MEASURES, "parts")


def upgrade() -> None:
    found = _found()
    _create("finding_whole", *found, *_measured())
    names = [*(column.name for column in found), *_DISTANCES]
    told = ", ".join(f'{"m" if name in _DISTANCES else "f"}."{name}"' for name in names)
    same = " AND ".join(f"m.{name} = f.{name}" for name in _KEY)
    op.execute(
        f"INSERT INTO finding_whole ({_listed(names)}) SELECT {told} "
        f"FROM finding f LEFT JOIN finding_measure m ON {same} ORDER BY {_listed(_KEY, 'f.')}"
    )
    op.drop_table("finding_measure")
    _replace("finding_whole")


def downgrade() -> None:
    key = [column for column in _found() if column.name in _KEY]
    _create("finding_measure", *key, *_measured())
    names = [*_KEY, *_DISTANCES]
    is_measured = " OR ".join(f"{name} IS NOT NULL" for name in _DISTANCES)
    op.execute(
        f"INSERT INTO finding_measure ({_listed(names)}) SELECT {_listed(names)} "
        f"FROM finding WHERE {is_measured}"
    )
    if not _is_sqlite():
        op.create_primary_key(op.f("pk_finding_measure"), "finding_measure", list(_KEY))
    found = _found()
    _create("finding_bare", *found)
    names = [column.name for column in found]
    op.execute(f"INSERT INTO finding_bare ({_listed(names)}) SELECT {_listed(names)} FROM finding")
    _replace("finding_bare")
    op.create_index(
        "ix_finding_feature",
        "finding",
        ["version_id", "feature", "length", "segment", "start_ms"],
    )


def _create(name: str, *columns: sa.Column[Any]) -> None:
    """SQLite keeps the rows in the key's tree; PostgreSQL makes the key's at the end, sorted."""
    kept = "finding_measure" if name == "finding_measure" else "finding"
    key = [sa.PrimaryKeyConstraint(*_KEY, name=op.f(f"pk_{kept}"))] if _is_sqlite() else []
    op.create_table(name, *columns, *key, sqlite_with_rowid=False)


def _replace(name: str) -> None:
    op.drop_table("finding")
    op.rename_table(name, "finding")
    if not _is_sqlite():
        op.create_primary_key(op.f("pk_finding"), "finding", list(_KEY))
        op.execute("ANALYZE finding")


def _found() -> list[sa.Column[Any]]:
    """The columns of a finding without those of the distances, in their order."""
    return [
        _needed("version_id", sa.BigInteger()),
        _needed("length", _text(16)),
        _needed("start_ms", sa.BigInteger()),
        _needed("segment", _text(500)),
        _needed("feature", _text(200)),
        _needed("rows", sa.BigInteger()),
        _needed("n", sa.BigInteger()),
        *(sa.Column(name, sa.Float(), nullable=True) for name in _NUMBERS),
        sa.Column("evidence", _text(16), nullable=True),
        sa.Column("visible", sa.Float(), nullable=True),
        _needed("verdict", _text(20)),
        _needed("marks", _text(400)),
        _needed("exceeds", _text(200)),
        _needed("is_alarming", sa.Boolean()),
    ]


def _measured() -> list[sa.Column[Any]]:
    return [
        *(
            sa.Column(name, sa.Integer() if name == "chi_square_df" else sa.Float(), nullable=True)
            for name in _MEASURES
        ),
        sa.Column("parts", sa.Text(), nullable=True),
    ]


def _needed(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _listed(names: Sequence[str], of: str = "") -> str:
    return ", ".join(f'{of}"{name}"' for name in names)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _text(length: int) -> sa.String:
    return sa.String(length=length, collation=None if _is_sqlite() else "C")
