"""What is down is said once, and once more when it is back."""

from __future__ import annotations

import logging

from consumers.meter import NOBODY, Meter

log = logging.getLogger(__name__)


class Outages:
    """The parts that do not answer now, by name; `meter` is told, too."""

    def __init__(self, meter: Meter = NOBODY) -> None:
        self._down: set[str] = set()
        self._meter = meter

    def down(self, name: str, words: str) -> None:
        """Note that a part is away; log `words` only the first time."""
        self._meter.answers(name, is_up=False)
        if name not in self._down:
            self._down.add(name)
            log.warning("%s", words)

    def up(self, *names: str) -> None:
        """Note that parts answer; log those that did not before."""
        for name in names:
            self._meter.answers(name, is_up=True)
            if name in self._down:
                self._down.discard(name)
                log.warning("the %s is back", name)
