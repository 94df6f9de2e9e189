"""Numbers, dates and states as people read them. Pure; a language's small rules in one place."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

from driftline.stats.names import NAMES
from driftline.stats.rule import FIXED

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
# Emoji are put together with it.
ZWJ = "\N{ZERO WIDTH JOINER}"
# Control and format characters, surrogates, what is not assigned.
UNSEEN = ("Cc", "Cf", "Cs", "Cn")

# state -> (icon, word, tone)
HEALTH = {
    "silent": ("circle-slash", "Silent", "crit"),
    "schema_broken": ("unplug", "Schema broken", "crit"),
    "critical": ("octagon-alert", "Critical", "crit"),
    "drifting": ("triangle-alert", "Drifting", "warn"),
    "collecting": ("hourglass", "Collecting", "idle"),
    "healthy": ("circle-check", "Healthy", "ok"),
}
HEALTH_ORDER = tuple(HEALTH)
INCIDENT = {
    "recovering": ("rotate-cw", "Recovering", "warn"),
    "resolved": ("circle-check", "Resolved", "ok"),
    "superseded": ("rocket", "Superseded", "ok"),
    "withdrawn": ("undo-2", "Withdrawn", "idle"),
    "expired": ("clock", "Expired", "idle"),
}
EVIDENCE = {name: NAMES[name].inside for name in FIXED}
VERDICTS = {
    "ok": "calm",
    "insufficient_data": "too few rows",
    "blind": "blind",
    "uncalibrated": "uncalibrated",
    "collecting": "collecting",
}
REASONS = {
    "bad_json": "Not JSON",
    "bad_arrow": "Not Arrow",
    "column_invalid": "Column of a wrong type",
    "too_deep": "Nested too deep",
    "oversized": "Too large",
    "model_missing": "No model",
    "version_missing": "No version",
    "time_missing": "No time",
    "time_invalid": "Time unreadable",
    "time_no_offset": "Time without offset",
    "time_out_of_range": "Time out of range",
    "time_in_future": "Time in the future",
}


def reason_word(reason: str) -> str:
    """Return why a record is a dead letter, in two or three words.

    >>> reason_word("bad_json"), reason_word("label_missing")
    ('Not JSON', 'Label missing')
    """
    return REASONS.get(reason, reason.replace("_", " ").capitalize())


def incident_word(state: str, severity: str) -> tuple[str, str, str]:
    """Return (icon, word, tone); a firing incident looks as bad as it is."""
    if state == "firing":
        if severity == "critical":
            return ("octagon-alert", "Firing, critical", "crit")
        return ("triangle-alert", "Firing", "warn")
    return INCIDENT.get(state, ("circle-dashed", state.capitalize(), "idle"))


def whole(n: float) -> str:
    """Return an integer with commas and a true minus sign.

    >>> whole(-1204331)
    '−1,204,331'
    """
    return f"{n:,.0f}".replace("-", MINUS)


def short(n: float) -> str:
    r"""Return a count in at most four digits.

    >>> short(161_900_000), short(48_211), short(967)
    ('161.9\xa0M', '48,211', '967')
    """
    if n >= 1_000_000:
        return f"{n / 1_000_000:,.1f}{NBSP}M".replace("-", MINUS)
    return whole(n)


def two(x: float) -> str:
    """Return two significant digits, never more than two decimals: PSI and KS.

    >>> two(0.8761), two(13.14), two(0.004)
    ('0.88', '13', '0.00')
    """
    digits = 2 if abs(x) < 1 else 1 if abs(x) < 10 else 0
    return f"{x:.{digits}f}".replace("-", MINUS)


def percent(share: float) -> str:
    r"""Return a share as a percentage with one decimal.

    >>> percent(-0.0213)
    '−2.1\xa0%'
    """
    return f"{share * 100:.1f}{NBSP}%".replace("-", MINUS)


def plural(n: int, one: str, many: str | None = None) -> str:
    r"""Return the count with its noun.

    >>> plural(1, "day"), plural(2, "day")
    ('1\xa0day', '2\xa0days')
    """
    return f"{whole(n)}{NBSP}{one if n == 1 else many or one + 's'}"


def duration(ms: float) -> str:
    r"""Return a length of time in its largest fitting unit, with the next where it matters.

    >>> duration(4_200), duration(15_780_000), duration(6 * 86_400_000)
    ('4\xa0s', '4\xa0h 23\xa0min', '6\xa0days')
    """
    seconds = max(0, round(ms / 1000))
    if seconds < 120:
        return f"{seconds}{NBSP}s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        rest = f" {minutes}{NBSP}min" if minutes and hours < 12 else ""
        return f"{hours}{NBSP}h{rest}"
    return plural(round(hours / 24), "day")


def zone_name(zone: ZoneInfo) -> str:
    """Return how people call a zone.

    >>> zone_name(ZoneInfo("America/New_York"))
    'New York'
    """
    return zone.key.rsplit("/", 1)[-1].replace("_", " ")


def is_utc(zone: ZoneInfo) -> bool:
    """Whether a zone's clock is UTC's by another name.

    >>> is_utc(ZoneInfo("Etc/UTC")), is_utc(ZoneInfo("Europe/London"))
    (True, False)
    """
    return zone.key.removeprefix("Etc/") in ("UTC", "UCT", "Universal", "Zulu", "GMT", "Greenwich")


def day_text(day: date, *, year: int | None = None) -> str:
    """Return "15 May", with the year only where it is not `year`."""
    text = f"{day.day}{NBSP}{day:%b}"
    return text if year in (None, day.year) else f"{text} {day.year}"


def moment(ms: int, zone: tzinfo = UTC, *, year: int | None = None) -> str:
    """Return a day and a time in `zone`, without naming it."""
    when = datetime.fromtimestamp(ms / 1000, zone)
    return f"{day_text(when.date(), year=year)} {when:%H:%M}"


def clock(ms: int) -> str:
    """Return the time of day in UTC, saying so."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M}{NBSP}UTC"


def shown(text: str) -> str:
    """Return a name without what would make it look like another: controls, turned writing.

    >>> shown("\N{RIGHT-TO-LEFT OVERRIDE}gnp.evil")
    '�gnp.evil'
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in UNSEEN and c != ZWJ else c
        for c in text
    )


def cut(text: str, limit: int = 60) -> str:
    """Return at most `limit` characters of `shown`, the end replaced by an ellipsis."""
    text = shown(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(text: str) -> str:
    """Return a name that Plotly shows as it is: no link, no bold, no template."""
    text = shown(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("%{", "%\N{ZERO WIDTH SPACE}{")
