"""What people did about incidents, as a list or a page shows it: of a group, and by number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from monitor.detect.silencing import Silence
from monitor.storage import notes as notes_store
from monitor.storage import silences as silences_store
from monitor.storage.notes import Handling
from monitor.storage.rows import Incident
from monitor.views.episodes import Group


@dataclass(frozen=True, slots=True)
class Handled:
    """What was done about a problem, and which silence keeps it quiet.

    `silence` is the one after which something of it is told again; None where an incident that
    stands is not silenced, or nothing stands.
    """

    handling: Handling = field(default_factory=Handling)
    silence: Silence | None = None


NOTHING = Handled()


def handled(conn: Connection, groups: Iterable[Group], now_ms: int) -> Mapping[int, Handled]:
    """Return what was done about groups, by the number of those about which something was."""
    found = {group.number: group for group in groups}
    members = {n: [member.number for member in group.members] for n, group in found.items()}
    every = [number for numbers in members.values() for number in numbers]
    done = notes_store.handling(conn, every) if every else {}
    silences = silences_store.active(conn, now_ms)
    told: dict[int, Handled] = {}
    for number, group in found.items():
        standing = [member for member in group.told if member.is_open]
        silence = _silence(standing, silences)
        if silence is not None or any(member in done for member in members[number]):
            numbers = [member.number for member in standing]
            handling = notes_store.of_group(members[number], numbers, done)
            told[number] = Handled(handling, silence)
    return told


def handled_alone(conn: Connection, incident: Incident, now_ms: int) -> Handled:
    """Return what was done about one incident."""
    done = notes_store.handling(conn, [incident.number])
    standing = [incident] if incident.is_open else []
    silence = _silence(standing, silences_store.active(conn, now_ms))
    return Handled(done.get(incident.number, Handling()), silence)


def _silence(standing: Collection[Incident], silences: Sequence[Silence]) -> Silence | None:
    """Return the silence that ends first of those that last longest for each of some incidents."""
    of_each = [
        max(
            (s for s in silences if s.matcher.means(incident, incident.model, incident.version)),
            key=lambda silence: silence.end_ms,
            default=None,
        )
        for incident in standing
    ]
    if not of_each or None in of_each:
        return None
    return min((s for s in of_each if s is not None), key=lambda silence: silence.end_ms)
