"""Requests for a retraining in words: their steps, how they stand, and what they changed. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from dashboard.sentences_incidents import version_tag
from dashboard.words import DASH, NBSP, cut, day_text, duration, moment, percent, two
from driftline.program import command
from driftline.stats.names import NAMES
from driftline.stats.rule import SHARES
from monitor.detect.retraining import Policy
from monitor.storage.promotions import Promotion
from monitor.storage.retrain_rows import Event, Retrain
from monitor.views.retrained import Due, Effect, Side

STEPS: Final = ("requested", "accepted", "running", "succeeded", "live")
# What the word of a step is where it was reached.
WORDS: Final = {
    "requested": "Requested",
    "accepted": "Accepted",
    "running": "Running",
    "succeeded": "Succeeded",
    "live": "Live",
    "failed": "Failed",
    "expired": "Expired",
}


@dataclass(frozen=True)
class Step:
    """One of the five steps; `tone` is done, now, bad or ahead."""

    word: str
    at: str
    tone: str
    told: str


@dataclass(frozen=True)
class Standing:
    """How a request stands: icon, word and colour, and a sentence of it."""

    icon: str
    word: str
    tone: str
    said: str


def _event(one: Retrain, state: str) -> Event | None:
    return next((event for event in reversed(one.events) if event.state == state), None)


def steps(one: Retrain, zone: tzinfo, year: int | None) -> list[Step]:
    """Return the five steps: what is done with its time, where it stands, what is to come."""
    when: dict[str, Event] = {}
    for event in one.events:
        when.setdefault(event.state, event)
    reached = [step for step in STEPS if step in when]
    if one.live_version_id is not None:
        reached = [step for step in STEPS if step in when or step == "succeeded"]
    last = STEPS.index(reached[-1]) if reached else -1
    end = one.state if one.state in ("failed", "expired") else None
    found: list[Step] = []
    day: object = None
    for place, step in enumerate(STEPS):
        word = WORDS[step]
        if step == "live":
            word = f"{cut(version_tag(one.live_version), 16)} live" if one.live_version else "Live"
        if place <= last:
            said = when.get(step)
            at, day = _at(said.at_ms, zone, year, day) if said is not None else ("", day)
            is_now = place == last and end is None and step != "live"
            tone = "now" if is_now and not one.is_dry_run else "done"
            found.append(Step(word, at, tone, said.words if said is not None else ""))
            continue
        ended = when.get(end) if end is not None and place == last + 1 else None
        if ended is not None and end is not None:
            at, day = _at(ended.at_ms, zone, year, day)
            found.append(Step(WORDS[end], at, "bad", ended.words))
        else:
            found.append(Step(word, "", "ahead", ""))
    return found


def _at(ms: int, zone: tzinfo, year: int | None, day: object) -> tuple[str, object]:
    """Return a time, with its day where it is another one than the step before had."""
    when = datetime.fromtimestamp(ms / 1000, zone)
    if when.date() == day:
        return f"{when:%H:%M}", day
    return f"{day_text(when.date(), year=year)} {when:%H:%M}", when.date()


def standing(one: Retrain, now_ms: int) -> Standing:
    """Return how a request stands, in a word and in a sentence."""
    who = "the policy" if one.origin == "policy" else cut(one.actor, 60)
    withdrawn = (
        " Late events withdrew the incidents that it stands on: it goes on, but its reason is gone."
        if one.basis_withdrawn
        else ""
    )
    if one.is_dry_run:
        said = f"A dry run of {who}: nothing was sent, nothing trains."
        return Standing("eye-off", "Dry run", "idle", said + withdrawn)
    if one.live_version is not None:
        said = f"Asked for by {who}; {version_tag(one.live_version)} took over."
        return Standing("rocket", "Succeeded", "ok", said + withdrawn)
    trainer = cut(one.trainer, 40)
    if one.state == "failed":
        why = _event(one, "failed")
        said = f"{trainer} says that it failed{_because(why)}. Nothing is trained; mend it, then "
        said += "ask again."
        return Standing("octagon-alert", "Failed", "crit", said + withdrawn)
    if one.state == "expired":
        said = f"{trainer} did not bring a new version in time. Look whether its run goes on, "
        said += "then ask again."
        return Standing("clock", "Expired", "crit", said + withdrawn)
    left = one.deadline_ms - now_ms
    until = f"it expires in {duration(left)} without a word" if left > 0 else "it is overdue"
    said = {
        "requested": f"Asked for by {who}; {trainer} has not taken it yet: {until}.",
        "accepted": f"Asked for by {who}; {trainer} has taken it: {until}.",
        "running": f"Asked for by {who}; {trainer} trains: {until}.",
        "succeeded": f"{trainer} says that it is done; its version is not live yet: {until}.",
    }[one.state]
    if one.state == "succeeded" and one.made_version:
        said = said.replace("its version", f"version {cut(one.made_version, 40)}")
    word = "Trained, not live" if one.state == "succeeded" else WORDS[one.state]
    return Standing("rotate-cw", word, "run", said + withdrawn)


def _because(event: Event | None) -> str:
    return f": {cut(event.words, 200).rstrip('.')}" if event is not None and event.words else ""


def cell(one: Retrain) -> str:
    """Return a request as short as a list's cell is.

    A number of a request stands with it, so a word is enough.
    """
    if one.is_dry_run:
        return "Dry run"
    if one.live_version is not None:
        return "Succeeded"
    if one.basis_withdrawn and one.ended_ms is None:
        return "No basis"
    return "Not live yet" if one.state == "succeeded" else WORDS[one.state]


def retitled(one: Retrain) -> str:
    """Return the title of a request's own page."""
    return f"Retraining of {cut(one.model, 60)} {version_tag(cut(one.version, 24))}"


def effect_words(found: Effect, *, is_live: bool) -> str:
    """Return what a retraining changed in one sentence; "" until that is known."""
    before, after = found.before, found.after
    if not before.drifted:
        return ""
    was = f"Up to {before.drifted} of {before.features} features drifted before"
    if after is None or after.drifted is None:
        return f"{was}; the new version has not been judged yet." if is_live else ""
    return f"{was}, {_none(after.drifted)} after."


def _none(count: int) -> str:
    return "none" if not count else str(count)


def table(found: Effect) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Return the three numbers: heads, and (measure, before, after) of each."""
    before, after = found.before, found.after
    heads = [
        "Measure, worst day",
        f"{version_tag(before.version)}, last {_windows(before)}",
        f"{version_tag(after.version)}, first {_windows(after)}" if after else "new version",
    ]
    rows = [("Features drifted", _drifted(before), _drifted(after))]
    if before.weighted is not None or (after is not None and after.weighted is not None):
        rows.append(("By importance", _weighted(before), _weighted(after)))
    if found.feature:
        feature, statistic = cut(found.feature, 24), found.statistic
        is_share = statistic in SHARES
        name = f"{feature}: {NAMES[statistic].inside}" if is_share else f"PSI of {feature}"
        rows.append((name, _value(before, is_share), _value(after, is_share)))
    return heads, rows


def _windows(side: Side) -> str:
    return f"{side.days}{NBSP}{'day' if side.days == 1 else 'days'}"


def _drifted(side: Side | None) -> str:
    if side is None or side.drifted is None:
        return DASH
    return f"{side.drifted} of {side.features}"


def _weighted(side: Side | None) -> str:
    if side is None or side.weighted is None:
        return DASH
    return f"{100 * side.weighted:.0f}{NBSP}%"


def _value(side: Side | None, is_share: bool) -> str:
    if side is None or side.value is None:
        return DASH
    if is_share:
        return percent(side.value)
    said = two(side.value)
    return said if side.limit is None else f"{said}, limit {two(side.limit)}"


def policy_words(policy: Policy) -> str:
    """Return when a policy asks, in one sentence.

    >>> policy_words(Policy()).replace(NBSP, " ")
    'The policy asks once critical drift stood on 5 of the last 28 days, and not again for 28 days.'
    """
    if not policy.enabled:
        return "The policy is switched off: nothing is asked for by itself."
    how = "writes down, and sends nothing," if policy.dry_run else "asks"
    return (
        f"The policy {how} once critical drift stood on {policy.open_days} of the last "
        f"{policy.of_days}{NBSP}days, and not again for {policy.cooldown_days}{NBSP}days."
    )


def line(found: Due | None, one: Retrain | None, zone: tzinfo, year: int | None) -> str:
    """Return in a sentence whether a version's retraining is due, held or under way.

    `one` is its newest request. "" where no policy asks and nothing was asked for.
    """
    if one is not None and one.is_open and not one.is_dry_run:
        event = _event(one, one.state)
        since = moment(event.at_ms if event else one.requested_ms, zone, year=year)
        if one.state == "succeeded":
            return f"A new version was trained, and is not live yet (request {one.id})."
        word = {"running": "is running", "accepted": "was accepted"}.get(one.state, "was requested")
        return f"Retraining {word}, since {since} (request {one.id})."
    if found is None:
        return ""
    policy = found.policy
    if not policy.enabled:
        return "Retraining is asked for by nobody: the policy is switched off."
    beside = (
        f"critical on {found.days} of the last {policy.of_days}{NBSP}days, "
        f"the policy asks for {policy.open_days}"
    )
    if found.verdict == "held":
        return f"Retraining is held: {cut(found.why[0], 160)}."
    if found.verdict == "ask":
        return f"Retraining is due: {beside}."
    if found.days >= policy.open_days:
        return f"Retraining is not due: {cut(found.why[0], 160)}."
    return f"Retraining is not due: {beside}."


def cannot(found: Due | None, one: Retrain | None, after: Promotion | None = None) -> str:
    """Return why nobody can ask for a retraining now; "" where it can be asked for.

    `after` is the version that took over from this one.
    """
    if after is not None:
        return f"{version_tag(cut(after.version, 24))} took over: ask for that one"
    if found is None:
        return f"The model has no policy that names a trainer: {command('retrain policy --help')}"
    if found.trainer is None:
        return "Its trainer was removed: name another one in the policy"
    if not found.is_ready:
        return f"Trainer {cut(found.trainer, 40)} is switched off: enable it first"
    if one is not None and one.is_open and not one.is_dry_run:
        return f"Request {one.id} is {one.state}: one is open at a time"
    return ""


def budget_words(found: Due) -> str:
    """Return what of the day's budget is left.

    The whole service shares it.
    """
    left = max(0, found.policy.daily_budget - found.asked_today)
    return f"{left} of {found.policy.daily_budget} requests of the last 24{NBSP}h are left."


def none_yet(policy: Policy | None, model: str) -> tuple[str, str]:
    """Return why a problem has no request, and a command that helps, or ""."""
    if policy is None:
        how = command(f"retrain policy {shlex.quote(model)} --trainer NAME")
        return "No policy asks for a retraining of this model.", how
    return policy_words(policy), ""


def last_words(one: Retrain, found: Effect | None, zone: tzinfo, year: int | None) -> str:
    """Return a model's last retraining as short as a figure's note is."""
    if one.live_version is None:
        return f"#{one.id}, {cell(one).lower()}"
    said = f"{version_tag(one.version)} → {version_tag(one.live_version)}"
    if found is None or found.before.drifted is None or found.after is None:
        return said
    after = found.after.drifted
    return f"{said}, {found.before.drifted} drifted → {after or 0}"


def when(one: Retrain, zone: tzinfo, year: int | None) -> str:
    """Return when a request was asked for."""
    return moment(one.requested_ms, zone, year=year)
