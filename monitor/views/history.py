"""Everything that was judged of one feature in a scope, and which of it says most.

`series` makes one statistic through time of it: a page asks for another statistic or another
window without asking the database again. No panes are read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import Reference
from driftline.stats.rule import FixedLimit
from monitor.storage import reads
from monitor.storage.rows import OPEN_STATES, FeatureWindow, Incident, Latched
from monitor.views.episodes import group
from monitor.views.scope import NoSuch, Scope, nearest
from monitor.views.statistics import STATISTICS, offered
from monitor.views.told import fixed_limit


@dataclass(frozen=True)
class History:
    """Everything that was judged of one feature in a scope.

    Attributes
    ----------
    windows
        Of all versions of the model, by start: those of the scope's version, and of the others
        where it has none.
    beside
        Names of versions that were judged at the same time, too; their windows are left out.
    references
        By digest, those that judged the windows and the scope's own.
    incidents
        Of the feature, in the scope's version and segment, newest first.
    number_of
        The number that each incident of the version goes by in lists: its group's.
    ranking
        The features with the worst evidence over its limit in the range, worst first.
    """

    scope: Scope
    feature: str
    windows: tuple[FeatureWindow, ...]
    beside: tuple[str, ...]
    version_names: Mapping[int, str]
    references: Mapping[str, Reference]
    latches: tuple[Latched, ...]
    incidents: tuple[Incident, ...]
    number_of: Mapping[int, int]
    ranking: tuple[tuple[str, float | None], ...]

    @property
    def grid(self) -> FeatureGrid | None:
        """The feature's grid in the scope's reference."""
        scoped = self.scope.reference
        reference = self.references.get(scoped.digest) if scoped else None
        if reference is None:
            return None
        return reference.gridset.features[reference.gridset.names().index(self.feature)]

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that the feature has."""
        return offered(self.grid)

    def window_at(self, start_ms: int) -> FeatureWindow | None:
        """Return the window that starts at `start_ms`."""
        return next((w for w in self.windows if w.start_ms == start_ms), None)


def history(conn: Connection, scope: Scope, feature: str) -> History:
    """Read what was judged of a feature.

    Four statements, and one for each reference that this process has not met before.

    Raises
    ------
    NoSuch
        The version's reference has no such feature.
    """
    names: tuple[str, ...] = ()
    references: dict[str, Reference] = {}
    if scope.reference is not None:
        own = reads.reference_document(conn, scope.reference.digest)
        if own is not None:
            references[own.digest] = own
            names = own.gridset.names()
    if feature not in names:
        raise NoSuch("feature", feature, nearest(feature, names))
    version_names = {version.id: version.name for version in scope.model.versions}
    found = reads.feature_windows(
        conn, list(version_names), feature, length=scope.length, segment=scope.segment,
        from_ms=scope.from_ms, to_ms=scope.to_ms,
    )  # fmt: skip
    windows, beside = _one_line(found, [scope.version.id, *version_names])
    for digest in {window.reference_digest for window in windows} - set(references):
        document = reads.reference_document(conn, digest)
        if document is not None:
            references[digest] = document
    incidents = reads.incidents(conn, version_ids=[scope.version.id])
    ranking = reads.worst_by_feature(
        conn, scope.version.id, length=scope.length, segment=scope.segment,
        starts=[w.start_ms for w in windows if w.version_id == scope.version.id],
    )  # fmt: skip
    latches = reads.latches(
        conn, list(version_names), feature, length=scope.length, segment=scope.segment
    )
    return History(
        scope=scope,
        feature=feature,
        windows=tuple(windows),
        beside=tuple(version_names[each] for each in beside),
        version_names=version_names,
        references=references,
        latches=tuple(latches),
        incidents=tuple(
            i for i in incidents if i.feature == feature and i.segment == scope.segment
        ),
        number_of={i.number: one.number for one in group(incidents) for i in one.members},
        ranking=_ranked(ranking, names),
    )


def measured(
    conn: Connection,
    history: History,
    names: Sequence[str],
    windows: Sequence[FeatureWindow] | None = None,
) -> History:
    """Return a history whose windows (or some of them) know these columns beside their findings.

    One statement, none without names or windows.
    """
    chosen = [w for w in (history.windows if windows is None else windows) if w.found is not None]
    if not names or not chosen:
        return history
    scope = history.scope
    found = reads.feature_measures(
        conn, sorted({w.version_id for w in chosen}), history.feature, length=scope.length,
        segment=scope.segment, starts=[w.start_ms for w in chosen], names=names,
    )  # fmt: skip
    return beside(history, found)


def beside(history: History, found: Mapping[tuple[int, int], Mapping[str, Any]]) -> History:
    """Return a history whose windows know what is stored beside their findings, where it is."""

    def more(window: FeatureWindow) -> FeatureWindow:
        known = found.get((window.version_id, window.start_ms))
        if known is None or window.found is None:
            return window
        return replace(window, found={**window.found, **known})

    return replace(history, windows=tuple(more(window) for window in history.windows))


def columns_of(history: History, stat: str | None) -> tuple[str, ...]:
    """Return what `measured` must read for a statistic (the standing one unless given)."""
    name = stat if stat in history.statistics else standing_statistic(history)
    return STATISTICS[name].columns


def fixed_in(history: History, window: FeatureWindow, statistic: str) -> FixedLimit | None:
    """Return the fixed limit that a window was judged by, in the place of a learnt one."""
    spec = history.scope.specs.get(window.monitor_revision)
    return fixed_limit(spec, history.feature, statistic)


def standing_statistic(history: History) -> str:
    """Return the statistic that says most: what fired, else the worst evidence, else PSI."""
    offered = history.statistics
    own = [w.found for w in history.windows if w.version_id == history.scope.version.id]
    found = [each for each in own if each is not None]
    firing = [i for i in history.incidents if i.state in OPEN_STATES]
    for incident in sorted(firing, key=lambda i: i.severity != "critical"):
        fired = ((incident.evidence or {}).get("worst") or {}).get("statistic")
        # Another length may have told it: hours have no PSI.
        if fired in offered and any(_is_of(each, fired) for each in found):
            return str(fired)
    over = [each for each in found if (each["ratio"] or 0.0) >= 1 and each["exceeds"]]
    if over:
        worst = str(max(over, key=lambda each: float(each["ratio"]))["evidence"])
        return worst if worst in offered else offered[0]
    with_psi = [each for each in found if each["psi"] is not None]
    if "psi" in offered and any(each["verdict"] != "blind" for each in with_psi):
        return "psi"
    if with_psi:  # blind: its limit lies above what PSI can reach
        return next((name for name in ("out_of_range", "unseen") if name in offered), offered[0])
    judged = [str(each["evidence"]) for each in found if each["evidence"]]
    return judged[-1] if judged and judged[-1] in offered else offered[0]


def _is_of(found: Mapping[str, Any], statistic: str) -> bool:
    """Whether a window has a statistic, or was held against its fixed limit by it."""
    return found.get(statistic) is not None or f" {statistic}=" in f" {found['marks']}"


def standing_window(history: History) -> tuple[int, str] | None:
    """Return the place of the window that says most, and why: alarm, verdict or newest.

    What alarmed comes before what is new: who opens a page because of an alarm sees it, and of
    several windows the newest, which says how it stands. Of the statistics the standing one
    leads. Windows without enough rows for a verdict are passed over; another version's alarms
    are over. None without windows.
    """
    windows = history.windows
    if not windows:
        return None
    own = [at for at, each in enumerate(windows) if each.version_id == windows[-1].version_id]
    alarms = {at: alarming(history, windows[at]) for at in own}
    standing = standing_statistic(history)
    for found in (
        [at for at, stats in alarms.items() if standing in stats],
        [at for at, stats in alarms.items() if stats],
    ):
        if found:
            return found[-1], "alarm"
    judged = [at for at in own if _has_verdict(windows[at])]
    place = judged[-1] if judged else own[-1]
    return place, "newest" if place == len(windows) - 1 else "verdict"


def alarming(history: History, window: FeatureWindow) -> frozenset[str]:
    """Return the statistics that are over their limit in a window, and had been before it."""
    if window.found is None or not window.found["exceeds"]:
        return frozenset()  # most of a year's hours
    over = window.found["exceeds"].split(",")
    return frozenset(
        latch.statistic
        for latch in history.latches
        if latch.version_id == window.version_id
        and latch.statistic in over
        and holds(latch, window)
    )


def holds(latch: Latched, window: FeatureWindow) -> bool:
    """Return whether a latch was open after a window."""
    return latch.opened_ms <= window.end_ms and (
        latch.closed_ms is None or window.end_ms < latch.closed_ms
    )


def _has_verdict(window: FeatureWindow) -> bool:
    return window.found is not None and window.found["verdict"] != "insufficient_data"


def _one_line(
    found: Sequence[FeatureWindow], order: Sequence[int]
) -> tuple[list[FeatureWindow], list[int]]:
    """Return windows that do not overlap, and the versions of those left out.

    The first version of `order` has its whole span, each later one what is left.
    """
    by_version: dict[int, list[FeatureWindow]] = {}
    for window in found:
        by_version.setdefault(window.version_id, []).append(window)
    spans: list[tuple[int, int]] = []
    windows: list[FeatureWindow] = []
    beside = []
    for version_id in dict.fromkeys(order):
        own = by_version.get(version_id, [])
        free = [
            window
            for window in own
            if all(window.end_ms <= low or window.start_ms >= high for low, high in spans)
        ]
        if len(free) < len(own):
            beside.append(version_id)
        if free:
            spans.append((free[0].start_ms, max(window.end_ms for window in free)))
            windows += free
    return sorted(windows, key=lambda window: window.start_ms), beside


def _ranked(
    found: Sequence[tuple[str, float | None]], names: Sequence[str]
) -> tuple[tuple[str, float | None], ...]:
    """Return every feature of the reference, the worst first; those without evidence last."""
    worst = dict(found)
    order = {name: place for place, name in enumerate(names)}
    return tuple(
        sorted(
            ((name, worst.get(name)) for name in names),
            key=lambda each: (-(each[1] if each[1] is not None else -1.0), order[each[0]]),
        )
    )
