"""Predictions of one layout as columns: what is kept of them once they are decoded.

A prediction as a struct is dozens of objects. Some hundred of them stay in the processor's cache,
thousands do not: so they become columns a piece at a time, and pieces are put together. What
their values are counted as is the business of `driftline.wire`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final, cast

import numpy as np
from msgspec import UNSET, Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

from driftline.events import MAX_NAME, PREDICTION, SCORE, SCORES_PREFIX
from driftline.stats.profile import Column, State
from driftline.wire import as_column, column_of_words, is_output, places_of

# So many texts of a feature are known from one piece to the next: each is looked at anew whenever
# a column is counted.
MAX_KNOWN: Final = 256
_OUTPUTS: Final = ("value", "class", "score", "scores")


class _Known(dict[Any, int]):
    """Texts, null and what is not there, each with a number of its own.

    Anything else is refused by a TypeError: a dictionary would take true for 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met: list[Any] = []

    def __missing__(self, value: Any) -> int:
        is_text = type(value) is str and len(value) <= MAX_NAME
        if not is_text and value is not None and value is not UNSET:
            raise TypeError
        code = self[value] = len(self.met)
        self.met.append(value)
        return code


@dataclass(frozen=True)
class Coded:
    """Values that are texts, null or not there, as places among those that were met."""

    codes: NDArray[np.intp]
    met: list[Any]

    def values(self) -> list[Any]:
        """Each of them."""
        return [self.met[code] for code in self.codes.tolist()]


# One value a row, as JSON has it; UNSET where it is not there.
Part = Coded | list[Any]


class _Coder:
    """Codes one feature's values, piece by piece."""

    def __init__(self) -> None:
        self._known = _Known()

    def part(self, values: Sequence[Any]) -> Part:
        if len(self._known.met) > MAX_KNOWN:
            self._known = _Known()
        try:
            codes = np.fromiter(map(self._known.__getitem__, values), np.intp, len(values))
        except TypeError:
            return list(values)
        return Coded(codes, self._known.met)


class Fields:
    """What the structs of a layout hold, and how it becomes columns.

    For one thread, as `driftline.layouts.Layouts` is: texts that were met keep their codes from one
    call to the next.

    Parameters
    ----------
    names
        Features in the order of the struct's fields, and whether each is a number there: NaN where
        it is not there, None where it is null.
    prediction
        The struct of a prediction that is an object.
    outputs
        The names in JSON of its fields, in their order.
    """

    def __init__(
        self, names: Mapping[str, bool], prediction: type[Struct], outputs: Sequence[str]
    ) -> None:
        numbers = [i for i, is_number in enumerate(names.values()) if is_number]
        others = [i for i, is_number in enumerate(names.values()) if not is_number]
        said = list(names)
        self.row_of = {said[place]: i for i, place in enumerate(numbers)}
        self.part_of = {said[place]: i for i, place in enumerate(others)}
        self._numbers, self._others = _picked(numbers), _picked(others)
        self._pack = struct.Struct(f"={len(numbers)}d").pack
        self._prediction = prediction
        self._output_at = {name: list(outputs).index(name) for name in _OUTPUTS}
        self._coders = [_Coder() for _ in others]
        self._output_coders = {name: _Coder() for name in _OUTPUTS}
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}

    def rows(self, events: Sequence[Any]) -> LaidOutRows:
        """The columns of some events of the layout, one at least."""
        tuples = [astuple(event.features) for event in events]
        numbers, is_null = self._packed(tuples)
        columns = zip(*map(self._others, tuples), strict=True)
        others = [c.part(values) for c, values in zip(self._coders, columns, strict=True)]
        predictions = [event.prediction for event in events]
        outputs = {
            name: self._output_coders[name].part(values)
            for name, values in self._outputs(predictions).items()
        }
        tags = [event.tags for event in events]
        no_tags = tags.count(None) == len(tags)
        return LaidOutRows(
            self, len(events), numbers, is_null, others, outputs, None if no_tags else tags
        )

    def _packed(
        self, tuples: Sequence[tuple[Any, ...]]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """The numbers by feature, and which of them are null."""
        get, pack, is_null = self._numbers, self._pack, None
        shape = len(tuples), len(self.row_of)
        if not self.row_of:
            return np.empty((0, len(tuples))), None
        try:
            packed = b"".join([pack(*get(values)) for values in tuples])
            numbers = np.frombuffer(packed).reshape(shape)
        except struct.error:  # a null is no number: it becomes NaN, as what is not there
            flat = list(chain.from_iterable(map(get, tuples)))
            numbers = np.array(flat, np.float64).reshape(shape)
            found = np.fromiter((value is None for value in flat), np.bool_, len(flat))
            is_null = np.ascontiguousarray(found.reshape(shape).T)
        return np.ascontiguousarray(numbers.T), is_null

    def _outputs(self, predictions: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """The parts of the predictions; one that is no object is its value."""
        kind = self._prediction
        found: dict[str, Sequence[Any]] = {}
        if set(map(type, predictions)) == {kind}:
            columns = list(zip(*map(astuple, predictions), strict=True))
            found = {name: columns[at] for name, at in self._output_at.items()}
        else:
            for name, at in self._output_at.items():
                is_value = name == "value"
                found[name] = tuple(
                    astuple(p)[at] if isinstance(p, kind) else p if is_value else UNSET
                    for p in predictions
                )
        return found

    def plan(self, features: tuple[tuple[str, str], ...]) -> _Plan:
        """Which of the fields become which columns of one gridset."""
        if features not in self._plans:
            plan = self._plans[features] = _Plan()
            for name, kind in features:
                if is_output(name):
                    plan.outputs.append((name, kind))
                elif name in self.row_of and kind == "numeric":
                    plan.numbers.append((name, self.row_of[name]))
                elif name in self.row_of or name in self.part_of:
                    plan.others.append((name, kind))
                else:
                    plan.absent.append(name)
            taken = {name for name, _ in features if not is_output(name)}
            plan.unknown = [n for n in (*self.row_of, *self.part_of) if n not in taken]
        return self._plans[features]


@dataclass
class _Plan:
    """Which of a layout's fields become which columns of one gridset."""

    numbers: list[tuple[str, int]] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LaidOutRows:
    """Predictions that were objects of JSON, all of one layout; see `driftline.rows.Rows`.

    Attributes
    ----------
    numbers : float64 array [numbers, rows]
        NaN where a number is null or not there.
    is_null : bool array [numbers, rows], or None
        None says that none is null.
    others
        The other features.
    outputs
        The parts of the predictions: value, class, score and scores.
    tags
        None says that there are none.
    """

    layout: Fields
    n_rows: int
    numbers: NDArray[np.float64]
    is_null: NDArray[np.bool_] | None
    others: Sequence[Part]
    outputs: Mapping[str, Part]
    tags: Sequence[Any] | None

    def __len__(self) -> int:
        return self.n_rows

    def take(self, places: NDArray[np.intp]) -> LaidOutRows:
        """See `Rows.take`."""
        if len(places) == self.n_rows:
            return self
        at = places.tolist()
        return LaidOutRows(
            self.layout,
            len(places),
            self.numbers[:, places],
            None if self.is_null is None else self.is_null[:, places],
            [_taken(part, places) for part in self.others],
            {name: _taken(part, places) for name, part in self.outputs.items()},
            None if self.tags is None else [self.tags[i] for i in at],
        )

    def columns(self, features: Sequence[tuple[str, str]]) -> tuple[dict[str, Column], int]:
        """See `Rows.columns`."""
        plan = self.layout.plan(tuple(features))
        is_missing: NDArray[np.bool_] = np.isnan(self.numbers)
        some_missing = cast(list[bool], is_missing.any(axis=1).tolist())
        found = {}
        for name, row in plan.numbers:
            state = None
            if some_missing[row]:
                state = np.where(is_missing[row], np.uint8(State.ABSENT), np.uint8(State.VALUE))
                if self.is_null is not None:
                    state[self.is_null[row]] = State.NULL
            found[name] = Column(self.numbers[row], state)
        for name, kind in plan.others:
            found[name] = _column(self._part(name), kind)
        for name, kind in plan.outputs:
            found[name] = _column(self._output(name), kind)
        for name in plan.absent:
            found[name] = Column(None, np.full(self.n_rows, State.ABSENT, np.uint8))
        unknown = sum(_n_present(self._part(name)) for name in plan.unknown)
        return {name: found[name] for name, _ in features}, unknown

    def segments(self, dimension: str, place_of: Mapping[str, int]) -> NDArray[np.int64]:
        """See `Rows.segments`."""
        part = self._part(dimension)
        if self.tags is not None:
            values = part.values() if isinstance(part, Coded) else part
            part = [
                (UNSET if tags is None else tags.get(dimension)) if said is UNSET else said
                for said, tags in zip(values, self.tags, strict=True)
            ]
        if isinstance(part, Coded):
            return places_of(part.met, place_of)[part.codes]
        return places_of(part, place_of)

    def _part(self, name: str) -> Part:
        """A feature's values."""
        if name in self.layout.part_of:
            return self.others[self.layout.part_of[name]]
        row = self.layout.row_of[name]
        values: list[Any] = self.numbers[row].tolist()
        for i in np.isnan(self.numbers[row]).nonzero()[0].tolist():
            is_null = self.is_null is not None and self.is_null[row, i]
            values[i] = None if is_null else UNSET
        return values

    def _output(self, name: str) -> Part:
        """As `driftline.wire.prediction_values`."""
        if name == SCORE:
            return self.outputs["score"]
        if name == PREDICTION:
            values, classes = self.outputs["value"], self.outputs["class"]
            if isinstance(values, Coded) and _n_present(values) == 0:
                return classes
            said = values.values() if isinstance(values, Coded) else values
            words = classes.values() if isinstance(classes, Coded) else classes
            return [w if v is UNSET else v for v, w in zip(said, words, strict=True)]
        scores, key = self.outputs["scores"], name.removeprefix(SCORES_PREFIX)
        if isinstance(scores, Coded):  # none of them is an object
            return [UNSET] * self.n_rows
        return [s.get(key, UNSET) if type(s) is dict else UNSET for s in scores]


def joined(parts: Sequence[LaidOutRows]) -> LaidOutRows:
    """Return the rows of all parts, which are of one layout, as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    is_null = None
    if any(part.is_null is not None for part in parts):
        is_null = np.concatenate(
            [
                np.zeros(part.numbers.shape, np.bool_) if part.is_null is None else part.is_null
                for part in parts
            ],
            axis=1,
        )
    tags = None
    if any(part.tags is not None for part in parts):
        tags = [tag for part in parts for tag in part.tags or [None] * part.n_rows]
    return LaidOutRows(
        first.layout,
        sum(part.n_rows for part in parts),
        np.concatenate([part.numbers for part in parts], axis=1),
        is_null,
        [_chained([part.others[i] for part in parts]) for i in range(len(first.others))],
        {name: _chained([part.outputs[name] for part in parts]) for name in first.outputs},
        tags,
    )


def _chained(parts: Sequence[Part]) -> Part:
    """One after another."""
    coded = [part for part in parts if isinstance(part, Coded)]
    if len(coded) < len(parts):
        return [
            value
            for part in parts
            for value in (part.values() if isinstance(part, Coded) else part)
        ]
    if all(part.met is coded[0].met for part in coded):
        return Coded(np.concatenate([part.codes for part in coded]), coded[0].met)
    met: list[Any] = []
    codes = []
    for part in coded:
        codes.append(part.codes + len(met))
        met += part.met
    return Coded(np.concatenate(codes), met)


def _taken(part: Part, places: NDArray[np.intp]) -> Part:
    if isinstance(part, Coded):
        return Coded(part.codes[places], part.met)
    return [part[i] for i in places.tolist()]


def _column(part: Part, kind: str) -> Column:
    if isinstance(part, Coded):
        if kind == "categorical":
            return column_of_words(part.met, part.codes)[0]
        part = part.values()
    return as_column(part, kind)[0]


def _n_present(part: Part) -> int:
    """How many are in their event."""
    if isinstance(part, Coded):
        absent = [code for code, value in enumerate(part.met) if value is UNSET]
        return len(part.codes) - sum(int(np.count_nonzero(part.codes == c)) for c in absent)
    return sum(value is not UNSET for value in part)


def _picked(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What takes these places of a tuple, as a tuple however few they are."""
    if not places:
        return itemgetter(slice(0))
    if places[-1] - places[0] == len(places) - 1:
        return itemgetter(slice(places[0], places[-1] + 1))
    return itemgetter(*places)
