"""Speed of `compare` and `build_reference` on wide frames: `make bench-compare`.

20 columns of floats and 5 of strings; a reference of 100,000 rows, 1,000,000 current ones.
Every contender has a process of its own, one core and one thread, and the frames in memory
already. Medians of several runs, beside the bare line that finds a bin and counts it. Run it
on an idle machine.

`ARGS=--peers` runs Evidently, NannyML, whylogs and scipy on the same frames, too: the first
three are installed once, each into an environment of its own under .venv/peers. Rows a second
and the ratio are by processor time, which other programs disturb less; memory is what was
needed above the frames, in current frames.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import environment
import measured

FLOATS, STRINGS = 20, 5
REFERENCE, CURRENT = 100_000, 1_000_000
# The heading under which docs/peers.md has the table.
SECTION: Final = "Speed"
COLUMNS: Final = ("", "wall s", "processor s", "rows/s", "times ours", "memory", "ns a value")
PEERS: Final = tuple(packages[0] for packages in environment.PACKAGES.values())


class Contender(NamedTuple):
    """What is timed: in which environment, how often, and of how many rows."""

    name: str
    run: str
    times: int
    peer: str | None = None


OURS: Final = (
    Contender("driftline.compare, reference built", "compare", 9),
    Contender("of which counting", "tally", 9),
    Contender("of which counting the floats", "floats", 9),
    Contender("the bare line: bins and bincount, floats", "bare", 9),
    Contender("driftline.compare of two frames", "compare_frames", 5),
    Contender("build_reference with slices, 1M rows", "build", 3),
)
OTHERS: Final = (
    Contender("scipy ks_2samp, floats alone", "scipy_ks", 1),
    Contender("NannyML, univariate, one chunk", "nannyml", 1, "nannyml"),
    Contender("whylogs, a profile of the current rows", "whylogs", 1, "whylogs"),
    Contender("Evidently, KS and PSI", "evidently_ks_psi", 1, "evidently"),
    Contender("Evidently, DataDriftPreset as it is", "evidently", 1, "evidently"),
)


# -- in the contender's process: only what its environment has ------------------------------


def frames(folder: Path) -> tuple[Any, Any]:
    """The reference and the current rows, as pandas has them."""
    pandas = importlib.import_module("pandas")
    return tuple(pandas.read_parquet(folder / f"{name}.parquet") for name in ("before", "after"))


def compare(before: Any, after: Any) -> Callable[[], Any]:
    """All statistics and verdicts against a reference that is built already."""
    import driftline

    made = driftline.profile(before)
    return lambda: driftline.compare(made, after)


def compare_frames(before: Any, after: Any) -> Callable[[], Any]:
    """The same, the reference's grids included."""
    import driftline

    return lambda: driftline.compare(before, after)


def tally(before: Any, after: Any) -> Callable[[], Any]:
    """Counts, sums and ranges alone."""
    import driftline
    from driftline.comparing.counting import count_frame

    made = driftline.profile(before)
    return lambda: count_frame(after, made, sources={}, no_features=(), timestamp=None)


def floats(before: Any, after: Any) -> Callable[[], Any]:
    """Counts, sums and ranges of the floats alone."""
    names = list(before)[:FLOATS]
    return tally(before[names], after[names])


def bare(before: Any, after: Any) -> Callable[[], Any]:
    """float32, bin, count, in slices that stay in the cache; no sums, no range, no NaN."""
    import numpy as np

    import driftline
    from driftline.stats.coding import SLICE_ROWS

    features = driftline.profile(before[list(before)[:FLOATS]]).gridset.features
    columns = [after[feature.name].to_numpy() for feature in features]
    grids: list[Any] = [feature.grid for feature in features]

    def run() -> None:
        for grid, x in zip(grids, columns, strict=True):
            for start in range(0, len(x), SLICE_ROWS):
                part = x[start : start + SLICE_ROWS].astype(np.float32)
                np.bincount(grid.bins(part), minlength=grid.n_bins)

    return run


def build(before: Any, after: Any) -> Callable[[], Any]:
    """A reference of the large frame, with 232 days of slices."""
    import pandas as pd

    from driftline.stats.reference import build_reference

    at = pd.date_range("2024-01-01", periods=len(after), freq="20s", tz="UTC")
    timed = after.assign(at=at)
    return lambda: build_reference(timed, timestamp="at")


def scipy_ks(before: Any, after: Any) -> Callable[[], Any]:
    """The exact two-sample statistic of each column of floats."""
    from scipy import stats

    pairs = [(before[name].to_numpy(), after[name].to_numpy()) for name in list(before)[:FLOATS]]
    return lambda: [stats.ks_2samp(*pair, method="asymp") for pair in pairs]


def nannyml(before: Any, after: Any) -> Callable[[], Any]:
    """Fit and calculate, with its own choice of methods."""
    library = importlib.import_module("nannyml")

    def run() -> None:
        calculator = library.UnivariateDriftCalculator(
            column_names=list(before), chunk_number=1, treat_as_categorical=list(before)[FLOATS:]
        )
        calculator.fit(before)
        calculator.calculate(after)

    return run


def whylogs(before: Any, after: Any) -> Callable[[], Any]:
    """Profile the current rows, no comparison yet."""
    library = importlib.import_module("whylogs")
    return lambda: library.log(after).view()


def evidently(before: Any, after: Any) -> Callable[[], Any]:
    """The preset as its documentation calls it."""
    return _evidently(before, after)


def evidently_ks_psi(before: Any, after: Any) -> Callable[[], Any]:
    """The preset with KS for numbers and PSI for categories."""
    return _evidently(before, after, num_method="ks", cat_method="psi")


def _evidently(before: Any, after: Any, **methods: str) -> Callable[[], Any]:
    library = importlib.import_module("evidently")
    presets = importlib.import_module("evidently.presets")

    def run() -> None:
        report = library.Report([presets.DataDriftPreset(**methods)])
        report.run(reference_data=before, current_data=after).dict()

    return run


RUNS: Final[dict[str, Callable[[Any, Any], Callable[[], Any]]]] = {
    run.__name__: run
    for run in (
        *(compare, tally, floats, bare, compare_frames, build),
        *(scipy_ks, nannyml, whylogs, evidently, evidently_ks_psi),
    )
}


def measure(name: str, folder: Path, times: int) -> dict[str, float]:
    """Seconds of each run after a small one, and how far memory grew above the frames."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    before, after = frames(folder)
    # Imports, caches and tables are made by a run of a part.
    RUNS[name](before[:20_000], after[:20_000])()
    run = RUNS[name](before, after)
    held = _peak_bytes(anew=True)
    seconds, cpu = [], []
    for _ in range(times):
        wall_at, cpu_at = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - wall_at)
        cpu.append(time.process_time() - cpu_at)
    data = int(after.memory_usage(deep=True).sum())
    return {
        "seconds": statistics.median(seconds),
        "cpu": statistics.median(cpu),
        "grew": (_peak_bytes() - held) / data,
    }


def _peak_bytes(*, anew: bool = False) -> int:
    """The most memory held since the start, or since it was last asked for anew."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024


# -- in the process that was called ---------------------------------------------------------


def write_frames(folder: Path, reference: int, current: int) -> None:
    """The frames of all contenders; the current one is shifted a little."""
    import numpy as np
    import pandas as pd

    for name, rows, seed, shift in (("before", reference, 0, 0.0), ("after", current, 1, 0.1)):
        rng = np.random.default_rng(seed)
        columns: dict[str, Any] = {}
        for i in range(FLOATS):
            x = rng.normal(shift, 1, rows)
            columns[f"x{i}"] = np.exp(x) if i % 2 else x
        for i in range(STRINGS):
            words = np.array([f"level {k}" for k in range(4 + 8 * i)])
            columns[f"s{i}"] = words[rng.integers(0, len(words), rows)]
        pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")


def contend(contender: Contender, folder: Path) -> dict[str, float] | str:
    """Run one in its process; what went wrong, where it does not end well."""
    one_thread = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    variables = os.environ | environment.QUIET
    variables |= {f"{name}_NUM_THREADS": "1" for name in one_thread}
    python = environment.python_of(contender.peer) if contender.peer else sys.executable
    command = [str(python), __file__, "--run", contender.run]
    done = subprocess.run(
        [*command, "--folder", str(folder), "--times", str(contender.times)],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def row(contender: Contender, result: dict[str, float] | str, ours: Any, rows: int) -> list[str]:
    """The cells of a line."""
    if isinstance(result, str):
        return [contender.name, f"failed: {result}", *[""] * (len(COLUMNS) - 2)]
    wall, cpu = result["seconds"], result["cpu"]
    each = cpu / (rows * FLOATS) * 1e9 if contender.run in ("floats", "bare") else None
    return [
        contender.name,
        f"{wall:.3f}",
        f"{cpu:.3f}",
        f"{rows / cpu:,.0f}",
        f"{cpu / ours['cpu']:.1f}" if isinstance(ours, dict) else "",
        f"{result['grew']:.2f}",
        "" if each is None else f"{each:.1f}",
    ]


def main() -> None:
    """Print a line for each contender; end with an error where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peers", action="store_true", help="run other tools, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help="with --peers: to docs/peers.md")
    parser.add_argument("--reference", type=int, default=REFERENCE, help="rows")
    parser.add_argument("--current", type=int, default=CURRENT, help="rows")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write and not asked.peers:
        parser.error("--write needs --peers: the table of docs/peers.md has them all")
    if asked.run:
        print(json.dumps(measure(asked.run, asked.folder, asked.times)))
        return
    found: dict[str, Any] = {}
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    if not asked.json:
        print("\n".join(lines))
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        write_frames(folder, asked.reference, asked.current)
        for contender in (*OURS, *(OTHERS if asked.peers else ())):
            result = contend(contender, folder)
            found[contender.name] = result
            cells = row(contender, result, found[OURS[0].name], asked.current)
            lines.append(f"| {' | '.join(cells)} |")
            if not asked.json:
                print(lines[-1], flush=True)
    if asked.json:
        print(json.dumps(found, indent=1))
    if failed := [name for name, result in found.items() if isinstance(result, str)]:
        sys.exit(f"failed: {', '.join(failed)}")
    if asked.write:
        when = f"Measured on {datetime.now(UTC).date()} by `make bench-compare`"
        says = f"{when}: {asked.reference:,} + {asked.current:,} rows, {FLOATS} columns of floats,"
        says += f" {STRINGS} of strings, one core. {', '.join(PEERS)}."
        measured.put("peers.md", [f"### {SECTION}", "", says, "", *lines], SECTION)


if __name__ == "__main__":
    main()
