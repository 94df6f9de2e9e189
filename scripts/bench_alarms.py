"""How often the rule alarms when nothing is wrong, and how late when something is.

`make bench-alarms` prints the tables of docs/statistics.md as Markdown; `ARGS=--write` puts
them there, dated. The seeds are fixed: the same code prints the same tables. It takes about
ten minutes of one core; `ARGS="--months 50"` is quicker and wider, and `--only "How late"` is one
section.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import alarm_worlds as worlds
import measured
import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from driftline.stats.calibration import RATES

SEED = 20_260_101
# Features judged together: Benjamini-Hochberg looks at all of one window.
TOGETHER = 50
WORLDS: dict[str, tuple[str, worlds.Shares]] = {
    "independent rows": ("Every row is drawn from one normal distribution.", worlds.calm),
    "Dirichlet wobble": (
        "The shares of the ten tenths wobble by themselves, window by window (concentration "
        f"{worlds.CONCENTRATION:,}: a PSI of about .0045 that is no noise).",
        worlds.dirichlet,
    ),
    "daily cycle": (
        "The mean follows the clock, .6 sigma up and down, every day alike.",
        worlds.daily,
    ),
    "weekday and daily cycle": (
        "The same on weekdays; on weekends a third of the cycle, half a sigma higher.",
        worlds.weekly,
    ),
}
ROWS = (200, 10_000)
SHIFTS = (0.2, 0.35, 0.5, 0.75)
SHIFT_ROWS = (200, 2_000, 10_000)
# What `Sum.cell` fills.
COUNTED = (
    "by single windows",
    "by 2 of 3",
    "feature-months with any (95 %)",
    "time in alarm",
)
# A shift that is not told within ten days of hours is called silent.
PATIENCE = 240
WANDERS = (0.1, 0.15, 0.2, 0.3)
WANDER_ROWS = (2_000, 10_000)


@dataclass(frozen=True)
class Sum:
    """Feature-months of one rule: how many, with any episode, what there was in all."""

    months: int
    hit: int
    runs: int
    episodes: int
    incidents: int
    on: float

    def cell(self) -> str:
        """What `COUNTED` names."""
        low, high = clopper_pearson(self.hit, self.months)
        return (
            f"{figure(self.runs / self.months)} | {figure(self.episodes / self.months)} | "
            f"{percent(self.hit / self.months)} "
            f"({percent(low)} to {percent(high)}) | {percent(self.on)}"
        )


def clopper_pearson(hit: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share."""
    found = stats.binomtest(hit, n).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def head(*names: str) -> Iterator[str]:
    """The two lines that begin a table."""
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def figure(value: float) -> str:
    """Two digits that matter, 0 as 0."""
    return "0" if value == 0 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{figure(100 * share)} %"


def summed(parts: list[worlds.Told]) -> Sum:
    """All batches together."""
    episodes = np.concatenate([part.episodes for part in parts])
    on = np.concatenate([part.on for part in parts])
    runs = sum(int(part.runs.sum()) for part in parts)
    incidents = sum(int(part.incidents.sum()) for part in parts)
    hit = int((episodes > 0).sum())
    return Sum(len(episodes), hit, runs, int(episodes.sum()), incidents, float(on.mean()))


def _rules(name: str, rows: int, seed: int) -> dict[str, worlds.Told]:
    made = worlds.month(WORLDS[name][1], rows, TOGETHER, seed)
    return {
        rule: worlds.told(marks(made), made.when, "hour") for rule, marks in worlds.RULES.items()
    }


def false_episodes(run: Run, batches: int) -> Iterator[str]:
    """One table for each world: rules by rows a window."""
    for place, (name, (says, _)) in enumerate(WORLDS.items()):
        yield f"{chr(10) if place else ''}**{name.capitalize()}.** {says}\n"
        yield from head("rule", "n", *COUNTED)
        for n in ROWS:
            seeds = [SEED + 1_000 * place + 100 * (n > 200) + b for b in range(batches)]
            found = run(partial(_rules, name, n), seeds)
            for rule in worlds.RULES:
                yield f"| {rule} | {n:,} | {summed([part[rule] for part in found]).cell()} |"


def _wander(sd: float, rows: int, seed: int) -> worlds.Told:
    made = worlds.month(worlds.persistent(sd), rows, TOGETHER, seed)
    return worlds.told(worlds.by_the_rule(made), made.when, "hour")


def persistent_wobble(run: Run, batches: int) -> Iterator[str]:
    """Where the promise ends: a mean that wanders for hours."""
    yield from head("wobble of the mean", "n", "incidents", *COUNTED)
    for place, sd in enumerate(WANDERS):
        for n in WANDER_ROWS:
            seeds = [SEED + 10_000 + 1_000 * place + 100 * (n > 2_000) + b for b in range(batches)]
            found = summed(run(partial(_wander, sd, n), seeds))
            incidents = figure(found.incidents / found.months)
            yield f"| {sd} sigma | {n:,} | {incidents} | {found.cell()} |"


def _delay(by: float, rows: int, seed: int) -> NDArray[np.int64]:
    made = worlds.month(
        worlds.calm, rows, TOGETHER, seed, after=worlds.shifted(by), n_windows=PATIENCE
    )
    return worlds.told(worlds.by_the_rule(made), made.when, "hour").first


def delays(run: Run, batches: int) -> Iterator[str]:
    """After how many windows a shift is told."""
    told_within = f"told within {PATIENCE} windows (95 %)"
    yield from head("shift", "n", told_within, "windows until told: median", "9 of 10 within")
    for place, by in enumerate(SHIFTS):
        for n in SHIFT_ROWS:
            seeds = [SEED + 20_000 + 1_000 * place + n % 1_000 + n // 1_000 + 50 * b
                     for b in range(batches)]  # fmt: skip
            first = np.concatenate(run(partial(_delay, by, n), seeds))
            told = int((first > 0).sum())
            low, high = clopper_pearson(told, len(first))
            waits = np.sort(np.where(first > 0, first, PATIENCE + 1))
            # The smallest number of windows within which that share was told.
            within = [waits[int(np.ceil(share * len(waits))) - 1] for share in (0.5, 0.9)]
            says = [f"{w}" if w <= PATIENCE else f"over {PATIENCE}" for w in within]
            yield (
                f"| {by} sigma | {n:,} | {percent(told / len(first))} ({percent(low)} to "
                f"{percent(high)}) | {says[0]} | {says[1]} |"
            )


MISSING_ROWS = 1_000
MISSING = 0.11
MISSING_TOGETHER = 50


def _missing(rho: float, seed: int) -> tuple[worlds.Told, worlds.Told]:
    made = worlds.month(
        worlds.calm,
        MISSING_ROWS,
        MISSING_TOGETHER,
        seed,
        length="day",
        missing=lambda n, rng: worlds.overdispersed(MISSING, rho, 0.5, n, rng),
    )
    nothing = dict.fromkeys(RATES, np.zeros(MISSING_TOGETHER))
    blunt = replace(made.calibration, up=nothing, down=nothing)
    plain = worlds.judged(made.reference, "day", blunt, made.when, made.counts)
    return (
        worlds.told(plain.found.marks["missing"][:, :, 0], made.when, "day"),
        worlds.told(made.found.marks["missing"][:, :, 0], made.when, "day"),
    )


def missing_values(run: Run, batches: int) -> Iterator[str]:
    """A rate that wobbles from day to day, with and without having learnt it."""
    yield from head("overdispersion", "tolerance", *COUNTED)
    for place, rho in enumerate((0.01, 0.1)):
        found = run(
            partial(_missing, rho), [SEED + 30_000 + 1_000 * place + b for b in range(batches)]
        )
        for says, side in (("1 point for all", 0), ("learnt from the reference", 1)):
            yield f"| {rho} | {says} | {summed([part[side] for part in found]).cell()} |"


def true_psi(by: float, sd: float = 1.0) -> float:
    """PSI of N(by, sd) against N(0, 1) over ten tenths."""
    below = special.ndtr((special.ndtri(np.arange(1, 10) / 10) - by) / sd)
    q = np.diff(below, prepend=0, append=1)
    return float(((q - 0.1) * np.log(q / 0.1)).sum())


def at_boundary(shape: str, delta: float) -> tuple[float, float]:
    """(shift, sd) of the normal whose true PSI is delta."""
    if shape == "shift":
        return float(optimize.brentq(lambda by: true_psi(by) - delta, 0, 3)), 1.0
    return 0.0, float(optimize.brentq(lambda sd: true_psi(0, sd) - delta, 1, 9))


def _boundary(shape: str, rows: int, seed: int) -> tuple[int, int]:
    by, sd = at_boundary(shape, 0.1)
    made = worlds.month(
        worlds.calm, rows, TOGETHER, seed, after=worlds.shifted(by, sd), n_windows=720
    )
    over = worlds.by_the_rule(made) == worlds.Mark.EXCEEDS
    return int(over.sum()), over.size


def boundary(run: Run, batches: int) -> Iterator[str]:
    """How often one window exceeds when the true PSI is just what is tolerated."""
    yield from head("drift with a true PSI of .10", "n", "windows above the limit (95 %)")
    for place, shape in enumerate(("shift", "widening")):
        for n in (200, 1_000, 10_000):
            seeds = [SEED + 40_000 + 1_000 * place + n // 100 + 200 * b for b in range(batches)]
            found = run(partial(_boundary, shape, n), seeds)
            hit, windows = (sum(part[side] for part in found) for side in (0, 1))
            low, high = clopper_pearson(hit, windows)
            share = f"{percent(hit / windows)} ({percent(low)} to {percent(high)})"
            yield f"| {shape} | {n:,} | {share} |"


Run = Callable[[Callable[[int], object], list[int]], list]  # type: ignore[type-arg]


SECTIONS: dict[str, Callable[[Run, int], Iterator[str]]] = {
    "False episodes": false_episodes,
    "A mean that wanders": persistent_wobble,
    "Missing values that come and go": missing_values,
    "How late": delays,
    "At the limit": boundary,
}


def report(run: Run, months: int, only: str | None = None) -> Iterator[str]:
    """All tables, or one section, as Markdown."""
    batches = max(1, months // TOGETHER)
    n = batches * TOGETHER
    says = (
        f"Measured on {datetime.now(UTC).date()} by `make bench-alarms`: seed {SEED}, {n} "
        "feature-months a line."
    )
    if only is None:
        yield says
    for title, tables in SECTIONS.items():
        if only in (None, title):
            yield f"\n### {title}\n"
            if only is not None:
                yield f"{says}\n"
            yield from tables(run, batches)


def main() -> None:
    """Print the tables, and write them into the documentation if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--months", type=int, default=200, help="feature-months a line, in fifties")
    parser.add_argument("--only", choices=SECTIONS, help="one section instead of all")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/statistics.md"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    lines = []
    with ProcessPoolExecutor(options.jobs) as pool:

        def run(work: Callable[[int], object], seeds: list[int]) -> list[object]:
            return list(pool.map(work, seeds))

        for line in report(run, options.months, options.only):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        measured.put("statistics.md", lines, options.only)


if __name__ == "__main__":
    main()
