"""The list of models in words: what needs somebody, since when, what to do. Pure.

What to do is told in words of what exists: where to look, which command to type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.sentences import evidence
from dashboard.sentences_history import event_mark
from dashboard.sentences_incidents import TOGETHER, data_year, version_tag
from dashboard.sentences_series import percent0
from dashboard.words import (
    DASH,
    HEALTH,
    MINUS,
    NBSP,
    cut,
    day_text,
    duration,
    moment,
    plural,
    short,
    two,
    whole,
)
from driftline.program import command
from driftline.stats.lengths import WORDS
from monitor.storage.retrain_rows import Retrain
from monitor.storage.rows import Incident
from monitor.storage.service_incidents import DELIVERY
from monitor.views.overview import (
    ATTENTION,
    DAYS,
    UNREFERENCED,
    URGENT,
    Judged,
    Line,
    News,
    Overview,
    Pipe,
)
from monitor.views.service import Trouble

STATUS = {**HEALTH, UNREFERENCED: ("file-warning", "No reference", "idle")}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Models that the line under the title names, and parts of Driftline before them.
NAMED = 3
TROUBLES_NAMED = 2
EVENT_NAMED = 3

Parts = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Told:
    """One line of what is new: when, with what mark, in (text, is bold) parts; a number links."""

    at_ms: int
    icon: str
    tone: str
    parts: Parts
    number: int | None = None


def title(lines: Sequence[Line], troubles: int = 0) -> str:
    """Return the answer to "is anything wrong?" as a count.

    `troubles` is how many parts of Driftline itself something is wrong with.
    """
    said = _models_title(lines)
    if not troubles:
        return said
    parts_ = f"{whole(troubles)}{NBSP}{'part' if troubles == 1 else 'parts'} of Driftline"
    if any(line.health in URGENT for line in lines):
        return f"{said}, and so {'does' if troubles == 1 else 'do'} {parts_}"
    beside = f"; {said[:1].lower()}{said[1:]}" if lines else ""
    return f"{parts_} {'needs' if troubles == 1 else 'need'} you now{beside}"


def _models_title(lines: Sequence[Line]) -> str:
    every = len(lines)
    urgent = sum(line.health in URGENT for line in lines)
    drifting = sum(line.health == "drifting" for line in lines)
    unmonitored = sum(line.health == UNREFERENCED for line in lines)
    collecting = sum(line.health == "collecting" for line in lines)
    well = every - urgent - drifting - unmonitored - collecting
    if urgent:
        if every == 1:
            return "Your model needs you now"
        return f"{urgent} of {every} models {'needs' if urgent == 1 else 'need'} you now"
    if drifting:
        if every == 1:
            return "Your model drifts"
        return f"{drifting} of {every} models {'drifts' if drifting == 1 else 'drift'}"
    if unmonitored:
        if every == 1:
            return "Your model has no reference yet"
        return (
            f"{unmonitored} of {every} models {'has' if unmonitored == 1 else 'have'} no reference"
        )
    if not well:
        return "No verdict yet: the first windows are still open"
    if collecting:
        return f"{well} of {every} models {'is' if well == 1 else 'are'} well, the rest collects"
    return "Your model is well" if every == 1 else f"All {every} models are well"


def lead(
    lines: Sequence[Line],
    zone: ZoneInfo,
    judged_to_ms: int | None,
    troubles: Sequence[Trouble] = (),
) -> Parts:
    """Return one sentence for each of the worst models, then what is with the others.

    What is wrong with Driftline itself comes first: it may be why nobody was told.
    """
    year = data_year(judged_to_ms, zone)
    parts: list[tuple[str, bool]] = [
        part for one in troubles[:TROUBLES_NAMED] for part in _broken(one)
    ]
    named = [line for line in lines if line.health in ATTENTION][:NAMED]
    for line in named:
        parts += [(cut(line.name, 40), True), (f" {_trouble(line, zone, year)}. ", False)]
    rest = [line for line in lines if line not in named]
    if not rest:
        return tuple(parts)
    troubled = sum(line.health in ATTENTION for line in rest)
    collecting = sum(line.health == "collecting" for line in rest)
    if not named:
        if collecting and collecting == len(rest):
            parts.append(("What is counted so far is below; the page fills itself.", False))
        elif collecting:
            parts.append((f"{_count(collecting)} of them wait{'s' if collecting == 1 else ''} "
                          "for a first verdict.", False))  # fmt: skip
        else:
            parts.append((_quiet(lines, judged_to_ms), False))
    elif troubled:
        parts.append((f"{_count(troubled)} more {'has' if troubled == 1 else 'have'} something "
                      "open.", False))  # fmt: skip
    elif collecting == len(rest):
        parts.append((f"The other {_number(collecting)} still collect"
                      f"{'s' if collecting == 1 else ''}.", False))  # fmt: skip
    elif collecting:
        well = len(rest) - collecting
        parts.append((f"Of the other {_number(len(rest))}, {_number(well)} "
                      f"{'is' if well == 1 else 'are'} well and {_number(collecting)} still "
                      f"collect{'s' if collecting == 1 else ''}.", False))  # fmt: skip
    else:
        is_one = len(rest) == 1
        parts.append(("The other is well." if is_one else
                      f"The other {_number(len(rest))} are well.", False))  # fmt: skip
    return tuple(parts)


def _broken(one: Trouble) -> Parts:
    """Return what is wrong with a part of Driftline, as a sentence."""
    name = cut(one.incident.name, 40)
    if one.incident.kind == DELIVERY:
        return ((name, True), (" gets no alerts: the endpoint was switched off. ", False))
    return ((f"{cut(one.incident.summary, 160)} ", False),)


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else whole(n)


def _count(n: int) -> str:
    return _number(n).capitalize()


def _quiet(lines: Sequence[Line], judged_to_ms: int | None) -> str:
    in_segments = sum(line.in_segments for line in lines)
    if in_segments:
        are = "incident is" if in_segments == 1 else "incidents are"
        return f"{_count(in_segments)} {are} open in segments alone."
    ends = [line.quiet_since_ms for line in lines if line.quiet_since_ms is not None]
    if not ends or judged_to_ms is None:
        return "Quiet is good: there was no incident so far."
    return f"Nothing is open; the last incident ended {duration(judged_to_ms - max(ends))} ago."


def _trouble(line: Line, zone: ZoneInfo, year: int | None) -> str:
    kind = {"silent": "volume", "schema_broken": "schema"}.get(line.health)
    # What is broken may be younger than what drifts; it began with its first window.
    began = [i.first_window_ms for i in line.standing if i.kind == kind]
    since_ms = min(began, default=line.since_ms)
    since = moment(since_ms, zone, year=year) if since_ms is not None else ""
    if line.health == "silent":
        return f"sends no predictions since {since}"
    if line.health == "schema_broken":
        return f"sends events that lack what its reference has, since {since}"
    if line.health == UNREFERENCED:
        records = sum(deficit.records for deficit in line.deficits)
        return f"sent {plural(records, 'record')} that no reference can judge"
    focus = line.standing[0] if line.standing else None
    if focus is None:
        return "needs a look"
    day = day_text(datetime.fromtimestamp(focus.opened_ms / 1000, zone).date(), year=year)
    word = "is critical" if line.health == "critical" else "drifts"
    same = {
        i.feature
        for i in line.standing
        if i.kind == focus.kind and i.opened_ms == focus.opened_ms and i.feature
    }
    return f"{word}: {_group(focus, len(same))} since {day}"


def _group(focus: Incident, together: int) -> str:
    name = cut(focus.feature, 40)
    verb = TOGETHER.get((focus.kind, True), "moved")
    if together <= 1:
        verb = {"lack values": "lacks values"}.get(verb, verb.replace("have", "has"))
        return f"{name} {verb}"
    return f"{name} and {plural(together - 1, 'more', 'more')} {verb}"


def status(line: Line, zone: ZoneInfo, year: int | None) -> dict[str, Any]:
    """Return the cell of a model's state."""
    icon, word, tone = STATUS[line.health]
    return {"icon": icon, "word": word, "tone": tone, "sub": _since(line, zone, year)}


def _since(line: Line, zone: ZoneInfo, year: int | None) -> str:
    if line.health == UNREFERENCED:
        names = [cut(version_tag(d.version), 20) for d in line.deficits]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"not judged: {names[0]}{more}" if names else "not judged"
    if line.since_ms is not None:
        local = datetime.fromtimestamp(line.since_ms / 1000, zone)
        since = day_text(local.date(), year=year)
        if line.judged_to_ms is None:
            return f"since {since}"
        if line.judged_to_ms - line.since_ms < 2 * 86_400_000:
            since = f"{since} {local:%H:%M}"
        return f"since {since}, {duration(line.judged_to_ms - line.since_ms)}"
    if line.health == "collecting":
        if line.first is None:
            return "waits for its first event"
        return f"first verdict {moment(line.first.due_ms, zone, year=year)}"
    if line.in_segments:
        return f"{line.in_segments} open in segments"
    if line.quiet_since_ms is None or line.judged_to_ms is None:
        return "no incident so far"
    quiet_ms = line.judged_to_ms - line.quiet_since_ms
    if quiet_ms < 60_000:
        return "the last incident just ended"
    return f"no incident for {duration(quiet_ms)}"


def volume(line: Line, now_ms: int) -> dict[str, Any]:
    """Return the cell of the predictions: 28 days, the last one and how it compares."""
    if not line.volume:
        if line.first is not None:
            rows = short(line.first.rows)
            return {"values": _padded([line.first.rows]), "number": rows, "sub": "so far",
                    "words": f"{rows} predictions so far"}  # fmt: skip
        records = sum(deficit.records for deficit in line.deficits)
        if records:
            return {"values": [], "number": short(records), "sub": "not counted",
                    "words": f"{short(records)} records, not counted"}  # fmt: skip
        return {"values": [], "number": DASH, "sub": "none yet", "words": "no predictions yet"}
    last = line.volume[-1]
    day = day_name(line.days[-1], line.zone, now_ms, line.days[-1].year)
    change = _change(last, line.usual)
    return {
        "values": _padded(line.volume),
        "number": short(last),
        "sub": f"{day}, {change}" if change else day,
        "words": f"{short(last)} predictions on {day_text(line.days[-1])}; "
        f"{plural(len(line.volume), 'day')} from {whole(min(line.volume))} to "
        f"{whole(max(line.volume))}",
    }


def _padded(values: Sequence[int]) -> list[int]:
    """Return 28 values: a young model's days stand at the right of an empty month."""
    return [0] * (DAYS - len(values)) + list(values)


def day_name(day: date, zone: ZoneInfo, now_ms: int, year: int | None) -> str:
    """Return "today", "yesterday" or the day."""
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    if day == today:
        return "today"
    return "yesterday" if day == today - timedelta(days=1) else day_text(day, year=year)


def _change(last: int, usual: float | None) -> str:
    """Return the difference from the days before in percent."""
    if not usual:
        return ""
    percent = round((last / usual - 1) * 100)
    if percent > 999:
        return f"{two(last / usual)}× as many"
    sign = "+" if percent > 0 else MINUS if percent < 0 else "±"
    return f"{sign}{abs(percent)}{NBSP}%"


def drifted(line: Line) -> dict[str, Any]:
    """Return the cell of how many features have an incident, now and on each day."""
    if not line.days:
        if line.first is not None:
            full = f"{100 * line.first.full:.0f}{NBSP}%"
            return {"text": f"First {WORDS[line.first.length][0]} {full} full"}
        return {"text": "Not judged" if line.health == UNREFERENCED else DASH}
    if line.health == "silent" or not line.features:
        return {"text": "No windows to judge"}
    most = max(line.drifted, default=0)
    weight = weighted = ""
    if line.moved and line.whole is not None and line.whole.weighted is not None:
        weight = f"{percent0(line.whole.weighted)} by importance"
        # In a narrow column the longer word is cut.
        weighted = f"{percent0(line.whole.weighted)} weighted"
    also = f", {weight}" if weight else ""
    return {
        "now": line.moved,
        "of": line.features,
        "weight": weight,
        "weighted": weighted,
        "values": _padded(line.drifted),
        "words": f"{line.moved} of {line.features} features have an incident{also}; at most {most} "
        f"in the last {plural(len(line.drifted), 'day')}",
    }


def worst(line: Line) -> dict[str, Any]:
    """Return the cell of the feature that is furthest over its limit, or closest to it."""
    if line.worst is None or line.health == "silent":
        return {"ratio": None, "said": DASH}
    found = evidence(dict(line.worst))
    if found.ratio is None:
        return {"ratio": None, "said": DASH}
    name = cut(str(line.worst["feature"]), 60)
    return {
        "name": name,
        "said": found.said,
        "ratio": round(found.ratio, 3),
        "words": f"{name}: {two(found.ratio)} times its limit",
    }


def to_do(line: Line, asked: Retrain | None = None) -> dict[str, str]:
    """Return what to do, in words of what exists, and why.

    `asked` is an open request for a retraining of its newest version: while one trains, what
    drifts needs nobody.
    """
    if line.health == "silent":
        return {"title": "Check its logger", "sub": _open_ones(line)}
    if line.health == "schema_broken":
        return {"title": "Check what it logs", "sub": _open_ones(line)}
    if line.health == UNREFERENCED:
        return {"title": "Register a reference", "sub": command("reference register")}
    if asked is not None and asked.state == "succeeded":
        made = f"version {cut(asked.made_version, 24)}" if asked.made_version else "the new version"
        return {"title": f"Promote {made}", "sub": f"trained by request {asked.id}"}
    if asked is not None:
        return {"title": "Wait for its retraining", "sub": f"request {asked.id}, {asked.state}"}
    if line.standing:
        focus = line.standing[0]
        if not focus.feature:
            return {"title": "Look at its incident", "sub": _open_ones(line)}
        return {"title": f"Look at {cut(focus.feature, 40)}", "sub": _open_ones(line)}
    sub = ""
    if line.reference is not None:
        sub = f"Reference: {plural(line.reference.rows, 'row')}"
    return {"title": "Nothing to do", "sub": sub}


def _open_ones(line: Line) -> str:
    if not line.standing:
        return ""
    number = f"#{line.standing[0].number}"
    if len(line.standing) == 1:
        return number
    return f"{number} and {plural(len(line.standing) - 1, 'more', 'more')} open"


def since_title(view: Overview, now_ms: int, zone: ZoneInfo) -> tuple[str, str]:
    """Return the head of what is new, and since when that is."""
    if view.is_visit and view.since_ms is not None:
        day = datetime.fromtimestamp(view.since_ms / 1000, zone)
        year = datetime.fromtimestamp(now_ms / 1000, zone).year
        return "Since you last looked", f"{day_name(day.date(), zone, now_ms, year)} {day:%H:%M}"
    if view.judged_to_ms is None:
        return "What is new", ""
    return "In the last 7 days of data", ""


def no_news(view: Overview) -> tuple[str, str]:
    """Return what is said where nothing is new, and its mark: quiet is good where nothing fires."""
    firing = len(view.groups)
    if firing:
        stays = "is" if firing == 1 else "are"
        return f"Nothing new. {plural(firing, 'incident')} {stays} still firing.", "history"
    if view.judged_to_ms is None:
        return "Nothing was judged yet.", "hourglass"
    return "Nothing happened. Quiet is good.", "circle-check"


def news(view: Overview, zone: ZoneInfo) -> list[Told]:
    """Return what is new, newest first."""
    found = [_event(item) for item in view.news]
    if view.judged is not None:
        found.append(_judged(view.judged, data_year(view.judged_to_ms, zone)))
    return sorted(found, key=lambda told: -told.at_ms)


def _event(item: News) -> Told:
    is_critical = any(i.severity == "critical" for i in item.members)
    icon, tone = event_mark(item.event, is_critical)
    number = f"#{item.group.number}"
    names = list(dict.fromkeys(i.feature for i in item.members if i.feature))
    segments = {i.segment for i in item.members}
    parts: list[tuple[str, bool]] = [(f"{cut(item.group.model, 40)}: ", False)]
    kept = names if len(names) <= EVENT_NAMED else names[: EVENT_NAMED - 1]
    for at, name in enumerate(kept):
        parts += [(", ", False)] * (at > 0)
        parts.append((cut(name, 40), True))
    if len(names) > len(kept):
        parts.append((f" and {len(names) - len(kept)} more", False))
    if len(segments) == 1 and "all" not in segments:
        parts.append((f" in {cut(next(iter(segments)), 40)}", False))
    is_first = item.at_ms == item.group.opened_ms
    said = {
        "opened": (f" {_verb(item.members)}; {number} {'opened' if is_first else 'stays open'}"),
        "reopened": f" is back; {number} stands again",
        "escalated": f" became critical; {number}",
        "resolved": f" ended; {number} {_afterwards(item)}",
        "expired": f" could not be judged for too long; {number} expired",
        "withdrawn": f" is withdrawn, late events changed its windows; {number}",
        "superseded": f" is superseded by another version; {number}",
    }.get(item.event, f" {item.event.replace('_', ' ')}; {number}")
    parts.append((said, False))
    return Told(item.at_ms, icon, tone, tuple(parts), item.group.number)


def _afterwards(item: News) -> str:
    """Say whether the group ended with it."""
    ended = item.group.resolved_ms
    return "is over" if ended is not None and item.at_ms >= ended else "stays open"


def _verb(members: Sequence[Incident]) -> str:
    kinds = {i.kind for i in members}
    if len(kinds) > 1:
        return "are affected" if len({i.feature for i in members}) > 1 else "is affected"
    verb = TOGETHER.get((next(iter(kinds)), True), "passed its limit")
    if len({i.feature for i in members}) > 1:
        return verb
    return {"lack values": "lacks values"}.get(verb, verb.replace("have", "has"))


def _judged(found: Judged, year: int | None) -> Told:
    models = plural(found.models, "model")
    if found.days == 1:
        said = f"The day windows of {day_text(found.last, year=year)} were judged for {models}"
    else:
        said = (
            f"{plural(found.days, 'day')} were judged for {models}, "
            f"{day_text(found.first, year=year)} to {day_text(found.last, year=year)}"
        )
    return Told(found.at_ms, "shield-check", "ok", ((said, False),))


def pipeline(pipe: Pipe, now_ms: int) -> list[str]:
    """Return the pipeline in a few short facts, the most important first."""
    n = len(pipe.positions)
    if not n:
        return ["no partition was read yet"]
    lag = sum(p.lag for p in pipe.positions)
    waiting = sum(p.lag > 0 for p in pipe.positions)
    partitions = f"all {n} partitions" if n > 1 else "the one partition"
    seen = [p.seen_ms for p in pipe.positions if p.seen_ms is not None]
    if lag:
        facts = [f"{waiting} of {plural(n, 'partition')} behind, {plural(lag, 'record')} to count"]
    else:
        facts = [f"{partitions} caught up"]
    if seen:
        facts[0] += f", seen {duration(max(0, now_ms - max(seen)))} ago"
    facts.append(f"{short(pipe.counted)} events counted")
    facts.append(_dead(pipe))
    facts.append(plural(pipe.gaps, "data gap"))
    unjudged = sum(deficit.records for deficit in pipe.deficits)
    if unjudged:
        facts.append(f"{plural(unjudged, 'record')} without a reference")
    return facts


def _dead(pipe: Pipe) -> str:
    said = plural(pipe.dead, "dead letter")
    every = pipe.counted + pipe.dead
    if not pipe.dead or not every:
        return said
    share = 100 * pipe.dead / every
    return f"{said} ({share:.1f}{NBSP}%)" if share >= 0.05 else f"{said} (under 0.1{NBSP}%)"


def event_time(at_ms: int, zone: ZoneInfo, judged_to_ms: int | None) -> str:
    """Return the time of day of what happened in the data's last day, else its date."""
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    if judged_to_ms is not None:
        newest = datetime.fromtimestamp(judged_to_ms / 1000, zone)
        if newest.date() == local.date():
            return f"{local:%H:%M}"
    return day_text(local.date(), year=data_year(judged_to_ms, zone))
