"""NannyML's own logs through Driftline's whole service, beside NannyML's alarms.

Each log is a service of its own: `driftline up` with the embedded broker, the reference
registered, the analysis period logged as events, what was told read from the API; once with the
windows a model gets by default, once with windows of 28 days too, which are for models with few
rows. The truth is in the logs: they are drawn from one distribution for half of the analysis
period and from another after it, so each half is compared with the reference here (two-sample
tests, p below 1e-6, of 25,000 rows), and nothing else decides what counts as changed. What
NannyML's own pages say has drifted stands beside it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environment
import numpy as np
import pandas as pd
from scipy import stats

from driftline import Client, compare
from driftline.stats.lengths import DEFAULT_LENGTHS, LENGTHS

# The logs that NannyML ships with a known change.
LOGS = ("synthetic_binary", "car_loan", "car_loan_quality")
# What NannyML's pages name as changed: the insights of its quick start, which used the first log
# up to 0.8.3 and the second since, and the page of the third. Nothing is said of outputs there.
NAMED = {
    "synthetic_binary": {
        "distance_from_office", "salary_range", "public_transportation_cost", "wfh_prev_workday",
    },
    "car_loan": {"loan_length", "salary_range", "car_value", "repaid_loan_on_prev_car"},
    "car_loan_quality": {"salary_range", "driver_tenure", "size_of_downpayment"},
}  # fmt: skip
# As `ask_nannyml` cuts them.
CHUNK = 5_000
# Told by default, and with windows for models with few rows.
WINDOWS = (DEFAULT_LENGTHS, LENGTHS)
OUTPUTS = {"y_pred": "prediction", "y_pred_proba": "prediction.score"}
NO_FEATURE = ("id", "identifier", "period", "work_home_actual", "repaid")
# A feature counts as changed between the halves below this; 30 tests make it once in 30,000.
CERTAIN = 1e-6
# Missing values count as changed from half a point on.
LEAST = 0.005
WAIT_S = 900


@dataclass(frozen=True)
class Log:
    """One log: its reference, its analysis period, when it changes."""

    name: str
    reference: pd.DataFrame
    analysis: pd.DataFrame

    @property
    def features(self) -> list[str]:
        """What is watched, as NannyML names it."""
        return [c for c in self.analysis.columns if c not in (*NO_FEATURE, "timestamp")]

    @property
    def changes_at(self) -> pd.Timestamp:
        """The first row of the second half, UTC."""
        return self.analysis["timestamp"].iloc[len(self.analysis) // 2]


def read(folder: Path, name: str) -> Log:
    """What `ask_nannyml` wrote; words stay words."""
    reference, analysis = (
        pd.read_csv(folder / f"{name}-{part}.csv") for part in ("reference", "analysis")
    )
    for frame in (reference, analysis):
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601", utc=True)
    return Log(name, reference, analysis)


def truth(log: Log) -> dict[str, tuple[str, str]]:
    """For each feature what is different from the reference in the first and the second half."""
    half = len(log.analysis) // 2
    parts = (log.analysis.iloc[:half], log.analysis.iloc[half:])
    return {
        name: (_changes(log.reference[name], parts[0][name]),
               _changes(log.reference[name], parts[1][name]))
        for name in log.features
    }  # fmt: skip


def _changes(reference: pd.Series, part: pd.Series) -> str:
    """What is different, in words; empty if nothing is."""
    says = []
    if _differ(reference, part) < CERTAIN:
        says.append("distribution")
    before, after = reference.isna().mean(), part.isna().mean()
    if abs(after - before) > LEAST:
        says.append(f"missing {before:.0%} -> {after:.0%}")
    if part.dtype.kind in "OSU":
        new = float((~part.dropna().isin(reference.dropna().unique())).mean())
        if new > 0:
            says.append(f"new value in {new:.1%}")
    return ", ".join(says)


def _differ(a: pd.Series, b: pd.Series) -> float:
    """The p-value of the values that are there: two-sample KS, chi-square for few values."""
    a, b = a.dropna(), b.dropna()
    if a.dtype.kind == "f" and a.nunique() > 50:
        return float(stats.ks_2samp(a, b, method="asymp").pvalue)
    table = np.stack(
        [side.astype(str).value_counts().reindex(_names(a, b), fill_value=0) for side in (a, b)]
    )
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _names(a: pd.Series, b: pd.Series) -> list[str]:
    return sorted({*a.astype(str), *b.astype(str)})


def psi(log: Log) -> dict[str, str]:
    """How large the change of each feature is: PSI of the second half as one window."""
    second = log.analysis[log.features].iloc[len(log.analysis) // 2 :]
    rows = compare(log.reference[log.features], second).rows
    return {row.feature: "-" if row.psi is None else f"{row.psi:.3f}" for row in rows}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(folder: Path) -> Iterator[tuple[Client, str]]:
    """`driftline up` in a folder; its client and its broker's address."""
    port, broker_port = _free_port(), _free_port()
    command = [sys.executable, "-m", "monitor.cli", "up", "--port", str(port)]
    command += ["--broker-port", str(broker_port), "--database", f"sqlite:///{folder / 'peer.db'}"]
    # The log ends: what was the last window is to be judged soon after.
    quick = {
        "DRIFTLINE_EVALUATE__IDLE_TIMEOUT_S": "5",
        # A pass judges three weeks: a log of three years takes sixty.
        "DRIFTLINE_EVALUATE__INTERVAL_S": "1",
        "DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "2",
    }
    with (folder / "up.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | quick, stdout=output, stderr=output
        )
        try:
            with Client(f"http://127.0.0.1:{port}", timeout_s=60) as client:
                _until(lambda: _answers(client), process, folder)
                yield client, f"127.0.0.1:{broker_port}"
        finally:
            process.terminate()
            process.wait(60)


def _answers(client: Client) -> bool:
    try:
        client.status()
    except Exception:  # noqa: BLE001  not there yet, whatever it says
        return False
    return True


def _until(is_true: Any, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the service ended or is stuck: {(folder / 'up.log').read_text()[-2_000:]}")
        time.sleep(0.5)


def replay(log: Log, windows: Sequence[str]) -> list[dict[str, Any]]:
    """Incidents of the log judged by these windows, the first first, as the API tells them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "analysis.csv"
        kept = [*log.features, "timestamp"]
        log.analysis[kept].to_csv(path, index=False)
        with service(folder) as (client, broker):
            client.register_reference(
                log.name, "1", log.reference[kept], prediction="y_pred", score="y_pred_proba",
                timestamp="timestamp",
            )  # fmt: skip
            client.set_monitor(log.name, windows=windows)
            command = [sys.executable, "-m", "monitor.cli", "log", str(path), "--model", log.name]
            command += ["--version", "1", "--prediction", "y_pred", "--score", "y_pred_proba"]
            command += ["--timestamp", "timestamp", "--kafka", broker]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            last = log.analysis["timestamp"].iloc[-1]
            # The last window that is over ended within the day before the last event.
            over = last - pd.Timedelta(days=1)
            _until_judged(client, over, folder)
            found = list(client.incidents(log.name, limit=1_000))
    return [
        {
            "feature": one.feature,
            "kind": one.kind,
            "severity": one.severity,
            "opened": pd.Timestamp(one.opened_at),
            "summary": one.summary,
        }
        for one in sorted(found, key=lambda one: one.opened_at)
        if one.segment == "all"
    ]


def _until_judged(client: Client, over: pd.Timestamp, folder: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        status = client.status()
        if status.judged_to is not None and pd.Timestamp(status.judged_to) >= over:
            return
        if time.monotonic() > deadline:
            sys.exit(f"not judged to {over}: {status}\n{(folder / 'up.log').read_text()[-2_000:]}")
        time.sleep(1)


def lines(log: Log, theirs: dict[str, dict[str, list[bool]]]) -> Iterator[str]:
    """One Markdown table: a feature a line."""
    real, sizes = truth(log), psi(log)
    told = [replay(log, windows) for windows in WINDOWS]
    columns = ("feature", "changed, first half", "second half", "PSI of the second half")
    columns += ("NannyML's pages name it",)
    columns += ("Driftline told", "with 28 days too", "NannyML, first half", "second half")
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    misses: list[list[str]] = [[] for _ in WINDOWS]
    false: list[list[str]] = [[] for _ in WINDOWS]
    for name in log.features:
        cells = [changed or "-" for changed in real[name]]
        cells += [sizes[name], "yes" if name in NAMED[log.name] else "-"]
        for i, found in enumerate(told):
            ours = [one for one in found if one["feature"] == OUTPUTS.get(name, name)]
            cells.append("; ".join(_says(one, log) for one in ours) or "-")
            for is_second, changed in enumerate(real[name]):
                here = [one for one in ours if (one["opened"] >= log.changes_at) == is_second]
                if changed and not here and (is_second or not ours):
                    misses[i].append(name)
                if not changed:
                    false[i] += [f"{name} ({one['kind']})" for one in here]
        cells += [_chunks(theirs, name, half) for half in (slice(0, 5), slice(5, 10))]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield (
        f"By default Driftline missed {_listed(misses[0])}, with 28 days too {_listed(misses[1])}; "
        f"it told without a change: {_listed(false[0])} and {_listed(false[1])}."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _says(one: dict[str, Any], log: Log) -> str:
    days = (one["opened"] - log.changes_at) / pd.Timedelta(days=1)
    when = f"{abs(days):.1f} days {'after' if days >= 0 else 'before'} the change"
    return f"{one['kind']}, {one['severity']}, {when}"


def _chunks(theirs: dict[str, dict[str, list[bool]]], name: str, half: slice) -> str:
    says = [
        f"{check} {sum(alarms[name][half])} of 5"
        for check, alarms in theirs.items()
        if any(alarms.get(name, [])[half])
    ]
    return ", ".join(says) or "-"


def report(name: str) -> Iterator[str]:
    """A sentence and a table of one log."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = environment.run("nannyml", folder, name)
        log = read(Path(folder), name)
        at = log.analysis["timestamp"]
        days = (at.iloc[-1] - at.iloc[0]).days
        chunk = (at.iloc[len(at) // 2 + CHUNK - 1] - log.changes_at) / pd.Timedelta(days=1)
        yield (
            f"{len(log.reference):,} + {len(log.analysis):,} rows, about "
            f"{len(log.analysis) / days:.0f} a day; the change begins on {log.changes_at.date()}, "
            f"and the first chunk after it is complete {chunk:.1f} days later.\n"
        )
        yield from lines(log, theirs)
