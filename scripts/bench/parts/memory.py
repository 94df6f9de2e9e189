"""A consumer's memory over time, under a steady load of many wide models."""

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
        topic=topic, group=f"g-{uuid.uuid4().hex[:12]}", ends=None,
    )  # fmt: skip
    samples: list[tuple[float, float]] = []
    try:
        began = time.monotonic()
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
    slope = part.note_runs("slope", "MB an hour", [slope_an_hour(samples[len(samples) // 2 :])])
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


def slope_an_hour(samples: Sequence[tuple[float, float]]) -> float:
    """The line through (seconds, value) samples that fits best: its rise an hour.

    Examples
    --------
    >>> round(slope_an_hour([(0.0, 5.0), (60.0, 6.0), (120.0, 7.0)]), 6)
    60.0
    """
    if len(samples) < 2:
        return 0.0
    at, values = np.array(samples).T
    return float(np.polyfit(at, values, 1)[0]) * 3_600
