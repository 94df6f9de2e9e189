"""Find by name: models, features and incidents whose words hold what was typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from monitor.storage import reads
from monitor.storage.rows import Incident
from monitor.views.episodes import group

MOST = 20
# How many incidents are looked through, newest first.
INCIDENTS_READ = 500
# Before everything: the number that was typed.
EXACT = -20


@dataclass(frozen=True)
class Hit:
    """Something that was found; `feature` and `number` say what it is beside a model."""

    kind: str  # model | feature | incident
    model: str
    feature: str | None = None
    number: int | None = None
    detail: str = ""


def search(conn: Connection, text: str, *, limit: int = MOST) -> list[Hit]:
    """Return at most `limit` hits: models, then features, then incidents, the best names first.

    Features are those of the last judged windows. `#12` or `12` finds an incident by its number.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return []
    listed = reads.models(conn)
    found = [
        (rank, Hit("model", m.name, detail=m.description or ""))
        for m in listed
        if (rank := _rank(wanted, m.name)) is not None
    ]
    newest = {m.versions[0].id: m.name for m in listed if m.versions}
    found += [
        (10 + rank, Hit("feature", newest[version_id], feature=name))
        for version_id, name in reads.known_features(conn, newest)
        if (rank := _rank(wanted, name)) is not None
    ]
    found += _incidents(wanted, reads.incidents(conn, limit=INCIDENTS_READ))
    found.sort(key=lambda hit: hit[0])
    return [hit for _, hit in found[:limit]]


def _incidents(wanted: str, incidents: Sequence[Incident]) -> list[tuple[int, Hit]]:
    """Return what goes by one number once, with what fits best of it; a number typed finds its own.

    `incidents` are the newest, so that a group may go by the first of them that was read.
    """
    best: dict[int, tuple[int, Hit]] = {}
    for one in group(incidents):
        for i in one.members:
            rank = _rank_incident(wanted, i)
            if rank is None:
                continue
            number = i.number if rank == EXACT else one.number
            hit = (20 + rank, Hit("incident", i.model, i.feature, number, i.summary))
            if number not in best or rank + 20 < best[number][0]:
                best[number] = hit
    return sorted(best.values(), key=lambda hit: (hit[0], -(hit[1].number or 0)))


def _rank(wanted: str, name: str) -> int | None:
    here = name.casefold()
    if here == wanted:
        return 0
    if here.startswith(wanted):
        return 1
    if re.search(rf"(?:^|[^a-z0-9]){re.escape(wanted)}", here):
        return 2
    return 3 if wanted in here else None


def _rank_incident(wanted: str, incident: Incident) -> int | None:
    if wanted.removeprefix("#") == str(incident.number):
        return EXACT
    return _rank(wanted, incident.feature) if wanted in incident.summary.casefold() else None
