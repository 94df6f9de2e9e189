"""Groups of incidents in words: their titles, verdicts and evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.sentences import split_subject
from dashboard.words import (
    DASH,
    EVIDENCE,
    MINUS,
    NBSP,
    cut,
    day_text,
    duration,
    incident_word,
    moment,
    plural,
    two,
    zone_name,
)
from driftline.stats.calibration import RATES
from driftline.stats.episodes import CLEAR_AFTER
from driftline.stats.lengths import WORDS, in_words
from driftline.stats.rule import SHARES
from driftline.stats.words import Evidence, percent, points
from monitor.detect.absent import ABSENT
from monitor.detect.evidence import ratio_of
from monitor.storage.rows import Incident
from monitor.views.episodes import (
    Group,
    Opened,
    Over,
    evidence_of,
    is_prediction,
)
from monitor.views.standing import Hold
from monitor.windows.calendar import NOMINAL_MS

ALL = "all"
KINDS = {
    "distribution": "Distribution",
    "missing": "Missing",
    "unseen": "Unseen",
    "type_error": "Wrong type",
    "volume": "Silent",
    "schema": "Schema",
    "delivery": "Delivery",
    "pipeline": "Pipeline",
    "retrain": "Retraining",
    "promotion": "Promotion",
}
# What several features did, by kind and by whether they still do.
TOGETHER = {
    ("distribution", True): "drifted",
    ("distribution", False): "drifted",
    ("missing", True): "lack values",
    ("missing", False): "lacked values",
    ("unseen", True): "have new values",
    ("unseen", False): "had new values",
    ("type_error", True): "have values of a wrong type",
    ("type_error", False): "had values of a wrong type",
    ("schema", True): "are not sent",
    ("schema", False): "were not sent",
}
ALONE = {
    ("missing", True): "lacks values",
    ("unseen", True): "has new values",
    ("type_error", True): "has values of a wrong type",
    ("schema", True): "is not sent",
    ("schema", False): "was not sent",
}
DAY_MS = 86_400_000
NAMED = 3


@dataclass(frozen=True)
class Said:
    """A verdict: icon, tone, headline and (subject in bold, sentence)."""

    icon: str
    tone: str
    headline: str
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One member's evidence, ready to print; None where a member has none."""

    incident: Incident
    window: str
    statistic: str
    beside: str  # what is sure of it: of a rate that is what its limit is held against
    limit: str
    level: str  # which limit this is: warning or critical
    ratio: str
    over: str
    moved: str


def version_tag(name: str) -> str:
    """Return a version as a tag.

    >>> version_tag("3"), version_tag("v3"), version_tag("champion")
    ('v3', 'v3', 'champion')
    """
    return f"v{name}" if name[:1].isdigit() else name


def kind_word(kind: str) -> str:
    """Return a kind of problem as a word."""
    return KINDS.get(kind, kind.replace("_", " ").capitalize())


def kinds(group: Group) -> str:
    """Return the worst kind, and how many others.

    >>> kind_word("type_error")
    'Wrong type'
    """
    more = f" +{len(group.kinds) - 1}" if len(group.kinds) > 1 else ""
    return kind_word(group.kinds[0]) + more


def title(group: Group, features: int | None) -> str:
    """Return what happened, without the model's name: "2 of 15 features drifted, worst dest"."""
    worst, is_open = group.worst, group.is_open
    if not worst.feature:
        return _whole_model(worst.kind, is_open)
    names = [name for name in group.features if not is_prediction(name)]
    if len(group.features) == 1:
        return f"{cut(worst.feature)} {_alone(worst, is_open)}{_where(group)}"
    verb = TOGETHER.get((worst.kind, is_open)) if len(group.kinds) == 1 else None
    if verb is None:
        verb = "are affected" if is_open else "were affected"
    if not names:
        return f"The prediction {verb.replace('have', 'has').replace('are', 'is')}{_where(group)}"
    of = f" of {features}" if features and features >= len(names) else ""
    noun = "feature" if len(names) == 1 and not of else "features"
    more = " and the prediction" if len(names) < len(group.features) else ""
    return f"{len(names)}{of} {noun}{more} {verb}, worst {cut(worst.feature)}{_where(group)}"


def _whole_model(kind: str, is_open: bool) -> str:
    if kind == "volume":
        return "No predictions" if is_open else "There were no predictions"
    return "The events lack what the reference has" if is_open else "The events lacked features"


def _alone(incident: Incident, is_open: bool) -> str:
    found = evidence_of(incident)
    if found is not None and incident.kind == "missing":
        return f"{percent(found.value)} missing"
    past = TOGETHER.get((incident.kind, False), "was affected")
    return ALONE.get((incident.kind, is_open), past)


def _where(group: Group) -> str:
    """Say where, when it is told by segments alone."""
    if ALL in group.segments:
        return ""
    if len(group.segments) > 2:
        return f" in {len(group.segments)} segments"
    return " in " + " and ".join(cut(segment, 40) for segment in group.segments)


def evidence_line(group: Group) -> str:
    """Return the evidence of the worst features, a phrase each."""
    said: list[str] = []
    told: set[str] = set()
    is_alone = len(group.features) == 1
    for incident in group.ranked:
        found = evidence_of(incident)
        if found is None or incident.feature in told:
            continue
        told.add(incident.feature)
        name = "" if is_alone else f"{cut(incident.feature, 30)} "
        said.append(name + against_limit(found))
    line = "; ".join(said[:NAMED])
    if len(said) > NAMED:
        line += f" and {len(said) - NAMED} more"
    closer = [segment for segment in group.segments if segment != ALL]
    if closer and ALL in group.segments:
        line += f"; seen in {plural(len(closer), 'segment')} too"
    return line or cut(split_subject(group.worst.feature, group.worst.summary)[1], 200)


MARKS = {"over": "over", "between": "not calm", "clear": "calm", "": "not judged"}


@dataclass(frozen=True)
class Holding:
    """What keeps an incident open, for the features of which it is the same.

    `windows` are (window, what was held against the limit, its word), oldest first.
    """

    names: tuple[str, ...]
    where: str
    by: str
    calm: str
    windows: tuple[tuple[str, str, str], ...]
    rule: str


def holding(opened: Opened, zone: ZoneInfo) -> list[Holding]:
    """Return what keeps it open, what alike features share once; the furthest from calm first."""
    year = data_year(opened.judged_to_ms, zone)
    alike: dict[tuple[Any, ...], Holding] = {}
    holds = sorted(opened.why.holds, key=lambda h: (h.clear, -NOMINAL_MS[h.length]))
    for hold in holds:
        said = _held(hold, zone, year)
        key = (said.where, said.by, said.calm, said.windows, said.rule)
        before = alike.get(key)
        names = (*(before.names if before else ()), hold.incident.feature)
        alike[key] = replace(said, names=names)
    return list(alike.values())


def _held(hold: Hold, zone: ZoneInfo, year: int | None) -> Holding:
    is_psi = hold.statistic == "psi"

    def value(held: float | None) -> str:
        if held is None:
            return DASH
        if is_psi or hold.is_fixed or hold.statistic == ABSENT:
            return _value(hold.statistic, held)
        return f"{MINUS if held < 0 else ''}{points(abs(held))}"

    rule = ""
    if is_psi and hold.limit is not None:
        rule = f"Over is above {two(hold.limit)}"
        calm = hold.clears_below
        rule += (
            f", calm is below {two(calm)}: chance and the natural wobble reach that."
            if (calm is not None)
            else "; calm is what chance and the natural wobble explain."
        )
    elif hold.is_fixed:
        most = "" if hold.limit is None else f" of {_value(hold.statistic, hold.limit)}"
        rule = f"Held against a fixed limit{most}. Up to that is calm."
    elif hold.limit is not None:
        what = EVIDENCE.get(hold.statistic, hold.statistic)
        rule = (
            f"Held against {points(hold.limit)} more {what} than in the reference: "
            "what is surely more, at 99.9 %. Up to that is calm."
        )
    word, words = WORDS[hold.length]
    what = "PSI" if is_psi else EVIDENCE.get(hold.statistic, hold.statistic)
    return Holding(
        names=(),
        where="" if hold.incident.segment == ALL else cut(hold.incident.segment, 60),
        by=f"{what} by the {word}",
        calm=f"{hold.clear} of {CLEAR_AFTER} calm {words}",
        windows=tuple(
            (_date(w.start_ms, hold.length, zone, year), value(w.held), MARKS[w.mark])
            for w in hold.windows
        ),
        rule=rule,
    )


def _date(start_ms: int, length: str, zone: ZoneInfo, year: int | None) -> str:
    """Name a window whose length was said already."""
    return window_word(start_ms, "hour" if length == "hour" else "day", zone, year)


def kept_open(opened: Opened, zone: ZoneInfo) -> str:
    """Return in one sentence what keeps it open; nothing where it does not stand."""
    found = holding(opened, zone)
    if not found:
        return ""
    first = found[0]
    where = f" in {first.where}" if first.where else ""
    more = f", and {len(found) - 1} more below" if len(found) > 1 else ""
    return f"What keeps it open: {_names(first.names)}{where}, {first.by}, {first.calm}{more}."


def against_limit(found: Evidence) -> str:
    r"""Return a statistic and the limit it passed.

    >>> against_limit(Evidence("temp", "psi", "day", 0, 1, 967, 0.88, 0.64))
    'PSI 0.88, limit 0.64'
    >>> against_limit(Evidence("temp", "ks", "day", 0, 1, 967, 0.12, 0.05, is_fixed=True))
    'KS 0.12, limit 0.05'
    >>> zeros = Evidence("temp", "zero", "day", 0, 1, 967, 0.82, 0.2, is_fixed=True)
    >>> against_limit(zeros).replace("\xa0", " ")
    '82 % zeros, limit 20 %'
    """
    said = _named(found)
    if found.statistic == ABSENT:
        return said
    if found.is_fixed or found.statistic not in RATES:
        return f"{said}, limit {_value(found.statistic, found.limit)}"
    if found.statistic in ("missing", "type_error"):
        return f"{said}, was {percent(found.reference or 0.0)}"
    return f"{said} (at least {percent(abs(found.excess or 0.0))}, limit {percent(found.limit)})"


def _value(statistic: str, value: float) -> str:
    return percent(value) if statistic in SHARES or statistic == ABSENT else two(value)


def _named(found: Evidence) -> str:
    """A statistic's name and value, as a distance or as a share of rows."""
    value = _value(found.statistic, found.value)
    if found.statistic == ABSENT:
        return f"not sent in {value} of rows"
    word = EVIDENCE.get(found.statistic, found.statistic)
    return f"{value} {word}" if found.statistic in SHARES else f"{word} {value}"


def state_word(group: Group) -> tuple[str, str, str]:
    """Return (icon, word, tone); short, for a list."""
    icon, word, tone = incident_word(group.state, group.severity)
    return icon, word.partition(",")[0], tone


def muted_word(group: Group, speakers: Mapping[int, int] | None = None) -> str:
    """Say that no message tells of a group, and which other one speaks for all of it."""
    if not group.is_muted:
        return ""
    speaker = (speakers or {}).get(group.number)
    return "muted" if speaker is None else f"muted by #{speaker}"


def lasted(group: Group, judged_to_ms: int | None) -> str:
    """Return for how long it stood, by the data's own clock while it stands."""
    end = group.resolved_ms if group.resolved_ms is not None else judged_to_ms
    return duration(end - group.opened_ms) if end is not None and end > group.opened_ms else DASH


def list_title(firing: int, every: int, muted: int = 0, nobodys: int = 0, troubles: int = 0) -> str:
    """Return the title of the list of incidents.

    `muted` are those that others speak for, `nobodys` those firing that nobody has; `troubles`
    are Driftline's own, which belong to nobody.
    """
    firing += troubles
    if firing:
        said = f"{firing} {'incident is' if firing == 1 else 'incidents are'} firing"
        if nobodys:  # shorter: the choices stand beside it
            who = "none has an" if nobodys == firing else f"{nobodys} {_has(nobodys)} no"
            said = f"{firing} {'is' if firing == 1 else 'are'} firing, {who} owner"
        return f"{said}, {muted} more {'is' if muted == 1 else 'are'} muted" if muted else said
    return "Nothing is firing" if every else "There was no incident so far"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def quality(groups: Sequence[Group], models: int, days: float, withdrawn: int) -> str:
    """Return how many incidents a month there are, and how many late data took back."""
    told = [group for group in groups if not group.is_muted]
    if not told or days <= 0:
        return ""
    a_month = len(told) * 30.4 / max(days, 30.4)
    said = f"{two(a_month) if a_month < 10 else round(a_month)} incidents a month"
    if models > 1:
        said += f" over {models} models"
    taken = f"{withdrawn} withdrawn by late data" if withdrawn else "none withdrawn by late data"
    return f"{said}, {taken}"


def verdict(opened: Opened, zone: ZoneInfo) -> Said:
    """Return the answer to "what is this, and is it over?"."""
    group = opened.group
    icon, word, tone = incident_word(group.state, group.severity)
    year = data_year(opened.judged_to_ms, zone)
    since = f"{moment(group.opened_ms, zone, year=year)} {zone_name(zone)}"
    for_long = lasted(group, opened.judged_to_ms)
    head = {
        "firing": f"{word}: {for_long}, since {since}.",
        "recovering": f"Recovering: the last windows were calm, three in a row end it. "
        f"It stands since {since}.",
        "resolved": f"Resolved: three calm {_ended_by(opened)} in a row ended it after {for_long}.",
        "expired": f"Expired after {for_long}: nothing could be judged for too long to know more.",
        "superseded": f"Superseded after {for_long}: another version answers now.",
        "withdrawn": "Withdrawn: late events changed its windows, and what was told did not hold.",
    }.get(group.state, f"{word} since {since}.")
    notes: list[tuple[str, str]] = []
    if group.state not in ("firing", "recovering"):
        ended = group.resolved_ms
        when = f"It opened {moment(group.opened_ms, zone, year=year)}"
        if ended is not None and group.state != "withdrawn":
            when += f" and ended {moment(ended, zone, year=year)}"
        notes.append(("", f"{when} {zone_name(zone)}."))
    subject, said = split_subject(group.worst.feature, group.worst.summary)
    notes.append((subject, said))
    if muted_word(group):
        notes.append(("", "It is muted: no message tells of it."))
    alike = _alike(group)
    if alike:
        notes.append(("", f"The same for {alike}."))
    elif len(group.features) > 1:
        notes.append(("", f"With it {_names(group.features[1:])}."))
    predictions = [name for name in group.features if is_prediction(name)]
    if predictions and not is_prediction(group.worst.feature):
        notes.append(("", "The prediction itself moved."))
    kept = kept_open(opened, zone)
    if kept:
        notes.append(("", kept))
    return Said(icon, tone, head, tuple(notes))


def _ended_by(opened: Opened) -> str:
    """Name the windows that ended it: "weeks"; "windows" where it is not known."""
    last = max(opened.group.told, key=lambda i: (i.resolved_ms or 0, i.number))
    ended = opened.why.ended.get((last.number, last.resolved_ms or 0))
    return WORDS[ended.length][1] if ended is not None else "windows"


def _alike(group: Group) -> str:
    """Name the features whose sentence is the worst one's but for the name."""
    said = split_subject(group.worst.feature, group.worst.summary)[1]
    others = [
        i.feature
        for i in group.told
        if i.segment == group.worst.segment
        and i.feature != group.worst.feature
        and split_subject(i.feature, i.summary)[1] == said
    ]
    return _names(others) if len(others) == len(group.features) - 1 else ""


def _names(names: Sequence[str]) -> str:
    told = [cut(name, 30) for name in names]
    if len(told) > NAMED + 1:
        return f"{', '.join(told[:NAMED])} and {len(told) - NAMED} more"
    if len(told) < 2:
        return "".join(told)
    return f"{', '.join(told[:-1])} and {told[-1]}"


def muted_note(opened: Opened) -> str:
    """Say that the number asked for is spoken for by another, where it is."""
    chosen, speaker = opened.chosen, opened.speaker
    if not chosen.muted:
        return ""
    where = "" if chosen.segment == ALL else f" in {cut(chosen.segment, 80)}"
    who = f"#{chosen.number} ({cut(chosen.feature)}{where}) is muted"
    if speaker is None:
        return f"{who}: it is spoken for."
    if speaker.kind == "volume":
        return f"{who} while the model is silent, which #{speaker.number} tells."
    if speaker.kind == "schema" and chosen.kind != "schema":
        return f"{who} while the feature is not sent, which #{speaker.number} tells."
    return f"{who}: it is spoken for by #{speaker.number}, the same over all rows."


def row(incident: Incident, over: Over | None, zone: ZoneInfo, year: int | None) -> Row:
    """Return a member's evidence in words; windows are named in the model's zone."""
    found = evidence_of(incident)
    if found is None:
        told = split_subject(incident.feature, incident.summary)[1]
        return Row(incident, DASH, DASH, "", "", "", "", DASH, cut(told, 200))
    counted = DASH
    if over is not None:
        counted = f"{over.over} of {in_words(over.windows, over.length)}"
    level = "critical" if found.critical else "warning"
    if found.statistic == "psi":
        value, limit = f"PSI {two(found.value)}", two(found.limit)
        is_sure = found.is_honest and found.lower is not None
        beside = f"99.9{NBSP}% sure above {two(found.lower or 0.0)}" if is_sure else ""
    elif found.is_fixed or found.statistic not in RATES:
        value, limit, beside = _named(found), _value(found.statistic, found.limit), ""
    else:
        # A rate alone says nothing: what it surely is beyond the reference's is judged.
        excess = found.excess or 0.0
        value = _named(found)
        more = "more" if excess >= 0 else "less"
        beside = f"99.9{NBSP}% sure of {points(abs(excess))} {more}"
        limit = f"{points(found.limit)} {more}"
    return Row(
        incident=incident,
        window=window_word(found.start_ms, found.length, zone, year),
        statistic=value,
        beside=beside,
        limit=limit,
        level=level,
        ratio=times(ratio_of(found)),
        over=counted,
        moved=_moved(found) or DASH,
    )


def times(ratio: float) -> str:
    r"""Return how many times its limit a statistic is.

    >>> times(1.44), times(23.4), times(0.0)
    ('1.4\xd7', '23\xd7', '\u2013')
    """
    return f"{ratio:.{1 if ratio < 10 else 0}f}\N{MULTIPLICATION SIGN}" if ratio else DASH


def _moved(found: Evidence) -> str:
    if found.part is not None:
        return f"{cut(found.part.where, 60)}, {percent(found.part.share)} of it"
    if found.statistic == "unseen" and found.values:
        return ", ".join(cut(value, 20) for value in found.values)
    if found.reference is not None:
        return f"was {percent(found.reference)}"
    return ""


def windows_zone(zone: ZoneInfo, beside: ZoneInfo) -> str:
    """Say in which zone windows are named, where the instants beside them are in another."""
    return "" if zone.key == beside.key else f"windows in {zone_name(zone)} time"


def window_word(start_ms: int, length: str, zone: ZoneInfo, year: int | None) -> str:
    """Return a window by its date: "8 Feb", "8 Feb 17:00", "week of 4 Feb"."""
    local = datetime.fromtimestamp(start_ms / 1000, zone)
    day = day_text(local.date(), year=year)
    if length == "hour":
        return f"{day} {local:%H:%M}"
    if length == "4weeks":
        return f"28{NBSP}days from{NBSP}{day}"
    return f"week of{NBSP}{day}" if length == "week" else day


def data_year(judged_to_ms: int | None, zone: ZoneInfo) -> int | None:
    """Return the year of the newest data, which dates leave out."""
    if judged_to_ms is None:
        return None
    # On the first of January yesterday's year is still the one that goes without saying.
    return datetime.fromtimestamp((judged_to_ms - DAY_MS) / 1000, zone).year
