"""The command: which parts, how often, and where the report goes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import measured

from bench import fleet, report, rig
from bench.parts import Asked, Missing
from bench.report import Part

PAGE: Final = "performance.md"
FAILED: Final = "it failed"
PICTURES: Final = rig.ROOT / "docs" / "pictures"
ABOUT: Final = ("measured_on", "commit", "machine", "versions")
# Parts that run once, however many runs are asked for.
ONCE: Final = ("memory", "profile")
# Name -> module of `bench.parts` and what it measures; in this order.
PARTS: Final = {
    "json": ("streams", "JSON, one event a record, kafka-python, beside kafka-python alone"),
    "confluent": ("streams", "the same with confluent-kafka"),
    "arrow": ("streams", "Arrow, 1,000 rows a record"),
    "two": ("streams", "one and two consumers on two cores"),
    "logger": ("logs", "EventLogger beside kafka-python's producer"),
    "memory": ("memory", "a consumer's memory under a steady load"),
    "formats": ("forms", "JSON, NDJSON and Arrow to counts, without Kafka"),
    "checkpoint": ("checkpoints", "a checkpoint against panes and history"),
    "judging": ("judging", "an hour of 100 features x 20 segments judged"),
    "curves": ("curves", "what features, segments, models and K cost; SQL bytes"),
    "profile": ("streams", "where the time of the JSON path goes"),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a Markdown report, and write it where it is asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", metavar="PART[,PART]", help="these parts")
    parser.add_argument("--runs", type=int, default=5, help="of everything, in turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON report")
    parser.add_argument(
        "--write", action="store_true", help=f"put tables and pictures into docs/{PAGE}"
    )
    parser.add_argument(
        "--from", type=Path, dest="kept", metavar="FILE", action="append", default=[],
        help="take the parts that --only does not name from a JSON report, and measure no others",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10.0, help="for which memory is watched")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for a trial")
    parser.add_argument("--list", action="store_true", help="say which parts there are")
    asked = parser.parse_args(arguments)
    if asked.list:
        for name, (_, says) in PARTS.items():
            print(f"{name:12}{says}")
        return
    names = asked.only.split(",") if asked.only else [] if asked.kept else list(PARTS)
    for name in names:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}: {', '.join(PARTS)}")
    if asked.runs < 1:
        parser.error("--runs must be 1 or more")
    about, found = kept_of(asked.kept)
    if names:
        about |= run(asked, names, found)
    parts = in_order(found)
    paper = fleet.lines(report.medians(parts))
    print("\n".join(report.markdown(about, parts, paper, lambda name: name)))
    if failed := [part.name for part in parts if part.skipped.startswith(FAILED)]:
        sys.exit(f"failed: {', '.join(failed)}; nothing is written to docs/{PAGE}")
    if asked.write:
        write(about, parts, paper)


def kept_of(files: list[Path]) -> tuple[dict[str, Any], dict[str, Part]]:
    """What reports that are there already say of their machine and parts; later ones win."""
    about: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    for file in files:
        said = json.loads(file.read_text())
        about |= {name: said[name] for name in ABOUT}
        parts |= {name: Part.of_json(name, part) for name, part in said["parts"].items()}
    return about, parts


def run(asked: argparse.Namespace, names: list[str], found: dict[str, Part]) -> dict[str, Any]:
    """Measure these parts into `found`; return what they were measured on."""
    with rig.Rig() as held:
        about = {
            "measured_on": str(datetime.now(UTC).date()),
            "commit": rig.commit(),
            "machine": rig.machine(held),
            "versions": rig.versions(),
        }
        for name in names:
            found[name] = measure(name, Asked(held, asked.runs, asked.scale, asked.minutes))
            if asked.json:  # what was measured stays, whatever comes
                asked.json.write_text(json.dumps(_whole(about, found), indent=1) + "\n")
    return about


def in_order(found: Mapping[str, Part]) -> list[Part]:
    """Parts as the report has them."""
    return [found[name] for name in PARTS if name in found]


def _whole(about: Mapping[str, Any], found: Mapping[str, Part]) -> dict[str, Any]:
    parts = in_order(found)
    return report.as_json(about, parts, fleet.as_json(report.medians(parts)))


def measure(name: str, asked: Asked) -> Part:
    """Run one part; one that cannot be run here says why."""
    module, says = PARTS[name]
    print(f"{name}: {says} ...", file=sys.stderr, flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        part: Part = getattr(importlib.import_module(f"bench.parts.{module}"), name)(asked)
    except Missing as missing:
        part = Part(name, says[0].upper() + says[1:], str(missing))
    except Exception as error:  # noqa: BLE001 - the other parts' hours are not lost with it
        traceback.print_exc()
        part = Part(name, says[0].upper() + says[1:], f"{FAILED}: {error}")
    part.seconds, part.load = time.monotonic() - began, load
    part.runs = 1 if name in ONCE else asked.runs
    for figure, values in part.figures.items():
        print(f"  {figure}: {report.shown(values.median)} {values.unit}", file=sys.stderr)
    if part.skipped:
        print(f"  not measured: {part.skipped}", file=sys.stderr)
    return part


def write(about: Mapping[str, Any], parts: list[Part], paper: list[str]) -> None:
    """Put the report into its page, and pictures beside the others."""
    for part in parts:
        for name, svg in part.pictures.items():
            (PICTURES / name).write_text(svg, "utf-8")
    lines = report.markdown(about, parts, paper, lambda name: f"pictures/{name}")
    measured.put(PAGE, lines)
