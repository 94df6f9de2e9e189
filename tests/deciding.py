"""Alerts decided by hand: incidents as an evaluator keeps them, one evaluation after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from incident_stories import HOUR, START, ZONE

from monitor.detect.alerts import Notice, alert_id_of, decide, end
from monitor.detect.knowledge import IncidentNow, Knowledge, Moment
from monitor.detect.silencing import Matcher, Silence, silenced


@dataclass
class World:
    """Incidents as an evaluator keeps them, and what was decided about them so far."""

    incidents: dict[int, IncidentNow] = field(default_factory=dict)
    known: Knowledge = field(default_factory=Knowledge)
    zone: str = ZONE
    silences: list[Silence] = field(default_factory=list)
    said: list[Notice] = field(default_factory=list)

    def at(self, hour: float, *changed: IncidentNow, wall_h: float | None = None) -> list[Notice]:
        """Let one evaluation end at an hour of event time; return its messages."""
        concerned = {i.number for i in changed if self.incidents.get(i.number) != i}
        self.incidents.update((i.number, i) for i in changed)
        wall_ms = START + int((hour if wall_h is None else wall_h) * HOUR)
        active = [silence for silence in self.silences if silence.state(wall_ms) == "active"]
        numbers = frozenset(silence.number for silence in active)
        moment = Moment(START + int(hour * HOUR), wall_ms, self.zone, numbers)
        notices, self.known = decide(
            list(self.incidents.values()),
            self.known,
            moment,
            id_of=lambda first: alert_id_of("m", "1", first),
            concerned=concerned | set(self.known.held),
            silenced=silenced(self.incidents.values(), active, "m", "1"),
        )
        self.said += notices
        return notices

    def silence(self, from_h: float, until_h: float, **matched: str) -> Silence:
        """Be silent between two hours of the wall clock about what is matched."""
        made = Silence(
            number=len(self.silences) + 1,
            matcher=Matcher(**matched),
            from_ms=START + int(from_h * HOUR),
            until_ms=START + int(until_h * HOUR),
            reason="maintenance",
            by="Mo",
            created_ms=START,
        )
        self.silences.append(made)
        return made

    def archive(self, hour: float) -> list[Notice]:
        """Let the model be archived at an hour; return the messages that end its alerts."""
        at_ms = START + int(hour * HOUR)
        notices, self.known = end(self.known, Moment(at_ms, at_ms, ZONE), "archived")
        self.said += notices
        return notices


def told(notices: Iterable[Notice]) -> list[tuple[str, tuple[int, ...]]]:
    """What messages about drift say of which incidents."""
    return [(notice.type.removeprefix("drift."), notice.numbers) for notice in notices]
