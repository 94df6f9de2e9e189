"""A model whose hours can lose values, and what is told of it: its incidents come as they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from feature_world import ROWS_AN_HOUR, START_MS, FeatureWorld, frame
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import endpoints
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

# Of an hour's thirty rows: above the warning limit, above the critical one.
MILD, BAD = 0.1, 0.4

SECRET = "whsec_" + "QUJD" * 8
CALM_DAYS = 8
# Where the tests begin to break things: a midnight.
FIRST_MS = START_MS + CALM_DAYS * DAY_MS


@dataclass
class World(FeatureWorld):
    """A model with eight calm days, whose hours can lose values, and what is sent of it."""

    hour: int = 0
    version_id: int = 1
    tells: bool = True
    steps: list[int] = field(default_factory=list)

    def evaluator(self) -> Evaluator:
        settings = EvaluateSettings(
            "", stalled_after_s=60.0, web_url="https://drift.example", tells=self.tells
        )
        return Evaluator(self.engine, settings, now_ms=lambda: self.now_ms)

    def count(
        self,
        hours: int,
        missing: Mapping[str, float] | None = None,
        *,
        at: int | None = None,
        partition: int = 0,
    ) -> None:
        """Count hours of rows in which shares of features are missing."""
        first = self.hour if at is None else at
        rows = frame(FIRST_MS + first * HOUR_MS, hours, 1_000 + first)
        rank = np.arange(len(rows)) % ROWS_AN_HOUR

        def lost(name: str) -> Any:
            share = (missing or {}).get(name, 0.0)
            return np.where(rank < share * ROWS_AN_HOUR, 2, 0).astype(np.uint8)

        columns = {
            "x": Column(rows["x"].to_numpy(), lost("x")),
            "zeros": Column(rows["zeros"].to_numpy(), lost("zeros")),
            "count": Column(rows["count"].to_numpy().astype(float), lost("count")),
            "c": Column(rows["c"].tolist()),
            "flag": Column(["true" if flag else "false" for flag in rows["flag"]]),
            "same": Column(np.full(len(rows), 7.0)),
        }
        grids = self.reference.gridset
        pane = np.repeat(np.arange(hours), ROWS_AN_HOUR)
        made = grids.count(columns, len(rows), pane, hours)
        with transaction(self.engine) as conn:
            for hour, profile in enumerate(made):
                conn.execute(
                    sa.insert(t.pane).values(
                        version_id=self.version_id, gridset=grids.digest, segment="all",
                        stream_id=1, start_ms=FIRST_MS + (first + hour) * HOUR_MS,
                        partition=partition, rev=1, rows=profile.rows, body=profile.to_bytes(),
                    )
                )  # fmt: skip
            self.hour = max(self.hour, first + hours)
            self._advance(conn, FIRST_MS + self.hour * HOUR_MS + 20 * 60_000)

    def step(self, hours: int = 0, **missing: float) -> list[tuple[str, list[str]]]:
        """Count hours, judge, and return what became due: types with the features named."""
        before = len(self.outbox())
        if hours:
            self.count(hours, missing)
        self.steps.append(self.evaluator().step())
        return [
            (
                row.type.removeprefix("drift."),
                [found["feature"] for found in json.loads(row.body)["data"]["incidents"]],
            )
            for row in self.outbox()[before:]
        ]

    def rows(self, table: sa.Table) -> list[Any]:
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(table).order_by(*table.primary_key.columns)))

    def outbox(self) -> list[Any]:
        return self.rows(t.outbox)


def endpoint(engine: Engine, name: str = "hook") -> None:
    with transaction(engine) as conn:
        endpoints.add(conn, name, f"https://{name}.example/in", SECRET, now_ms=1)


def told_world(engine: Engine) -> World:
    """Eight calm days, judged, and an endpoint."""
    made = World(engine)
    made.count(CALM_DAYS * 24, at=-CALM_DAYS * 24)
    made.step()
    assert made.rows(t.incident) == []
    endpoint(engine)
    return made
