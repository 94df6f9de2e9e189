"""What was counted of a table, by pane and segment: kept as bytes, read where it is looked at.

A year of hours in twenty segments is 175,000 profiles: dense they are 10 GB, as bytes a
gigabyte at most. `driftline.spark` makes them, `Client.upload_history` sends them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from driftline.stats.reference import ALL

PaneKey = tuple[int | None, str]


def digest_after(digest: str, chunk: bytes) -> str:
    """Return the digest of an upload's chunks up to this one, given that of those before it.

    Before the first it is empty.

    Examples
    --------
    >>> digest_after(digest_after("", b"a"), b"b") == digest_after(digest_after("", b"b"), b"a")
    False
    """
    return hashlib.sha256(digest.encode() + hashlib.sha256(chunk).digest()).hexdigest()


class Packed(NamedTuple):
    """A pane's profile as bytes, and how many rows are in it."""

    rows: int
    body: bytes


class Panes(Mapping[PaneKey, Profile]):
    """(Start of the pane in epoch ms or None, segment) -> profile, decoded at each look.

    Examples
    --------
    >>> panes = Panes(Gridset(()))
    >>> panes.put((0, "all"), Profile.empty(Gridset(())))
    >>> len(panes), panes[0, "all"].rows
    (1, 0)
    """

    def __init__(self, gridset: Gridset) -> None:
        self.gridset = gridset
        self._packed: dict[PaneKey, Packed] = {}

    def put(self, key: PaneKey, profile: Profile | Packed) -> None:
        """Keep a profile, in the place of what was kept."""
        self._packed[key] = (
            profile if isinstance(profile, Packed) else Packed(profile.rows, profile.to_bytes())
        )

    def packed(self) -> Mapping[PaneKey, Packed]:
        """Return the profiles as they are kept, in the order in which they came."""
        return self._packed

    @property
    def n_bytes(self) -> int:
        """Bytes of all profiles as they are kept."""
        return sum(len(packed.body) for packed in self._packed.values())

    def __getitem__(self, key: PaneKey) -> Profile:
        return Profile.from_bytes(self.gridset, self._packed[key].body)

    def __iter__(self) -> Iterator[PaneKey]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __repr__(self) -> str:
        return f"<Panes: {len(self):,} profiles, {self.n_bytes:,} bytes>"


@dataclass(frozen=True)
class Profiles:
    """What was counted.

    Attributes
    ----------
    panes : Panes
        (Start of the pane in epoch ms, segment) -> profile; "all" segments together, with sums.
        Without times there is one pane, and its start is None.
    pane_ms : int
        How long a pane is.
    refused : Counter
        Rows that are no predictions, by reason: ``time_missing``, ``time_out_of_range``.
    """

    panes: Panes
    pane_ms: int
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def gridset(self) -> str:
        """The digest of the gridset that the profiles are on."""
        return self.panes.gridset.digest

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        packed = self.panes.packed()
        return sum(pane.rows for (_, segment), pane in packed.items() if segment == ALL)

    def total(self, segment: str = ALL) -> Profile | None:
        """Return the profile of a segment over all panes; None where it has no rows."""
        found: Profile | None = None
        for (_, name), pane in self.panes.packed().items():
            if name != segment:
                continue
            if found is None:
                found = Profile.from_bytes(self.panes.gridset, pane.body)
            else:
                found = found.with_bytes(self.panes.gridset, pane.body)
        return found

    def between(self, start_ms: int, end_ms: int) -> Profiles:
        """Return the panes that begin in `[start_ms, end_ms)` (epoch ms), of all segments."""
        panes = Panes(self.panes.gridset)
        for key, pane in self.panes.packed().items():
            if key[0] is not None and start_ms <= key[0] < end_ms:
                panes.put(key, pane)
        return Profiles(panes, self.pane_ms)
