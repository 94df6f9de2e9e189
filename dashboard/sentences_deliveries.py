"""Messages about an incident in words: what became of each, and of every attempt at it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime, tzinfo

from dashboard.words import NBSP, cut, day_text, duration, plural, whole
from driftline.program import command
from monitor.alerts.schedule import DELAYS_S
from monitor.storage.deliveries import TEST_TYPE, Attempt
from monitor.views.delivered import Counts, Delivered, Message

# What stands in a cell where no status came back; the whole sentence is in the table.
_SHORT = (
    ("no answer within", "timeout"),
    ("certificate", "TLS"),
    ("tls", "TLS"),
    ("no address", "no address"),
    ("name server", "no address"),
    ("refused", "refused"),
    ("reset", "reset"),
)
CODES_SHOWN = 4


@dataclass(frozen=True)
class Cell:
    """One attempt of a strip; `tone` is ok, failed or next."""

    head: str
    beside: str
    at: str
    tone: str
    told: str  # the whole of it


@dataclass(frozen=True)
class State:
    """What became of a message: icon, word and colour, and the sentence behind them."""

    icon: str
    word: str
    tone: str
    why: str
    mend: str = ""  # a command


def took(ms: int) -> str:
    r"""Return how long an attempt took.

    >>> took(42), took(830), took(15_004), took(200_000)
    ('42\xa0ms', '0.8\xa0s', '15\xa0s', '3\xa0min')
    """
    if ms < 100:
        return f"{ms}{NBSP}ms"
    return f"{ms / 1000:.1f}{NBSP}s" if ms < 10_000 else duration(ms)


def times(n: int) -> str:
    """Return how often.

    >>> times(1), times(2), times(3).replace(NBSP, " ")
    ('once', 'twice', '3 times')
    """
    return {1: "once", 2: "twice"}.get(n, f"{whole(n)}{NBSP}times")


def second(ms: int, zone: tzinfo, year: int | None) -> str:
    """Return a day and a time to the second: attempts follow each other within seconds."""
    when = datetime.fromtimestamp(ms / 1000, zone)
    return f"{day_text(when.date(), year=year)} {when:%H:%M:%S}"


def minute(ms: int, beside_ms: int, zone: tzinfo, year: int | None) -> str:
    """Return a time of day, with its day where that is not the other instant's."""
    when, beside = (datetime.fromtimestamp(at / 1000, zone) for at in (ms, beside_ms))
    day = "" if when.date() == beside.date() else f"{day_text(when.date(), year=year)} "
    return f"{day}{when:%H:%M}"


def word_of(attempt: Attempt) -> str:
    """Return what came back of an attempt, as short as a cell is."""
    if attempt.status is not None:
        return str(attempt.status)
    said = (attempt.error or "").casefold()
    return next((word for sign, word in _SHORT if sign in said), "no answer")


def codes(message: Message) -> str:
    """Return what came back of the attempts, the last ones: "503, 503, timeout, 200"."""
    tried = message.tried
    if len(tried) < 2 and not message.is_failing:
        return ""
    shown = [word_of(one) for one in tried[-CODES_SHOWN:]]
    return ", ".join(["…"] * (len(tried) > CODES_SHOWN) + shown)


def cells(message: Message, zone: tzinfo, year: int | None, now_ms: int) -> list[Cell]:
    """Return the attempts as a strip's cells, then when the next one is."""
    found = []
    day = None
    for one in message.tried:
        when = datetime.fromtimestamp(one.at_ms / 1000, zone)
        # The day is said where it begins.
        at = second(one.at_ms, zone, year) if when.date() != day else f"{when:%H:%M:%S}"
        day = when.date()
        is_ok = one.error is None
        how = "in" if one.status is not None else "after"
        told = one.error or "it arrived"
        found.append(
            Cell(
                word_of(one),
                f"{how} {took(one.duration_ms)}",
                at,
                "ok" if is_ok else "failed",
                f"Attempt {one.number}: {told}, {how} {took(one.duration_ms)}",
            )
        )
    due_ms = next_ms(message, now_ms)
    if due_ms is not None and message.tried:
        when = datetime.fromtimestamp(due_ms / 1000, zone)
        at = second(due_ms, zone, year) if when.date() != day else f"{when:%H:%M:%S}"
        beside = f"in {duration(due_ms - now_ms)}" if due_ms > now_ms else "now"
        found.append(Cell("next", beside, at, "next", f"The next attempt is {beside}"))
    return found


def next_ms(message: Message, now_ms: int) -> int | None:
    """Return when a message is tried next; None where nothing is to come by itself."""
    sent = message.sent
    is_waiting = sent.state == "pending" and sent.disabled_reason is None
    if not is_waiting or message.waits_for is not None:
        return None
    return max(sent.due_ms, sent.not_before_ms or 0)


def state(message: Message, zone: tzinfo, year: int | None, now_ms: int) -> State:
    """Return what became of a message, why, and what mends it."""
    sent = message.sent
    if sent.state == "delivered":
        return State("check", "Delivered", "ok", "")
    enable = command(f"endpoint enable {shlex.quote(sent.endpoint)}")
    if sent.state == "cancelled":
        why = (
            "Its endpoint was removed before it was sent."
            if sent.is_removed
            else "A later message of its alert says all that it said."
        )
        return State("circle-slash", "Cancelled", "idle", why)
    is_off = sent.disabled_reason is not None and not sent.is_removed
    if sent.state == "dead":
        if is_off:
            why = (
                f"Given up: its endpoint is switched off ({cut(sent.disabled_reason or '', 200)})."
            )
            why += " Mend the receiver and switch it on, then redeliver this."
            return State("octagon-alert", "Given up", "crit", why, enable)
        tried = f"Given up after {plural(len(message.tried), 'attempt')}."
        if sent.is_removed:
            return State("octagon-alert", "Given up", "crit", f"{tried} Its endpoint is removed.")
        why = f"{tried} Once the receiver is mended, redeliver it: it keeps its id and body."
        return State("octagon-alert", "Given up", "crit", why)
    if is_off:
        why = f"Its endpoint is switched off: {cut(sent.disabled_reason or '', 200)}. It waits."
        return State("circle-slash", "Endpoint is off", "warn", why, enable)
    if sent.lease_until_ms is not None and sent.lease_until_ms > now_ms:
        return State("rotate-cw", "Being sent", "idle", "It is being sent at this moment.")
    if message.waits_for is not None:
        why = f"It waits until message #{message.waits_for}, which says what came before, arrived."
        return State("clock", f"Waits for #{message.waits_for}", "idle", why)
    if sent.not_before_ms is not None and sent.not_before_ms > now_ms:
        until = minute(sent.not_before_ms, now_ms, zone, year)
        why = f"The route's quiet hours hold it until {until}: it is not critical."
        return State("bell-off", f"Quiet until {until}", "idle", why)
    due = minute(sent.due_ms, now_ms, zone, year)
    soon = f"in {duration(sent.due_ms - now_ms)}, at {due}" if sent.due_ms > now_ms else "due now"
    if message.is_failing:
        n = sent.attempts - sent.tried_before
        left = max(0, len(DELAYS_S) - n)
        why = f"Tried {times(n)} in vain; the next attempt is {soon}."
        why += f" After {plural(left, 'more', 'more')} it is given up." if left else ""
        return State("triangle-alert", "Failing", "warn", why)
    return State("clock", "Waits", "idle", f"It was not sent yet; it is {soon}.")


def can_be_asked_for(message: Message) -> str:
    """Return the words of the button that sends it again; "" where nothing would be sent."""
    sent = message.sent
    if sent.type == TEST_TYPE or sent.is_removed or sent.state == "cancelled":
        return ""
    if sent.state == "pending":
        return "" if sent.disabled_reason is not None or message.waits_for else "Try now"
    return "Redeliver"


def count(counts: Counts) -> str:
    """Return how many of the messages arrived.

    >>> count(Counts(3, 1, 0)), count(Counts())
    ('3 of 4', '')
    """
    return f"{counts.arrived} of {counts.every}" if counts.every else ""


def tally(counts: Counts) -> tuple[str, str, str] | None:
    """Return (icon, words, tone) of a list's cell; None where nothing was sent."""
    if not counts.every:
        return None
    icon, tone = ("check", "ok")
    if counts.lost:
        icon, tone = "octagon-alert", "crit"
    elif counts.waiting:
        icon, tone = "clock", "warn"
    return icon, count(counts), tone


def nothing(found: Delivered, *, is_muted: bool, is_silenced: bool) -> tuple[str, str]:
    """Return why no message tells of a problem, and the command that changes that, or ""."""
    if is_muted:
        return "No message tells of it: another incident speaks for it.", ""
    if not found.endpoints:
        return (
            "Alerts are sent to nobody: there is no endpoint for them.",
            command("endpoint add NAME URL"),
        )
    if is_silenced:
        return "No message tells of it: it is silenced.", ""
    if found.held_since_ms is not None:
        return (
            "It waits for the next message: below critical there is one a day of a version.",
            "",
        )
    return (
        "No message was decided for it: when it opened there was no endpoint, or no route of its "
        "model takes it.",
        command("route list"),
    )
