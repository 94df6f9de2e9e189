"""A consumer's memory over time, under a steady load of many wide models.

Resident memory goes up and down with what is held for the next checkpoint, and the allocator keeps
what was freed: a line through minutes of it has a slope whether or not anything leaks. So the
slope comes with its uncertainty, and beside it what a leak of objects would have to raise: the
blocks that Python has handed out.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Final

import numpy as np
import psutil
from scipy.stats import t

from bench import rig as rigs
from bench.material import Shape
from bench.parts import Asked
from bench.picture import Panel, panels
from bench.report import Part, Table
from bench.rig import PARTITIONS

SHAPE: Final = Shape(floats=80, words=19, segments=10, models=10)
PER_SECOND: Final = 1_500
MB: Final = 1e6
EVERY_S: Final = 1.0
LEFT_S: Final = 240.0
# Longer than from checkpoint to checkpoint, so that means of it are about independent.
MEAN_S: Final = 30.0


def memory(asked: Asked) -> Part:
    """Feed it for minutes and look every second."""
    part = Part("memory", "Memory under a steady load")
    rig = asked.rig
    url, topic = rig.database("postgresql", SHAPE), rig.empty_topic()
    feeding = rig.start(
        "feed", rig.shared, bootstrap=rig.bootstrap, topic=topic, shape=asdict(SHAPE),
        per_second=PER_SECOND,
    )  # fmt: skip
    consuming = rig.start(
        "consume", rig.own, client="kafka-python", database_url=url, bootstrap=rig.bootstrap,
        topic=topic, group=f"g-{uuid.uuid4().hex[:12]}", ends=None, is_watched=True,
    )  # fmt: skip
    samples: list[tuple[float, float]] = []
    try:
        began, began_at = time.monotonic(), time.time()
        process = psutil.Process(consuming.pid)
        while (at := time.monotonic() - began) < asked.minutes * 60:
            for one in (feeding, consuming):
                if one.poll() is not None:
                    raise RuntimeError(f"a process of the load ended with {one.returncode}")
            samples.append((at, process.memory_info().rss / MB))
            time.sleep(EVERY_S)
        feeding.send_signal(signal.SIGTERM)
        sent = int(rigs.finish(feeding)["records"])
        # What was sent last is read and checkpointed, too.
        deadline = time.monotonic() + LEFT_S
        while rigs.counted(url) < sent and time.monotonic() < deadline:
            time.sleep(EVERY_S)
        consuming.send_signal(signal.SIGTERM)
        used = rigs.finish(consuming)
        counted = rigs.counted(url)
    finally:
        for one in (feeding, consuming):
            with suppress(ProcessLookupError):
                one.kill()
            one.wait()
        rig.drop(url)
        rig.remove_topic(topic)
    if counted != sent:
        raise RuntimeError(f"{counted:,} of {sent:,} events were counted")
    peak = part.note_runs("peak", "MB", [max(mb for _, mb in samples)])
    half_s = samples[-1][0] / 2
    rise, give = slope_an_hour([sample for sample in samples if sample[0] >= half_s])
    slope = part.note_runs("slope", "MB an hour", [rise])
    if give is not None:
        part.note_runs("slope_error", "MB an hour", [give])
    made_of = [(at - began_at, mb, n) for at, mb, n in used["made_of"]]
    made_of = [sample for sample in made_of if half_s <= sample[0] <= samples[-1][0]]
    blocks = [n for _, _, n in made_of]
    more, more_give = slope_an_hour([(at, float(n)) for at, _, n in made_of])
    part.note_runs("blocks", "blocks", [float(np.median(blocks))])
    part.note_runs("blocks_slope", "blocks an hour", [more])
    held = [mb for _, mb, _ in made_of]
    last = part.note_runs("end", "MB", [float(np.median([mb for _, mb in samples[-30:]]))])
    part.note_runs("minutes", "min", [samples[-1][0] / 60])
    part.note_runs("events", "events", [sent])
    often = part.note_runs(
        "checkpoint_every", "s", [samples[-1][0] / max(1, len(used["checkpoints"]))]
    )
    took = part.note_runs("checkpoint", "ms", [1e3 * s for s in used["checkpoints"]] or [0.0])
    part.notes.append(
        f"{SHAPE.models} models of {SHAPE.features} features and {SHAPE.segments} segments, "
        f"{PER_SECOND:,} events/s for {samples[-1][0] / 60:.0f} minutes into PostgreSQL, a "
        f"checkpoint every 30 s or when too much is held; {sent:,} events, all counted, with "
        f"{used['cpu_s'] / (used['ended_at'] - used['began_at']):.0%} of a core."
    )
    part.notes.append(
        f"In the second half what is held for the next checkpoint goes up and down between "
        f"{min(held):,.0f} and {max(held):,.0f} MB, and resident memory with it, between "
        f"{min(mb for at, mb in samples if at >= half_s):,.0f} and "
        f"{max(mb for at, mb in samples if at >= half_s):,.0f} MB: its slope is "
        f"{_told(rise, give)} MB an hour ({_how_sure(give)}). Objects that nobody lets go would "
        f"raise the blocks that Python has handed out: there are {np.median(blocks):,.0f}, "
        f"{_told(more, more_give)} an hour."
    )
    half = "the second half's slope, MB an hour"
    part.tables.append(
        Table(
            "",
            ("at most, MB", "at the end, MB", half, "a partition's checkpoint every, s", "ms"),
            ((peak.median, last.median, slope.median, PARTITIONS * often.median, took.median),),
        )
    )  # fmt: skip
    line = [(round(at / 60, 3), mb) for at, mb in samples]
    part.pictures["bench-memory.svg"] = panels(
        [Panel("Resident memory of a consumer", "minutes", "MB", {"MB": line})], columns=1
    )
    return part


def _told(rise: float, give: float | None) -> str:
    return f"{rise:+,.0f}" if give is None else f"{rise:+,.0f} ± {give:,.0f}"


def _how_sure(give: float | None) -> str:
    means = f"means of {MEAN_S:.0f} s"
    return f"too few {means} to tell how sure that is" if give is None else f"95 %, of {means}"


def slope_an_hour(
    samples: Sequence[tuple[float, float]], mean_s: float = MEAN_S
) -> tuple[float, float | None]:
    """The line through (seconds, value) samples that fits best: its rise an hour, and 95 % of it.

    What lies within `mean_s` is one mean: neighbours are alike, and no more is known by more of
    them. The second number is None where there are too few means to know their scatter.

    Examples
    --------
    >>> rise, give = slope_an_hour([(t, 5.0 + t / 60) for t in range(240)])
    >>> round(rise, 6), round(give, 6)
    (60.0, 0.0)
    """
    if len(samples) < 2:
        return 0.0, None
    at, values = np.array(samples).T
    which = ((at - at[0]) // mean_s).astype(int)
    n = np.bincount(which)
    is_there = n > 0
    if is_there.sum() < 3:
        return float(np.polyfit(at, values, 1)[0]) * 3_600, None
    at, values = (np.bincount(which, x)[is_there] / n[is_there] for x in (at, values))
    rise, start = np.polyfit(at, values, 1)
    scatter = float(np.sum((values - start - rise * at) ** 2) / (len(at) - 2))
    error = np.sqrt(scatter / np.sum((at - at.mean()) ** 2))
    return float(rise) * 3_600, float(t.ppf(0.975, len(at) - 2) * error) * 3_600
