"""Many rows of one table in one statement: read by their keys, inserted, changed, added up.

A checkpoint asks as often for a thousand panes as for one. PostgreSQL is given each column as an
array: one message, after which the server has all it needs. With a statement a row (a pipeline),
or COPY, an owner that is stopped while it sends would leave the server waiting for the rest with
the position's row locked, and no timeout of a session ends that. SQLite takes statements a row
apart at no cost, and for reading a list of keys.

The values must be what the driver takes: no type of ours is converted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from monitor.storage import arrays

Tuples = Sequence[tuple[Any, ...]]
Column = NDArray[Any] | Sequence[str | None]

# Rows of one statement. SQLite allows 32,766 values in one; a few megabytes for PostgreSQL.
AT_ONCE: Final = 4_096
# Rows that are made of columns for SQLite: their values still lie in the processor's cache when
# they are written, and Python's collector finds few of them; of thousands it takes a fifth longer.
_ROWS_AT_ONCE: Final = 512
_ARRAYS: Final[tuple[tuple[type[Any], str], ...]] = (
    (sa.BigInteger, "int8"),
    (sa.Integer, "int4"),
    (sa.String, "text"),
    (sa.LargeBinary, "bytea"),
    (sa.Float, "float8"),
)


def select(
    conn: Connection, table: sa.Table, keys: tuple[str, ...], names: tuple[str, ...], sought: Tuples
) -> Iterator[tuple[Any, ...]]:
    """Yield `names` of the rows whose `keys` are among those sought, in any order.

    `keys` must begin an index: every one that is sought is looked up in it.
    """
    for some in _pieces(sought):
        if conn.dialect.name == "postgresql":
            sql, given = _select_joined(table, keys, names), _arrays(some)
            found = conn.exec_driver_sql(sql, given)
        else:
            # So that there are few statements to keep: of 2, 4, 8 ... keys, the last one repeated.
            n = 1 << (len(some) - 1).bit_length()
            flat = [value for row in some for value in row] + list(some[-1]) * (n - len(some))
            found = conn.exec_driver_sql(_select_listed(table, keys, names, n), tuple(flat))
        yield from {row[: len(keys)]: tuple(row) for row in found}.values()


def insert(conn: Connection, table: sa.Table, names: tuple[str, ...], rows: Tuples) -> None:
    """Insert rows given as tuples in the order of `names`."""
    _run(conn, rows, _insert(table, names, conn.dialect.name))


def insert_columns(conn: Connection, table: sa.Table, columns: Mapping[str, Column]) -> None:
    """Insert rows given as columns of one length, by their names.

    A column is an array of floats, of which NaN is null, an array of integers or truth values, or
    a sequence of text or None.
    """
    names = tuple(columns)
    if not names:
        return
    if conn.dialect.name != "postgresql":
        for start in range(0, len(columns[names[0]]), _ROWS_AT_ONCE):
            piece = (column[start : start + _ROWS_AT_ONCE] for column in columns.values())
            # NaN is null to SQLite, too.
            plain = (each.tolist() if isinstance(each, np.ndarray) else each for each in piece)
            insert(conn, table, names, list(zip(*plain, strict=True)))
        return
    given = [
        each if isinstance(each, np.ndarray) else np.array(each, dtype=object)
        for each in columns.values()
    ]
    kinds = tuple(arrays.type_of(column) for column in given)
    for start in range(0, len(given[0]), AT_ONCE):
        some = [column[start : start + AT_ONCE] for column in given]
        # Of a window most columns hold one value: that is sent, and made, once.
        is_one = [len(column) > 1 and _is_one_value(column) for column in some]
        is_one[0] = is_one[0] and not all(is_one)
        sent = tuple(
            column[:1] if one else column for column, one in zip(some, is_one, strict=True)
        )
        conn.exec_driver_sql(_insert_of(table, names, kinds, tuple(is_one)), sent)


def _is_one_value(column: NDArray[Any]) -> bool:
    first = column[0]
    if column.dtype.kind == "f" and np.isnan(first):
        return bool(np.isnan(column).all())
    return bool((column == first).all())


def add_up(conn: Connection, table: sa.Table, names: tuple[str, ...], rows: Tuples) -> None:
    """Insert rows; where the key stands, add the last column to its value.

    `names` are the primary key's columns and the one that is added up; no key comes twice.
    """
    _run(conn, rows, _add_up(table, names, conn.dialect.name))


def update(
    conn: Connection, table: sa.Table, names: tuple[str, ...], keys: tuple[str, ...], rows: Tuples
) -> None:
    """Write `names` into the rows at `keys`; a tuple holds the values, then the key."""
    _run(conn, rows, _update(table, names, keys, conn.dialect.name))


def _run(conn: Connection, rows: Tuples, sql: str) -> None:
    for some in _pieces(rows):
        is_array = conn.dialect.name == "postgresql"
        conn.exec_driver_sql(sql, _arrays(some) if is_array else list(some))


def _pieces(rows: Tuples) -> Iterator[Tuples]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _arrays(rows: Tuples) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*rows, strict=True)))


# Statements are written once: that takes longer than SQLite takes to run them.


@cache
def _insert(table: sa.Table, names: tuple[str, ...], dialect: str) -> str:
    into = f"INSERT INTO {_quoted(table.name)} ({_columns(table, names)})"
    if dialect == "postgresql":
        return f"{into} SELECT * FROM {_given(table, names)}"
    return f"{into} VALUES ({_marks(names)})"


@cache
def _add_up(table: sa.Table, names: tuple[str, ...], dialect: str) -> str:
    total = _column(table, names[-1])
    return (
        f"{_insert(table, names, dialect)} ON CONFLICT ({_columns(table, names[:-1])}) "
        f"DO UPDATE SET {total} = {_quoted(table.name)}.{total} + excluded.{total}"
    )


@cache
def _update(table: sa.Table, names: tuple[str, ...], keys: tuple[str, ...], dialect: str) -> str:
    update = f"UPDATE {_quoted(table.name)} SET"
    written = [_column(table, name) for name in names]
    if dialect == "postgresql":
        values = ", ".join(f"{column} = given.{column}" for column in written)
        return f"{update} {values} FROM {_given(table, names + keys)} WHERE {_same(table, keys)}"
    values = ", ".join(f"{column} = ?" for column in written)
    where = " AND ".join(f"{_column(table, key)} = ?" for key in keys)
    return f"{update} {values} WHERE {where}"


@cache
def _select_joined(table: sa.Table, keys: tuple[str, ...], names: tuple[str, ...]) -> str:
    found = _columns(table, keys + names, f"{_quoted(table.name)}.")
    joined = f"JOIN {_given(table, keys)} ON {_same(table, keys)}"
    return f"SELECT {found} FROM {_quoted(table.name)} {joined}"


@cache
def _select_listed(table: sa.Table, keys: tuple[str, ...], names: tuple[str, ...], n: int) -> str:
    # CROSS JOIN: SQLite begins with the keys, and looks each of them up.
    return (
        f"WITH given ({_columns(table, keys)}) AS (VALUES {', '.join([f'({_marks(keys)})'] * n)}) "
        f"SELECT {_columns(table, keys + names, f'{_quoted(table.name)}.')} "
        f"FROM given CROSS JOIN {_quoted(table.name)} WHERE {_same(table, keys)}"
    )


# Which columns hold one value differs from window to window.
@lru_cache(maxsize=512)
def _insert_of(
    table: sa.Table, names: tuple[str, ...], kinds: tuple[str, ...], is_one: tuple[bool, ...]
) -> str:
    """Columns side by side in the list of what is selected, where the server keeps none of them.

    As a table (`FROM unnest`) it writes each of them down before the first row is made.
    """
    into = f"INSERT INTO {_quoted(table.name)} ({_columns(table, names)})"
    made = ", ".join(
        f"(%b::{kind}[])[1]" if one else f"unnest(%b::{kind}[])"
        for kind, one in zip(kinds, is_one, strict=True)
    )
    return f"{into} SELECT {made}"


def _given(table: sa.Table, names: tuple[str, ...]) -> str:
    return _unnested(table, names, tuple(_array_of(table.c[name].type) for name in names))


def _unnested(table: sa.Table, names: tuple[str, ...], kinds: tuple[str, ...]) -> str:
    """PostgreSQL's arrays as a table; sent as bytes, for which `%b` stands."""
    sent = ", ".join(f"%b::{kind}[]" for kind in kinds)
    return f"unnest({sent}) AS given ({_columns(table, names)})"


def _array_of(kind: Any) -> str:
    return next(name for type_, name in _ARRAYS if isinstance(kind, type_))


def _same(table: sa.Table, keys: tuple[str, ...]) -> str:
    here = f"{_quoted(table.name)}."
    columns = [_column(table, key) for key in keys]
    return " AND ".join(f"{here}{column} = given.{column}" for column in columns)


def _columns(table: sa.Table, names: tuple[str, ...], of: str = "") -> str:
    return ", ".join(of + _column(table, name) for name in names)


def _column(table: sa.Table, name: str) -> str:
    return _quoted(table.c[name].name)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _marks(names: tuple[str, ...]) -> str:
    return ", ".join("?" * len(names))
