"""Which messages about incidents are due: from what is true and what receivers know.

An alert is one problem as the world is told of it: the incidents of one version that
belong together (`monitor.detect.groups`), under one id for ever. A message is due where
what its receivers know is not true any more, and only there, so that deciding twice says
nothing twice. Nothing here reads a database or a clock, and nothing here finds words:
that is `monitor.detect.messages`. An alert is about drift, a silence or a broken schema, never
about two of them, and each has types of its own (`monitor.detect.message_types`):

- `drift.detected`, `model.silent`, `schema.broken` open an alert, or open it again after it
  was over.
- `drift.updated`, `schema.updated` add to an open one: members, escalations, reopenings.
- `drift.resolved`, `model.recovered`, `schema.resolved` when all its told members are over;
  `model.ended` when nobody waits any longer for a silent model; `drift.withdrawn`,
  `model.silence_withdrawn`, `schema.withdrawn` when late events took away the ground of every
  one of them.
- What is critical goes at once. Below that there is one detection or update a day for a
  version; what comes later the same day is held until the day is over, or goes along when
  its alert has another message. Of several alerts that wait, each day has one.
- What another version took over is told as over, and why.
- A muted incident is not told: another speaks for it. What was withdrawn before it was told
  stays unsaid; what opened and ended meanwhile is told, as detected and then resolved.
- Of an incident that is silenced nothing new is told while the silence lasts, but the end of what
  was told before. What still stands when the silence is over is told then; what opened and ended
  within it stays unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal, get_args

from monitor.detect.groups import by_opening, group
from monitor.detect.kinds import Subject, subject_of, subject_of_all
from monitor.detect.knowledge import (
    OPEN,
    Alert,
    Held,
    IncidentNow,
    Knowledge,
    KnownIncident,
    Moment,
)
from monitor.detect.message_types import TYPES, Types
from monitor.detect.succession import SUPERSEDED

# What became of a model whose alerts ended though nobody found that their incidents are over.
Gone = Literal["archived", "deleted"]
GONE: tuple[Gone, ...] = get_args(Gone)


@dataclass(frozen=True, slots=True)
class Repeat:
    """That a message says again what was said: the how manieth after so many hours each, and when.

    `at_ms` is wall time.
    """

    hours: int
    nth: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Notice:
    """One message that is due: what it is about, not yet its words.

    Attributes
    ----------
    alert
        As it stands with this message.
    why
        What is new, where that needs a word: "" | again | also | critical; or why an alert
        ended that is not over: archived | deleted | superseded.
    numbers
        The incidents it is about.
    since_ms
        Event time of the first of what is new.
    others
        Incidents of the alert that ended meanwhile.
    repeat
        Of a reminder; `why` is "reminder" then, and the alert is as it was.
    """

    type: str
    alert: Alert
    why: str
    numbers: tuple[int, ...]
    since_ms: int
    others: tuple[int, ...] = ()
    repeat: Repeat | None = None


@dataclass(frozen=True, slots=True)
class _News:
    """One incident with something that receivers do not know."""

    incident: IncidentNow
    why: str  # opened | reopened | escalated
    since_ms: int

    @property
    def is_critical(self) -> bool:
        return self.incident.severity == "critical"


@dataclass(frozen=True, slots=True)
class _Hushed:
    """What silences hold back: the numbers of what stands, and what was over before they were."""

    waiting: list[int] = field(default_factory=list)
    passed: dict[int, KnownIncident] = field(default_factory=dict)


def alert_id_of(model: str, version: str, first: IncidentNow, *, nonce: str = "") -> str:
    """Return the id of the alert whose first told incident is `first`.

    The names go in with their lengths: no two lists of names give the same bytes. `nonce` is
    the model's: one that was deleted and made again under its name is told under other ids.
    Models from before there were any have none.
    """
    parts = [model, version, first.segment, first.feature, first.kind, str(first.first_window_ms)]
    if nonce:
        parts.append(nonce)
    named = b"".join(b"%d:%s" % (len(part), part) for part in (p.encode() for p in parts))
    return blake2b(named, digest_size=16).hexdigest()


def decide(
    incidents: Sequence[IncidentNow],
    known: Knowledge,
    moment: Moment,
    *,
    id_of: Callable[[IncidentNow], str],
    concerned: Collection[int],
    silenced: Mapping[int, int] | None = None,
) -> tuple[list[Notice], Knowledge]:
    """Return the messages that are due for one version, in order, and what is known after them.

    Parameters
    ----------
    incidents
        Those that are new or changed, with all that may belong together with them, muted
        and withdrawn ones too, and every told member of the alerts in `known`.
    id_of
        What id an alert has by the incident that it tells first: `alert_id_of` of the version.
    concerned
        Numbers of those that changed or are held: what was over before alerts were kept
        is no news.
    silenced
        By the number of an incident the number of an active silence that means it.

    Notes
    -----
    An incident stays in the alert that told it. A new one joins the oldest alert about the same
    that any member of its group is in, whatever late events do to the groups.
    """
    groups, subjects = group(incidents), _subjects(known)
    silenced = silenced or {}
    news, hushed = _news_by_alert(groups, known, subjects, id_of, concerned, silenced)
    speaking, has_warned = _speaking(news, known, moment)
    members: dict[str, dict[int, IncidentNow]] = {}
    for incident in incidents:
        if incident.number in known.incidents:
            alert_id = known.incidents[incident.number].alert_id
            members.setdefault(alert_id, {})[incident.number] = incident
    pages = {i.number: found[0].number for found in groups for i in found}

    now = Held(moment.event_ms, moment.now_ms)
    alerts, told = dict(known.alerts), {**known.incidents, **hushed.passed}
    held = {
        number: replace(known.held.get(number, now), silence=silenced[number])
        for number in hushed.waiting
    }
    notices: list[Notice] = []
    order = [i for i in known.alerts if i in members or i in news]
    for alert_id in (*order, *(i for i in news if i not in known.alerts)):
        case = _Case(
            alert_id,
            alerts.get(alert_id),
            members.get(alert_id, {}),
            news.get(alert_id, []),
            told,
            moment,
            TYPES[subjects.get(alert_id) or subject_of(news[alert_id][0].incident.kind)],
        )
        if alert_id in speaking:
            case.tell_news(pages)
        case.tell_end()
        if case.alert is not None:
            alerts[alert_id] = case.alert
        notices += case.notices
        for item in case.news:
            number = item.incident.number
            since = known.held.get(number, now)
            # Another had the day that this one has waited for: it waits for the next.
            held[number] = now if has_warned or since.silence is not None else since
    warned_ms = moment.event_ms if has_warned else known.warned_ms
    return notices, Knowledge(alerts, told, held, warned_ms)


def end(known: Knowledge, moment: Moment, why: Gone) -> tuple[list[Notice], Knowledge]:
    """Return the last message of each open alert of a version that nobody judges any longer.

    Its incidents are not over: receivers know them as `why` from then on. Should the version be
    judged again, those that stand are detected again.
    """
    alerts, told, subjects = dict(known.alerts), dict(known.incidents), _subjects(known)
    notices = []
    for alert_id, alert in known.alerts.items():
        if alert.state != OPEN:
            continue
        members = {n: i for n, i in told.items() if i.alert_id == alert_id}
        standing = {n: i for n, i in members.items() if i.is_open}
        alerts[alert_id] = ended = replace(
            alert,
            state="resolved",
            severity=alert.worst,
            sequence=alert.sequence + 1,
            told_ms=moment.event_ms,
            recorded_ms=moment.now_ms,
        )
        told |= {number: replace(incident, state=why) for number, incident in standing.items()}
        # One that stood for what waits alone has none.
        numbers = tuple(standing or members)
        types = TYPES[subjects.get(alert_id, "drift")]
        notices.append(Notice(types.gone, ended, why, numbers, alert.opened_ms))
    return notices, replace(known, alerts=alerts, incidents=told)


def _subjects(known: Knowledge) -> dict[str, Subject]:
    """Return what each known alert is about, by its id."""
    kinds: dict[str, set[str]] = {}
    for incident in known.incidents.values():
        kinds.setdefault(incident.alert_id, set()).add(incident.kind)
    return {alert_id: subject_of_all(found) for alert_id, found in kinds.items()}


def _news_by_alert(
    groups: Iterable[Sequence[IncidentNow]],
    known: Knowledge,
    subjects: Mapping[str, Subject],
    id_of: Callable[[IncidentNow], str],
    concerned: Collection[int],
    silenced: Collection[int],
) -> tuple[dict[str, list[_News]], _Hushed]:
    """Return what receivers do not know, by the alert that will tell it; oldest news first.

    And what silences hold back of it.
    """
    age = {alert_id: place for place, alert_id in enumerate(known.alerts)}
    found: dict[str, list[_News]] = {}
    hushed = _Hushed()
    for members in groups:
        unknown: list[_News] = []
        homes: list[str] = []
        for incident in sorted(members, key=by_opening):
            before = known.incidents.get(incident.number)
            news = _news_of(incident, before, is_concerned=incident.number in concerned)
            if news is not None and _is_hushed(incident, known, silenced):
                news = None
                if incident.is_open:
                    hushed.waiting.append(incident.number)
                elif before is not None:  # it stood within a silence alone
                    now = replace(before, state=incident.state, episodes=len(incident.episodes))
                    hushed.passed[incident.number] = now
            if before is not None:
                homes.append(before.alert_id)
                if news is not None:
                    found.setdefault(before.alert_id, []).append(news)
            elif news is not None:
                unknown.append(news)
        if unknown:
            about = subject_of(unknown[0].incident.kind)
            own = (alert_id for alert_id in homes if subjects[alert_id] == about)
            home = min(own, key=age.__getitem__, default=None)
            alert_id = home or id_of(unknown[0].incident)
            found.setdefault(alert_id, []).extend(unknown)
    return found, hushed


def _is_hushed(incident: IncidentNow, known: Knowledge, silenced: Collection[int]) -> bool:
    """Whether news of an incident are held back, or were until they were over."""
    if incident.is_open:
        return incident.number in silenced
    waited = known.held.get(incident.number)
    return incident.number in silenced or (waited is not None and waited.silence is not None)


def _news_of(
    incident: IncidentNow, before: KnownIncident | None, *, is_concerned: bool
) -> _News | None:
    """Return what of an incident opens or updates an alert; its end alone does not."""
    if incident.muted or incident.is_withdrawn:
        return None
    if before is None:
        is_new = incident.is_open or is_concerned
        return _News(incident, "opened", incident.opened_ms) if is_new else None
    # An episode more is a reopening, whether or not its end was told, or seen.
    is_longer = len(incident.episodes) > before.episodes
    since_ms = incident.episodes[min(before.episodes, len(incident.episodes) - 1)]
    if incident.is_open:
        if is_longer or not before.is_open:
            return _News(incident, "reopened", since_ms)
        if incident.severity == "critical" != before.severity:
            return _News(incident, "escalated", since_ms)
        return None
    is_back = before.state == "withdrawn" or (is_longer and not before.is_open)
    return _News(incident, "reopened", since_ms) if is_back else None


def _speaking(
    news: Mapping[str, Sequence[_News]], known: Knowledge, moment: Moment
) -> tuple[set[str], bool]:
    """Return which alerts tell their news now, and whether that is the version's one of the day.

    What has waited until its time is over goes before what is new, the first opened first; each
    of several waits for a day of its own.
    """

    def has_waited(alert_id: str) -> bool:
        waits = (known.held.get(item.incident.number) for item in news[alert_id])
        # The end of a silence is no day's: its news take the usual way.
        return any(
            held is not None and held.silence is None and moment.ends(held) for held in waits
        )

    def by_age(alert_id: str) -> tuple[bool, tuple[int, bool, int]]:
        return not has_waited(alert_id), min(by_opening(item.incident) for item in news[alert_id])

    critical = {i for i, items in news.items() if any(item.is_critical for item in items)}
    first = min(news.keys() - critical, key=by_age, default=None)
    if first is None:
        return critical, False
    is_free = known.warned_ms is None or not moment.is_same_day(known.warned_ms)
    # Where event time stands still, a day by the clock is as good: it was counted from the last.
    if not (is_free or has_waited(first)):
        return critical, False
    return critical | {first}, True


@dataclass
class _Case:
    """One alert while it is decided about.

    `members` are told already; `told` is what is known of every incident, and grows.
    """

    alert_id: str
    alert: Alert | None
    members: dict[int, IncidentNow]
    news: list[_News]
    told: dict[int, KnownIncident]
    moment: Moment
    types: Types
    notices: list[Notice] = field(default_factory=list)

    def tell_news(self, pages: Mapping[int, int]) -> None:
        """Add the message that opens the alert, opens it again or updates it."""
        fresh = {item.incident.number: item.incident for item in self.news}
        before = self.alert
        others = [
            number
            for number, incident in self.members.items()
            if number not in fresh and self.told[number].is_open and not incident.is_open
        ]
        standing = [i.severity for i in (self.members | fresh).values() if self._stands(i)]
        severity = _worst(standing or [i.severity for i in fresh.values()])
        worst = _worst([severity, *(i.severity for i in fresh.values())])
        since_ms = min(item.since_ms for item in self.news)
        is_calm = not any(item.is_critical for item in self.news)
        if before is None:
            made = Alert(
                self.alert_id,
                number=pages[self.news[0].incident.number],
                state=OPEN,
                severity=severity,
                worst=worst,
                sequence=0,
                opened_ms=since_ms,
                told_ms=self.moment.event_ms,
                recorded_ms=self.moment.now_ms,
            )
            kind, why = self.types.opened, ""
        elif before.state != OPEN:
            made = replace(before, worst=worst, opened_ms=since_ms)
            kind, why = self.types.opened, "again"
        else:
            made = replace(
                before,
                worst=_worst([before.worst, worst]),
                opened_ms=min(before.opened_ms, since_ms),
            )
            kind, why = self.types.updated, _why(self.news)
        if is_calm:
            made = replace(made, warned_ms=self.moment.event_ms)
        made = replace(made, state=OPEN, severity=severity)
        self._tell(kind, made, why, list(fresh), since_ms, others)

    def tell_end(self) -> None:
        """Add the message that ends the alert, where nothing of it stands or waits any more.

        What waits and is over by now is told with it.
        """
        alert = self.alert
        everyone = self.members | {item.incident.number: item.incident for item in self.news}
        if alert is None or any(self._stands(i) for i in everyone.values()):
            return
        is_withdrawn = all(i.is_withdrawn for i in everyone.values())
        if alert.state != OPEN and not (alert.state == "resolved" and is_withdrawn):
            return
        if is_withdrawn:
            ended = replace(alert, state="withdrawn", severity=alert.worst)
            self._tell(self.types.withdrawn, ended, "", list(everyone), alert.opened_ms)
            return
        own = [
            number
            for number, incident in everyone.items()
            # Of this time only: an alert that was detected again has members from before.
            if not incident.is_open
            and (
                number not in self.told
                or self.told[number].is_open
                or (incident.resolved_ms or incident.opened_ms) >= alert.opened_ms
            )
        ]
        worst = _worst([alert.worst, *(everyone[number].severity for number in own)])
        ended = replace(alert, state="resolved", severity=worst, worst=worst)
        is_over = any(everyone[number].state == "resolved" for number in own)
        kind = self.types.over if is_over else self.types.gone
        # Whoever took over did so last: what else was over was over before.
        why = SUPERSEDED if any(everyone[n].state == SUPERSEDED for n in own) else ""
        self._tell(kind, ended, why, own, alert.opened_ms)

    def _stands(self, incident: IncidentNow) -> bool:
        """Whether the alert cannot be over because of this incident."""
        before = self.told.get(incident.number)
        is_another_s = incident.muted and not (before is not None and before.is_open)
        return incident.is_open and not is_another_s

    def _tell(
        self,
        kind: str,
        alert: Alert,
        why: str,
        numbers: Sequence[int],
        since_ms: int,
        others: Sequence[int] = (),
    ) -> None:
        self.members = self.members | {item.incident.number: item.incident for item in self.news}
        self.news = []
        self.alert = replace(
            alert,
            sequence=alert.sequence + 1,
            told_ms=self.moment.event_ms,
            recorded_ms=self.moment.now_ms,
        )
        for number in (*numbers, *others):
            self.told[number] = self._known(self.members[number])
        named = tuple(numbers)
        self.notices.append(Notice(kind, self.alert, why, named, since_ms, tuple(others)))

    def _known(self, incident: IncidentNow) -> KnownIncident:
        before, episodes = self.told.get(incident.number), len(incident.episodes)
        severity = incident.severity
        if before is not None and before.episodes >= episodes:
            severity = _worst([severity, before.severity])
        return KnownIncident(self.alert_id, incident.kind, severity, incident.state, episodes)


def _why(news: Iterable[_News]) -> str:
    found = {item.why for item in news}
    if "escalated" in found:
        return "critical"
    return "again" if found == {"reopened"} else "also"


def _worst(severities: Iterable[str]) -> str:
    return "critical" if "critical" in set(severities) else "warning"
