"""What a log lost of a partition, judged once it is claimed: never is a loss passed silently."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

# Where a log diverges when the broker cannot say.
UNKNOWN: Final = -1


class Lost(NamedTuple):
    """Offsets `[first, last)` that were there once.

    Of `retention` they were never read, and reading goes on at `last`; of `truncation` they were
    counted, and reading goes on at `first`.
    """

    kind: Literal["retention", "truncation"]
    first: int
    last: int


def lost(
    next_offset: int, low: int, high: int, *, diverges_at: int | None, is_out_of_range: bool
) -> Lost | None:
    """Return what the log lost of what a partition's position stands for; None for nothing.

    An end below the position proves nothing (some brokers report an end that lags, and
    moving back would count twice): the broker must have refused to read there.

    Parameters
    ----------
    low, high
        Where the log begins and ends.
    diverges_at
        Where it is another log than the one that was read, or `UNKNOWN`; None where it is not.
    is_out_of_range
        Whether the broker refused to read at the position.

    Examples
    --------
    >>> lost(5, 9, 20, diverges_at=None, is_out_of_range=False)
    Lost(kind='retention', first=5, last=9)
    >>> lost(50, 9, 20, diverges_at=None, is_out_of_range=True)
    Lost(kind='truncation', first=20, last=50)
    >>> lost(50, 9, 20, diverges_at=None, is_out_of_range=False) is None
    True
    """
    if next_offset < low:
        return Lost("retention", next_offset, low)
    if diverges_at == UNKNOWN or is_out_of_range:
        # It may have grown again since: then nobody can say what was lost.
        return Lost("truncation", min(next_offset, high), next_offset)
    if diverges_at is not None and diverges_at < next_offset:
        return Lost("truncation", max(diverges_at, low), next_offset)
    return None
