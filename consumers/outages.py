"""What is down is said once, and once more when it is back."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Outages:
    """The parts that do not answer now, by name."""

    def __init__(self) -> None:
        self._down: set[str] = set()

    def down(self, name: str, words: str) -> None:
        """Note that a part is away; log `words` only the first time."""
        if name not in self._down:
            self._down.add(name)
            log.warning("%s", words)

    def up(self, *names: str) -> None:
        """Note that parts answer; log those that did not before."""
        for name in names:
            if name in self._down:
                self._down.discard(name)
                log.warning("the %s is back", name)
