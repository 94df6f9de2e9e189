"""What the database says about the demo's model: progress meanwhile, the result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.cli.demo.flights import ZONE
from monitor.cli.status import instant
from monitor.detect.retraining import critical_spans, days_before, open_days
from monitor.storage import engine as storage
from monitor.storage import reads, retrain_facts, retrain_rows
from monitor.storage import schema as t
from monitor.storage.reads import Tally
from monitor.storage.retrain_rows import Retrain
from monitor.storage.rows import Incident
from monitor.views.episodes import group


@dataclass(frozen=True)
class Progress:
    """How far the program has come."""

    records: int  # read and counted, whatever became of them
    predictions: int
    incidents: int  # told so far, as the pages count them
    pending: int  # messages that were not delivered yet
    watermark_ms: int | None


@dataclass(frozen=True)
class Retraining:
    """A retraining that was asked for; times are event time.

    Attributes
    ----------
    asked_ms
        Everything up to then was known to whoever asked.
    version
        The new one; None where there is none.
    state
        Of the request, in the end.
    live_ms
        The first flight that the new version scored; None where it scored none.
    """

    id: int
    asked_ms: int
    summary: str
    version: str | None
    state: str
    live_ms: int | None


@dataclass(frozen=True)
class Auc:
    """How good the scores of the year's flights were, by those whose outcome is known.

    Attributes
    ----------
    never
        Of January's model, had it scored all of them.
    driftline
        Of the scores that were given: of whichever version was live.
    """

    never: float
    driftline: float


@dataclass(frozen=True)
class Result:
    """The year, as the database has it."""

    predictions: int
    labels: int
    dead_letters: dict[str, int]
    windows: dict[str, int]
    findings: int
    incidents: list[Incident]  # told ones, in the order they opened, each of one feature
    groups: int  # the same as the pages count them: what moved together is one
    deliveries: Tally  # messages to the demo's receiver, and to its trainer
    retrains: list[Retraining]  # in the order in which they were asked for
    auc: Auc
    seconds: float
    peak_bytes: int

    def as_json(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        return {
            "predictions": self.predictions,
            "labels": self.labels,
            "dead_letters": self.dead_letters,
            "windows": self.windows,
            "findings": self.findings,
            "groups": self.groups,
            "incidents": [
                {
                    "id": i.number,
                    "model": i.model,
                    "version": i.version,
                    "segment": i.segment,
                    "feature": i.feature,
                    "kind": i.kind,
                    "severity": i.severity,
                    "state": i.state,
                    "first_window": instant(i.first_window_ms),
                    "opened_at": instant(i.opened_ms),
                    "resolved_at": instant(i.resolved_ms),
                    "summary": i.summary,
                }
                for i in self.incidents
            ],
            "deliveries": asdict(self.deliveries),
            "retrains": [
                {
                    "id": one.id,
                    "asked_at": instant(one.asked_ms),
                    "version": one.version,
                    "state": one.state,
                    "live_at": instant(one.live_ms),
                }
                for one in self.retrains
            ],
            "auc": {"never": round(self.auc.never, 4), "driftline": round(self.auc.driftline, 4)},
            "seconds": round(self.seconds, 1),
            "peak_rss_mb": round(self.peak_bytes / 1_000_000),
        }


class View:
    """A read-only look at a model in the database, at all of its versions."""

    def __init__(self, database_url: str, model: str) -> None:
        self.engine = storage.create(database_url)
        self._model = model
        with storage.reading(self.engine) as conn:
            found = self._version_ids(conn)
        if not found:
            raise LookupError(f"{model} is not registered")

    def _version_ids(self, conn: Connection) -> dict[str, int]:
        c = t.model_version.c
        query = (
            sa.select(c.name, c.id)
            .join(t.model, t.model.c.id == c.model_id)
            .where(t.model.c.name == self._model)
        )
        return {row.name: row.id for row in conn.execute(query)}

    def _ids(self, conn: Connection) -> list[int]:
        return list(self._version_ids(conn).values())

    def progress(self) -> Progress:
        """How far everything is now."""
        with storage.reading(self.engine) as conn:
            outcomes = reads.outcomes(conn)
            return Progress(
                # Partitions begin at 0 here, and every record moves its position by one.
                records=sum(position.next_offset for position in reads.positions(conn)),
                predictions=outcomes.get("prediction", 0),
                incidents=len(group(reads.incidents(conn, version_ids=self._ids(conn)))),
                pending=reads.tally(conn).pending,
                watermark_ms=reads.watermark_ms(conn),
            )

    def is_judged_to(self, version: str, at_ms: int) -> bool:
        """Whether all windows of a version that end by then are judged."""
        cursor, v = t.evaluator_cursor.c, t.model_version.c
        query = (
            sa.select(cursor.watermark_ms)
            .join(t.model_version, v.id == cursor.version_id)
            .join(t.model, t.model.c.id == v.model_id)
            .where(t.model.c.name == self._model, v.name == version)
        )
        with storage.reading(self.engine) as conn:
            judged_ms = conn.execute(query).scalar()
        return judged_ms is not None and judged_ms >= at_ms

    def open_days(self, version: str, at_ms: int, of_days: int) -> int:
        """On how many of the last local days critical drift of a version stood."""
        with storage.reading(self.engine) as conn:
            version_id = self._version_ids(conn)[version]
            *_, (since_ms, _) = days_before(at_ms, of_days, ZONE)
            incidents = [
                incident
                for found in retrain_facts.critical(conn, version_id, since_ms).values()
                for incident in found
            ]
            lengths = {member.length for one in incidents for member in one.members}
            judged = retrain_facts.windows(conn, version_id, lengths, since_ms, at_ms)
        return len(open_days(critical_spans(incidents, judged, ZONE), at_ms, of_days, ZONE))

    def retrain_of(self, version: str) -> Retrain | None:
        """The last request for a retraining of a version; None where there is none."""
        with storage.reading(self.engine) as conn:
            asked = retrain_rows.listed(conn, model=self._model, version=version, limit=1)
        return asked[0] if asked else None

    def is_over(self, retrain_id: int) -> bool:
        """Whether a request for a retraining has come to its end."""
        with storage.reading(self.engine) as conn:
            found = retrain_rows.find(conn, retrain_id)
        return found is not None and not found.is_open

    def is_judged(self) -> bool:
        """Whether weeks, the longest windows, have been judged for all that was counted."""
        pane, window = t.pane.c, t.window.c
        with storage.reading(self.engine) as conn:
            for version_id in self._ids(conn):
                counted = conn.execute(
                    sa.select(sa.func.max(pane.start_ms)).where(pane.version_id == version_id)
                ).scalar()
                judged = conn.execute(
                    sa.select(sa.func.max(window.end_ms)).where(
                        window.version_id == version_id, window.length == "week"
                    )
                ).scalar()
                if counted is not None and (judged is None or counted >= judged):
                    return False
        return True

    def result(
        self, *, live_ms: Mapping[str, int], auc: Auc, seconds: float, peak_bytes: int
    ) -> Result:
        """The result as it stands; `live_ms` says when which version began to score."""
        window, finding = t.window.c, t.finding.c
        with storage.reading(self.engine) as conn:
            outcomes = reads.outcomes(conn)
            version_ids = self._ids(conn)
            # Where one version takes over from another, both have flights in one window.
            counts = conn.execute(
                sa.select(window.length, sa.func.count(window.start_ms.distinct()))
                .where(window.version_id.in_(version_ids), window.segment == "all")
                .group_by(window.length)
            )
            windows = {length: int(n) for length, n in counts}
            findings = conn.execute(
                sa.select(sa.func.count()).where(finding.version_id.in_(version_ids))
            ).scalar_one()
            incidents = reads.incidents(conn, version_ids=version_ids)
            deliveries = reads.tally(conn)
            asked = retrain_rows.listed(conn, model=self._model)
        return Result(
            predictions=outcomes.get("prediction", 0),
            labels=outcomes.get("label", 0),
            dead_letters=reads.dead_reasons(outcomes),
            windows={length: windows.get(length, 0) for length in ("hour", "day", "week")},
            findings=int(findings),
            # What `all` speaks for is in the database and the API; nobody was told of it.
            incidents=sorted(
                (i for i in incidents if not i.muted), key=lambda i: (i.opened_ms, i.number)
            ),
            groups=len(group(incidents)),
            deliveries=deliveries,
            retrains=[
                Retraining(
                    one.id,
                    one.event_ms,
                    one.summary,
                    one.live_version,
                    one.state,
                    None if one.live_version is None else live_ms.get(one.live_version),
                )
                for one in reversed(asked)
            ],
            auc=auc,
            seconds=seconds,
            peak_bytes=peak_bytes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.dispose()
