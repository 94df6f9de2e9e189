"""Trainers: services that start a training when a message asks for it, and tell how it goes.

One small module each: `start` begins a run, `look` asks how it is, `check` tries address and
credentials and starts nothing. `talk` is the conversation, over the guarded HTTP of
`monitor.alerts.http`; `asked` what a message asks for. Whatever a trainer answers is an `Answer`
or a `Seen`; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from monitor.alerts.schedule import Answer
from monitor.alerts.trainers import airflow, databricks, github
from monitor.alerts.trainers.asked import asked_of
from monitor.alerts.trainers.talk import Call, Memory, Seen, Talk
from monitor.detect.retrain_messages import REQUESTED
from monitor.storage.deliveries import TEST_TYPE
from monitor.storage.endpoints import AIRFLOW, DATABRICKS, GITHUB, Endpoint
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

__all__ = ["Trainers", "starts"]

# A message's lease is a minute, and a conversation is several requests.
TALK_S: Final = 20.0


@dataclass(frozen=True)
class _Kind:
    """What the module of a kind has; without `look` its runs are not followed."""

    start: Callable[[Endpoint, Message, Talk], Answer]
    check: Callable[[Endpoint, Talk], Answer]
    starts: Callable[[Mapping[str, Any]], str]
    look: Callable[[Endpoint, Run, Talk], Seen] | None = None


_KINDS: Final[Mapping[str, _Kind]] = {
    AIRFLOW: _Kind(airflow.start, airflow.check, airflow.starts, airflow.look),
    DATABRICKS: _Kind(databricks.start, databricks.check, databricks.starts, databricks.look),
    # GitHub names no run: its workflow reports back.
    GITHUB: _Kind(github.start, github.check, github.starts),
}


class Trainers:
    """Talks to trainers; what one of them said once (a token, its version) is remembered.

    Parameters
    ----------
    call
        What makes a request.
    talk_s
        For one conversation, which is a few requests.
    """

    def __init__(self, call: Call, *, talk_s: float = TALK_S) -> None:
        self._call, self._talk_s = call, talk_s
        self._memories: dict[tuple[int, str], Memory] = {}

    def send(self, endpoint: Endpoint, message: Message) -> Answer:
        """Do what a message asks for: begin a run, or try whether one could begin."""
        kind = _KINDS[endpoint.kind]
        if message.type == TEST_TYPE:
            return kind.check(endpoint, self._talk(endpoint))
        if message.type != REQUESTED:
            return Answer(error=f"a trainer takes requests for a retraining, no {message.type}")
        if asked_of(message).is_dry_run:
            return kind.check(endpoint, self._talk(endpoint))
        return kind.start(endpoint, message, self._talk(endpoint))

    def look(self, endpoint: Endpoint, run: Run) -> Seen:
        """Ask how a run is."""
        kind = _KINDS.get(endpoint.kind)
        if kind is None or kind.look is None or run.kind != endpoint.kind:
            return Seen(None, f"runs of {endpoint.kind} are not followed")
        return kind.look(endpoint, run, self._talk(endpoint))

    def _talk(self, endpoint: Endpoint) -> Talk:
        # Another secret or address is another conversation.
        known = repr((endpoint.url, endpoint.settings, _secret(endpoint)))
        mark = blake2b(known.encode(), digest_size=16).hexdigest()
        memory = self._memories.setdefault((endpoint.id, mark), {})
        return Talk(self._call, endpoint.url, memory, self._talk_s)


def starts(endpoint: Endpoint) -> str | None:
    """Return what an endpoint starts, as people read it; None where it is no trainer's."""
    kind = _KINDS.get(endpoint.kind)
    return None if kind is None else kind.starts(endpoint.settings)


def _secret(endpoint: Endpoint) -> str:
    return endpoint.secrets[0].value if endpoint.secrets else ""
