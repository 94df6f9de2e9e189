"""Incidents as evaluators keep them, and what timely and late events may do to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from monitor.detect.knowledge import IncidentNow

HOUR, DAY = 3_600_000, 86_400_000
# A midnight in Berlin.
START = 1_777_586_400_000
ZONE = "Europe/Berlin"


def now(number: int, opened_h: float, *, ended_h: float | None = None, **more: Any) -> IncidentNow:
    """An incident that opened at an hour after the start, and stands unless it ended."""
    opened_ms = START + int(opened_h * HOUR)
    given: dict[str, Any] = {
        "version_id": 1,
        "segment": "all",
        "feature": f"f{number}",
        "kind": "missing",
        "severity": "warning",
        "state": "firing" if ended_h is None else "resolved",
        "muted": False,
        "first_window_ms": opened_ms - 2 * HOUR,
        "resolved_ms": None if ended_h is None else START + int(ended_h * HOUR),
        "episodes": (opened_ms,),
        **more,
    }
    return IncidentNow(number=number, opened_ms=opened_ms, **given)


def over(incident: IncidentNow, at_h: float, state: str = "resolved") -> IncidentNow:
    return replace(incident, state=state, resolved_ms=START + int(at_h * HOUR))


def withdrawn(incident: IncidentNow) -> IncidentNow:
    return replace(incident, state="withdrawn", resolved_ms=incident.opened_ms)


def again(incident: IncidentNow, at_h: float, **more: Any) -> IncidentNow:
    """The incident reopened."""
    episodes = (*incident.episodes, START + int(at_h * HOUR))
    return replace(incident, state="firing", resolved_ms=None, episodes=episodes, **more)


SEGMENTS, FEATURES = ("all", "s=1"), ("a", "b", "c")
# Two are not about what moved.
KINDS = {4: "schema", 6: "volume"}

change = st.tuples(
    st.integers(0, 7),
    st.sampled_from(
        [
            "open",
            "recover",
            "end",
            "expire",
            "withdraw",
            "return",
            "worse",
            "better",
            "mute",
            "show",
        ]
    ),
)
# Some changes, the hours until then in event time and by the clock, and whether it is judged.
Story = list[tuple[list[tuple[int, str]], float, float, bool]]
stories = st.lists(
    st.tuples(
        st.lists(change, max_size=6),
        st.floats(0, 30),  # event time
        st.floats(0, 30),  # wall time
        st.booleans(),  # whether an evaluation takes place
    ),
    max_size=25,
)


def changed(
    incident: IncidentNow | None, number: int, what: str, at_h: float
) -> IncidentNow | None:
    """What late and timely events may do to an incident."""
    if incident is None:
        if what != "open":
            return None
        segment, feature = SEGMENTS[number % 2], FEATURES[number // 2 % 3]
        severity = "critical" if number == 5 else "warning"
        kind = KINDS.get(number, "missing")
        return now(number + 1, at_h, segment=segment, feature=feature, kind=kind, severity=severity)
    match what:
        case "open" if not incident.is_open:
            return replace(incident, state="firing", resolved_ms=None)
        case "return" if not incident.is_open:
            return again(incident, at_h)
        case "recover" if incident.is_open:
            return replace(incident, state="recovering")
        case "end" | "expire" if incident.is_open:
            return over(incident, at_h, "resolved" if what == "end" else "expired")
        case "end" if incident.is_withdrawn:
            return over(incident, at_h)
        case "withdraw":
            return withdrawn(incident)
        case "worse" | "better":
            return replace(incident, severity="critical" if what == "worse" else "warning")
        case "mute" | "show" if incident.kind != "volume":
            return replace(incident, muted=what == "mute")
    return incident
