"""What a look at a feature's page chooses: its windows, one of them, and what it is beside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import address, scope_row
from dashboard import sentences_series as say
from dashboard.figures import series as series_figures
from dashboard.look import Look
from dashboard.sentences_incidents import version_tag
from dashboard.words import cut
from driftline.stats.lengths import WORDS
from monitor.storage import reads
from monitor.storage.reads.judged import MEASURES
from monitor.storage.rows import FeatureWindow
from monitor.views.compared import Distribution, Incomparable
from monitor.views.distribution import distribution
from monitor.views.history import History, beside, columns_of, history, measured, standing_window
from monitor.views.scope import NoSuch, Scope, default_from
from monitor.views.series import Series, series_of
from monitor.windows.calendar import window_of

# The window that follows the data; without `at` the page chooses the one that says most.
NEWEST = "newest"
# What a window is compared with, by its place before it: the same words for every window.
BEFORE = {"before": 1, "week": 7}
# All that is stored beside a finding.
ALL_BESIDE = tuple(column.name for column in MEASURES)


@dataclass(frozen=True)
class Chosen:
    """What one look chose of the feature."""

    scope: Scope
    history: History
    series: Series
    place: int | None
    made: Distribution | Incomparable | None
    against: str
    subject: say.Subject
    vs: str
    why: str

    @property
    def window(self) -> FeatureWindow | None:
        return None if self.place is None else self.history.windows[self.place]

    @property
    def is_reference(self) -> bool:
        return self.vs == "reference"


def choose(look: Look) -> Chosen:
    """Read what the address asks for; what is not there is said, and replaced."""
    model, feature = look.path[1], look.path[3]
    asked = look.asked
    zone = look.model_zone or ZoneInfo("UTC")
    at_ms = None if asked.text("at") == NEWEST else asked.instant("at", zone)
    scope = scope_row.read(look, model, around_ms=at_ms)
    key = (
        model,
        feature,
        scope.version.id,
        scope.segment,
        scope.length,
        scope.from_ms,
        scope.to_ms,
        # The default range reaches back before a young version, a chosen one does not.
        scope.is_default_range,
    )
    found = found_ = look.cached(("feature", *key), lambda: _history(look, scope, feature))
    scope = found.scope
    stat = asked.choice("stat", found.statistics, "") if "stat" in asked else ""
    columns = columns_of(found, stat or None)
    if columns:  # of the other statistics the windows' findings are enough
        found = look.cached(("measured", *key, stat), lambda: measured(look.conn, found_, columns))
    series = look.cached(
        ("series", *key, stat),
        lambda: series_of(found, stat or None, at_most=series_figures.MAX_WINDOWS),
    )
    place, why = _place(look, found, at_ms)
    window = None if place is None else found.windows[place]
    if window is not None:
        found = beside(found, _numbers(look, found, window))
        window = found.windows[place or 0]
    own = _compared(look, scope, found, window, "reference")
    vs = asked.text("vs") or "reference"
    made, against = own, "Reference"
    if vs != "reference" and window is not None:
        made, against, vs = _against(look, scope, found, place or 0, vs, own)
    latest = place is not None and place == len(found.windows) - 1
    subject = say.Subject(
        history=found,
        series=series,
        window=window,
        distribution=own if isinstance(own, Distribution) else None,
        is_latest=latest,
        zone=scope.zone,
        year=local(found.windows[-1].start_ms, scope.zone).year if found.windows else None,
    )
    return Chosen(scope, found, series, place, made, against, subject, vs, why)


def _history(look: Look, scope: Scope, feature: str) -> History:
    """Return what was judged; a range that nobody asked for begins before a version that is young.

    What the version before it showed is why there is a new one.
    """
    if not scope.is_default_range or scope.last_ms is None or len(scope.model.versions) < 2:
        return history(look.conn, scope, feature)
    begin_ms = default_from(scope.length, 0, scope.last_ms - 1, scope.last_ms, scope.zone.key)
    found = history(look.conn, replace(scope, from_ms=begin_ms), feature)
    if not found.windows:
        return found
    return replace(found, scope=replace(scope, from_ms=max(begin_ms, found.windows[0].start_ms)))


def _numbers(look: Look, found: History, window: FeatureWindow) -> Any:
    """Return what is stored beside the finding of the chosen window."""
    scope = found.scope
    key = (window.version_id, found.feature, scope.length, scope.segment, window.start_ms)
    return look.cached(
        ("numbers", *key),
        lambda: reads.feature_measures(
            look.conn, [window.version_id], found.feature, length=scope.length,
            segment=scope.segment, starts=[window.start_ms], names=ALL_BESIDE,
        ),
    )  # fmt: skip


def _place(look: Look, found: History, at_ms: int | None) -> tuple[int | None, str]:
    """Return the place of the chosen window and why it is that: asked, alarm, verdict, newest."""
    standing = standing_window(found)
    if standing is None:
        return None, NEWEST
    if look.asked.text("at") == NEWEST:
        return len(found.windows) - 1, "asked"
    if at_ms is None:
        return standing
    starts = [window.start_ms for window in found.windows]
    place = series_figures.nearest_start(starts, at_ms)
    for near in (place - 1, place):
        if near >= 0 and found.windows[near].start_ms <= at_ms < found.windows[near].end_ms:
            return near, "asked"
    scope = found.scope
    when, nearest = (
        say.window_words(ms, scope.length, scope.zone, 0) for ms in (at_ms, starts[place])
    )
    is_outside = not scope.from_ms <= at_ms < scope.to_ms and not scope.is_default_range
    lacking = "lies outside of the range" if is_outside else "was not judged here"
    look.asked.notes.append(
        f"The link asks for the {WORDS[scope.length][0]} of {when}, which {lacking}; "
        f"the nearest is {nearest}."
    )
    return place, "asked"


def _compared(
    look: Look, scope: Scope, found: History, window: FeatureWindow | None, vs: Any
) -> Distribution | Incomparable | None:
    """Return the window beside what it is compared with."""
    version = scope.version
    if window is not None and window.version_id != version.id:
        version = next(v for v in scope.model.versions if v.id == window.version_id)
    span = (window.start_ms, window.end_ms) if window is not None else (0, 1)
    digest = window.reference_digest if window is not None else None
    try:
        return look.cached(
            ("distribution", version.id, found.feature, scope.segment, span, vs),
            lambda: distribution(
                look.conn, version, found.feature, scope.segment, span,
                None if vs == "reference" else vs, others=scope.model.versions,
                length=scope.length, reference_digest=digest,
            ),
        )  # fmt: skip
    except NoSuch:
        # The older version's reference may not have it; a link may name a version that is gone.
        return None


def _against(
    look: Look,
    scope: Scope,
    found: History,
    place: int,
    vs: str,
    own: Distribution | Incomparable | None,
) -> tuple[Distribution | Incomparable | None, str, str]:
    """Return the window beside another window or another version's reference."""
    names = [version.name for version in scope.model.versions]
    name = vs if vs in names else vs.removeprefix("v")
    window = found.windows[place]
    if name in names:
        return (
            _compared(look, scope, found, window, name),
            f"Reference of {cut(version_tag(name), 20)}",
            vs,
        )
    zone = scope.zone
    if vs in BEFORE:
        if place < BEFORE[vs]:
            look.asked.notes.append(
                f"No {WORDS[scope.length][0]} of the range lies so far before this one."
            )
            return own, "Reference", "reference"
        earlier = found.windows[place - BEFORE[vs]]
        span = earlier.start_ms, earlier.end_ms
    else:
        at_ms = look.asked.instant("vs", zone)
        if at_ms is None:
            return own, "Reference", "reference"
        other = window_of(at_ms, scope.length, zone.key)
        span = other.start_ms, other.end_ms
        vs = address.rfc3339(other.start_ms)
    made = _compared(look, scope, found, window, span)
    words = say.window_words(span[0], scope.length, zone)
    if isinstance(made, Distribution) and not made.reference.rows:
        look.asked.notes.append(f"Nothing was counted in the {WORDS[scope.length][0]} of {words}.")
    return made, words, vs


def local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
