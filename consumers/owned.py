"""The partitions that the group gave a member, and how much it holds of them."""

from __future__ import annotations

from dataclasses import dataclass

from consumers.ledger import Ledger


@dataclass
class Owned:
    """A partition that the group gave us; without a ledger it is not claimed (yet)."""

    ledger: Ledger | None = None
    claim_at_s: float = 0.0
    # Set when the log was cut: where it diverges from what was read.
    diverges_at: int | None = None
    # Set when the broker refused to read at the position.
    is_out_of_range: bool = False


class Partitions(dict[int, Owned]):
    """All of them, by number."""

    def ledger(self, partition: int) -> Ledger | None:
        """Return what is held of a partition; None where it is not claimed, or not ours."""
        owned = self.get(partition)
        return None if owned is None else owned.ledger

    def ledgers(self) -> dict[int, Ledger]:
        """Return what is held of those that are claimed, in the order of partitions."""
        return {p: o.ledger for p, o in sorted(self.items()) if o.ledger is not None}

    def due(self, now_s: float) -> list[int]:
        """Return those that are to be claimed by now (monotonic), in order."""
        return [p for p, o in sorted(self.items()) if o.ledger is None and o.claim_at_s <= now_s]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is held that a checkpoint would write."""
        return all(ledger.is_clean for ledger in self.ledgers().values())

    def held(self) -> tuple[int, int]:
        """Return how many events and (roughly) bytes are held."""
        ledgers = self.ledgers().values()
        return sum(each.rows for each in ledgers), sum(each.weight_bytes for each in ledgers)
