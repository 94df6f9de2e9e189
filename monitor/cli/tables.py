"""Files of rows: Parquet, CSV and NDJSON, as frames that the SDK takes.

Parquet needs pyarrow, CSV is read with it where it is installed, and without it CSV and NDJSON
become columns of plain Python. Whoever reads, a cell becomes the same value. NDJSON holds flat
rows, or events as they were logged, whose features become columns.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from driftline.errors import DataError, InvalidFrame, MissingExtra, MissingFile
from driftline.events import PREDICTION, SCORE, SCORES_PREFIX

# What stands for nothing in a column of numbers, of booleans or of times; in a column of text
# only the empty cell does: NA is a country, too.
_NOTHING: Final = frozenset(
    {"", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-NaN", "-nan"}
)
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}\Z")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z|[+-]?inf(inity)?\Z", re.I)
_TRUTH: Final = {"true": True, "True": True, "TRUE": True} | {
    "false": False, "False": False, "FALSE": False
}  # fmt: skip
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?\Z")
_BOM: Final = b"\xef\xbb\xbf"
KINDS: Final = (".parquet", ".csv", ".ndjson", ".jsonl")


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes
    ----------
    frame
        A pyarrow Table, or a mapping of names to lists.
    is_events
        The file holds events: "time", "prediction" and "prediction.score" are columns.
    is_typed
        The file itself says what its values are; those of CSV are read off their text.
    """

    frame: Any
    is_events: bool = False
    is_typed: bool = True

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(getattr(self.frame, "column_names", self.frame))

    def outputs(
        self, prediction: str | None, score: str | None, timestamp: str | None
    ) -> tuple[str | None, str | None, str | None]:
        """The columns of the model's output, its score and the time: of events they are known."""
        if not self.is_events:
            return prediction, score, timestamp
        here = {name: name for name in self.names}
        return (
            prediction or here.get(PREDICTION),
            score or here.get(SCORE),
            timestamp or here["time"],
        )

    def class_scores(self, scores: Mapping[str, str]) -> dict[str, str]:
        """The column of each class's score: of events they are known."""
        if not self.is_events:
            return dict(scores)
        known = {
            name.removeprefix(SCORES_PREFIX): name
            for name in self.names
            if name.startswith(SCORES_PREFIX)
        }
        return {**known, **scores}

    def texts(self) -> frozenset[str]:
        """Columns that hold text."""
        if isinstance(self.frame, dict):
            return frozenset(
                name
                for name, values in self.frame.items()
                if any(isinstance(value, str) for value in values)
            )
        types = {field.name: str(field.type) for field in self.frame.schema}
        return frozenset(name for name, kind in types.items() if "string" in kind)

    def renamed(self, names: dict[str, str]) -> Table:
        """The table with other names for some of its columns; a name that is taken stays."""
        wanted = {old: new for old, new in names.items() if new not in self.names}
        made = [wanted.get(name, name) for name in self.names]
        if isinstance(self.frame, dict):
            frame: Any = dict(zip(made, self.frame.values(), strict=True))
        else:
            frame = self.frame.rename_columns(made)
        return Table(frame, self.is_events, self.is_typed)

    def without(self, names: Collection[str]) -> Table:
        """The table without these columns, those that it has."""
        kept = [name for name in self.names if name not in names]
        if isinstance(self.frame, dict):
            frame: Any = {name: self.frame[name] for name in kept}
        else:
            frame = self.frame.select(kept)
        return Table(frame, self.is_events, self.is_typed)

    def with_numbers(self, names: Collection[str]) -> Table:
        """The table with these columns of text read cell by cell: what is a number becomes one.

        One word in a column of numbers makes text of the whole column; where the reference
        knows that these are numbers, only the word is wrong.
        """
        mixed = self.texts().intersection(names)
        if self.is_typed or not mixed:
            return self
        columns = self.frame if isinstance(self.frame, dict) else self.frame.to_pydict()
        frame = {
            name: [_cell(value) for value in values] if name in mixed else values
            for name, values in columns.items()
        }
        return Table(frame, self.is_events, self.is_typed)


def read(file: Path, *, timestamp: str | None = None, texts: Collection[str] = ()) -> Table:
    """Read a file of rows.

    Parameters
    ----------
    timestamp
        A column whose text is times (NDJSON has no type for them).
    texts
        Columns that stay text, whatever they look like (CSV has no types).

    Raises
    ------
    InvalidFrame
        There is no such file, it is of another kind, or cannot be read.
    MissingExtra
        It is Parquet, and pyarrow is not installed.
    """
    if not file.is_file():
        raise MissingFile(f"there is no file {file}")
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise MissingFile(f"{file}: only {', '.join(KINDS[:-1])} and {KINDS[-1]} files are read")
    try:
        if kind == ".parquet":
            return Table(_parquet(file))
        if kind == ".csv":
            return Table(_csv(file, texts), is_typed=False)
        return _ndjson(file, timestamp)
    except UnicodeDecodeError as error:
        raise InvalidFrame(f"{file} cannot be read: {error}; save it as UTF-8") from error
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are ValueErrors, too
        raise InvalidFrame(f"{file} cannot be read: {error}") from error


def _parquet(file: Path) -> Any:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra(f"reading {file}", "pyarrow", "arrow") from error
    table = parquet.read_table(file)
    _check_names(table.column_names)
    return table


def _check_names(names: list[str]) -> None:
    """Raise ValueError where a name is there twice (or is no text: names are decoded here)."""
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ValueError(f"column {name!r} appears {times} times: names must be unique")


def _csv(file: Path, texts: Collection[str]) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import compute
        from pyarrow import csv as arrow_csv
    except ModuleNotFoundError:
        return _plain_csv(file, texts)
    table = arrow_csv.read_csv(
        file,
        convert_options=arrow_csv.ConvertOptions(
            null_values=sorted(_NOTHING),
            # 1 and 0 are numbers.
            true_values=[text for text, truth in _TRUTH.items() if truth],
            false_values=[text for text, truth in _TRUTH.items() if not truth],
            column_types={name: pa.string() for name in texts},
        ),
    )
    _check_names(table.column_names)
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        if column.type == pa.string():
            empty = compute.equal(column, "")
            table = table.set_column(
                place, name, compute.if_else(empty, pa.scalar(None, pa.string()), column)
            )
    return table


def _plain_csv(file: Path, texts: Collection[str]) -> dict[str, list[Any]]:
    rows = csv.reader(io.StringIO(file.read_bytes().removeprefix(_BOM).decode()), strict=True)
    names = next(rows, [])
    if not names:
        raise ValueError("it is empty")
    _check_names(names)
    columns: list[list[str]] = [[] for _ in names]
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            raise ValueError(f"line {rows.line_num} has {len(row)} cells, not {len(names)}")
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return {
        name: [cell or None for cell in column] if name in texts else _typed(column)
        for name, column in zip(names, columns, strict=True)
    }


def _typed(cells: list[str]) -> list[Any]:
    """The cells of a column as the first type that all of them have."""
    known = {cell: cell.strip() for cell in set(cells)}
    something = {cell for cell, bare in known.items() if bare not in _NOTHING}
    tries: tuple[tuple[Callable[[str], object], Callable[[str], Any]], ...] = (
        (_WHOLE.match, int),
        (_TRUTH.__contains__, _TRUTH.__getitem__),
        (_TIME.match, datetime.fromisoformat),
        (_NUMBER.match, float),
    )
    for fits, convert in tries:
        if all(fits(known[cell]) for cell in something):
            try:
                values = {cell: convert(known[cell]) for cell in something}
            except ValueError:
                continue
            return [values.get(cell) for cell in cells]
    return [cell or None for cell in cells]


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    bare = value.strip()
    if bare in _NOTHING:
        return None
    return float(bare) if _NUMBER.match(bare) else value


def _ndjson(file: Path, timestamp: str | None) -> Table:
    rows = list(_lines(file))
    if not rows:
        raise ValueError("it has no rows")
    first = rows[0][1]
    if "type" in first and "model" in first and "time" in first:
        return Table(_events(rows), is_events=True)
    names = list(dict.fromkeys(name for _, row, _ in rows for name in row))
    columns: dict[str, list[Any]] = {name: [row.get(name) for _, row, _ in rows] for name in names}
    if timestamp in columns:
        columns[timestamp] = _typed_times(columns[timestamp])
    return Table(columns)


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """Number, object and bytes of each line that is not blank."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            raw = line.removeprefix(_BOM) if number == 1 else line
            if not raw.strip():
                continue
            try:
                yield number, decode(raw), raw
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise ValueError(f"line {number} is no JSON object ({error})") from None


def _events(rows: list[tuple[int, dict[str, Any], bytes]]) -> dict[str, list[Any]]:
    """The predictions' features, outputs and times; labels are no rows of features."""
    from driftline import wire

    events = []
    for number, _, raw in rows:
        try:
            event = wire.decode(raw)
        except DataError as error:
            raise ValueError(f"line {number} is no event ({error})") from None
        if event.type == "prediction":
            events.append(event)
    if not events:
        raise ValueError("it has no predictions")
    names = dict.fromkeys(name for event in events for name in event.features or {})
    columns: dict[str, list[Any]] = {
        name: [(event.features or {}).get(name) for event in events] for name in names
    }
    labels = dict.fromkeys(label for event in events for label in _labels(event.prediction))
    for name in (PREDICTION, SCORE, *(f"{SCORES_PREFIX}{label}" for label in labels)):
        values = wire.prediction_values(events, name) or []
        values = [None if value is msgspec.UNSET else value for value in values]
        if any(value is not None for value in values):
            columns[name] = values
    return columns | {"time": wire.times_ms(events).tolist()}


def _labels(prediction: Any) -> Iterator[str]:
    """The classes that a prediction has a score for."""
    scores = prediction.get("scores") if isinstance(prediction, dict) else None
    yield from scores if isinstance(scores, dict) else ()


def _typed_times(values: list[Any]) -> list[Any]:
    """Times out of JSON's strings; the column as it is where one is none."""
    if not any(isinstance(value, str) for value in values):
        # 1e3 is a float to JSON and an integer to a clock.
        is_whole = all(
            value is None or (isinstance(value, (int, float)) and math.isfinite(value))
            for value in values
        )
        return [None if v is None else int(v) for v in values] if is_whole else values
    try:
        return [None if value is None else datetime.fromisoformat(value) for value in values]
    except (TypeError, ValueError):
        return values
