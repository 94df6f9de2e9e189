"""What all tables share: one list of them, how names of indices are made, two kinds of column."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy import String as AnyString

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def String(length: int) -> AnyString:
    """A short text that sorts by its bytes, whatever language a PostgreSQL was made for."""
    return AnyString(length).with_variant(AnyString(length, collation="C"), "postgresql")


# SQLite gives only INTEGER PRIMARY KEY its row id.
Id = BigInteger().with_variant(Integer, "sqlite")
