"""The list of models, the worst first: beside every page, and under the API's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from monitor.storage import reads
from monitor.storage.rows import Incident, Model
from monitor.views.episodes import standing_groups

HEALTH_ORDER = ("silent", "schema_broken", "critical", "drifting", "collecting", "healthy")


@dataclass(frozen=True)
class ModelLine:
    """A model's newest version and its state in one word."""

    name: str
    version: str
    health: str


@dataclass(frozen=True)
class Models:
    """The models, worst first, and how many problems stand (incidents that came as one are one)."""

    lines: tuple[ModelLine, ...]
    firing: int


def models(conn: Connection) -> Models:
    """Read the list."""
    listed = reads.models(conn)
    groups = standing_groups(conn, is_outline=True)
    open_ones = [incident for one in groups for incident in one.members if incident.is_open]
    return Models(tuple(lines(listed, open_ones, reads.judged(conn))), len(groups))


def lines(
    listed: Sequence[Model], open_ones: Sequence[Incident], judged: set[int]
) -> list[ModelLine]:
    """Return the models' newest versions with their health, the worst first."""
    found = [
        ModelLine(
            model.name,
            model.versions[0].name,
            reads.health(
                [i for i in open_ones if i.version_id == model.versions[0].id],
                is_judged=model.versions[0].id in judged,
            ),
        )
        for model in listed
        if model.versions
    ]
    return sorted(found, key=lambda line: (HEALTH_ORDER.index(line.health), line.name))
