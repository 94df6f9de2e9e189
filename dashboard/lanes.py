"""Incidents as bars on the page's time axis: where each lies and which lane it takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from dashboard.view import View
from dashboard.words import shown
from monitor.storage.rows import Incident

LANE_PX = 24
MAX_LANES = 5
# A bar of a few hours in a year must stay a bar.
MIN_PX = 6
CHARACTER_PX = 6.4
PADDING_PX = 10


@dataclass(frozen=True)
class Bar:
    """One incident: a span in percent of the plot's width, and the words that fit."""

    incident: Incident
    lane: int
    left: float
    width: float
    inside: str
    outside: str


def pack(view: View, plot_px: int) -> tuple[list[Bar], int]:
    """Return the bars, oldest first, and how many incidents found no lane."""
    if not view.days:
        return [], 0
    origin = datetime.combine(view.days[0], time())
    whole_s = (view.days[-1] + timedelta(days=1) - view.days[0]).total_seconds()

    def percent(ms: int) -> float:
        local = datetime.fromtimestamp(ms / 1000, view.zone).replace(tzinfo=None)
        return 100 * (local - origin).total_seconds() / whole_s

    spans: list[tuple[float, float, Incident]] = []
    for incident in sorted(view.incidents, key=lambda i: (i.first_window_ms, i.number)):
        left = percent(incident.first_window_ms)
        right = percent(incident.resolved_ms) if incident.resolved_ms is not None else 100.0
        if right <= 0 or left >= 100:
            continue
        left = max(0.0, left)
        right = max(min(100.0, right), left + 100 * MIN_PX / plot_px)
        spans.append((left, right, incident))
    return _place(spans, plot_px)


def _place(spans: Sequence[tuple[float, float, Incident]], plot_px: int) -> tuple[list[Bar], int]:
    gap = 100 * 4 / plot_px
    ends: list[float] = []
    lanes: list[list[tuple[float, float, Incident]]] = []
    lost = 0
    for left, right, incident in spans:
        lane = next((n for n, end in enumerate(ends) if end + gap <= left), len(ends))
        if lane == MAX_LANES:
            lost += 1
            continue
        if lane == len(ends):
            ends.append(0.0)
            lanes.append([])
        ends[lane] = right
        lanes[lane].append((left, right, incident))
    bars = []
    for lane, row in enumerate(lanes):
        for at, (left, right, incident) in enumerate(row):
            follower = row[at + 1][0] if at + 1 < len(row) else 100.0
            inside, outside = _label(
                incident, (right - left) * plot_px / 100, (follower - right) * plot_px / 100
            )
            bars.append(Bar(incident, lane, left, right - left, inside, outside))
    return bars, lost


def _label(incident: Incident, width_px: float, free_px: float) -> tuple[str, str]:
    feature = shown(incident.feature)
    number, name = f"#{incident.number}", f"#{incident.number} {feature}"

    def fits(text: str, room_px: float) -> bool:
        return len(text) * CHARACTER_PX + PADDING_PX <= room_px

    if fits(name, width_px):
        return name, ""
    if fits(name, free_px):
        return (number, feature) if fits(number, width_px) else ("", name)
    if fits(number, width_px):
        return number, ""
    return ("", number) if fits(number, free_px) else ("", "")
