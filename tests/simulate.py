"""Thousands of simulated lives of the ingest loop: `make simulate` (ARGS="--seeds 5000").

Each seed is a story of members, faults and deaths (`simulator.Story`); at its end the database
must hold what the log holds. A seed that fails is told again by `--seed N`. `--control NAME` runs
a loop that lacks one guard: then seeds must fail.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import simulator

from consumers.loop import Loop
from monitor.storage import engine as storage

# So many stories are told by one process before it reports.
CHUNK = 50


@dataclass
class Told:
    """What some seeds came to.

    Attributes
    ----------
    happened
        How often a call went wrong how: (how, what).
    failed
        What is wrong at the end, by seed.
    """

    stories: int = 0
    events: int = 0
    calls: int = 0
    happened: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: Told) -> None:
        """Take `other` in."""
        self.stories += other.stories
        self.events += other.events
        self.calls += other.calls
        self.happened.update(other.happened)
        self.failed |= other.failed


@contextmanager
def _unlogged() -> Iterator[None]:
    """Thousands of faults are logged nowhere, and what comes later is."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def tell(seeds: Iterable[int], control: str | None = None) -> Told:
    """Tell stories in a database of their own."""
    loop = simulator.CONTROLS[control] if control else Loop
    told = Told()
    with _unlogged(), simulator.known_references(), tempfile.TemporaryDirectory() as folder:
        engine = storage.create(f"sqlite:///{folder}/simulated.db")
        storage.upgrade(engine)
        for seed in seeds:
            with simulator.Story(engine, seed, loop) as story:
                try:
                    story.tell()
                    wrong = story.differences()
                except Exception:
                    wrong = traceback.format_exc().splitlines()
            told.stories += 1
            told.events += sum(len(log) for log in story.world.written.values())
            told.calls += len(story.world.calls.made)
            told.happened.update(story.world.calls.happened)
            if wrong:
                told.failed[seed] = wrong
        engine.dispose()
    return told


def _collect_seldom() -> None:
    """What was imported never becomes garbage; a tenth of a story's time went into looking."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 50)


def _in_chunks(first: int, seeds: int, jobs: int, control: str | None) -> Iterator[Told]:
    chunks = [
        range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)
    ]
    with ProcessPoolExecutor(jobs, initializer=_collect_seldom) as pool:
        yield from pool.map(tell, chunks, [control] * len(chunks))


def main() -> None:
    """Tell stories, say what happened in them, fail where one ended wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone, with all that is wrong")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--control", choices=simulator.CONTROLS, help="lack this guard")
    asked = parser.parse_args()
    if asked.seed is not None:
        told = tell([asked.seed], asked.control)
        print("\n".join(told.failed.get(asked.seed, ["every record is counted once"])))
        sys.exit(bool(told.failed))
    began, total = time.monotonic(), Told()
    for told in _in_chunks(asked.first, asked.seeds, asked.jobs, asked.control):
        total.add(told)
        for seed, wrong in told.failed.items():
            again = f" --control {asked.control}" if asked.control else ""
            print(f"seed {seed}: {wrong[0][:200]}")
            print(f"  again: python tests/simulate.py --seed {seed}{again}", flush=True)
    took_s = time.monotonic() - began
    print(
        f"{total.stories:,} stories, {total.events:,} records, {total.calls:,} calls, "
        f"{sum(total.happened.values()):,} faults, {len(total.failed):,} wrong; "
        f"{total.stories / took_s * 60:,.0f} stories a minute"
    )
    by_how: Counter[str] = Counter()
    for (how, what), n in total.happened.items():
        by_how[f"{how} {what.split()[0] if what.startswith('sql') else what}"] += n
    for name, n in by_how.most_common():
        print(f"  {n:8,} {name}")
    sys.exit(bool(total.failed))


if __name__ == "__main__":
    main()
