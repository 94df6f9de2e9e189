"""Kinds of incidents: which statistic opens which, and which of them are told together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from driftline.stats.rule import KIND_OF as OF_RULE
from monitor.detect.absent import ABSENT, SCHEMA
from monitor.detect.silence import VOLUME

KIND_OF: Final = OF_RULE | {ABSENT: SCHEMA}

# What a message is about. Who mends a broken schema is not who looks into a drift: one problem,
# one alert and one group of a page are about one of them.
Subject = Literal["drift", "silence", "schema"]
_SUBJECTS: Final[dict[str, Subject]] = {VOLUME: "silence", SCHEMA: "schema"}


def subject_of(kind: str) -> Subject:
    """Return what incidents of a kind are about: values that moved, unless it says otherwise.

    Examples
    --------
    >>> [subject_of(kind) for kind in ("missing", "schema", "volume")]
    ['drift', 'schema', 'silence']
    """
    return _SUBJECTS.get(kind, "drift")


def subject_of_all(kinds: Iterable[str]) -> Subject:
    """Return what incidents are about together; "drift" where it is not one thing.

    Alerts of earlier releases held all kinds, and were told as drift.
    """
    subjects = {subject_of(kind) for kind in kinds}
    return subjects.pop() if len(subjects) == 1 else "drift"
