"""A feature's verdict: what moved in plain words, how sure that is, what cannot be judged. Pure.

Only what the system knows: it has no units and no meanings, so "moved up", never "warmer".
"99.9 % sure" is said only where the bound is honest.
"""

from __future__ import annotations

from typing import Any

from dashboard.parts import Verdict
from dashboard.sentences_incidents import version_tag
from dashboard.sentences_series import (
    TOLD,
    Subject,
    apart,
    longer,
    percent0,
    point_at,
    points,
    share_words,
)
from dashboard.sentences_series import window_words as window_words
from dashboard.statistics import is_share, value_words
from dashboard.words import NBSP, cut, percent, plural, two
from driftline.stats.calibration import MIN_ROWS, MIN_ROWS_PSI, MIN_SLICES
from driftline.stats.lengths import SPAN, WORDS
from driftline.stats.names import NAMES
from driftline.stats.words import number
from monitor.storage.rows import FeatureWindow
from monitor.views.compared import Distribution, Group, Quantile
from monitor.views.statistics import interval, is_learnt

_ONE = {name: span.replace(" ", NBSP) for name, span in SPAN.items()}
NAMED = 4
UNSEEN_KEPT = 20


def verdict(subject: Subject) -> Verdict:
    """Return the page's answer: in plain words, then the standard sentence."""
    window, found = subject.window, subject.found
    if window is None:
        return Verdict(
            "hourglass",
            "idle",
            f"Collecting: the first verdict comes when the first {subject.one} is complete.",
            (("", "The page fills itself."),),
        )
    if found is None or (found["verdict"] == "insufficient_data" and not subject.over):
        return _too_few(subject)
    if found["verdict"] == "collecting":
        return Verdict(
            "hourglass",
            "idle",
            f"Collecting: what {subject.many} of {subject.name} wobble by is being learnt.",
            ((
                "",
                f"The reference is too short to know it; the first {MIN_SLICES} complete "
                f"{subject.many} teach it. Until then values are shown and not judged.",
            ),),
        )  # fmt: skip
    if not subject.over:
        return _blind(subject) if found["verdict"] == "blind" else _calm(subject)
    told = subject.series.statistic if subject.series.statistic in subject.over else None
    told = told or (found["evidence"] if found["evidence"] in subject.over else subject.over[0])
    critical = found["verdict"] == "critical"
    return Verdict(
        "octagon-alert" if critical else "triangle-alert",
        "crit" if critical else "warn",
        _dated(subject, headline(subject, told)),
        tuple(_evidence(subject, told)) + tuple(_also(subject, told)),
    )


def opened_words(subject: Subject, why: str) -> str:
    """Return which window is shown and why, where the page chose one that is not the newest."""
    windows = subject.history.windows
    if subject.window is None or subject.is_latest or why not in ("alarm", "verdict"):
        return ""
    when, newest = (
        window_words(each.start_ms, subject.length, subject.zone, subject.year)
        for each in (subject.window, windows[-1])
    )
    if why == "verdict":
        return (
            f"{when}, the newest {subject.one} with a verdict; {newest} has "
            f"{plural(windows[-1].rows, 'row')}."
        )
    return f"{when}, the newest {subject.one} that alarmed; {newest} {_stands(windows[-1])}."


def _stands(window: FeatureWindow) -> str:
    """Return how a window stands, in a clause."""
    verdict_ = (window.found or {"verdict": "insufficient_data"})["verdict"]
    if window.found is not None and window.found["exceeds"]:
        return "is over a limit again, once"
    if verdict_ == "insufficient_data":
        return f"has too few rows for a verdict ({plural(window.rows, 'row')})"
    return "cannot be judged" if verdict_ == "blind" else "is within its limits"


def collecting_words(subject: Subject) -> tuple[str, str]:
    """Return (title, sentence) of a page whose feature was never judged."""
    scope = subject.history.scope
    where = "" if scope.segment == "all" else f" of {cut(scope.segment, 60)}"
    began = scope.version.watermark_ms is not None
    return (
        f"No {subject.one}{where} was judged yet",
        f"Charts come with the first complete {subject.one}. "
        + ("Events are being counted." if began else "No event of this version was counted so far.")
        + " How its values lay in the training data is on the reference's page.",
    )


def headline(subject: Subject, statistic: str) -> str:
    """Return what moved in plain words."""
    found, made = subject.found, subject.distribution
    assert found is not None
    version = cut(_version(subject), 20)
    if not is_learnt(statistic):
        what = f"{NAMES[statistic].inside} {_value(subject, statistic)}"
        return f"{subject.name} is over its fixed limit: {what}."
    if statistic == "psi":
        return moved(subject.name, made, version)
    value = share_words(found[statistic])
    usual = getattr(made.reference, statistic) if made is not None else None
    instead = f", its reference has {share_words(usual)}" if usual is not None else ""
    if statistic == "missing":
        return f"{subject.name} is missing in {value} of rows{instead}."
    if statistic == "type_error":
        return f"{subject.name} has the wrong type in {value} of rows{instead}."
    if statistic == "unseen":
        return _unseen_headline(subject, value, version)
    side = made.current if made is not None else None
    grid = subject.history.grid
    low, high = getattr(grid.grid, "low", None) if grid else None, None
    if grid is not None:
        high = getattr(grid.grid, "high", None)
    where = "outside"
    if side is not None and side.above and not side.below:
        where = "above"
    elif side is not None and side.below and not side.above:
        where = "below"
    span = (
        f", {number(low, 4)} to {number(high, 4)}" if low is not None and high is not None else ""
    )
    return f"{value} of {subject.name} lie {where} the range of its reference{span}."


def _number(found: dict[str, Any], statistic: str) -> float:
    return float(interval(found, statistic)[0] or 0.0)


def _value(subject: Subject, statistic: str) -> str:
    assert subject.found is not None
    return value_words(statistic, _number(subject.found, statistic))


def moved(name: str, made: Distribution | None, version: str) -> str:
    """Return the headline of a PSI: the median where it moved, else the part that did."""
    if made is None or not made.groups:
        return f"{name} moved."
    before, now = made.reference.median, made.current.median
    if before is not None and now is not None and _is_apart(before, now):
        way = "up" if now.value > before.value else "down"
        return (
            f"{name} moved {way}: its median is {number(now.value, 4)}, the reference of "
            f"{version} has {number(before.value, 4)}."
        )
    group = max(made.groups, key=lambda g: g.psi_share)
    return (
        f"{name} moved: {cut(group.words, 80)} {'are' if 'values' in group.words else 'is'} now "
        f"{share_words(group.current_share)} of rows instead of "
        f"{share_words(group.reference_share)}."
    )


def _is_apart(left: Quantile, right: Quantile) -> bool:
    return left.high < right.low or right.high < left.low


def _unseen_headline(subject: Subject, value: str, version: str) -> str:
    names = [new.value for new in _new_here(subject)]
    if not names:
        return (
            f"{value} of rows of {subject.name} have values that {version}'s reference never saw."
        )
    some = ", ".join(cut(name, 24) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    least = "at least " if len(names) >= UNSEEN_KEPT else ""
    return (
        f"{subject.name} has {least}{plural(len(names), 'value')} that the reference of "
        f"{version} never saw: {value} of rows ({some}{more})."
    )


def _new_here(subject: Subject) -> list[Any]:
    """Return the unseen values that may have been in the window."""
    made, window = subject.distribution, subject.window
    if made is None or window is None:
        return []
    return [
        new
        for new in made.new_values
        if new.first_ms < window.end_ms and new.last_ms >= window.start_ms
    ]


def _version(subject: Subject) -> str:
    assert subject.window is not None
    return version_tag(subject.history.version_names.get(subject.window.version_id, "?"))


def _dated(subject: Subject, said: str) -> str:
    return said if subject.is_latest else f"{_on(subject)}: {said}"


def _on(subject: Subject) -> str:
    when = subject.when()
    return when[:1].upper() + when[1:]


def _evidence(subject: Subject, statistic: str) -> list[tuple[str, str]]:
    """Return the standard sentence, in (bold, plain) parts."""
    found, made = subject.found, subject.distribution
    assert found is not None
    lasting = _lasting(subject, statistic)
    fixed = subject.fixed(statistic)
    if fixed is not None:
        is_critical = fixed.critical is not None and abs(_number(found, statistic)) > fixed.critical
        limit = value_words(statistic, fixed.critical if is_critical else fixed.warning)
        return [
            (
                "",
                f"{NAMES[statistic].label} {_value(subject, statistic)}, above its fixed "
                f"{'critical ' if is_critical else ''}limit {limit}{lasting}.",
            )
        ]
    if statistic != "psi":
        return [("", _rate_sentence(subject, statistic, lasting))]
    critical = found["psi_critical"] is not None and found["psi"] > found["psi_critical"]
    limit = found["psi_critical"] if critical else found["psi_limit"]
    value, line = apart(found["psi"], limit)
    named = f"{'critical limit' if critical else 'limit'} {line}"
    season = f" against the reference's {made.season}s" if made and made.season else ""
    honest = made is not None and made.is_honest and found["verdict"] != "uncalibrated"
    if honest:
        delta = subject.rule.delta("critical" if critical else "warning")
        said = (
            f"99.9{NBSP}% sure that the true PSI is above {delta:.2f} ({value}, {named})"
            f"{season}{lasting}"
        )
    else:
        said = f"PSI {value} ({named}){season}{lasting}"
    groups = sorted(made.groups, key=lambda g: -g.psi_share)[:2] if made is not None else []
    groups = [group for group in groups if group.psi_share >= TOLD]
    if not groups:
        return [("", f"{said}; the change is spread over all of its values.")]
    first = groups[0]
    parts = [
        ("", f"{said}."),
        (
            f"{percent0(first.psi_share)} of it",
            f"comes from {_group(first)}, now {share_words(first.current_share)} of rows "
            f"instead of {share_words(first.reference_share)}{'.' if len(groups) == 1 else ';'}",
        ),
    ]
    if len(groups) > 1:
        parts.append((percent0(groups[1].psi_share), f"from {_group(groups[1])}."))
    return parts


def _group(group: Group) -> str:
    return cut(group.words, 80)


def _rate_sentence(subject: Subject, statistic: str, lasting: str) -> str:
    found = subject.found
    assert found is not None
    value, excess, limit = (
        found[statistic],
        found[f"{statistic}_excess"],
        found[f"{statistic}_limit"],
    )
    what = NAMES[statistic].noun
    if statistic == "unseen":
        said = (
            f"99.9{NBSP}% sure that {what} are more than {percent(limit)} of rows (seen "
            f"{percent(value)}, at least {percent(excess)}){lasting}."
        )
        if (
            found["psi"] is not None
            and found["psi_limit"] is not None
            and "psi" not in subject.over
        ):
            said += (
                f" The known values have not moved (PSI {two(found['psi'])}, "
                f"limit {two(found['psi_limit'])})."
            )
        return said
    way = "fell" if excess < 0 else "rose"
    usual = "is" if points(limit) == "1 point" else "are"
    return (
        f"99.9{NBSP}% sure that {what} {way} by {points(abs(excess))} or more ({points(limit)} "
        f"{usual} usual){lasting}."
    )


def _lasting(subject: Subject, statistic: str) -> str:
    """Return " in 2 of the last 3 days", as many as it was over its limit."""
    windows = [w for w in subject.history.windows if w.found is not None]
    window = subject.window
    assert window is not None
    last = [w for w in windows if w.start_ms <= window.start_ms][-3:]
    over = sum(statistic in (w.found or {"exceeds": ""})["exceeds"].split(",") for w in last)
    point = point_at(subject.series, window.start_ms)
    stands = point is not None and point.is_alarming and subject.series.statistic == statistic
    if over < 2 and not stands:
        return f", in this {subject.one} alone; an alarm needs two of three"
    return f" in {over} of the last {len(last)} {subject.many}"


def _also(subject: Subject, told: str) -> list[tuple[str, str]]:
    others = [NAMES[each].inside for each in subject.over if each != told]
    if not others:
        return []
    names = " and ".join(others)
    return [("Also over its limit:", f"{names}.")]


def _calm(subject: Subject) -> Verdict:
    found, made = subject.found, subject.distribution
    assert found is not None
    firing = subject.firing
    point = next(
        (
            p
            for p in subject.series.points
            if subject.window and p.start_ms == subject.window.start_ms
        ),
        None,
    )
    if firing is not None:
        shown_as = subject.history.number_of[firing.number]
        said = f"{subject.name} is within its limits; incident #{shown_as} is still open."
        icon, tone = "rotate-cw", "warn"
    else:
        said = f"{subject.name} is within its limits."
        icon, tone = "circle-check", "ok"
    notes: list[tuple[str, str]] = []
    before = made.reference.median if made is not None else None
    now = made.current.median if made is not None else None
    shown_rate = is_share(subject.series.statistic)
    if shown_rate and point is not None and point.value is not None:
        word = NAMES[subject.series.statistic].label
        least = f" (at least {percent(point.low)})" if point.low else ""
        limit = f", limit {percent(point.limit)}" if point.limit is not None else ""
        notes.append(("", f"{word} {percent(point.value)}{least}{limit}."))
    if found["psi"] is not None and found["psi_limit"] is not None:
        value, limit = apart(found["psi"], found["psi_limit"])
        notes.append(("", f"PSI {value}, limit {limit}."))
    if before is not None and now is not None:
        notes.append(
            (
                "",
                f"Its median is {number(now.value, 4)}, the reference has "
                f"{number(before.value, 4)}.",
            )
        )
    if found["visible"] is not None and found["psi_limit"] is not None:
        notes.append(("", f"A shift of {two(found['visible'])} sigma would have been seen."))
    if made is not None and made.differs is not None:
        notes.append(
            ("", f"All of its reference is {cut(made.constant or '', 40)}; "
                 f"{percent(made.differs)} of values differ.")
        )  # fmt: skip
    if found["verdict"] == "uncalibrated":
        notes.append(("Uncalibrated:", uncalibrated_words(subject)))
    return Verdict(icon, tone, _dated(subject, said), tuple(notes))


def _blind(subject: Subject) -> Verdict:
    found = subject.found
    assert found is not None
    limit = f" ({two(found['psi_limit'])})" if found["psi_limit"] is not None else ""
    value = f" PSI {two(found['psi'])} is shown and not judged." if found["psi"] is not None else ""
    other = "Out-of-range rates" if found["out_of_range"] is not None else "Rates"
    next_length = longer(subject.history)
    lengths = f" and {WORDS[next_length][1]}" if next_length else ""
    return Verdict(
        "eye-off",
        "idle",
        f"Blind at {_ONE[subject.length]}: PSI cannot judge {subject.name}.",
        ((
            "",
            f"The natural wobble of {subject.name} puts its limit{limit} above the largest PSI "
            f"possible.{value} {other}{lengths} judge it.",
        ),),
    )  # fmt: skip


def _too_few(subject: Subject) -> Verdict:
    window = subject.window
    assert window is not None
    n = window.rows if subject.found is None else int(subject.found["n"])
    next_length = longer(subject.history)
    if window.rows and not n:
        is_missing = subject.found is None or subject.found["missing"] in (None, 1.0)
        said = f"All of {subject.name} is missing."
        if not is_missing:
            said = f"No value of {subject.name} is a finite number."
        return Verdict(
            "circle-dashed", "idle", _dated(subject, said),
            (("", f"{plural(window.rows, 'row')}, none with a value: nothing can be compared."),),
        )  # fmt: skip
    notes = [("", f"{plural(n, 'row')}, {MIN_ROWS_PSI} are needed for PSI, "
                  f"{MIN_ROWS['missing']} for rates.")]  # fmt: skip
    shift = subject.found["visible"] if subject.found is not None else None
    if n and shift is not None:
        notes.append(("", f"Only a shift above {shift:.1f} sigma could have been seen."))
    if next_length:
        notes.append(("", f"The {subject.one} counts in its {WORDS[next_length][0]}."))
    return Verdict("circle-dashed", "idle", f"{_on(subject)}: too few rows for a verdict.",
                   tuple(notes))  # fmt: skip


def uncalibrated_words(subject: Subject) -> str:
    """Return what it means that a length's limits know no wobble."""
    own = sum(
        1 for w in subject.history.windows if w.version_id == subject.history.scope.version.id
    )
    collected = (
        f" {min(own, MIN_SLICES)} of {MIN_SLICES} windows collected;" if own < MIN_SLICES else ""
    )
    return (
        "the reference has no times, so limits do not know its natural wobble yet."
        f"{collected} warnings only until then."
    )
