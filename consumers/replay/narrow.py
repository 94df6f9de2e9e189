"""Of all that was admitted, what a replay counts: some versions' panes, and what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumers.admit import Admitted
from consumers.count import count
from monitor.storage.delta import CounterKey, Delta
from monitor.storage.lanes import Recount
from monitor.storage.registry import Registry
from monitor.storage.swap import RECOVERED

_NEVER: Final = 1 << 62


class Again(NamedTuple):
    """Panes from `from_ms` on were replaced by what records in `[from_offset, to_offset)` add."""

    from_ms: int
    from_offset: int
    to_offset: int


def again_of(recounts: Iterable[Recount], partition: int, version_id: int) -> tuple[Again, ...]:
    """Return what replays made of one version in one partition, the oldest first."""
    return tuple(
        Again(each.from_ms, each.from_offset, each.to_offset)
        for each in recounts
        if (each.partition, each.version_id) == (partition, version_id)
    )


@dataclass(frozen=True)
class Part:
    """What is counted of one version in one partition.

    Attributes
    ----------
    from_ms
        Events from here on.
    counted_from
        Offset from which its events were counted when they were read at first.
    again
        What replays made of that, the oldest first.
    deficit_to
        Events below this offset were unmonitored when they were read at first; 0 where none was.
    recovered
        Replays that counted some of those, the oldest first.
    """

    from_ms: int = 0
    counted_from: int = 0
    again: Sequence[Again] = ()
    deficit_to: int = 0
    recovered: Sequence[Again] = ()

    def counted(self, times_ms: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which events are in it.

        Examples
        --------
        >>> part = Part(counted_from=2, again=(Again(50, 0, 2),))
        >>> part.counted(np.array([10, 60, 10]), np.array([0, 1, 2])).tolist()
        [False, True, True]
        """
        found = _after(offsets >= self.counted_from, self.again, times_ms, offsets)
        return found & (times_ms >= self.from_ms)

    def unmonitored(
        self, times_ms: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which events stand as unmonitored until now.

        Examples
        --------
        >>> part = Part(deficit_to=2, recovered=(Again(50, 0, 9),))
        >>> part.unmonitored(np.array([10, 60, 10]), np.array([0, 1, 2])).tolist()
        [True, False, False]
        """
        is_counted = _after(offsets >= self.deficit_to, self.recovered, times_ms, offsets)
        return ~is_counted


def _after(
    found: NDArray[np.bool_],
    replays: Sequence[Again],
    times_ms: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which events are counted after replays, of which `found` were counted before."""
    for each in replays:
        anew = (times_ms >= each.from_ms) & (offsets < each.to_offset)
        found = np.where(anew, offsets >= each.from_offset, found)
    return found


@dataclass(frozen=True)
class Narrow:
    """Counts what belongs to a replay of one partition, in the place of `count`.

    Attributes
    ----------
    parts
        By model and version.
    labels
        Models whose labels are counted, too.
    """

    parts: Mapping[tuple[str, str], Part]
    labels: Collection[str] = field(default=frozenset())
    counting: Callable[[Admitted, Registry], Delta] = count

    def __call__(self, admitted: Admitted, registry: Registry) -> Delta:
        """Return what the events of these versions add; never a dead letter."""
        keep = np.zeros(len(admitted), dtype=bool)
        recovered: Counter[CounterKey] = Counter()
        for code, (model, version, kind) in enumerate(admitted.names):
            mine = np.flatnonzero(admitted.name_of == code)
            if kind == "label":
                keep[mine] = model in self.labels
                continue
            part = self.parts.get((model, version))
            if part is None:
                continue
            events = admitted.times_ms[mine], admitted.offsets[mine]
            keep[mine] = part.counted(*events)
            before = int((keep[mine] & part.unmonitored(*events)).sum())
            if before:
                recovered[CounterKey(model, version, RECOVERED)] += before
        places = np.flatnonzero(keep)
        if not len(places):
            return Delta()
        delta = self.counting(
            Admitted(
                parts=admitted.rows(places),
                names=admitted.names,
                name_of=admitted.name_of[places],
                times_ms=admitted.times_ms[places],
                offsets=admitted.offsets[places],
                kafka_ms=admitted.kafka_ms[places],
            ),
            registry,
        )
        delta.counters.update(recovered)
        return delta

    def own(self, delta: Delta) -> Delta:
        """Return what a ledger holds without the counters of other versions, and the rest."""
        counters = Counter(
            {
                key: n
                for key, n in delta.counters.items()
                if (key.model, key.version) in self.parts or key.model in self.labels
            }
        )
        return replace(delta, counters=counters, letters=[], deficits={}, strangers={})
