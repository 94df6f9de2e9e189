"""What part of a model is looked at: a version, a segment, a window length, a range of time.

Links grow old: a version is superseded, a segment goes, a range lies before the
data. What a link asks for and does not exist is replaced by the default, and
one sentence says so; only a model that is not there at all is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.lengths import WORDS
from monitor.detect.spec import MonitorSpec
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.rows import Model, ReferenceRow, Version
from monitor.windows.calendar import window_of

ALL = "all"
# How many windows a page opens with, by length; a week's are few enough for all of them.
DEFAULT_DAYS = {"hour": 7, "day": 90}
NEAREST = 3
# A sentence names so many things, and counts them beyond.
NAMED = 6
MAX_SHOWN = 60
# No event lies before 1970 or beyond 2200, and no calendar is asked for more.
FAR_MS = 7_258_118_400_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class NoSuch(Exception):
    """Something is asked for by a name that nothing has; `nearest` holds the likeliest names."""

    def __init__(self, kind: str, name: str, nearest: Iterable[str] = ()) -> None:
        super().__init__(f"there is no {kind} {name[:MAX_SHOWN]!r}")
        self.kind = kind
        self.name = name
        self.nearest = tuple(nearest)


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of `names` that look like `name`, the likeliest first.

    >>> nearest("flight-dellay", ["taxi-out", "flight-delay"])
    ('flight-delay',)
    """
    by_lower: dict[str, str] = {}
    for each in names:
        by_lower.setdefault(each.lower(), each)
    close = difflib.get_close_matches(name.lower(), by_lower, n=NEAREST, cutoff=0.5)
    return tuple(by_lower[each] for each in close)


@dataclass(frozen=True)
class Scope:
    """What is looked at; `[from_ms, to_ms)` holds the windows that start in it.

    Attributes
    ----------
    lengths
        The window lengths of the model's monitor, shortest first.
    segments
        Those with judged windows, `all` first.
    reference
        The one that judges at the end of the range.
    first_ms, last_ms
        Start of the first judged window and end of the newest, of this length and
        segment; None while nothing has been judged.
    since_ms
        Start of the first one of any version.
    specs
        Every revision of the model's monitor.
    """

    model: Model
    version: Version
    segment: str
    length: str
    zone: ZoneInfo
    from_ms: int
    to_ms: int
    lengths: tuple[str, ...]
    segments: tuple[str, ...]
    reference: ReferenceRow | None
    first_ms: int | None
    last_ms: int | None
    since_ms: int | None = None
    lateness_ms: int = MonitorSpec.lateness_ms
    specs: Mapping[int, MonitorSpec] = field(default_factory=dict)
    is_default_range: bool = True

    @property
    def is_judged(self) -> bool:
        """Whether any window of this length and segment has been judged."""
        return self.last_ms is not None


def resolve(
    conn: Connection,
    model: str,
    *,
    version: str | None = None,
    segment: str | None = None,
    length: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    back_ms: int | None = None,
    around_ms: int | None = None,
) -> tuple[Scope, tuple[str, ...]]:
    """Return what is looked at, and a sentence for each wish that could not be met.

    The newest version, segment `all`, days and the last 90 of them (7 days of
    hours, every week) are what is not asked for. Instants are taken into 1970 to 2200.

    Parameters
    ----------
    back_ms
        Instead of `from_ms`: so far back from the end of the newest window.
    around_ms
        Moves a range that nobody asked for, so that it holds this instant.

    Raises
    ------
    NoSuch
        There is no such model, or it has no version yet.
    """
    notes: list[str] = []
    found = _model(conn, model)
    specs = _specs(conn, found.id)
    spec = specs[max(specs)]
    picked = _pick_version(found, version, notes)
    stored = reads.segments(conn, picked.id)
    segments = (ALL, *sorted((s for s in stored if s != ALL), key=_in_order))
    standing_length = "day" if "day" in spec.lengths else spec.lengths[0]
    at_length = _pick("window", length, spec.lengths, standing_length, "this monitor has", notes)
    at_segment = _pick(
        "segment", segment, segments, ALL, f"version {_short(picked.name)} has", notes
    )
    zone = ZoneInfo(found.timezone)
    first_ms, last_start_ms, last_ms = reads.judged_span(
        conn, picked.id, length=at_length, segment=at_segment
    )
    since_ms = reads.judged_since(
        conn, [each.id for each in found.versions], length=at_length, segment=at_segment
    )
    if back_ms is not None and last_ms is not None and since_ms is not None:
        from_ms = max(since_ms, back_from(at_length, back_ms, last_ms, zone.key))
    begin_ms, end_ms, is_default = _range(
        conn, picked, at_length, at_segment, zone, (first_ms, last_start_ms, last_ms),
        (from_ms, to_ms), notes,
    )  # fmt: skip
    if is_default and since_ms is not None and last_ms is not None and not notes:
        moved = around(at_length, (begin_ms, end_ms), since_ms, last_ms, around_ms, zone.key)
        if moved is not None and _any_window(conn, found, at_length, at_segment, moved):
            (begin_ms, end_ms), is_default = moved, False
    digest = _bound_at(picked, end_ms)
    bound = reads.references(conn, digest=digest) if digest is not None else []
    scope = Scope(
        model=found,
        version=picked,
        segment=at_segment,
        length=at_length,
        zone=zone,
        from_ms=begin_ms,
        to_ms=end_ms,
        lengths=spec.lengths,
        segments=segments,
        reference=bound[0] if bound else None,
        first_ms=first_ms,
        last_ms=last_ms,
        since_ms=since_ms,
        lateness_ms=spec.lateness_ms,
        specs=specs,
        is_default_range=is_default,
    )
    return scope, tuple(notes)


def _model(conn: Connection, name: str) -> Model:
    found = reads.models(conn, name=name, include_archived=True)
    if found and found[0].versions:
        return found[0]
    names = conn.execute(sa.select(t.model.c.name).where(t.model.c.archived_ms.is_(None)))
    raise NoSuch("model", name, nearest(name, (n for n in names.scalars() if n != name)))


def _specs(conn: Connection, model_id: int) -> dict[int, MonitorSpec]:
    """Return every revision of the model's monitor; one that has none is judged by every length."""
    found = conn.execute(
        sa.select(t.monitor.c.revision, t.monitor.c.spec).where(t.monitor.c.model_id == model_id)
    )
    specs = {revision: MonitorSpec.from_json(text) for revision, text in found}
    if not specs or not specs[max(specs)].lengths:
        specs[max(specs, default=1)] = MonitorSpec()
    return specs


def _pick_version(model: Model, wish: str | None, notes: list[str]) -> Version:
    newest = model.versions[0]
    names = [version.name for version in model.versions]
    name = _pick("version", wish, names, newest.name, "this model has", notes)
    return model.versions[names.index(name)]


def _pick(
    what: str, wish: str | None, known: Sequence[str], default: str, owner: str, notes: list[str]
) -> str:
    if wish is None or wish in known:
        return wish or default
    notes.append(
        f"The link asks for {what} {_short(wish)}; {owner} {_listed(known)}. "
        f"Showing {_short(default)}."
    )
    return default


def _in_order(segment: str) -> tuple[str, bool, str]:
    """By dimension, then value; what no value of the reference has comes last."""
    dimension, _, value = segment.partition("=")
    return dimension, value == "__other__", value


def _bound_at(version: Version, time_ms: int) -> str | None:
    """Return the digest of the reference that judges just before `time_ms`.

    The first one reaches back to the beginning of time.
    """
    digest = None
    for binding in version.bindings:
        if digest is None or binding.effective_from_ms < time_ms:
            digest = binding.reference_digest
    return digest


def _range(
    conn: Connection,
    version: Version,
    length: str,
    segment: str,
    zone: ZoneInfo,
    span: tuple[int | None, int | None, int | None],
    wish: tuple[int | None, int | None],
    notes: list[str],
) -> tuple[int, int, bool]:
    """Return the range to show and whether it is the one that nobody asked for."""
    first_ms, last_start_ms, last_ms = span
    is_backwards = wish[0] is not None and wish[1] is not None and wish[0] >= wish[1]
    from_ms, to_ms = (None if ms is None else max(0, min(ms, FAR_MS)) for ms in wish)
    if first_ms is None or last_start_ms is None or last_ms is None:
        if from_ms is not None and to_ms is not None and not is_backwards:
            return from_ms, to_ms, False
        return 0, 0, True
    default = default_from(length, first_ms, last_start_ms, last_ms, zone.key), last_ms
    if from_ms is None and to_ms is None:
        return *default, True
    shown = f"Showing {_shown_range(length, zone, *default)}."
    if is_backwards:
        notes.append(f"The link asks for a range that ends before it begins. {shown}")
        return *default, True
    end_ms = last_ms if to_ms is None else to_ms
    begin_ms = from_ms
    if begin_ms is None:  # as far back as a page that opens there would look
        there_ms = max(first_ms + 1, min(end_ms, last_ms))
        begin_ms = default_from(length, first_ms, there_ms - 1, there_ms, zone.key)
        begin_ms = min(begin_ms, end_ms - 1)
    if begin_ms < end_ms and reads.has_window(
        conn, version.id, length=length, segment=segment, from_ms=begin_ms, to_ms=end_ms
    ):
        return begin_ms, end_ms, False
    there = f"{WORDS[length][0]} {'of this segment ' if segment != ALL else ''}"
    notes.append(
        f"The link asks for {_asked_range(zone, begin_ms, end_ms)}, where no {there}"
        f"was judged; the data are from {_days(zone, first_ms, last_ms)}. {shown}"
    )
    return *default, True


def default_from(
    length: str, first_ms: int, last_start_ms: int, last_ms: int, timezone: str
) -> int:
    """Return where the range begins that a page opens with, on the edge of a local day.

    Days of the calendar are counted, not windows: one late event of last year has
    a window of its own.
    """
    days = DEFAULT_DAYS.get(length)
    if days is None:
        return first_ms
    if length == "hour":
        return max(first_ms, last_ms - days * 86_400_000)
    last = datetime.fromtimestamp(last_start_ms / 1000, ZoneInfo(timezone))
    noon = last.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    return max(first_ms, window_of(int(noon.timestamp() * 1000), "day", timezone).start_ms)


def back_from(length: str, back_ms: int, last_ms: int, timezone: str) -> int:
    """Return the start of the window `back_ms` before `last_ms`: whole windows, whole days.

    >>> (1360299600000 - back_from("day", 7 * DAY_MS, 1360299600000, "America/New_York")) // DAY_MS
    7
    """
    there_ms = max(0, last_ms - back_ms)
    # Midnight moves by an hour where the clock is changed; the day that is meant does not.
    shift_ms = 0 if length == "hour" else 2 * HOUR_MS
    return max(0, window_of(there_ms + shift_ms, length, timezone).start_ms)


def around(
    length: str,
    shown: tuple[int, int],
    first_ms: int,
    last_ms: int,
    at_ms: int | None,
    timezone: str,
) -> tuple[int, int] | None:
    """Return a range around `at_ms`, about as long as the one a page opens with.

    None where `shown` holds it, and where there are no data of that time.
    """
    if at_ms is None or not first_ms <= at_ms < last_ms or shown[0] <= at_ms < shown[1]:
        return None
    days = DEFAULT_DAYS.get(length)
    if days is None:
        return min(first_ms, at_ms), last_ms
    # Steps of half a range, so that the range stays where it is while one walks through it.
    step_ms = days * DAY_MS // 2
    middle_ms = at_ms - at_ms % step_ms + step_ms // 2
    end_ms = min(last_ms, window_of(middle_ms + step_ms, "day", timezone).end_ms)
    begin_ms = window_of(max(0, middle_ms - step_ms), "day", timezone).start_ms
    return max(first_ms, begin_ms), end_ms


def _any_window(
    conn: Connection, model: Model, length: str, segment: str, span: tuple[int, int]
) -> bool:
    return any(
        reads.has_window(
            conn, version.id, length=length, segment=segment, from_ms=span[0], to_ms=span[1]
        )
        for version in model.versions
    )


def _shown_range(length: str, zone: ZoneInfo, from_ms: int, to_ms: int) -> str:
    return f"{'hours' if length == 'hour' else 'the range'} from {_days(zone, from_ms, to_ms)}"


def _asked_range(zone: ZoneInfo, from_ms: int, to_ms: int) -> str:
    return _days(zone, from_ms, max(to_ms, from_ms + 1))


def _days(zone: ZoneInfo, from_ms: int, to_ms: int) -> str:
    """Return "1 Feb 2013 to 30 Dec 2013": the local days that `[from_ms, to_ms)` touches."""
    first, last = _day(from_ms, zone), _day(to_ms - 1, zone)
    if first is None or last is None:
        return "a time outside the calendar"
    if first == last:
        return f"{first.day} {first:%b} {first.year}"
    return f"{first.day} {first:%b} {first.year} to {last.day} {last:%b} {last.year}"


def _day(ms: int, zone: ZoneInfo) -> date | None:
    try:
        return datetime.fromtimestamp(ms / 1000, zone).date()
    except (ValueError, OverflowError, OSError):
        return None


def _listed(names: Sequence[str]) -> str:
    """Return "hour, day and week"; of many, the first and how many more.

    >>> _listed(["hour", "day", "week"]), _listed(list("abcdefgh"))
    ('hour, day and week', 'a, b, c, d, e, f and 2 others')
    """
    shown = [_short(name) for name in names[:NAMED]]
    left = len(names) - len(shown)
    if left:
        return f"{', '.join(shown)} and {left} other{'s' if left > 1 else ''}"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _short(name: str) -> str:
    return name if len(name) <= MAX_SHOWN else name[: MAX_SHOWN - 1] + "…"
