"""What the database says about the demo's model: progress meanwhile, the result at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from monitor.cli.status import instant
from monitor.storage import engine as storage
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.reads import Tally
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
class Result:
    """The year, as the database has it."""

    predictions: int
    labels: int
    dead_letters: dict[str, int]
    windows: dict[str, int]
    findings: int
    incidents: list[Incident]  # told ones, in the order they opened, each of one feature
    groups: int  # the same as the pages count them: what moved together is one
    deliveries: Tally  # messages to the demo's receiver
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
            "seconds": round(self.seconds, 1),
            "peak_rss_mb": round(self.peak_bytes / 1_000_000),
        }


class View:
    """A read-only look at one model version in the database."""

    def __init__(self, database_url: str, model: str, version: str) -> None:
        self.engine = storage.create(database_url)
        with storage.reading(self.engine) as conn:
            found = reads.find_version(conn, model, version)
        if found is None:
            raise LookupError(f"{model} {version} is not registered")
        self._version_id = found.id

    def progress(self) -> Progress:
        """How far everything is now."""
        with storage.reading(self.engine) as conn:
            outcomes = reads.outcomes(conn)
            return Progress(
                # Partitions begin at 0 here, and every record moves its position by one.
                records=sum(position.next_offset for position in reads.positions(conn)),
                predictions=outcomes.get("prediction", 0),
                incidents=len(group(reads.incidents(conn, version_ids=[self._version_id]))),
                pending=reads.tally(conn).pending,
                watermark_ms=reads.watermark_ms(conn),
            )

    def is_judged(self) -> bool:
        """Whether weeks, the longest windows, have been judged for all that was counted."""
        pane, window = t.pane.c, t.window.c
        with storage.reading(self.engine) as conn:
            counted = conn.execute(
                sa.select(sa.func.max(pane.start_ms)).where(pane.version_id == self._version_id)
            ).scalar()
            judged = conn.execute(
                sa.select(sa.func.max(window.end_ms)).where(
                    window.version_id == self._version_id, window.length == "week"
                )
            ).scalar()
        return counted is not None and judged is not None and counted < judged

    def result(self, *, seconds: float, peak_bytes: int) -> Result:
        """The result as it stands."""
        window, finding = t.window.c, t.finding.c
        with storage.reading(self.engine) as conn:
            outcomes = reads.outcomes(conn)
            counts = conn.execute(
                sa.select(window.length, sa.func.count())
                .where(window.version_id == self._version_id, window.segment == "all")
                .group_by(window.length)
            )
            windows = {length: int(n) for length, n in counts}
            findings = conn.execute(
                sa.select(sa.func.count()).where(finding.version_id == self._version_id)
            ).scalar_one()
            incidents = reads.incidents(conn, version_ids=[self._version_id])
            deliveries = reads.tally(conn)
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
