"""What speaks for an incident, so that nobody is told of one thing twice.

One of all rows speaks for those of its segments, a schema's for the other kinds of its feature,
a silence for everything; what still stands when they end is told then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.detect.absent import SCHEMA
from monitor.detect.groups import ALL
from monitor.detect.incidents import Incident

# When something stood, as (from, until or None): what speaks for another one meanwhile.
Span = tuple[int, int | None]
BySegment = Mapping[str, Sequence[Incident]]


def speaking(
    segment: str, kind: str, of_kind: BySegment, schemas: BySegment, silent: Sequence[Span]
) -> list[Span]:
    """Return when others speak for a feature's incidents of a segment and kind.

    Parameters
    ----------
    of_kind, schemas
        The feature's incidents of this kind, and of the kind schema, by segment.
    silent
        When the model had no predictions.
    """

    def closer(name: str) -> list[Span]:
        return [] if kind == SCHEMA else spans(schemas.get(name, ()))

    over_all = [] if segment == ALL else [*closer(ALL), *spans(of_kind.get(ALL, ()))]
    return [*silent, *over_all, *closer(segment)]


def spans(incidents: Iterable[Incident]) -> list[Span]:
    """Return when incidents opened and resolved, each episode of theirs."""
    return [
        (episode.opened_ms, episode.resolved_ms)
        for incident in incidents
        for episode in incident.episodes
    ]


def told_at(incident: Incident, others: Iterable[Span]) -> int | None:
    """Return when an incident was first worth a message; None while others speak for it.

    Examples
    --------
    >>> from driftline.stats.episodes import Latch
    >>> from monitor.detect.incidents import Member, derive
    >>> latch = Latch(opened_ms=20, exceeding=((0, 10), (10, 20)), last_ms=20)
    >>> (found,) = derive([Member("psi", "hour", "warning", latch)])
    >>> told_at(found, []), told_at(found, [(10, 50)]), told_at(found, [(10, None)])
    (20, 50, None)
    """
    for episode in incident.episodes:
        told_ms: int | None = episode.opened_ms
        for opened, resolved in sorted(others, key=lambda span: span[0]):
            if told_ms is not None and opened <= told_ms and not (resolved and resolved <= told_ms):
                told_ms = resolved
        if told_ms is not None and not (episode.resolved_ms and episode.resolved_ms <= told_ms):
            return told_ms
    return None
