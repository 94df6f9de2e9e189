"""The bench's pure parts, and one small run of it, so that it cannot rot unseen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from bench import command, fleet, report
from bench.material import Shape, json_records
from bench.parts import Asked
from bench.parts.memory import slope_an_hour
from bench.picture import Panel, flame, panels
from bench.report import Figure, Goal, Part, Table
from bench.rig import Rig, usable_cores
from bench.sampling import by_function

ABOUT = {"measured_on": "2026-01-02", "machine": {"cores": "2"}, "versions": {"a": "1"}}


def part() -> Part:
    made = Part("json", "JSON", seconds=7.0, runs=3, load=0.5)
    made.note_runs("sqlite", "events/s", [3.0, 70_000.0, 61_000.0])
    made.note_runs("sqlite_ratio", "of the ceiling", [0.5, 0.6, 0.51])
    made.tables.append(Table("rows", ("", "events/s"), (("ours", 61_000.0), ("theirs", None))))
    made.notes.append("as it is")
    made.pictures["p.svg"] = "<svg/>"
    return made


def test_a_figure_of_several_runs_is_their_median() -> None:
    assert Figure("s", (9.0, 1.0, 2.0)).median == 2.0
    assert report.medians([part()]) == {"json.sqlite": 61_000.0, "json.sqlite_ratio": 0.51}


def test_a_target_is_reached_not_reached_or_not_measured() -> None:
    least, most = Goal("a", "b", "x", 60, "events/s"), Goal("a", "b", "x", 60, "us", True)
    assert least.judge({"x": 60.0})[-1] == most.judge({"x": 60.0})[-1] == "reached"
    assert least.judge({"x": 59.9})[-1] == most.judge({"x": 60.1})[-1] == "**not reached**"
    assert least.judge({})[-2:] == ("not measured", "")


def test_the_targets_name_figures_and_say_both_bounds_of_a_path() -> None:
    rows = report.targets(report.medians([part()])).rows
    assert rows[0][2:] == ("at least 60,000 events/s", "61,000 events/s", "reached")
    assert rows[1][2:] == ("at least 55 %", "51 %", "**not reached**")
    assert all(row[3] == "not measured" for row in rows[2:])


def test_the_json_report_has_every_run_and_gives_the_part_back() -> None:
    said = json.loads(json.dumps(report.as_json(ABOUT, [part()], None)))
    found = said["parts"]["json"]["figures"]["sqlite"]
    assert found == {"unit": "events/s", "median": 61_000.0, "runs": [3.0, 70_000.0, 61_000.0]}
    assert said["targets"][0]["verdict"] == "reached"
    again = Part.of_json("json", said["parts"]["json"])
    assert again == part()


def test_the_page_has_tables_pictures_and_why_a_part_is_missing() -> None:
    skipped = Part("confluent", "Confluent", "it is not installed")
    lines = report.markdown(
        ABOUT, [part(), skipped], ["### Paper"], lambda name: f"pictures/{name}"
    )
    text = "\n".join(lines)
    assert "\nMedians of 3 runs in 7 s; the machine's load of the minute before was 0.5.\n" in text
    assert "| ours | 61,000 |\n| theirs |  |" in text
    assert "![JSON](pictures/p.svg)" in text
    assert "### Confluent\n\nNot measured: it is not installed." in text
    assert lines[-1] == "### Paper"
    assert "not idle" not in text


def test_the_page_says_that_a_machine_was_not_idle() -> None:
    made = part()
    made.load = 9.3
    lines = report.markdown(ABOUT, [part(), made], [], str)
    assert any(line.startswith("The machine was not idle: its load was up to 9.") for line in lines)


def test_pictures_are_svg_with_every_line_and_every_name_in_it() -> None:
    line = {"a & b": [(1, 10.0), (10, 200.0)], "c": [(1, 5.0)]}
    chart = Panel("t <1>", "x", "y", line)
    root = ElementTree.fromstring(panels([chart, Panel("log", "x", "y", line, True)]))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"t <1>", "a & b", "c", "0", "100", "1"} <= set(texts)
    stacks = {("main", "m/l.Loop.step", "a/f.<g>"): 3.0, ("client", "k/x.y"): 1.0}
    bars = ElementTree.fromstring(flame(stacks)).iter("{http://www.w3.org/2000/svg}title")
    assert {bar.text for bar in bars} == {
        "the loop: 75.0 %", "a/f.<g>: 75.0 %", "kafka-python's thread: 25.0 %", "k/x.y: 25.0 %",
        "client: 25.0 %",
    }  # fmt: skip


def test_samples_are_added_up_by_function_and_a_recursion_counts_once() -> None:
    found = by_function([(["main", "f", "f", "g"], 1.0), (["main", "f"], 1.0), (["client"], 2.0)])
    assert sorted(found) == [("client", 0.5, 0.5), ("f", 0.25, 0.5), ("g", 0.25, 0.25)]


def test_events_are_as_large_as_said_and_their_times_ascend() -> None:
    events = [json.loads(line) for line in json_records(Shape(segments=3, models=2), 100)]
    assert {event["model"] for event in events} == {"m0", "m1"}
    assert {event["features"]["site"] for event in events} == {"s0", "s1", "s2"}
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    sizes = [len(line) for line in json_records(Shape(), 100)]
    assert all(700 < size < 800 for size in sizes)


def test_a_small_run_of_a_part_counts_everything_and_reports_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "report.json"
    command.main(["--only", "formats", "--runs", "1", "--scale", "0.04", "--json", str(kept)])
    printed = capsys.readouterr().out
    assert "### Bytes to counts, without Kafka" in printed
    assert "1,000 events of 20 floats" in printed
    said = json.loads(kept.read_text())
    figures = said["parts"]["formats"]["figures"]
    assert set(figures) == {"json", "ndjson", "arrow"}
    assert all(len(figure["runs"]) == 1 for figure in figures.values())
    assert said["versions"]["Python"]


def test_a_report_that_was_kept_is_told_again_without_measuring(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "report.json"
    kept.write_text(json.dumps(report.as_json(ABOUT | {"commit": "c"}, [part()], None)))
    command.main(["--from", str(kept)])
    printed = capsys.readouterr().out
    assert "Measured on 2026-01-02" in printed
    assert "| ours | 61,000 |" in printed
    assert "![JSON](p.svg)" in printed


def test_without_confluent_kafka_its_part_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = command.measure("confluent", Asked(rig=Rig()))
    assert "pip install 'driftline[confluent]'" in found.skipped
    assert "not measured: confluent_kafka is not installed" in capsys.readouterr().err


def test_a_part_that_fails_does_not_take_the_others_along(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Asked) -> Part:
        raise RuntimeError("1 of 2 events were counted")

    monkeypatch.setattr("bench.parts.streams.json", fail)
    kept = tmp_path / "report.json"
    asked = ["--only", "json,formats", "--runs", "1", "--scale", "0.01", "--json", str(kept)]
    with pytest.raises(SystemExit, match="failed: json; nothing is written"):
        command.main([*asked, "--write"])
    printed = capsys.readouterr().out
    assert "Not measured: it failed: 1 of 2 events were counted." in printed
    assert json.loads(kept.read_text())["parts"]["formats"]["figures"]["json"]["median"] > 0


def test_a_rig_beside_another_may_use_all_cores_when_it_is_told() -> None:
    """Two consumers were once measured on one core: the first rig had bound its process to it."""
    before = usable_cores()
    with Rig() as outer, Rig(cores=outer.cores) as inner:
        assert (inner.cores, inner.own, inner.shared) == (outer.cores, outer.own, outer.shared)
        assert before == outer.cores
    assert usable_cores() == before


def test_a_part_that_is_unknown_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "jsonn"])
    assert "there is no part 'jsonn'" in capsys.readouterr().err
    command.main(["--list"])
    assert "formats" in capsys.readouterr().out


FIGURES = {
    "json.postgresql": 50_000.0,
    "arrow.postgresql": 1_000_000.0,
    "json.record_bytes": 700.0,
    "arrow.row_bytes": 200.0,
    "checkpoint.postgresql_pane_us": 500.0,
    "checkpoint.pane_bytes": 5_000.0,
    "checkpoint.log_bytes": 6_000.0,
    "checkpoint.pane_held": 96_000.0,
    "judging.postgresql": 100.0,
    "judging.findings": 2_142.0,
    "judging.finding_bytes": 600.0,
}


def test_a_fleet_is_the_figures_of_one_core_multiplied() -> None:
    said = fleet.as_json(FIGURES)
    loose, keyed, arrow = said["needs"]
    # 1M events/s of 700 bytes; three replicas of a broker's 100 MB/s.
    assert (keyed["mb_per_s"], keyed["brokers"]) == (700.0, 21)
    # 20 cores count, each busy for half of its time; of 96 MB one holds 1,000 panes of 55,000.
    assert keyed["consumers"] == arrow["consumers"] == 55
    assert keyed["writes_every_s"] == 30
    assert keyed["panes_per_s"] == pytest.approx(55_000 / 30)
    assert keyed["writing"] == pytest.approx(keyed["panes_per_s"] * 500e-6)
    assert keyed["busy"] == pytest.approx((20 + keyed["writing"]) / 55)
    # Without a key every consumer meets all panes of both its partitions, and is full at once.
    assert loose["consumers"] == 40
    assert loose["held_mb"] == pytest.approx(2 * 55_000 * 0.096)
    assert loose["writes_every_s"] == pytest.approx(0.02, rel=0.01)
    assert loose["panes_per_s"] > 1_000 * keyed["panes_per_s"]
    # 27 of 102 features and 11 of 21 segments of what was judged, each hour of each model.
    assert said["stored"]["findings_a_day"] == pytest.approx(5_000 * 24 * 27 * 11)
    assert said["stored"]["panes_a_day"] == 5_000 * 11 * 24
    text = "\n".join(fleet.lines(FIGURES))
    assert "| brokers | 21 | 21 | 6 |" in text
    assert "\n1. **" in text
    assert "\n4. **" in text


def test_a_fleet_says_which_figures_are_missing() -> None:
    some = {name: value for name, value in FIGURES.items() if name != "judging.findings"}
    assert fleet.as_json(some) == {"missing": ["judging.findings"]}
    assert "judging.findings" in "\n".join(fleet.lines(some))


def test_a_slope_is_a_rise_an_hour() -> None:
    rise, give = slope_an_hour([(0.0, 100.0), (1_800.0, 101.0), (3_600.0, 102.0)])
    assert (rise, give) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-6))
    assert slope_an_hour([(0.0, 100.0)]) == (0.0, None)


def test_what_goes_up_and_down_has_a_slope_that_is_within_its_uncertainty() -> None:
    """A sawtooth as checkpoints make it, and noise; then the same with a leak."""
    rng = np.random.default_rng(1)
    times = np.arange(300.0)
    is_within = []
    for _ in range(200):
        period, phase = rng.uniform(10, 30), rng.uniform(0, 30)
        values = 400 + (times + phase) % period + rng.normal(0, 5, len(times))
        rise, give = slope_an_hour(list(zip(times, values, strict=True)))
        assert give is not None
        is_within.append(abs(rise) <= give)
        leaking = values + times / 3_600 * 600
        rise, give = slope_an_hour(list(zip(times, leaking, strict=True)))
        assert give is not None and rise > give
    assert np.mean(is_within) > 0.9
