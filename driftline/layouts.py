"""Layouts: the usual prediction of a model, decoded straight into the columns that are counted.

`driftline.wire` decodes an event into objects that can hold anything. Most predictions of a model
are written alike: the same keys in the same order, numbers where its references have numbers. A
`Layout` is a msgspec struct made for these, learned from one event of theirs; `driftline.laid`
makes columns of some hundred at a time. Whatever does not fit it (another type, another
key, a list, a number beyond float64) is left to `wire`, that record alone.

What is counted must not depend on which of the two has read it. Therefore a layout takes nothing
that is nested (there is no depth to look at), keeps int and float apart wherever the difference
could be counted, and refuses what `wire` would have to look at twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from driftline.events import Event
from driftline.laid import Fields, LaidOutRows
from driftline.wire import MAX_DEPTH

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
# What a decoder raises of a value that is not as it has to be.
_MISFITS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

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
    >>> found, unknown = layout.rows([event, event]).columns([("x", "numeric")])
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
        is_number = {name: name in wanted.numbers for name in names}
        made = _struct(
            "Features",
            {
                # Nothing in JSON is NaN: that is a number which is not there.
                name: (float | None, math.nan) if is_number[name] else (Scalar | UnsetType, UNSET)
                for name in names
            },
        )
        prediction = example.get("prediction")
        outputs = dict(_OUTPUTS)
        if isinstance(prediction, dict):
            outputs = _ordered(prediction, outputs, (Scalar | UnsetType, UNSET))
        said = _struct("Prediction", outputs)
        self._fields = Fields(is_number, said, list(outputs))
        known = {
            **_KNOWN,
            "model": (Literal[model],),
            "features": (made,),
            "prediction": (Scalar | said | UnsetType, UNSET),
        }
        # What nobody knows is passed over as it is by `wire`, however deep it is.
        whole = _ordered(example, known, (msgspec.Raw, msgspec.Raw(b"")))
        self.has_nested = len(whole) > len(known)
        self.struct = _struct("Laid", whole, keep=known)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(self.struct).decode

    def rows(self, events: Sequence[Any]) -> LaidOutRows:
        """The columns of some events of this layout, one at least."""
        return self._fields.rows(events)


class Layouts:
    """The layouts of a registry's models, each learned from a prediction that `wire` decoded.

    For one thread: they learn while they read, and the codes of texts that were met before grow
    with each (`driftline.laid`). Whoever reads in two threads loads a registry for each.

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
        # Whose the last was that could be read.
        self._usual = self._last

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
            event = layout.decode(value)
        except _MISFITS:
            learned.misses += 1
            return None
        self._usual = learned
        return event

    def read_on(self, values: Iterator[bytes], events: list[Any]) -> None:
        """Add predictions to `events` as long as they are as the last one that `read` returned.

        The first that is not is taken from `values`, too: `read` is to look at it.
        """
        learned, n = self._usual, len(events)
        if learned.layout is None or learned.layout.has_nested:
            next(values, None)
            return
        with suppress(*_MISFITS):
            # What was decoded before one that misfits stays in the list.
            events.extend(map(learned.layout.decode, values))
        learned.reads += len(events) - n

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
