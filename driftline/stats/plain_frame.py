"""Columns of plain Python, where no data frame library is installed.

`frame` asks a column a handful of things; this answers them for lists as narwhals does for
the libraries' columns, so that a mapping of columns is a frame, too. Nothing else may use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = _EPOCH.replace(tzinfo=UTC)


class PlainFrame:
    """A mapping of names to columns of equal length.

    Raises
    ------
    InvalidReference
        When a column is no sequence, or they differ in length.
    """

    def __init__(self, columns: Mapping[Any, Any], what: str) -> None:
        self._columns: dict[Any, list[Any]] = {}
        for name, values in columns.items():
            if isinstance(values, np.ndarray) and values.ndim == 1:
                self._columns[name] = values.tolist()
            elif isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
                self._columns[name] = list(values)
            else:
                raise InvalidReference(
                    f"{what}: column {name!r} must be a list, not {type(values).__name__}"
                )
        lengths = sorted({len(values) for values in self._columns.values()})
        if len(lengths) > 1:
            raise InvalidReference(
                f"{what}: its columns have {lengths[0]:,} to {lengths[-1]:,} values: they must be "
                "of equal length"
            )
        self._rows = lengths[0] if lengths else 0

    @property
    def columns(self) -> list[Any]:
        return list(self._columns)

    def __len__(self) -> int:
        return self._rows

    def take(self, rows: NDArray[np.intp]) -> PlainFrame:
        """These rows, in this order."""
        places = rows.tolist()
        taken = {name: [values[i] for i in places] for name, values in self._columns.items()}
        return PlainFrame(taken, "")

    def __getitem__(self, name: str) -> PlainSeries:
        return PlainSeries(self._columns[name])


class PlainSeries:
    """A list and the narwhals type that its values have together."""

    def __init__(self, values: list[Any], dtype: Any = None) -> None:
        self._values = values
        self.dtype = _dtype(values) if dtype is None else dtype

    def is_null(self) -> _Answer:
        return _Answer(np.array([value is None for value in self._values], np.bool_))

    def fill_null(self, value: Any) -> PlainSeries:
        return PlainSeries([value if v is None else v for v in self._values], self.dtype)

    def to_list(self) -> list[Any]:
        return self._values

    def to_numpy(self) -> NDArray[Any]:
        return np.array(self._values)

    def cast(self, dtype: Any) -> PlainSeries:
        """Dates to datetimes, the one cast there is a need for."""
        made = [None if v is None else datetime(v.year, v.month, v.day) for v in self._values]
        return PlainSeries(made, dtype)

    @property
    def dt(self) -> PlainSeries:
        return self

    def timestamp(self, unit: str) -> PlainSeries:
        """Milliseconds since 1970, of naive times on their own clock."""
        return PlainSeries([None if v is None else _ms(v) for v in self._values])


class _Answer:
    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values

    def to_numpy(self) -> NDArray[Any]:
        return self._values


def _ms(value: datetime) -> int:
    passed = value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)
    return passed.days * 86_400_000 + passed.seconds * 1_000 + passed.microseconds // 1_000


def _dtype(values: Sequence[Any]) -> Any:
    types = set(map(type, values)) - {type(None)}
    if types == {bool}:
        return nw.Boolean()
    if types == {str}:
        return nw.String()
    if types == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return nw.Int64()
    if (
        types
        and types <= {int, float}
        and all(type(v) is not int or abs(v) < 2**63 for v in values)
    ):
        return nw.Float64()
    if types == {date}:
        return nw.Date()
    if types == {datetime}:
        aware = {v.utcoffset() is not None for v in values if v is not None}
        if len(aware) == 1:
            return nw.Datetime("us", "UTC" if aware.pop() else None)
    return nw.Object()
