"""Layouts: the usual prediction of a model, decoded straight into the columns that are counted.

`driftline.wire` decodes an event into objects that can hold anything. Most predictions of a model
are written alike: the same keys in the same order, numbers where its references have numbers. A
`Layout` is a msgspec struct made for these, learned from one event of theirs; a slice of events
becomes columns by packing, not value by value. Whatever does not fit it (another type, another
key, a list, a number beyond float64) is left to `wire`, that record alone.

What is counted must not depend on which of the two has read it. Therefore a layout takes nothing
that is nested (there is no depth to look at), keeps int and float apart wherever the difference
could be counted, and refuses what `wire` would have to look at twice.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from numpy.typing import NDArray

from driftline.events import PREDICTION, SCORE, SCORES_PREFIX, Event
from driftline.stats.profile import Column, State
from driftline.wire import MAX_DEPTH, as_column, is_output, places_of

# A key is looked for among the fields one by one where it is not the next one.
MAX_FIELDS: Final = 500
# Of all layouts of a registry together; the models beyond are read by `wire`.
MAX_ALL_FIELDS: Final = 200_000
# A layout that misses more often than this costs more than it saves.
_MISSES_A_READ: Final = 0.25
_FREE_MISSES: Final = 100
_TRIES: Final = 3

_MODEL: Final = re.compile(rb'"model"\s*+:\s*+"([^"\\]++)"').search
_decode_any: Final = msgspec.json.Decoder().decode

Scalar = str | int | float | bool | None
_KNOWN: Final[Mapping[str, tuple[Any, ...]]] = {
    "type": (Literal["prediction"],),
    "time": (Annotated[datetime, Meta(tz=True)] | int,),
    "version": (Annotated[str, Meta(min_length=1)] | int,),
    "id": (Scalar, None),
    "label": (Scalar | UnsetType, UNSET),
    "tags": (dict[str, Scalar] | None, None),
}
_OUTPUTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "value": (Scalar | UnsetType, UNSET),
    "class": (Scalar | UnsetType, UNSET),
    "score": (Scalar | UnsetType, UNSET),
    "scores": (dict[str, Scalar] | None | UnsetType, UNSET),
}


@dataclass(frozen=True)
class Wanted:
    """What is counted of a model's predictions.

    Attributes
    ----------
    names
        Features and dimensions of segments, over all versions.
    numbers
        Those of them that every reference calls numeric and no segment is told by.
    """

    names: tuple[str, ...]
    numbers: frozenset[str]


class Layout:
    """The struct of predictions that are written as one was.

    Parameters
    ----------
    example
        The prediction as JSON holds it: whose keys, in their order, are the fields.

    Raises
    ------
    ValueError
        No struct can be made of these keys, or too many of them.

    Examples
    --------
    >>> value = b'{"type":"prediction","model":"m","version":"1","time":0,"features":{"x":1.5}}'
    >>> layout = Layout("m", Wanted(("x",), frozenset({"x"})), _decode_any(value))
    >>> event = layout.decode(value)
    >>> found, unknown = layout.columns([event, event], [("x", "numeric")])
    >>> found["x"].values.tolist(), unknown
    ([1.5, 1.5], 0)
    """

    def __init__(self, model: str, wanted: Wanted, example: Mapping[str, Any]) -> None:
        features = example.get("features")
        if not isinstance(features, dict):
            raise ValueError("no features")
        names = dict.fromkeys((*features, *wanted.names))
        self.n_fields = len(names) + len(example)
        if self.n_fields > MAX_FIELDS:
            raise ValueError(f"{self.n_fields} fields, {MAX_FIELDS} are allowed")
        self._numbers = {name: name in wanted.numbers for name in names}
        made = _struct(
            "Features",
            {
                # Nothing in JSON is NaN: that is a number which is not there.
                name: (float | None, math.nan) if is_number else (Scalar | UnsetType, UNSET)
                for name, is_number in self._numbers.items()
            },
        )
        self._attribute = dict(zip(names, made.__struct_fields__, strict=True))
        prediction = example.get("prediction")
        outputs = dict(_OUTPUTS)
        if isinstance(prediction, dict):
            outputs = _ordered(prediction, outputs, (Scalar | UnsetType, UNSET))
        self._prediction = _struct("Prediction", outputs)
        self._output = dict(zip(outputs, self._prediction.__struct_fields__, strict=True))
        known = {
            **_KNOWN,
            "model": (Literal[model],),
            "features": (made,),
            "prediction": (Scalar | self._prediction | UnsetType, UNSET),
        }
        # What nobody knows is passed over as it is by `wire`, however deep it is.
        whole = _ordered(example, known, (msgspec.Raw, msgspec.Raw(b"")))
        self.has_nested = len(whole) > len(known)
        self.struct = _struct("Laid", whole, keep=known)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(self.struct).decode
        self._plans: dict[tuple[tuple[str, str], ...], _Plan] = {}

    def columns(
        self, events: Sequence[Any], features: Sequence[tuple[str, str]]
    ) -> tuple[dict[str, Column], int]:
        """See `driftline.wire.columns`; the events are this layout's."""
        plan = self._plan(tuple(features))
        rows = [event.features for event in events]
        found = dict(zip(plan.numbers, self._packed(rows, plan), strict=True))
        for (name, kind), values in zip(plan.others, _values(rows, plan.other_of), strict=True):
            found[name], _ = as_column(values, kind)
        if plan.outputs:
            predictions = [event.prediction for event in events]
            for name, kind in plan.outputs:
                found[name], _ = as_column(self._outputs(predictions, name), kind)
        for name in plan.absent:
            found[name] = Column(None, np.full(len(rows), State.ABSENT, np.uint8))
        unknown = sum(map(_n_present, _values(rows, plan.unknown_of)))
        return {name: found[name] for name, _ in features}, unknown

    def segments(
        self, events: Sequence[Any], dimension: str, place_of: Mapping[str, int]
    ) -> NDArray[np.int64]:
        """See `driftline.rows.segments`; the events are this layout's."""
        get = attrgetter(f"features.{self._attribute[dimension]}")
        values = [
            (UNSET if event.tags is None else event.tags.get(dimension)) if said is UNSET else said
            for said, event in zip(map(get, events), events, strict=True)
        ]
        return places_of(values, place_of)

    def _plan(self, features: tuple[tuple[str, str], ...]) -> _Plan:
        if features not in self._plans:
            plan = _Plan()
            from_rows = [(name, kind) for name, kind in features if not is_output(name)]
            plan.outputs = [pair for pair in features if pair not in from_rows]
            for name, kind in from_rows:
                if name not in self._attribute:
                    plan.absent.append(name)
                elif self._numbers[name] and kind == "numeric":
                    plan.numbers.append(name)
                else:
                    plan.others.append((name, kind))
            taken = {name for name, _ in from_rows}
            plan.number_of = [self._attribute[name] for name in plan.numbers]
            plan.other_of = [self._attribute[name] for name, _ in plan.others]
            plan.unknown_of = [a for name, a in self._attribute.items() if name not in taken]
            plan.pack = struct.Struct(f"={len(plan.numbers)}d").pack
            self._plans[features] = plan
        return self._plans[features]

    def _packed(self, rows: Sequence[Any], plan: _Plan) -> list[Column]:
        """The numeric features' columns."""
        if not plan.numbers:
            return []
        get = _together(plan.number_of)
        try:
            packed = b"".join([plan.pack(*values) for values in map(get, rows)])
            numbers = np.frombuffer(packed).reshape(len(rows), -1)
        except struct.error:  # a null is no number: it becomes NaN, as what is not there
            flat = list(chain.from_iterable(map(get, rows)))
            numbers = np.array(flat, np.float64).reshape(len(rows), -1)
        numbers = np.ascontiguousarray(numbers.T)
        is_missing: NDArray[np.bool_] = np.isnan(numbers)
        some_missing = cast(list[bool], is_missing.any(axis=1).tolist())
        columns = []
        for values, attribute, missing, any_missing in zip(
            numbers, plan.number_of, is_missing, some_missing, strict=True
        ):
            state = None
            if any_missing:
                state = np.zeros(len(rows), np.uint8)
                for place in missing.nonzero()[0].tolist():
                    is_null = getattr(rows[place], attribute) is None
                    state[place] = State.NULL if is_null else State.ABSENT
            columns.append(Column(values, state))
        return columns

    def _outputs(self, predictions: Sequence[Any], name: str) -> list[Any]:
        """As `driftline.wire.prediction_values`."""
        if name == SCORE:
            return self._part(predictions, "score")
        if name != PREDICTION:
            key = name.removeprefix(SCORES_PREFIX)
            scores = self._part(predictions, "scores")
            return [s.get(key, UNSET) if type(s) is dict else UNSET for s in scores]
        values, words = self._part(predictions, "value"), self._part(predictions, "class")
        return [w if v is UNSET else v for v, w in zip(values, words, strict=True)]

    def _part(self, predictions: Sequence[Any], name: str) -> list[Any]:
        """What the predictions have under a name; one that is no object is its value."""
        get, kind = attrgetter(self._output[name]), self._prediction
        if set(map(type, predictions)) <= {kind}:
            return list(map(get, predictions))
        is_value = name == "value"
        return [get(p) if type(p) is kind else p if is_value else UNSET for p in predictions]


@dataclass
class _Plan:
    """Which of a layout's fields become which columns of one gridset."""

    numbers: list[str] = field(default_factory=list)
    number_of: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    other_of: list[str] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unknown_of: list[str] = field(default_factory=list)
    pack: Callable[..., bytes] = struct.Struct("").pack


class Layouts:
    """The layouts of a registry's models, each learned from a prediction that `wire` decoded.

    Parameters
    ----------
    wanted
        By model, for those that have one; called once for each of which a prediction comes.

    Examples
    --------
    >>> from driftline.wire import decode
    >>> layouts = Layouts(lambda model: Wanted(("x",), frozenset({"x"})))
    >>> value = b'{"type":"prediction","model":"m","version":"1","time":0,"features":{"x":1.5}}'
    >>> layouts.read(value), layouts.learn(value, decode(value)), layouts.read(value).features.f0
    (None, None, 1.5)
    """

    def __init__(self, wanted: Callable[[str], Wanted | None]) -> None:
        self._wanted = wanted
        self._of: dict[bytes, _Learned] = {}
        self._by_struct: dict[type, Layout] = {}
        self._n_fields = 0
        # How the last one began, which nothing does before the first.
        self._beginning, self._last = b"\0", _Learned(Wanted((), frozenset()))

    def read(self, value: bytes) -> Any | None:
        """Return a prediction as its layout's struct, or None where `wire` has to decode it."""
        # Who writes one event after the other begins them alike: then nothing is looked for.
        if value.startswith(self._beginning):
            learned = self._last
        else:
            found = _MODEL(value)
            # A label is none, and a decoder that refuses costs more than looking for the word.
            if found is None or found[1] not in self._of or b'"prediction"' not in value:
                return None
            learned = self._of[found[1]]
            beginning = value[: found.end()]
            if b'"prediction"' in beginning:
                self._last, self._beginning = learned, beginning
        layout = learned.layout
        if layout is None or (
            layout.has_nested and value.count(b"[") + value.count(b"{") > MAX_DEPTH
        ):
            return None
        learned.reads += 1
        try:
            return layout.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            learned.misses += 1
            return None

    def learn(self, value: bytes, event: Event) -> None:
        """Take note of an event that `wire` decoded: its model may want a layout, or another."""
        if event.type != "prediction":
            return
        name = event.model.encode()
        learned = self._of.get(name)
        if learned is None:
            wanted = self._wanted(event.model)
            if wanted is None:
                return
            learned = self._of[name] = _Learned(wanted)
        if not learned.is_useless:
            return
        try:
            example = _decode_any(value)
        except (msgspec.MsgspecError, RecursionError):
            return  # it was looked at twice; the next one may be as usual
        learned.layout, learned.reads, learned.misses = self._made(event, learned, example), 0, 0

    def layout_of(self, kind: type) -> Layout | None:
        """Return the layout whose struct this is."""
        return self._by_struct.get(kind)

    def _made(self, event: Event, learned: _Learned, example: Mapping[str, Any]) -> Layout | None:
        """A layout like the example, unless that was tried often enough."""
        if not learned.tries:
            return None
        learned.tries -= 1
        try:
            layout = Layout(event.model, learned.wanted, example)
        except ValueError:
            return None
        if self._n_fields + layout.n_fields > MAX_ALL_FIELDS:
            return None
        self._n_fields += layout.n_fields
        self._by_struct[layout.struct] = layout
        return layout


@dataclass
class _Learned:
    """What is known of how a model's predictions are written."""

    wanted: Wanted
    layout: Layout | None = None
    reads: int = 0
    misses: int = 0
    tries: int = _TRIES

    @property
    def is_useless(self) -> bool:
        if self.layout is None:
            return self.tries > 0
        return self.misses > _FREE_MISSES + _MISSES_A_READ * self.reads


def _struct(
    title: str, fields: Mapping[str, tuple[Any, ...]], keep: Collection[str] = ()
) -> type[Struct]:
    """A struct with these keys of JSON; attributes are numbered but for those that are kept."""
    attributes = {name: name if name in keep else f"f{i}" for i, name in enumerate(fields)}
    return defstruct(
        title,
        [(attributes[name], *kind) for name, kind in fields.items()],
        rename={attribute: name for name, attribute in attributes.items()},
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _ordered(
    example: Mapping[str, Any], known: Mapping[str, tuple[Any, ...]], other: tuple[Any, ...]
) -> dict[str, tuple[Any, ...]]:
    """What is known and whatever else the example has, in the example's order."""
    return {name: known.get(name, other) for name in dict.fromkeys((*example, *known))}


def _together(attributes: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What gets them all, as a tuple however few they are."""
    if len(attributes) > 1:
        return attrgetter(*attributes)
    return lambda row: tuple(getattr(row, name) for name in attributes)


def _values(rows: Sequence[Any], attributes: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows' values by attribute."""
    if not attributes:
        return []
    return list(zip(*map(_together(attributes), rows), strict=True))


def _n_present(values: Sequence[Any]) -> int:
    """How many are in their event."""
    return sum(value is not UNSET and value == value for value in values)
