"""What was told of a problem, and what became of each message: for a page and for a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from monitor.storage import endpoints, reads
from monitor.storage.deliveries import Attempt
from monitor.storage.reads.sent import Sent, alerts_about, messages_of, states_of
from monitor.views.episodes import Group


@dataclass(frozen=True, slots=True)
class Message:
    """A message with every attempt at it, the first first.

    `waits_for` is the number of an earlier message of its alert for the same endpoint that is
    not through yet: until then this one is not sent.
    """

    sent: Sent
    tried: tuple[Attempt, ...]
    waits_for: int | None = None

    @property
    def is_failing(self) -> bool:
        """Whether it was tried in vain, and is tried again."""
        return self.sent.state == "pending" and self.sent.attempts > self.sent.tried_before


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was sent of a problem.

    Attributes
    ----------
    messages
        The first decided first.
    endpoints
        Where there is no message: how many endpoints there are now; 0 = alerts go nowhere.
    held_since_ms
        Where there is none: since when, by the wall clock, something new of it waits to be told;
        None where nothing does.
    """

    messages: tuple[Message, ...] = ()
    endpoints: int = 0
    held_since_ms: int | None = None

    @property
    def counts(self) -> Counts:
        """How many of its alerts arrived; what asks for a retraining is none."""
        states = [one.sent.state for one in self.messages if one.sent.alert_id is not None]
        return Counts(states.count("delivered"), states.count("pending"), states.count("dead"))


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages of a problem by what became of them; what was cancelled is not counted."""

    arrived: int = 0
    waiting: int = 0
    lost: int = 0

    @property
    def every(self) -> int:
        """How many there are."""
        return self.arrived + self.waiting + self.lost


def delivered(conn: Connection, group: Group, webhook_ids: Sequence[str] = ()) -> Delivered:
    """Return what was sent of a group, and of what goes by ids of its own (retrainings)."""
    numbers = [member.number for member in group.members]
    sent = messages_of(conn, alerts_about(conn, numbers), webhook_ids)
    if not sent:  # why, is asked only then
        held = reads.held_since(conn, numbers)
        return Delivered(
            endpoints=sum(not one.is_trainer for one in endpoints.endpoints(conn)),
            held_since_ms=min(held.values(), default=None),
        )
    tried = reads.attempts_of(conn, [one.id for one in sent])
    return Delivered(
        tuple(Message(one, tuple(tried[one.id]), _waits_for(one, sent)) for one in sent)
    )


def asked_for(conn: Connection, webhook_ids: Sequence[str]) -> Delivered:
    """Return the messages of some ids, whatever they are about."""
    sent = messages_of(conn, (), webhook_ids)
    tried = reads.attempts_of(conn, [one.id for one in sent]) if sent else {}
    return Delivered(tuple(Message(one, tuple(tried[one.id])) for one in sent))


def _waits_for(one: Sent, every: Iterable[Sent]) -> int | None:
    """Return the number of the message that is to arrive before this one."""
    earlier = [
        other
        for other in every
        if one.state == other.state == "pending"
        and one.alert_id is not None
        and (other.alert_id, other.endpoint) == (one.alert_id, one.endpoint)
        and other.sequence < one.sequence
    ]
    return min(earlier, key=lambda other: other.sequence).id if earlier else None


def counts(conn: Connection, groups: Iterable[Group]) -> Mapping[int, Counts]:
    """Return how many messages of each group arrived, by its number; none where none was sent."""
    home = {member.number: found.number for found in groups for member in found.members}
    about = alerts_about(conn, home)
    found: dict[int, dict[str, int]] = {}
    for alert_id, states in states_of(conn, about).items():
        # An alert that outlived its group tells of another one, too: it is counted with both.
        for number in {home[member] for member in about[alert_id]}:
            into = found.setdefault(number, {})
            for state, n in states.items():
                into[state] = into.get(state, 0) + n
    return {
        number: Counts(by.get("delivered", 0), by.get("pending", 0), by.get("dead", 0))
        for number, by in found.items()
    }
