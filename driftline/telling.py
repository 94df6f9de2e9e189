"""What the logger says of its own troubles: one line a minute about each kind.

A service that logs thousands of events a second must not log thousands of warnings about them;
the numbers are in `EventLogger.counts`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

log = logging.getLogger("driftline.logger")

# Why events were dropped; docs list them in this order.
DROPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "queue_full": "more was logged than the broker took",
        "too_large": "larger than a record may be",
        "not_serializable": "its features or tags are no mapping",
        "bad_time": "no instant in the years 2000 to 2099",
        "id_missing": "a label without an id",
        "bad_frame": "a frame that cannot be read, or lacks a column",
        "refused": "the broker refuses it for what it is",
        "delivery_failed": "not acknowledged when the logger was closed, or Python ended",
        "closed": "logged after the logger was closed",
        "internal_error": "a fault of Driftline's own: please report it",
    }
)
# One line about each kind of trouble in this time.
TELL_EVERY_S: Final = 60.0


class Teller:
    """Warns through the logger ``driftline.logger`` of the standard library.

    Parameters
    ----------
    dropped
        How many events were dropped so far, by reason.
    """

    def __init__(self, dropped: Callable[[], Mapping[str, int]]) -> None:
        self._dropped = dropped
        self._told_at: dict[str, float] = {}

    def tell(self, reason: str, words: str) -> None:
        """One line about a kind of trouble each minute; never raises."""
        now = time.monotonic()
        if now - self._told_at.get(reason, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told_at[reason] = now
        with suppress(Exception):
            so_far = self._dropped().get(reason)
            seen = f" ({so_far:,} dropped so far)" if so_far else ""
            log.warning("%s: %s%s", reason, words, seen)

    def tell_naive(self, timezone: str) -> None:
        """Once: a service that logs times without an offset logs nothing else."""
        if "naive" not in self._told_at:
            self._told_at["naive"] = time.monotonic()
            otherwise = " (timezone= says otherwise)" if timezone == "UTC" else ""
            with suppress(Exception):
                log.warning("times without an offset are read as %s%s", timezone, otherwise)
