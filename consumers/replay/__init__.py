"""A part of the log counted again: into a lane that takes the place of what stands, or to compare.

- `scope` says what is counted again and from which offsets.
- `narrow` keeps what belongs to it of what was admitted.
- `reading` reads the log up to given offsets, as `consumers.loop` does, but without a group.
- `run` fills the lane and puts it in its place; `verify` compares and writes nothing.
"""

from __future__ import annotations

from consumers.replay.run import Outcome, abandon, replay
from consumers.replay.scope import Asked
from consumers.replay.verify import Verified, verify

__all__ = ["Asked", "Outcome", "Verified", "abandon", "replay", "verify"]
