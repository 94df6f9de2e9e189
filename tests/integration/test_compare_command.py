"""`driftline compare` on files, as a CI job or a person runs it."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from driftline import compare
from driftline.errors import InvalidFrame
from monitor.cli import tables
from monitor.cli.app import app

DRIFTLINE = [sys.executable, "-m", "monitor.cli"]
AS = ("--prediction", "says", "--score", "p", "--label", "left", "--timestamp", "at")


def frame(n: int, seed: int, first: str, shift: int = 0) -> pd.DataFrame:
    """Twenty-one days; `at` in whole seconds, as text would have it."""
    draw = np.random.default_rng(seed)
    seconds = np.sort(draw.integers(0, 21 * 86_400, n))
    return pd.DataFrame(
        {
            "age": draw.integers(18, 90, n) + shift,
            "income": np.where(draw.random(n) < 0.1, np.nan, draw.lognormal(8, 1, n).round(2)),
            "plan": draw.choice(["basic", "pro", "007", None], n, p=[0.6, 0.3, 0.05, 0.05]),
            "is_new": draw.random(n) < 0.3,
            "says": draw.choice(["leaves", "stays"], n, p=[0.2, 0.8]),
            "p": draw.beta(2, 6, n).round(3),
            "left": draw.integers(0, 2, n),
            "at": pd.Timestamp(first, tz="UTC") + pd.to_timedelta(seconds, unit="s"),
        }
    )


BEFORE = frame(2_500, 1, "2026-03-02")
SAME = frame(1_500, 2, "2026-03-23")
OLDER = frame(1_500, 3, "2026-03-23", shift=20)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """The frame in the form that the name asks for; `.events.ndjson` are events."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.assign(at=frame["at"].map(pd.Timestamp.isoformat)).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(frame, path)))
    return path


def rows(frame: pd.DataFrame, path: Path) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None).to_dict("records")
    for row in plain:
        row["at"] = row["at"].isoformat()
    if ".events" not in path.name:
        return plain
    label = {"type": "label", "id": "a", "model": "m", "time": plain[0]["at"], "label": 1}
    return [
        *(
            {
                "type": "prediction",
                "model": "m",
                "version": "1",
                "time": row["at"],
                "features": {name: row[name] for name in ("age", "income", "plan", "is_new")},
                "prediction": {"class": row["says"], "score": row["p"]},
            }
            for row in plain
        ),
        label,
    ]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def found(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.fixture(scope="module")
def wanted() -> list[dict[str, Any]]:
    """What the SDK says of the frames themselves, as JSON has it."""
    told = compare(BEFORE, OLDER, prediction="says", score="p", label="left", timestamp="at")
    rows: list[dict[str, Any]] = json.loads(json.dumps(told.to_dicts()))
    return rows


@pytest.mark.parametrize(
    ("a", "b", "has_pyarrow"),
    [
        ("a.parquet", "b.parquet", True),
        *(
            (a, b, has_pyarrow)
            for has_pyarrow in (True, False)
            for a, b in (
                ("a.csv", "b.csv"),
                ("a.ndjson", "b.jsonl"),
                ("a.csv", "b.ndjson"),
                ("a.ndjson", "b.events.ndjson"),
            )
        ),
    ],
)
def test_every_kind_of_file_says_what_the_frames_say(
    a: str,
    b: str,
    has_pyarrow: bool,
    tmp_path: Path,
    wanted: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right = write(BEFORE, tmp_path / a), write(OLDER, tmp_path / b)
    if not has_pyarrow:
        hide_pyarrow(monkeypatch)
    told = found(run(left, right, *AS, "--json"))
    assert told["features"] == wanted
    assert told["verdict"] == "critical" and told["rows_current"] == 1_500


def test_events_need_no_names_of_columns(tmp_path: Path, wanted: list[dict[str, Any]]) -> None:
    left = write(BEFORE, tmp_path / "a.events.ndjson")
    right = write(OLDER, tmp_path / "b.events.ndjson")
    assert found(run(left, right, "--json"))["features"] == wanted


def hide_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)


def test_without_pyarrow_parquet_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(SAME, tmp_path / "a.parquet")
    hide_pyarrow(monkeypatch)
    assert "pip install 'driftline[arrow]'" in str(run(file, file).exception)


def test_the_table_is_printed_worst_first(tmp_path: Path) -> None:
    done = run(write(BEFORE, tmp_path / "a.csv"), write(OLDER, tmp_path / "b.csv"), *AS)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "critical: 1 of 6 features drifted, 1,500 rows against 2,500"
    assert lines[2].split()[:4] == ["feature", "verdict", "PSI", "limit"]
    assert lines[3].split()[:2] == ["age", "critical"]
    assert "\x1b" not in done.stdout


def test_the_object_says_by_which_rule_it_was_judged(tmp_path: Path) -> None:
    a, b = write(BEFORE, tmp_path / "a.csv"), write(OLDER, tmp_path / "b.csv")
    told = found(run(a, b, *AS, "--json", "--profile", "quiet", "--limit", "age:ks=0.1,0.2"))
    assert (told["profile"], told["limits"]) == ("quiet", ["age:ks=0.1,0.2"])
    told = found(run(a, b, *AS, "--json"))
    assert (told["profile"], told["limits"]) == ("standard", [])


def test_more_features_than_a_screen_holds_are_shown_when_asked(tmp_path: Path) -> None:
    wide = pd.DataFrame({f"f{i:02}": np.arange(500) % (i + 2) for i in range(30)})
    wide.to_parquet(tmp_path / "a.parquet")
    file = tmp_path / "a.parquet"
    assert "... and 10 more, none of them worse" in run(file, file).stdout
    assert run(file, file, "--all").stdout.count("natural wobble unknown") == 31
    only = found(run(file, file, "--feature", "f03", "--feature", "f04", "--json"))
    assert [row["feature"] for row in only["features"]] == ["f03", "f04"]
    assert not any(note.startswith("not compared") for note in only["notes"])


@pytest.mark.parametrize(
    ("current", "fail_on", "code"),
    [
        (SAME, "warning", 0),
        (OLDER, "critical", 1),
        (OLDER, "warning", 1),
        (OLDER, None, 0),
    ],
)
def test_a_job_fails_on_the_verdict_it_names(
    current: pd.DataFrame, fail_on: str | None, code: int, tmp_path: Path
) -> None:
    files = write(BEFORE, tmp_path / "a.parquet"), write(current, tmp_path / "b.parquet")
    options = [] if fail_on is None else ["--fail-on", fail_on]
    assert run(*files, *AS, *options).exit_code == code


def test_without_times_a_job_fails_on_a_warning_only(tmp_path: Path) -> None:
    files = [
        write(frame.drop(columns="left"), tmp_path / name)
        for frame, name in ((BEFORE, "a.parquet"), (OLDER, "b.parquet"))
    ]
    assert run(*files, "--exclude", "at", "--fail-on", "critical").exit_code == 0
    assert run(*files, "--exclude", "at", "--fail-on", "warning").exit_code == 1


def test_a_word_in_a_column_of_numbers_is_one_wrong_value(tmp_path: Path) -> None:
    left, right = write(BEFORE, tmp_path / "a.csv"), write(SAME, tmp_path / "b.csv")
    text = right.read_text().splitlines()
    for line in range(1, 501):
        text[line] = ",".join(["unknown", *text[line].split(",")[1:]])
    right.write_text("\n".join(text))
    for is_plain in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if is_plain:
                hide_pyarrow(patch)
            [age] = [
                row
                for row in found(run(left, right, *AS, "--json"))["features"]
                if row["feature"] == "age"
            ]
        assert "of the wrong type 0 % → 33 % of 1,500 rows" in age["why"].replace("\u00a0", " ")
        assert age["psi"] is not None


def test_a_page_is_written_that_stands_alone(tmp_path: Path) -> None:
    file = write(BEFORE, tmp_path / "a.parquet")
    assert run(file, file, *AS, "--html", tmp_path / "drift.html").exit_code == 0
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "ok: 0 of 6 features drifted" in page
    refused = run(file, file, *AS, "--html", tmp_path / "nowhere" / "drift.html")
    assert refused.exit_code == 2 and "cannot be written" in refused.stderr


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.txt", b"a\n1\n", "only .parquet, .csv, .ndjson and .jsonl files are read"),
        ("x.csv", b"", "cannot be read"),
        ("x.csv", b"a,a\n1,2\n", "column 'a' appears 2 times"),
        ("x.csv", b"a,b\n1\n", "cannot be read"),
        ("x.csv", "größe\n1\n".encode("latin-1"), "save it as UTF-8"),
        ("x.parquet", b"nothing", "cannot be read"),
        ("x.ndjson", b"", "it has no rows"),
        ("x.ndjson", b'{"a": 1}\n[1]\n', "line 2 is no JSON object"),
        ("x.ndjson", b'{"type":"prediction","model":"m","time":"2026"}\n', "line 1 is no event"),
        ("x.ndjson", b'{"b": 1}\n', "no column in common"),
    ],
)
@pytest.mark.parametrize("has_pyarrow", [True, False])
def test_a_file_that_cannot_be_read_is_one_line_and_two(
    name: str,
    content: bytes,
    says: str,
    has_pyarrow: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.ndjson").write_text('{"a": 1}\n{"a": 2}\n')
    if not has_pyarrow and name != "x.parquet":
        hide_pyarrow(monkeypatch)
    done = run(tmp_path / "good.ndjson", tmp_path / name, "--fail-on", "warning")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.startswith("driftline: ") and done.stderr.count("\n") == 1


def test_what_is_asked_wrongly_is_two(tmp_path: Path) -> None:
    file = write(SAME, tmp_path / "a.parquet")
    assert run(file).exit_code == 2
    assert run(file, tmp_path / "absent.csv").exit_code == 2
    assert run(file, file, "--fail-on", "doom").exit_code == 2
    assert run(file, file, "--timestamp", "never").exit_code == 2
    assert run(file, file, *AS, "--length", "week").exit_code == 2
    for given, says in (
        (("--timestamp", "never"), "--timestamp: there is no column 'never'"),
        (("--feature", "spend"), "--feature: there is no column 'spend'"),
        (("--exclude-slice", "2026-13-45"), "--timestamp names their column"),
        ((*AS, "--exclude-slice", "2026-13-45"), "--exclude-slice: '2026-13-45' is neither"),
        ((*AS, "--exclude-slice", "1999-01-01"), "--exclude-slice: no row is in 1999-01-01"),
    ):
        done = run(file, file, *given)
        assert done.exit_code == 2 and says in done.stderr
        assert "exclude_slices" not in done.stderr


def test_cells_are_the_same_values_with_and_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "whole,number,truth,text,day,empty,mixed,quoted\n"
        '1,1.5,true,NA,2026-01-02,,1,"a,""b"""\n'
        '-2,NaN,FALSE,,2026-01-03,,x," "\n'
        ",3e2,,x7,,,,c\n",
        encoding="utf-8-sig",
    )
    with_arrow = tables.read(path).frame.to_pydict()
    hide_pyarrow(monkeypatch)
    plain = tables.read(path).frame
    days = [None if day is None else day.date() for day in plain["day"]]
    assert plain | {"day": days} == with_arrow
    assert plain["text"] == ["NA", None, "x7"]
    assert plain["empty"] == [None, None, None]


def test_a_reference_is_registered_from_the_same_kinds_of_files(tmp_path: Path) -> None:
    read = tables.read(write(BEFORE, tmp_path / "a.events.ndjson"))
    assert read.outputs(None, None, None) == ("prediction", "prediction.score", "time")
    with pytest.raises(InvalidFrame, match="there is no file"):
        tables.read(tmp_path / "absent.csv")


def test_events_name_the_columns_of_their_classes_scores(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    event = {"type": "prediction", "model": "m", "version": "1", "time": "2024-02-08T10:15:00Z"}
    said = [{"class": "a", "scores": {"a": 0.7, "b": 0.3}}, {"class": "c", "scores": {"c": 1.0}}]
    lines = [json.dumps({**event, "features": {"x": 1}, "prediction": one}) for one in said]
    file.write_text("\n".join(lines))
    read = tables.read(file)
    assert read.class_scores({}) == {name: f"prediction.scores.{name}" for name in "abc"}
    assert read.frame["prediction.scores.a"] == [0.7, None]
    assert read.class_scores({"a": "other"})["a"] == "other"


def test_the_process_loads_nothing_of_the_service(tmp_path: Path) -> None:
    file = write(BEFORE, tmp_path / "a.ndjson")
    code = (
        "import sys; from monitor.cli import main\n"
        "try: main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "compare", str(file), str(file), *AS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ok: ")
    service = {"sqlalchemy", "fastapi", "dash", "kafka", "structlog", "uvicorn", "plotly"}
    assert not service & set(done.stderr.split())
    assert not {"pandas", "polars"} & set(done.stderr.split())


def test_the_help_teaches_with_an_example() -> None:
    said = run("--help").stdout
    assert "driftline compare january.parquet july.parquet --timestamp time" in said
    assert "Exit codes" in said


def test_notes_speak_of_options_and_not_of_arguments(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    for file in (a, b):
        file.write_text("x,Class\n" + "1,0\n2,1\n" * 200)
    page = tmp_path / "page.html"
    told = run(a, b, "--html", page)
    assert told.exit_code == 0
    words = " ".join(told.output.split())
    assert "(--timestamp gives them)" in words
    assert "--prediction 'Class'" in words
    for said in (told.output, page.read_text()):
        assert not re.search(r"(?<![\w-])(timestamp|prediction|label|score)=", said)
