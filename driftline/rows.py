"""Events as the counters see them, whatever bytes they came in.

A batch of events is a list of `Rows`, one for each form it was read in; what is counted of them
is put together here, so that a grid sees one column. Which form they had must change no count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, cast

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from driftline import arrow_rows, laid
from driftline.arrow_rows import ArrowRows
from driftline.events import Event
from driftline.laid import LaidOutRows
from driftline.stats.profile import Column, State, Words
from driftline.wire import columns as columns_of_events
from driftline.wire import places_of


class Rows(Protocol):
    """Events in order, all read in one form."""

    def __len__(self) -> int: ...

    def take(self, places: NDArray[np.intp]) -> Rows:
        """The events at these places, each once and ascending."""

    def columns(self, features: Sequence[tuple[str, str]]) -> tuple[dict[str, Column], int]:
        """See `columns`."""

    def segments(self, dimension: str, place_of: Mapping[str, int]) -> NDArray[np.int64]:
        """See `segments`."""


@dataclass(frozen=True)
class EventRows:
    """Events that were objects of JSON.

    Examples
    --------
    >>> rows = EventRows([Event("prediction", "m", 0, "1", features={"x": 1.5, "site": "north"})])
    >>> rows.segments("site", {"south": 0, "north": 1}).tolist()
    [1]
    """

    events: Sequence[Event]

    def __len__(self) -> int:
        return len(self.events)

    def take(self, places: NDArray[np.intp]) -> EventRows:
        """See `Rows.take`."""
        return EventRows([self.events[i] for i in places.tolist()])

    def columns(self, features: Sequence[tuple[str, str]]) -> tuple[dict[str, Column], int]:
        """See `columns`."""
        return columns_of_events(self.events, features)

    def segments(self, dimension: str, place_of: Mapping[str, int]) -> NDArray[np.int64]:
        """See `segments`."""
        values: list[Any] = [(e.features or {}).get(dimension, UNSET) for e in self.events]
        if any(v is UNSET for v in values):
            values = [
                e.tags.get(dimension) if v is UNSET and type(e.tags) is dict else v
                for v, e in zip(values, self.events, strict=True)
            ]
        return places_of(values, place_of)


@dataclass(frozen=True)
class MixedRows:
    """Events that alternate between several forms.

    Attributes
    ----------
    parts
        The events of each form.
    part_of, place_of : integer arrays
        Of each event, in the order of the log: its part, and its place in that.

    Examples
    --------
    >>> a, b = (EventRows([Event("prediction", "m", 0, "1", features={"x": x})]) for x in (1, 2))
    >>> mixed = MixedRows([a, b], np.array([1, 0]), np.array([0, 0]))
    >>> mixed.columns([("x", "numeric")])[0]["x"].values.tolist()
    [2.0, 1.0]
    """

    parts: Sequence[Rows]
    part_of: NDArray[np.intp]
    place_of: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.part_of)

    def take(self, places: NDArray[np.intp]) -> Rows:
        """See `Rows.take`."""
        part_of, place_of = self.part_of[places], self.place_of[places]
        used, renumbered = np.unique(part_of, return_inverse=True)
        taken: list[Rows] = [self.parts[p].take(place_of[part_of == p]) for p in used.tolist()]
        if len(taken) == 1:
            return taken[0]
        place_in = np.empty(len(places), np.intp)
        for p in range(len(used)):
            place_in[renumbered == p] = np.arange(np.count_nonzero(renumbered == p))
        return MixedRows(taken, renumbered, place_in)

    def columns(self, features: Sequence[tuple[str, str]]) -> tuple[dict[str, Column], int]:
        """See `columns`."""
        joined, unknown = columns(self.parts, features)
        order = self._order()
        return {name: column.take(order) for name, column in joined.items()}, unknown

    def segments(self, dimension: str, place_of: Mapping[str, int]) -> NDArray[np.int64]:
        """See `segments`."""
        return segments(self.parts, dimension, place_of)[self._order()]

    def _order(self) -> NDArray[np.intp]:
        """Where each event stands when the parts follow each other."""
        sizes = [len(part) for part in self.parts]
        starts = np.cumsum([0, *sizes[:-1]])
        return starts[self.part_of] + self.place_of


def joined(parts: Sequence[Rows]) -> list[Rows]:
    """Return the parts, neighbours that are columns of one type put together."""
    found: list[Rows] = []
    for (kind, _), group in groupby(parts, _kind):
        some = list(group)
        one: Rows | None = None
        if kind is ArrowRows and len(some) > 1:
            one = arrow_rows.joined(cast(list[ArrowRows], some))
        elif kind is LaidOutRows:
            one = laid.joined(cast(list[LaidOutRows], some))
        found += some if one is None else [one]
    return found


def _kind(part: Rows) -> tuple[type, int]:
    """Of its neighbours only those of the same may be put together with it."""
    return type(part), id(part.layout) if isinstance(part, LaidOutRows) else 0


def columns(
    parts: Sequence[Rows], features: Sequence[tuple[str, str]]
) -> tuple[dict[str, Column], int]:
    """Return one column per wanted feature, and how many feature values had no column.

    Parameters
    ----------
    features
        Name and kind of what is wanted, as in `driftline.wire.columns`.
    """
    found = [part.columns(features) for part in parts]
    unknown = sum(n for _, n in found)
    if len(found) == 1:
        return found[0]
    sizes = [len(part) for part in parts]
    return {
        name: _joined([columns[name] for columns, _ in found], sizes, kind)
        for name, kind in features
    }, unknown


def segments(
    parts: Sequence[Rows], dimension: str, place_of: Mapping[str, int]
) -> NDArray[np.int64]:
    """Return the place of each event's value of a dimension; `len(place_of)` for any other.

    A feature of that name says the value; where an event has none, the tag does.
    """
    found = [part.segments(dimension, place_of) for part in parts]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _joined(parts: Sequence[Column], sizes: Sequence[int], kind: str) -> Column:
    """One column after another."""
    state = None
    if any(part.state is not None for part in parts):
        state = np.concatenate(
            [
                np.full(n, State.VALUE, np.uint8) if part.state is None else part.state
                for part, n in zip(parts, sizes, strict=True)
            ]
        )
    if kind == "presence":
        return Column(None, state)
    if kind == "numeric":
        numbers = [
            np.zeros(n) if part.values is None else part.values
            for part, n in zip(parts, sizes, strict=True)
        ]
        return Column(np.concatenate(numbers), state)
    if all(isinstance(part.values, list) for part in parts):
        return Column([word for part in parts for word in part.values], state)
    coded = [_coded(part.values, n) for part, n in zip(parts, sizes, strict=True)]
    texts: list[str] = []
    codes = []
    for words in coded:
        codes.append(words.codes + len(texts))
        texts += words.words
    return Column(Words(np.concatenate(codes), texts), state)


def _coded(values: Sequence[str] | None, n: int) -> Words:
    if isinstance(values, Words):
        return values
    if values is None:
        return Words(np.zeros(n, np.intp), [""])
    return Words(np.arange(n), values)
