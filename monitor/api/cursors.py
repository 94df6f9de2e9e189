"""Cursors: the key of a page's last row, as a text that fits an address."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from monitor.api.parameters import MAX_INT, MIN_INT, is_storable
from monitor.api.problems import Problem

Key = tuple[Any, ...]


def encode(key: Key) -> str:
    """Return the cursor of what comes after `key`.

    >>> encode((1360386000000, "all"))
    'WzEzNjAzODYwMDAwMDAsICJhbGwiXQ'
    """
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode(cursor: str | None, kinds: tuple[type, ...]) -> Key | None:
    """Return the key of a cursor.

    Raises
    ------
    Problem
        It is not one of ours, or one of another list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True))
        or not all(map(_can_be_asked_for, key))
    ):
        raise Problem(
            422, "The cursor is not one of this list",
            "A cursor is `next` of this list's page before, as it is.",
            mend="start again without a cursor",
        )  # fmt: skip
    return tuple(key)


def _can_be_asked_for(part: int | str) -> bool:
    return MIN_INT <= part <= MAX_INT if isinstance(part, int) else is_storable(part)
