"""A number and its thing, for the terminal: one of them is not said in the plural."""

from __future__ import annotations


def counted(n: int, what: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> counted(1, "record"), counted(2_000, "record")
    ('1 record', '2,000 records')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"
