"""Numbers and spans of time, as the terminal says them."""

from __future__ import annotations


def counted(n: int, what: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> counted(1, "record"), counted(2_000, "record")
    ('1 record', '2,000 records')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def ago(now_ms: int, then_ms: int) -> str:
    """A time span in its largest unit.

    Examples
    --------
    >>> ago(100_000, 95_000), ago(86_400_000 * 3, 0)
    ('5 s', '3 days')
    """
    seconds = max(0, now_ms - then_ms) / 1_000
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"
