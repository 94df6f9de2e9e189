"""What happened to a group of incidents, in words: one line for what happened at one time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.sentences_incidents import ALL, NAMED
from dashboard.words import DASH, EVIDENCE, cut
from driftline.stats.lengths import WORDS
from monitor.storage.rows import Incident
from monitor.views.episodes import Happened, Opened
from monitor.views.standing import Ended

# Recorded later than this after it happened, an event says so.
MUCH_LATER_MS = 86_400_000

EVENTS = {
    "opened": ("triangle-alert", "warn"),
    "reopened": ("rotate-cw", "warn"),
    "escalated": ("octagon-alert", "crit"),
    "resolved": ("circle-check", "ok"),
    "expired": ("clock", "idle"),
    "withdrawn": ("undo-2", "idle"),
    "superseded": ("rocket", "ok"),
}


@dataclass(frozen=True)
class Entry:
    """One line of what happened: (text, is bold) in order, and when it was recorded."""

    at_ms: int
    icon: str
    tone: str
    parts: tuple[tuple[str, bool], ...]
    recorded_ms: int | None = None


def event_mark(event: str, is_critical: bool) -> tuple[str, str]:
    """Return (icon, tone) of an event."""
    if event in ("opened", "reopened") and is_critical:
        return "octagon-alert", "crit"
    return EVENTS.get(event, ("circle-dashed", "idle"))


def history(opened: Opened) -> list[Entry]:
    """Return what happened, oldest first: one line for what happened at one time."""
    group = opened.group
    told = {i.number for i in group.told}
    together: dict[tuple[int, str, bool], list[Happened]] = {}
    for happened in opened.happened:
        if happened.incident.number not in told and happened.event.event != "opened":
            continue  # a muted one is spoken for, its end too
        key = (happened.event.at_ms, happened.event.event, happened.incident.number in told)
        together.setdefault(key, []).append(happened)
    first_ms = min(i.first_window_ms for i in group.told)
    began = [i for i in group.told if i.first_window_ms == first_ms]
    bold = _bold([i.feature for i in began if i.feature])
    entries = [
        Entry(
            first_ms,
            "clock",
            "idle",
            (*bold, (" over the limit for the first time: pending, not told", False)),
        )
    ]
    for (at_ms, event, is_told), found in sorted(together.items(), key=lambda item: item[0][0]):
        members = [happened.incident for happened in found]
        is_first = at_ms == group.opened_ms
        icon, tone = event_mark(event, any(i.severity == "critical" for i in members))
        recorded = max(happened.event.recorded_ms for happened in found)
        entries.append(
            Entry(
                at_ms,
                icon if is_told else "bell-off",
                tone if is_told else "idle",
                _happened(
                    event,
                    members,
                    is_first=is_first,
                    is_told=is_told,
                    ended=[opened.why.ended.get((i.number, at_ms)) for i in members],
                ),
                recorded if recorded - at_ms > MUCH_LATER_MS else None,
            )
        )
    return entries


def _happened(
    event: str,
    members: Sequence[Incident],
    *,
    is_first: bool,
    is_told: bool,
    ended: Sequence[Ended | None],
) -> tuple[tuple[str, bool], ...]:
    numbers = sorted(i.number for i in members)
    span = f"#{numbers[0]}"
    if len(numbers) == 2:
        span += f" and #{numbers[1]}"
    elif len(numbers) > 2:
        is_run = numbers[-1] - numbers[0] == len(numbers) - 1
        span += f"{DASH}#{numbers[-1]}" if is_run else f" and {len(numbers) - 1} more"
    segments = sorted({i.segment for i in members if i.segment != ALL})
    where = ""
    if segments and len(segments) <= 2:
        where = " in " + " and ".join(cut(segment, 40) for segment in segments)
    elif segments:
        where = f" in {len(segments)} segments"
    is_too = bool(where) and any(i.segment == ALL for i in members)
    done = {
        "opened": "opened" if is_first else "joined",
        "reopened": "came back within a fortnight",
        "escalated": "became critical",
        "resolved": _ending(ended),
        "expired": "expired: nothing could be judged",
        "withdrawn": "withdrawn: late events changed the windows",
        "superseded": "superseded by another version",
    }.get(event, event.replace("_", " "))
    if not is_told:
        done += ", muted"
    names = list(dict.fromkeys(i.feature for i in members if i.feature))
    said = f" {done},{where} too ({span})" if is_too else f"{where} {done} ({span})"
    return (*_bold(names), (said, False))


def _ending(ended: Sequence[Ended | None]) -> str:
    """Say what ended an episode: of which length and statistic, where they are the same."""
    known = {end for end in ended if end is not None}
    if len(known) != 1 or None in ended:
        lengths = {end.length for end in known}
        same = lengths.pop() if len(lengths) == 1 and None not in ended else "window"
        return f"ended: three calm {same}s"
    (end,) = known
    if end.is_expired:
        return f"ended: no {WORDS[end.length][0]} could be judged for too long"
    word = EVIDENCE.get(end.statistic, end.statistic)
    return f"ended: three calm {WORDS[end.length][1]} by {word}"


def _bold(names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """Return up to three names in bold, with what stands between them."""
    unique = list(dict.fromkeys(names))
    shown_names = unique if len(unique) <= NAMED + 1 else unique[:NAMED]
    left = len(unique) - len(shown_names)
    parts: list[tuple[str, bool]] = []
    for at, name in enumerate(shown_names):
        if at:
            is_last = at == len(shown_names) - 1 and not left
            parts.append((" and " if is_last else ", ", False))
        parts.append((cut(name, 40), True))
    if left:
        parts.append((f" and {left} more", False))
    return tuple(parts) or (("The model", True),)
