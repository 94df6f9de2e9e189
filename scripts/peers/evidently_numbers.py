"""Evidently's numbers beside Driftline's on the same frames.

Where both define a distance alike the numbers must be equal, and the script ends with an error
where they are not; where the definitions differ it prints both.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import environment
import numpy as np
import pandas as pd

from driftline.stats.calibration import unknown
from driftline.stats.evidence import Judge
from driftline.stats.judgement import Judgement
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import when
from driftline.stats.stack import Stack

SEED = 20_260_102
NUMBERS = ("normal", "lognormal", "zeros", "counts")
CATEGORIES = ("eight", "pair", "renamed")
FIRST, SECOND = 20_000, 5_000


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference of 20,000 rows and 5,000 rows that drifted."""
    rng = np.random.default_rng(SEED)

    def made(n: int, by: float) -> pd.DataFrame:
        eight = np.array(list("abcdefgh"))
        shares = np.arange(8, 0, -1) + by * np.arange(8) * 2
        return pd.DataFrame(
            {
                "normal": rng.normal(by, 1, n),
                "lognormal": rng.lognormal(by / 2, 1, n),
                "zeros": np.where(rng.random(n) < 0.7 - 0.2 * by, 0, rng.lognormal(size=n)),
                "counts": rng.poisson(30 + 3 * by, n).astype(float),
                "eight": rng.choice(eight, n, p=shares / shares.sum()),
                "pair": rng.choice(["yes", "no"], n, p=[0.3 + by / 5, 0.7 - by / 5]),
                # A tenth of the rows gets a name that the reference has never seen.
                "renamed": np.where(
                    rng.random(n) < 0.2 * by, "new", rng.choice(["x", "y"], n, p=[0.6, 0.4])
                ),
            }
        )

    return made(FIRST, 0.0), made(SECOND, 0.5)


def judged(reference: Reference, current: pd.DataFrame) -> Judgement:
    """The current frame as one window."""
    columns = {c: Column(current[c].to_numpy()) for c in NUMBERS}
    columns |= {c: Column(current[c].tolist()) for c in CATEGORIES}
    window = reference.gridset.count(columns, len(current), with_sums=True)[0]
    judge = Judge(reference, "all", "day", unknown(reference))
    return judge.judge(Stack.of([window]), when(np.array([0]), "UTC"))


@dataclass(frozen=True)
class Line:
    """One number of both; `is_same` None where the definitions differ."""

    feature: str
    name: str
    ours: str
    theirs: str
    is_same: bool | None


def lines() -> Iterator[Line]:
    """Every number that both have."""
    reference_frame, current = frames()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, frame in (("reference", reference_frame), ("current", current)):
            path = Path(folder) / f"{name}.csv"
            frame.to_csv(path, index=False)  # floats are written so that they read back equal
            paths.append(str(path))
        theirs = environment.run("evidently", *paths, ",".join(NUMBERS), ",".join(CATEGORIES))
    reference = build_reference(reference_frame)
    found = judged(reference, current)
    measures = found.measures
    assert measures is not None
    for f, name in enumerate(reference.gridset.names()):
        them = theirs[name]

        def ours(measure: str, f: int = f) -> float:
            return float(getattr(measures, measure)[0, f])

        psi = float(found.psi[0, f])
        yield Line(name, "PSI", f"{psi:.4f}", f"{them['psi']:.4f}", None)
        if name in NUMBERS:
            sigma = float(np.std(reference_frame[name]))
            low, high = ours("w1_low") / sigma, ours("w1_high") / sigma
            w1 = them["wasserstein"]
            inside = low * (1 - 1e-6) <= w1 <= high * (1 + 1e-6)
            yield Line(name, "W1 / sigma", f"{low:.4f} to {high:.4f}", f"{w1:.4f}", inside)
            # Ours is of the lower end of an interval: never smaller.
            p = ours("ks_p")
            yield Line(name, "KS p", f"{p:.2g}", f"{them['ks']:.2g}", p >= them["ks"] * 0.999)
            yield Line(name, "JS", f"{ours('js'):.4f}", f"{them['jensenshannon']:.4f}", None)
            yield Line(
                name, "Hellinger", f"{ours('hellinger'):.4f}", f"{them['hellinger']:.4f}", None
            )
        else:
            for says, measure, method in (
                ("JS", "js", "jensenshannon"), ("Hellinger", "hellinger", "hellinger"),
            ):  # fmt: skip
                # Ours are rounded to nine digits.
                same = abs(ours(measure) - them[method]) < 1e-8
                yield Line(name, says, f"{ours(measure):.6f}", f"{them[method]:.6f}", same)
            p = ours("chi_square_p")
            yield Line(name, "chi-square p", f"{p:.2g}", f"{them['chisquare']:.2g}", None)


def report() -> Iterator[str]:
    """One Markdown table; ends the program where numbers that must agree do not."""
    found = list(lines())
    yield f"Reference {FIRST:,} rows, current {SECOND:,}, seed {SEED}.\n"
    yield "| feature | distance | Driftline | Evidently | |"
    yield "|---|---|---|---|---|"
    words = {None: "another definition", True: "agrees", False: "DIFFERS"}
    rows = [
        f"| {line.feature} | {line.name} | {line.ours} | {line.theirs} | {words[line.is_same]} |"
        for line in found
    ]
    if any(line.is_same is False for line in found):
        print("\n".join(rows))
        sys.exit("numbers of one definition differ")
    yield from rows
