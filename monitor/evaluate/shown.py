"""What shows an incident: the window that opened it, the worst one, and what ended it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats import novelty
from driftline.stats.calibration import RATES, observe
from driftline.stats.episodes import CLEAR_AFTER
from driftline.stats.grid import NumericGrid
from driftline.stats.groups import psi_by_feature
from driftline.stats.reference import Reference
from driftline.stats.rule import LEVELS, Rule
from driftline.stats.words import Evidence, ending, part_of, summary
from monitor.detect.absent import ABSENT, SHARE
from monitor.detect.incidents import Episode, Incident
from monitor.evaluate.judging import PaneTable
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion
from monitor.windows.calendar import NOMINAL_MS, window_of

# "99.9 % sure" holds where every group expects this many rows.
HONEST_ROWS = 5
# Unseen values named in a sentence.
NAMED_VALUES = 3

Found = Mapping[str, Any]  # a finding, the distances beside it, its reference and monitor


class _Telling(NamedTuple):
    """A finding, and the statistic of it that tells."""

    statistic: str
    found: Found


def value_of(found: Found, statistic: str) -> float | None:
    """Return what a finding says of a statistic."""
    if statistic == "ks":  # the lower end of its interval is held against a limit
        value = found["ks_low"]
    elif statistic == ABSENT:  # all but all of what is missing
        value = found["missing"]
    else:
        value = found[statistic]
    return None if value is None else float(value)


class Shown:
    """Finds the windows that show one version's incidents, and what is said of them."""

    def __init__(
        self, conn: Connection, bound: BoundVersion, references: Mapping[str, Reference]
    ) -> None:
        self._conn = conn
        self._bound = bound
        self._references = references

    @cached_property
    def _rules(self) -> dict[int, Rule]:
        """The rules that have judged the model, by the monitor's revision."""
        monitor = registry.monitor_history(self._conn, self._bound.version_id)
        return {found.number: found.spec.rule() for found in monitor.revisions}

    def said(
        self, row: sa.Row[Any] | None, incident: Incident, segment: str, feature: str
    ) -> tuple[str, str]:
        """Return an incident's summary and its evidence as JSON.

        The window that opened it and the worst one rarely change: what is
        stored of them stands while their findings do.
        """
        first, worst = self._telling_windows(incident, segment, feature)
        if row is not None and row.severity == incident.severity:
            stored = json.loads(row.evidence)
            if _tells(stored.get("opened"), first) and _tells(stored.get("worst"), worst):
                return row.summary, row.evidence
        opening = self._numbers(incident, first, segment)
        at_worst = opening if worst == first else self._numbers(incident, worst, segment)
        said = summary(opening, at_worst, self._bound.timezone)
        return said, json.dumps({"opened": asdict(opening), "worst": asdict(at_worst)})

    def ending(self, episode: Episode, segment: str, feature: str) -> str:
        """Return what ended an episode: the windows of the latch that ended last."""
        last = max(
            episode.members,
            key=lambda m: (m.latch.closed_ms or 0, NOMINAL_MS[m.length], m.level == "warning"),
        )
        f, w = t.finding.c, t.window.c
        query = (
            self._query(last.length, segment, feature)
            .where(
                w.start_ms < last.latch.closed_ms,
                # Windows that could not be judged neither end it nor hold it.
                (" " + f.marks).contains(f" {last.statistic}="),
            )
            .order_by(w.start_ms.desc())
            .limit(CLEAR_AFTER)
        )
        name = f"{last.statistic}_excess" if last.statistic in RATES else last.statistic
        held = [value_of(dict(row._mapping), name) for row in self._conn.execute(query)]
        is_expired = last.latch.closed_as == "expired"
        known = [value for value in reversed(held) if value is not None]
        return ending(feature, last.statistic, last.length, known, is_expired=is_expired)

    def _query(self, length: str, segment: str, feature: str) -> sa.Select[Any]:
        f, w = t.finding.c, t.window.c
        window = sa.and_(
            *(w[name] == f[name] for name in ("version_id", "length", "start_ms", "segment"))
        )
        # By the segment's windows, each of which is one step to its finding.
        return (
            sa.select(t.finding, w.monitor_revision, w.reference_digest)
            .select_from(t.window.join(t.finding, window))
            .where(
                w.version_id == self._bound.version_id,
                w.length == length,
                w.segment == segment,
                f.feature == feature,
            )
        )

    def _telling_windows(
        self, incident: Incident, segment: str, feature: str
    ) -> tuple[_Telling, _Telling]:
        """Return the finding that opened the incident, and the worst one of all."""
        current = incident.episodes[0]
        opener = current.members[0]
        opening = {
            (opener.length, opener.statistic, start)
            for start, end in opener.latch.exceeding
            if end <= current.opened_ms
        }
        every = {
            (member.length, member.statistic, start)
            for member in incident.members
            for start, _ in member.latch.exceeding
        }
        rows: dict[tuple[str, int], Found] = {}
        for length in sorted({member.length for member in incident.members}):
            starts = {start for name, _, start in every if name == length}
            query = self._query(length, segment, feature).where(
                t.window.c.start_ms.in_(sorted(starts))
            )
            for row in self._conn.execute(query):
                rows[length, row.start_ms] = dict(row._mapping)

        def strength(place: tuple[str, str, int]) -> tuple[float, int]:
            length, statistic, start_ms = place
            return self._ratio(rows[length, start_ms], statistic), -start_ms

        first, worst = max(opening, key=strength), max(every, key=strength)
        return (
            _Telling(first[1], rows[first[0], first[2]]),
            _Telling(worst[1], rows[worst[0], worst[2]]),
        )

    def _fixed(self, found: Found, statistic: str) -> tuple[float | None, float | None]:
        """Return the user's own warning and critical limit, None where there is none."""
        rule = self._rules.get(int(found["monitor_revision"]), Rule())
        limits = rule.by_statistic([str(found["feature"])]).get(statistic)
        if limits is None:
            return None, None
        warning, critical = (None if np.isnan(line[0]) else float(line[0]) for line in limits)
        return warning, critical

    def _limit(self, found: Found, statistic: str) -> float:
        """Return the warning limit of a statistic, 0 where it has none."""
        if statistic == ABSENT:
            return SHARE
        if statistic == "psi" or statistic in RATES:
            return float(found[f"{statistic}_limit"] or 0.0)
        return self._fixed(found, statistic)[0] or 0.0

    def _ratio(self, found: Found, statistic: str) -> float:
        name = f"{statistic}_excess" if statistic in RATES else statistic
        held, limit = value_of(found, name), self._limit(found, statistic)
        return abs(held) / limit if held is not None and limit else 0.0

    def _numbers(self, incident: Incident, telling: _Telling, segment: str) -> Evidence:
        """Return what one finding says of one statistic, with the part that moved."""
        statistic, found = telling.statistic, telling.found
        length, start_ms = str(found["length"]), int(found["start_ms"])
        end_ms = window_of(start_ms, length, self._bound.timezone).end_ms
        # The reference that judged the window: another may be bound by now.
        reference = self._references[str(found["reference_digest"])]
        warning, critical = self._fixed(found, statistic)
        evidence = Evidence(
            feature=str(found["feature"]),
            statistic=statistic,
            length=length,
            start_ms=start_ms,
            end_ms=end_ms,
            rows=int(found["rows"]),
            value=value_of(found, statistic) or 0.0,
            limit=self._limit(found, statistic),
            is_fixed=warning is not None or critical is not None,
        )
        if statistic == "psi":
            return self._psi(incident, evidence, found, reference, segment)
        if statistic in RATES:
            return self._rate(evidence, found, reference, segment)
        is_critical = (
            incident.severity == "critical"
            and critical is not None
            and abs(evidence.value) > critical
        )
        if is_critical and critical is not None:
            evidence = replace(evidence, limit=critical)
        return replace(evidence, critical=is_critical or statistic == ABSENT)

    def _rate(
        self, evidence: Evidence, found: Found, reference: Reference, segment: str
    ) -> Evidence:
        place = reference.gridset.names().index(evidence.feature)
        own = observe(reference, reference.profiles[segment].counts[None, :])
        hits, n = own.of(evidence.statistic)
        grid = reference.gridset.features[place].grid
        is_unseen = evidence.statistic == "unseen"
        return replace(
            evidence,
            excess=float(found[f"{evidence.statistic}_excess"] or 0.0),
            reference=float(hits[0, place] / max(n[0, place], 1)),
            low=float(grid.low) if isinstance(grid, NumericGrid) else None,
            high=float(grid.high) if isinstance(grid, NumericGrid) else None,
            values=self._unseen(evidence, reference) if is_unseen else (),
        )

    def _psi(
        self,
        incident: Incident,
        evidence: Evidence,
        found: Found,
        reference: Reference,
        segment: str,
    ) -> Evidence:
        place = reference.gridset.names().index(evidence.feature)
        own = observe(reference, reference.profiles[segment].counts[None, :])
        span = (evidence.start_ms, evidence.end_ms)
        panes = PaneTable(self._conn, self._bound, reference, [segment], *span)
        seen = observe(reference, panes.windows([(segment, *span)]).profiles.counts)
        novel = novelty.expected(reference, segment, evidence.length)
        compared = novelty.expecting(reference.gridset, own.groups, novel)
        _, parts = psi_by_feature(reference.gridset, compared, seen.groups)
        groups = reference.gridset.groups[place]
        before, window = compared[0, groups], seen.groups[0, groups]
        expected = before / max(before.sum(), 1) * window.sum()
        critical = found["psi_critical"]
        is_critical = (
            incident.severity == "critical"
            and critical is not None
            and evidence.value > float(critical)
        )
        has_rows = bool((expected >= HONEST_ROWS).all() and (window >= HONEST_ROWS).all())
        rule = self._rules.get(int(found["monitor_revision"]), Rule())
        lower = found["psi_lower"]
        return replace(
            evidence,
            critical=is_critical,
            limit=float(critical) if is_critical else evidence.limit,
            lower=None if lower is None else float(lower),
            is_honest=has_rows and not evidence.is_fixed,
            delta=None if evidence.is_fixed else rule.delta(LEVELS[is_critical]),
            part=part_of(reference.gridset.features[place], parts[0, groups], before, window),
        )

    def _unseen(self, evidence: Evidence, reference: Reference) -> tuple[str, ...]:
        """Return the unseen values that came first: the same whenever this is asked."""
        u = t.unseen_value.c
        first_ms = sa.func.min(u.first_seen_ms)
        query = (
            sa.select(u.value)
            .where(
                u.version_id == self._bound.version_id,
                u.gridset == reference.gridset.digest,
                u.feature == evidence.feature,
                u.first_seen_ms < evidence.end_ms,
            )
            .group_by(u.value)
            .order_by(first_ms, u.value)
            .limit(NAMED_VALUES)
        )
        return tuple(self._conn.execute(query).scalars())


def _tells(stored: dict[str, Any] | None, telling: _Telling) -> bool:
    """Whether stored evidence is of this finding, as it stands."""
    if stored is None:
        return False
    names: Sequence[str] = ("length", "start_ms", "rows")
    return bool(
        stored["statistic"] == telling.statistic
        and stored["value"] == value_of(telling.found, telling.statistic)
        and all(stored[name] == telling.found[name] for name in names)
    )
