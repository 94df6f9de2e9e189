"""What the loop tells of itself while it works, to whoever measures it.

The loop calls these between its steps, from its own thread; none of them may block or raise.
`monitor.metrics.working` makes Prometheus series of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

Result = Literal["committed", "watched", "fenced", "registry_moved", "unavailable"]


@dataclass(frozen=True)
class Standing:
    """How a member stands after a step.

    Attributes
    ----------
    is_open
        Whether the topic is there and its stream is known: it owns partitions, or stands by.
    owned, claimed
        Partitions that the group gave us, and those of them that are claimed in SQL.
    rows, n_bytes
        Events and bytes (roughly) held until the next checkpoint.
    is_pressed
        Whether reading pauses because too much is held.
    """

    is_open: bool
    owned: int = 0
    claimed: int = 0
    rows: int = 0
    n_bytes: int = 0
    is_pressed: bool = False


class Meter(Protocol):
    """Whoever measures a loop."""

    def stepped(self, standing: Standing) -> None:
        """A step is done."""

    def checkpointed(self, result: Result, seconds: float) -> None:
        """One partition's transaction ended so, after so long; "watched" moved nothing."""

    def rebalanced(self, kind: Literal["assigned", "revoked", "lost"]) -> None:
        """The group gave us partitions, or took some."""

    def poll_failed(self, error: Exception) -> None:
        """A poll raised."""

    def answers(self, part: str, *, is_up: bool) -> None:
        """A part (broker, database, topic, reading) answers, or does not."""


class _Nobody:
    """Nobody measures."""

    def stepped(self, standing: Standing) -> None: ...
    def checkpointed(self, result: Result, seconds: float) -> None: ...
    def rebalanced(self, kind: Literal["assigned", "revoked", "lost"]) -> None: ...
    def poll_failed(self, error: Exception) -> None: ...
    def answers(self, part: str, *, is_up: bool) -> None: ...


NOBODY: Final[Meter] = _Nobody()
