"""`driftline log`: files of rows and of events in a topic, and what it says of bad ones."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kafka_gate import KafkaGate
from logged import ids_of, records_in, rows_of
from pyarrow import parquet

from driftline.producer import MAX_RECORD_BYTES

COLUMNS = [
    "--model", "churn", "--version", "3", "--prediction", "class", "--score", "score",
    "--timestamp", "at", "--id", "customer",
]  # fmt: skip
AT_MS = 1_707_387_300_000  # 2024-02-08T10:15:00Z


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaGate]:
    with KafkaGate(tmp_path_factory.mktemp("broker") / "broker.log") as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[KafkaGate]:
    """A broker of the test's own."""
    with KafkaGate(tmp_path / "broker.log") as opened:
        yield opened


def run(*words: Any, kafka: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", "log", *map(str, words)]
    command += ["--kafka", kafka] if kafka else []
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def rows(n: int) -> dict[str, list[Any]]:
    return {
        "customer": [f"c{i}" for i in range(n)],
        "at": [f"2024-02-08T10:{i // 60 % 60:02}:{i % 60:02}Z" for i in range(n)],
        "age": [i * 0.5 for i in range(n)],
        "plan": ["pro" if i % 2 else "free" for i in range(n)],
        "class": ["stays"] * n,
        "score": [0.25] * n,
    }


def event(id: Any, **changes: Any) -> dict[str, Any]:
    return {
        "type": "prediction", "id": id, "model": "churn", "version": "3", "time": AT_MS,
        "features": {"age": 41}, "prediction": "stays",
    } | changes  # fmt: skip


def parquet_file(folder: Path, n: int) -> Path:
    columns = rows(n)
    table = pa.table(
        columns | {"at": pa.array([AT_MS + i for i in range(n)], pa.timestamp("ms", "UTC"))}
    )
    parquet.write_table(table, folder / "scored.parquet")
    return folder / "scored.parquet"


def csv_file(folder: Path, n: int) -> Path:
    columns = rows(n)
    with (folder / "scored.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return folder / "scored.csv"


@pytest.mark.parametrize("make", [parquet_file, csv_file])
def test_a_file_s_rows_are_in_the_topic_as_columns(
    make: Any, fresh: KafkaGate, tmp_path: Path
) -> None:
    done = run(make(tmp_path, 2_300), *COLUMNS, "--json", kafka=fresh.bootstrap)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["events"], told["records"], told["refused"]) == (2_300, 3, {})
    found = records_in(fresh.bootstrap, 2_300)
    assert ids_of(found) == sorted(f"c{i}" for i in range(2_300))
    assert all(record.headers and len(record.value) <= MAX_RECORD_BYTES for record in found)
    row = next(row for record in found for row in rows_of(record) if row["id"] == "c3")
    assert row["features"] == {"age": 1.5, "plan": "pro"}
    assert (row["model"], row["version"], row["prediction"]["score"]) == ("churn", "3", 0.25)


@pytest.mark.parametrize("make", [parquet_file, csv_file])
def test_the_scores_of_several_classes_are_named_as_at_registration(
    make: Any, fresh: KafkaGate, tmp_path: Path
) -> None:
    by_class = [word for pair in ("stays=age", "a=b=score") for word in ("--class-score", pair)]
    file = make(tmp_path, 10)
    done = run(file, *COLUMNS[:6], *COLUMNS[8:], *by_class, kafka=fresh.bootstrap)
    assert done.returncode == 0, done.stderr
    row = next(row for found in records_in(fresh.bootstrap, 10) for row in rows_of(found)
               if row["id"] == "c3")  # fmt: skip
    assert row["prediction"]["scores"] == {"stays": 1.5, "a=b": 0.25}
    assert row["features"] == {"plan": "pro"}
    assert run(file, *COLUMNS, "--class-score", "stays").returncode == 2


def test_events_are_written_as_they_are_and_bad_lines_told(
    fresh: KafkaGate, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    lines = [json.dumps(event(i)).encode() for i in range(1_200)]
    lines[4], lines[9] = b"{", json.dumps(event(9, time="2024-02-08T10:15:00")).encode()
    lines[11] = json.dumps(event(11, features={"x": "a" * 2_500_000})).encode()
    file.write_bytes(b"\n".join(lines) + b"\n\n")
    done = run(file, "--json", kafka=fresh.bootstrap)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["events"] == 1_197
    assert told["refused"] == {"bad_json": 1, "time_no_offset": 1, "oversized": 1}
    assert [fault["line"] for fault in told["faults"]] == [5, 10, 12]
    assert f"{file}:10: time_no_offset: 2024-02-08T10:15:00" in done.stderr
    wanted = [i for i in range(1_200) if i not in (4, 9, 11)]
    found = records_in(fresh.bootstrap, len(wanted))
    assert ids_of(found) == wanted
    assert found[0].value.split(b"\n")[0] in lines


def test_strict_writes_nothing_when_one_line_is_bad(gate: KafkaGate, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text("\n".join(json.dumps(event(i)) for i in range(10)))
    bad.write_text(json.dumps(event(1)) + "\n[]\n")
    before = gate.produced
    done = run(good, bad, "--strict", kafka=gate.bootstrap)
    assert done.returncode == 1
    assert "nothing was written (--strict)" in done.stdout
    assert f"{bad}:2: not_an_object" in done.stderr
    assert gate.produced == before
    done = run(good, "--strict", kafka=gate.bootstrap)
    assert (done.returncode, gate.produced > before) == (0, True)
    assert done.stdout == "10 events written to driftline.events, in 1 records\n"


def test_a_dry_run_needs_no_broker(tmp_path: Path) -> None:
    done = run(csv_file(tmp_path, 20), *COLUMNS, "--dry-run", "--json", kafka="127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["dry_run"], told["events"]) == (True, 20)


def test_a_broker_that_does_not_answer_is_one_line_and_2(tmp_path: Path) -> None:
    done = run(csv_file(tmp_path, 20), *COLUMNS, kafka="127.0.0.1:9")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("driftline: no Kafka broker answers at 127.0.0.1:9")
    assert line.endswith("--kafka HOST:PORT")


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"--prediction": "clas"}, 1, "class"),
        ({"--timestamp": "att"}, 1, "'at'"),
        ({"--timestamp": "plan"}, 1, "time"),
        ({"--id": "costumer"}, 1, "customer"),
        ({"--model": ""}, 2, "--model"),
        ({"--timezone": "Mars/Base"}, 1, "Mars/Base"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_written(
    changes: dict[str, str], code: int, said: str, gate: KafkaGate, tmp_path: Path
) -> None:
    before = gate.produced
    given = dict(zip(COLUMNS[::2], COLUMNS[1::2], strict=True)) | changes
    words = [word for pair in given.items() for word in pair]
    done = run(parquet_file(tmp_path, 20), *words, kafka=gate.bootstrap)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert gate.produced == before


def test_all_that_rows_do_not_say_is_asked_for_at_once_with_an_example(tmp_path: Path) -> None:
    file = tmp_path / "my rows.csv"
    file.write_text("at,class\n")
    done = run(file, "--version", "7")
    assert done.returncode == 2
    wanted, example = done.stderr.splitlines()
    assert wanted.endswith("add --model NAME --prediction COLUMN --timestamp COLUMN")
    assert example.endswith(
        f"driftline log '{file}' --model churn --version 7 --prediction class --timestamp at"
    )


def test_files_that_are_none_are_said(gate: KafkaGate, tmp_path: Path) -> None:
    liar, other = tmp_path / "liar.parquet", tmp_path / "rows.xlsx"
    liar.write_text("not Parquet at all")
    other.write_text("x")
    for file, code, said in (
        (liar, 1, "liar.parquet"),
        (other, 2, "only .parquet, .csv, .ndjson, .jsonl files are read"),
        (tmp_path / "nowhere.csv", 2, "there is no file"),
        (tmp_path, 2, "there is no file"),
    ):
        done = run(file, *COLUMNS, kafka=gate.bootstrap)
        assert done.returncode == code, file
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    events = tmp_path / "events.ndjson"
    events.write_text(json.dumps(event(1)))
    done = run(events, *COLUMNS, kafka=gate.bootstrap)
    assert done.returncode == 2
    assert "events as they are" in done.stderr


def test_it_imports_nothing_of_the_service() -> None:
    code = (
        "import sys, monitor.cli.log; found = {'sqlalchemy', 'structlog', 'fastapi', 'dash', "
        "'kafka', 'pyarrow', 'pandas'} & set(sys.modules); print(sorted(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WITHOUT_PYARROW = """
import sys
from importlib.abc import MetaPathFinder
class No(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pyarrow", "pandas", "sqlalchemy", "structlog", "fastapi"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, No())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pyarrow" else real(name, *rest)
from monitor.cli import main
main()
"""


def test_without_pyarrow_rows_are_ndjson_and_parquet_names_the_extra(
    fresh: KafkaGate, tmp_path: Path
) -> None:
    def run_bare(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_PYARROW, "log", str(file), *COLUMNS]
        command += ["--kafka", fresh.bootstrap]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    done = run_bare(csv_file(tmp_path, 1_500))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1,500 events written to driftline.events, in 2 records\n"
    found = records_in(fresh.bootstrap, 1_500)
    assert not any(record.headers for record in found)
    assert ids_of(found) == sorted(f"c{i}" for i in range(1_500))
    row = next(row for record in found for row in rows_of(record) if row["id"] == "c3")
    assert row["features"] == {"age": 1.5, "plan": "pro"}
    assert row["prediction"] == {"value": "stays", "score": 0.25}

    done = run_bare(parquet_file(tmp_path, 10))
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "driftline[arrow]" in line
