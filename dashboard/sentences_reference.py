"""What the pages of references say: who is judged by one, and what it cannot see. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from dashboard.parts import Kpi, Verdict
from dashboard.statistics import value_words
from dashboard.words import DASH, NBSP, cut, day_text, percent, plural, two, whole, zone_name
from driftline.stats.lengths import SPAN, WORDS, in_words
from driftline.stats.names import NAMES
from driftline.stats.words import number, points
from monitor.storage.promotions import Promotion
from monitor.storage.rows import ReferenceRow
from monitor.views.profiled import FeatureLine, Length, Limit, Sees
from monitor.views.reference import Binding, Outline, ReferenceView

SHORT = 12
# Names in one sentence.
NAMED = 6
LENGTHS = {name: (SPAN[name], WORDS[name][1]) for name in SPAN}
KINDS = {"numeric": "numeric", "categorical": "category", "presence": "presence only"}
NO_TIMES = "no times"


def short(digest: str) -> str:
    """Return as much of a digest as people tell each other."""
    return digest[:SHORT]


def zone_of(outline: Outline | None) -> ZoneInfo:
    """Return the zone a reference's days are in."""
    return ZoneInfo(outline.timezone) if outline is not None else ZoneInfo("UTC")


def data_span(row: ReferenceRow, zone: ZoneInfo) -> str:
    """Return from when to when the reference's rows are, as days in its zone."""
    if row.first_ms is None or row.last_ms is None:
        return NO_TIMES
    first = datetime.fromtimestamp(row.first_ms / 1000, zone).date()
    last = datetime.fromtimestamp(row.last_ms / 1000, zone).date()
    if first == last:
        return f"{day_text(first)} {first.year}"
    return f"{day_text(first, year=last.year)} {DASH} {day_text(last)} {last.year}"


def day_of(ms: int, year: int, zone: tzinfo = UTC) -> str:
    """Return the day of an instant, with its year where it is another one."""
    return day_text(datetime.fromtimestamp(ms / 1000, zone).date(), year=year)


def slices_words(outline: Outline | None) -> str:
    r"""Return how many full slices there are of each length.

    >>> slices_words(Outline(3, "UTC", {"hour": 589, "day": 31, "week": 3}, ()))
    '589\xa0hours, 31\xa0days, 3\xa0weeks'
    """
    if outline is None:
        return "not read yet"
    told = [in_words(n, name) for name, n in outline.slices.items() if n]
    return ", ".join(told) if told else "none"


def since_words(binding: Binding | None, year: int, zone: ZoneInfo) -> str:
    """Return from when on a reference judges, and until when it did."""
    if binding is None:
        return "not bound"
    from_ms = binding.use.effective_from_ms
    said = "the first event" if not from_ms else day_of(from_ms, year, zone)
    if binding.until_ms is not None:
        return f"{said} until {day_of(binding.until_ms, year, zone)}"
    return said


def list_title(n_references: int, n_models: int) -> str:
    """Return what the list holds, in one sentence."""
    if not n_references:
        return "No reference is registered yet"
    verb = "judges" if n_references == 1 else "judge"
    if not n_models:
        return f"{plural(n_references, 'reference')}, no model is bound to one"
    return f"{plural(n_references, 'reference')} {verb} {plural(n_models, 'model')}"


def names(found: Sequence[str]) -> str:
    """Return some names, and how many more there are."""
    told = ", ".join(cut(name, 40) for name in found[:NAMED])
    return told if len(found) <= NAMED else f"{told} and {len(found) - NAMED} more"


def seeing(view: ReferenceView, length: str, *states: Sees) -> list[str]:
    """Return the features that a length sees so."""
    return [
        feature.name
        for feature in view.features
        for limit in feature.limits
        if limit.length == length and limit.sees in states
    ]


def verdict(view: ReferenceView) -> Verdict:
    """Return what the reference can judge, and what it leaves unjudged."""
    if not view.lengths:
        return Verdict("file-warning", "idle", "This reference's document cannot be read.")
    waiting = [length for length in view.lengths if length.source == "waits"]
    unknown = [length for length in view.lengths if length.source == "none"]
    blind = {length.name: seeing(view, length.name, Sees.BLIND) for length in view.lengths}
    n_blind = len({name for found in blind.values() for name in found})
    notes = [
        ("", f"Blind at {LENGTHS[length.name][0]}: {names(blind[length.name])}.")
        for length in view.lengths
        if blind[length.name]
    ]
    notes += [("", length_sentence(length)) for length in (*waiting, *unknown)]
    if unknown:
        return Verdict(
            "circle-dashed",
            "idle",
            "Uncalibrated: limits do not know the natural wobble yet, warnings only until then.",
            tuple(notes),
        )
    known = [LENGTHS[length.name][1] for length in view.lengths if length.source != "waits"]
    headline = f"Calibrated for {_listed(known)}" if known else "No length is calibrated yet"
    if n_blind:
        headline += f"; {plural(n_blind, 'feature')} of {len(view.features)} " + (
            "is blind at one of them" if n_blind == 1 else "are blind at some of them"
        )
    elif known:
        headline += "; no feature is blind"
    return Verdict(
        "eye-off" if n_blind else "circle-check" if known else "hourglass",
        "idle" if n_blind or not known else "ok",
        headline + ".",
        tuple(notes),
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def length_sentence(length: Length) -> str:
    """Return where a length's knowledge of the wobble comes from."""
    one, many = LENGTHS[length.name]
    if length.source == "reference":
        return f"Learnt from {plural(length.windows, 'full slice')} of the reference."
    if length.source == "live":
        return f"Learnt from its first {length.windows} live {many} among themselves."
    waits = f"{length.windows} of {length.needed} live {many} are collected"
    if length.source == "waits":
        return f"{one.capitalize()}: {waits}; shown and not judged until then."
    return f"{one.capitalize()}: {waits}; warnings only until then."


def length_rows(view: ReferenceView) -> list[list[str]]:
    """Return the table of lengths: what each knows, and what it leaves unjudged."""
    rows = []
    for length in view.lengths:
        blind = seeing(view, length.name, Sees.BLIND)
        few = seeing(view, length.name, Sees.TOO_FEW)
        rows.append(
            [
                LENGTHS[length.name][0],
                length_sentence(length).removeprefix(f"{LENGTHS[length.name][0].capitalize()}: "),
                whole(length.usual_rows) if length.usual_rows is not None else DASH,
                names(blind) or "none",
                _few_words(few, len(view.features), length),
                judged_words(view, length),
            ]
        )
    return rows


def _few_words(few: Sequence[str], n_features: int, length: Length) -> str:
    if not few:
        return "none"
    if len(few) == n_features:
        return f"all: a usual {length.name} has under 100 values, so rates alone are judged"
    return names(few)


def judged_words(view: ReferenceView, length: Length) -> str:
    """Return what the newest judged windows of a length said, over all features."""
    if not length.judged:
        return "none yet"
    counts: dict[str, int] = {}
    for feature in view.features:
        for limit in feature.limits:
            if limit.length == length.name:
                for name, n in limit.verdicts.items():
                    counts[name] = counts.get(name, 0) + n
    # What a length is shown with before it knows its wobble is no verdict.
    learning = counts.pop("collecting", 0)
    if learning and not counts:
        return f"{plural(length.judged, 'window')} shown, none judged yet"
    total = max(1, sum(counts.values()))
    over = counts.get("warning", 0) + counts.get("critical", 0)
    unseen = counts.get("blind", 0) + counts.get("insufficient_data", 0)
    windows = length.judged - round(learning / max(1, len(view.features)))
    said = f"{plural(windows, 'window')}: {percent(over / total)} of verdicts over a limit"
    if unseen:
        said += f", {percent(unseen / total)} blind or too few"
    if not_psi := seeing(view, length.name, Sees.TOO_FEW):
        which = "all" if len(not_psi) == len(view.features) else "those with too few values"
        said += f"; {which} by rates only"
    return said


def limit_words(limit: Limit, source: str) -> tuple[str, str]:
    """Return a limit as a cell prints it, and the sentence behind it."""
    n = f" at {plural(limit.n, 'value')}" if limit.n is not None else ""
    judged = sum(limit.verdicts.values())
    tail = ""
    if limit.smallest_missing is not None:
        tail = f" {points(limit.smallest_missing)} more missing values would be told."
    if judged:
        blind = limit.verdicts.get("blind", 0)
        over = limit.verdicts.get("warning", 0) + limit.verdicts.get("critical", 0)
        tail += f" Of the last {judged} windows {over} were over a limit"
        tail += f", {blind} blind." if blind else "."
    if limit.sees is Sees.NOTHING:
        return "no PSI", "One group holds all values: no PSI, its rates are judged." + tail
    if limit.sees is Sees.WAITS:
        return "waits", "Shown, not judged: it has not learnt its natural wobble yet." + tail
    if limit.sees is Sees.TOO_FEW:
        return "too few", f"No PSI{n}: 100 are needed. Rates are judged from 20 on." + tail
    value = number(limit.warning or 0.0)
    if limit.sees is Sees.BLIND:
        return (
            "blind",
            f"The natural wobble puts the limit ({value}{n}) above the largest PSI possible. "
            "Out-of-range rates and longer windows judge it." + tail,
        )
    critical = f", critical {number(limit.critical)}" if limit.critical is not None else ""
    shift = ""
    if limit.smallest_shift is not None:
        shift = f", a shift of {two(limit.smallest_shift)}{NBSP}σ"
    calm = ""
    if source == "none" and not limit.is_fixed:
        calm = " Warnings only: its wobble is not known yet."
    kind = "Fixed limit" if limit.is_fixed else "Limit"
    return value, f"{kind} of PSI {value}{critical}{n}{shift}.{calm}{tail}"


def shows_words(limit: Limit) -> str:
    r"""Return the smallest changes that a usual window would show, as a cell prints them.

    Nothing where no distribution is judged for want of values or of windows.

    >>> shows_words(Limit("day", Sees.JUDGES, 0.19, 0.4, 900, {}, False, 0.446, 0.0213))
    '0.45\xa0σ, +2.1\xa0pts'
    """
    if limit.sees not in (Sees.JUDGES, Sees.BLIND):
        return ""
    told = [] if limit.smallest_shift is None else [f"{two(limit.smallest_shift)}{NBSP}σ"]
    if limit.smallest_missing is not None:
        told.append(f"+{points(limit.smallest_missing).split()[0]}{NBSP}pts")
    return ", ".join(told)


def fixed_words(line: FeatureLine) -> str:
    """Return the fixed limits that judge a feature, but that of PSI, which its cells tell."""
    told = [
        f"{NAMES[limit.statistic].inside} {value_words(limit.statistic, limit.warning)}"
        for limit in line.fixed
        if limit.statistic != "psi"
    ]
    return f"fixed: {', '.join(told)}" if told else ""


def rule_words(view: ReferenceView) -> str:
    """Return under which monitor's profile and fixed limits the limits are."""
    n = len(view.rule.limits)
    fixed = f" and {plural(n, 'fixed limit')}" if n else ""
    if view.judged is None:
        return f"no model is bound to it: limits are those of the profile {view.rule.profile}"
    said = (
        f"limits are those of the monitor of {cut(view.judged.model, 60)}: "
        f"profile {view.rule.profile}{fixed}"
    )
    others = view.other_models()
    if others:
        whose = "has a monitor of its own" if len(others) == 1 else "have monitors of their own"
        said += f"; {names(others)} {whose}"
    return said


def excluded_words(view: ReferenceView) -> str:
    """Return the stretches that were left out when the reference was registered."""
    zone = zone_of(view.outline)
    told = [_stretch(start, end, zone) for start, end in view.excluded[:NAMED]]
    more = len(view.excluded) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _stretch(start_ms: int, end_ms: int, zone: ZoneInfo) -> str:
    start, end = (datetime.fromtimestamp(ms / 1000, zone) for ms in (start_ms, end_ms))
    # Days are told as days, whatever hours they had; anything shorter by the clock.
    if all((at.hour, at.minute, at.second) == (0, 0, 0) for at in (start, end)):
        first, last = start.date(), end.date() - timedelta(days=1)
        if first == last:
            return f"{day_text(first)} {first.year}"
        return f"{day_text(first, year=last.year)} {DASH} {day_text(last)} {last.year}"
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{day_text(end.date())} {end:%H:%M}"
    return f"{day_text(start.date())} {start.year} {start:%H:%M} {DASH} {until}"


def kpis(view: ReferenceView, year: int) -> list[Kpi]:
    """Return the figures of a reference."""
    row, outline = view.row, view.outline
    zone = zone_of(outline)
    span = data_span(row, zone)
    days = (
        plural(max(1, round((row.last_ms - row.first_ms) / 86_400_000)), "day")
        if row.first_ms is not None and row.last_ms is not None
        else "limits learn from live windows"
    )
    kinds = [feature.kind for feature in view.features]
    numeric, categories = kinds.count("numeric"), kinds.count("categorical")
    own = sum(segment.has_counts for segment in view.segments)
    return [
        Kpi("Rows", whole(row.rows), note=f"registered {day_of(row.created_ms, year)}"),
        Kpi("Data" if row.first_ms is None else f"Data, {zone_name(zone)}", days, note=span),
        Kpi(
            "Features",
            whole(len(view.features)),
            note=f"{numeric} numeric, {plural(categories, 'category', 'categories')}",
        ),
        Kpi(
            "Full slices",
            whole(sum(outline.slices.values())),
            note=slices_words(outline),
            term="slices",
        ),
        Kpi(
            "Segments",
            whole(len(view.segments)),
            note="none declared" if not view.segments else f"{own} with counts of their own",
        ),
        Kpi(
            "Warnings",
            whole(len(row.warnings)),
            note="said when it was registered" if row.warnings else "nothing was odd",
        ),
    ]


def range_words(feature: FeatureLine) -> str:
    """Return what values a feature has in the reference."""
    if feature.low is not None and feature.high is not None:
        return f"{number(feature.low, 4)} to {number(feature.high, 4)}"
    if feature.levels:
        told = ", ".join(f"{cut(name, 16)} {percent(share)}" for name, share in feature.levels[:2])
        if feature.n_categories <= min(2, len(feature.levels)):
            return told
        count = plural(feature.n_categories, "value")
        rare = feature.n_categories - len(feature.levels)
        # Below one in a hundred a category is counted with the other rare ones.
        kept = f", {whole(rare)} of them rare and counted together" if rare else ""
        return f"{count}: {told}, …{kept}"
    if feature.n_categories:
        return plural(feature.n_categories, "category", "categories")
    return "only whether it is there"


def shape_words(feature: FeatureLine) -> str:
    """Return a small picture of a distribution in words."""
    if feature.levels:
        told = ", ".join(f"{cut(name, 24)} {percent(share)}" for name, share in feature.levels[:5])
        return f"{cut(feature.name, 200)}: {told}"
    return f"{cut(feature.name, 200)}: {range_words(feature)}"


def lineage_sentence(binding: Binding, year: int) -> str:
    """Return what a binding does and did."""
    use = binding.use
    said = (
        "judges every event"
        if not use.effective_from_ms
        else f"judges events from {day_of(use.effective_from_ms, year)} on"
    )
    if binding.until_ms is not None:
        said = (
            ("judged every event" if not use.effective_from_ms else
             f"judged events from {day_of(use.effective_from_ms, year)} on")
            + f" until {day_of(binding.until_ms, year)}"
        )  # fmt: skip
    said += f"; bound {day_of(use.created_ms, year)}"
    if use.replaces is not None:
        said += f"; says that it replaces version {cut(use.replaces, 40)}"
    if binding.successor is not None:
        said += f"; version {replaced_words(binding.successor, year)}"
    if use.archived_ms is not None:
        said += "; the model is archived"
    return said


def replaced_words(after: Promotion, year: int) -> str:
    """Return which version took over, and since when by the events."""
    since = day_of(after.effective_ms, year)
    return f"replaced by version {cut(after.version, 40)} since {since}"
