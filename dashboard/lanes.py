"""Incidents as bars on the page's time axis: where each lies and which lane it takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dashboard.figures.series import Axis, local_ms
from dashboard.words import shown
from monitor.storage.rows import Incident

LANE_PX = 24
MAX_LANES = 6
# A bar of a few hours in a year must stay a bar.
MIN_PX = 6
# Episodes of one kind whose ends are within a day and a half of each other share a bar.
TOGETHER_MS = 36 * 3_600_000
CHARACTER_PX = 6.4
PADDING_PX = 10


@dataclass(frozen=True)
class Bar:
    """Incidents that came and went together: a span in percent of the plot, and words that fit.

    `number` is the one that lists show: that of the first one's group.
    """

    incidents: tuple[Incident, ...]
    number: int
    lane: int
    left: float
    width: float
    is_open: bool
    inside: str
    outside: str

    @property
    def is_critical(self) -> bool:
        """Whether one of them is critical."""
        return any(i.severity == "critical" for i in self.incidents)


@dataclass
class _Span:
    start_ms: int
    end_ms: int | None
    incidents: list[Incident]

    def takes(self, start_ms: int, end_ms: int | None, incident: Incident) -> bool:
        """Whether an episode belongs to this one: of its kind, and near at both ends."""
        if incident.kind != self.incidents[0].kind or abs(start_ms - self.start_ms) > TOGETHER_MS:
            return False
        if end_ms is None or self.end_ms is None:
            return end_ms is self.end_ms
        return abs(end_ms - self.end_ms) <= TOGETHER_MS


def _together(incidents: Sequence[Incident]) -> list[_Span]:
    found: list[_Span] = []
    episodes = [(start, end, i) for i in incidents for start, end in i.spans()]
    for start_ms, end_ms, incident in sorted(episodes, key=lambda e: (e[0], e[2].number)):
        near = next((span for span in found if span.takes(start_ms, end_ms, incident)), None)
        if near is None:
            found.append(_Span(start_ms, end_ms, [incident]))
        else:
            near.incidents.append(incident)
            if end_ms is not None and near.end_ms is not None:
                near.end_ms = max(near.end_ms, end_ms)
    return found


def pack(
    incidents: Sequence[Incident],
    at: Axis,
    zone: ZoneInfo,
    plot_px: int,
    number_of: Mapping[int, int],
) -> tuple[list[Bar], int]:
    """Return the bars on the axis `at`, oldest first, and how many found no lane.

    `number_of` gives the number that each incident's group goes by.
    """

    def percent(ms: int) -> float:
        return 100 * (local_ms(ms, zone) - at.from_ms) / max(1.0, at.to_ms - at.from_ms)

    least = 100 * MIN_PX / plot_px
    placed: list[tuple[float, float, _Span]] = []
    for span in _together(incidents):
        left = percent(span.start_ms)
        right = percent(span.end_ms) if span.end_ms is not None else 100.0
        if right <= 0 or left >= 100:
            continue
        left = max(0.0, min(left, 100 - least))
        placed.append((left, max(min(100.0, right), left + least), span))
    return _place(placed, plot_px, number_of)


def _place(
    spans: Sequence[tuple[float, float, _Span]], plot_px: int, number_of: Mapping[int, int]
) -> tuple[list[Bar], int]:
    gap = 100 * 4 / plot_px
    lanes: list[list[tuple[float, float, _Span]]] = []
    lost = 0
    for left, right, span in spans:
        free = (n for n, row in enumerate(lanes) if row[-1][1] + gap <= left)
        lane = next(free, len(lanes))
        if lane == MAX_LANES:
            lost += 1
            continue
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((left, right, span))
    bars = []
    for lane, row in enumerate(lanes):
        for at, (left, right, span) in enumerate(row):
            follower = row[at + 1][0] if at + 1 < len(row) else 100.0
            width_px, free_px = (
                (b - a) * plot_px / 100 for a, b in ((left, right), (right, follower))
            )
            number = number_of.get(span.incidents[0].number, span.incidents[0].number)
            inside, outside = _label(span.incidents, number, width_px, free_px)
            bars.append(
                Bar(
                    tuple(span.incidents),
                    number,
                    lane,
                    left,
                    right - left,
                    span.end_ms is None,
                    inside,
                    outside,
                )
            )
    return bars, lost


def _label(
    incidents: Sequence[Incident], shown_number: int, width_px: float, free_px: float
) -> tuple[str, str]:
    number = f"#{shown_number}"
    feature = shown(incidents[0].feature)
    if len(incidents) > 1:
        feature += f" and {len(incidents) - 1} more"

    def fits(text: str, room_px: float) -> bool:
        return len(text) * CHARACTER_PX + PADDING_PX <= room_px

    name = f"{number} {feature}"
    if fits(name, width_px):
        return name, ""
    if fits(name, free_px):
        return (number, feature) if fits(number, width_px) else ("", name)
    if fits(number, width_px):
        return number, ""
    return ("", number) if fits(number, free_px) else ("", "")
