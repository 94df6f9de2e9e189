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
from monitor.storage.rows import FeatureWindow
from monitor.views.compared import Distribution, Incomparable
from monitor.views.distribution import distribution
from monitor.views.scope import NoSuch, Scope, default_from
from monitor.views.series import History, Series, history, series_of
from monitor.windows.calendar import window_of


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
    scope = scope_row.read(look, model)
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
    found = look.cached(("feature", *key), lambda: _history(look, scope, feature))
    scope = found.scope
    stat = asked.choice("stat", found.statistics, "") if "stat" in asked else ""
    series = look.cached(
        ("series", *key, stat),
        lambda: series_of(found, stat or None, at_most=series_figures.MAX_WINDOWS),
    )
    place = _place(look, found, zone)
    window = None if place is None else found.windows[place]
    own = _compared(look, scope, found, window, "reference")
    vs = asked.text("vs") or "reference"
    made, against = own, "Reference"
    if vs != "reference" and window is not None:
        made, against, vs = _against(look, scope, found, window, vs, own)
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
    return Chosen(scope, found, series, place, made, against, subject, vs)


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


def _place(look: Look, found: History, zone: ZoneInfo) -> int | None:
    """Return the place of the chosen window: the newest one, or the one that is asked for."""
    if not found.windows:
        return None
    last = len(found.windows) - 1
    at_ms = look.asked.instant("at", zone)
    if at_ms is None:
        return last
    starts = [window.start_ms for window in found.windows]
    place = series_figures.nearest_start(starts, at_ms)
    for near in (place - 1, place):
        if near >= 0 and found.windows[near].start_ms <= at_ms < found.windows[near].end_ms:
            return near
    length = found.scope.length
    look.asked.notes.append(
        f"The link asks for the {length} of {say.window_words(at_ms, length, zone, 0)}, which was "
        f"not judged here; the nearest is {say.window_words(starts[place], length, zone, 0)}."
    )
    return place


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
    window: FeatureWindow,
    vs: str,
    own: Distribution | Incomparable | None,
) -> tuple[Distribution | Incomparable | None, str, str]:
    """Return the window beside another window or another version's reference."""
    names = [version.name for version in scope.model.versions]
    name = vs if vs in names else vs.removeprefix("v")
    if name in names:
        return (
            _compared(look, scope, found, window, name),
            f"Reference of {cut(version_tag(name), 20)}",
            vs,
        )
    zone = scope.zone
    at_ms = look.asked.instant("vs", zone)
    if at_ms is None:
        return own, "Reference", "reference"
    other = window_of(at_ms, scope.length, zone.key)
    made = _compared(look, scope, found, window, (other.start_ms, other.end_ms))
    words = say.window_words(other.start_ms, scope.length, zone)
    if isinstance(made, Distribution) and not made.reference.rows:
        look.asked.notes.append(f"Nothing was counted in the {scope.length} of {words}.")
    return made, words, address.rfc3339(other.start_ms)


def local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
