"""What is measured, a function a part; `bench.command.PARTS` has all of them by name.

A part gets `Asked` and returns a `Part`; a `Missing` that it raises skips it in words.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.rig import Rig


class Missing(Exception):
    """A part cannot be measured here, and why."""


@dataclass(frozen=True)
class Asked:
    """What a part is told.

    Attributes
    ----------
    runs
        How often everything is measured, in turns.
    scale
        How much is read, in shares of the usual; below 1 for a trial.
    minutes
        For how long memory is watched.
    """

    rig: Rig
    runs: int = 5
    scale: float = 1.0
    minutes: float = 10.0

    def some(self, usual: int, least: int = 1_000) -> int:
        """So many of what is usually `usual`."""
        return max(min(least, usual), int(usual * self.scale))
