"""The user's own rows through the rule: what is told falsely, late, or never."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline import CalibrationReport, calibrate, profile
from driftline.calibrating import text
from driftline.calibrating.report import COLUMNS
from driftline.calibrating.worlds import Change, World
from driftline.errors import InvalidReference, StatisticError
from driftline.stats.calibration import from_reference, observe, observed_slices
from driftline.stats.episodes import QUIET, step
from driftline.stats.judgement import Mark
from driftline.stats.reference import ALL, build_reference
from driftline.stats.simulate import fold, runs
from monitor.cli.app import app

DAYS, PER_DAY = 28, 400
HOUR_MS = 3_600_000
HOSTILE = "<script>\x1b[2J"


def frame(seed: int = 0, days: int = DAYS, per_day: int = PER_DAY) -> dict[str, Any]:
    """Days like one another, but for one feature that is each day somewhere else."""
    draw = np.random.default_rng(seed)
    n = days * per_day
    day = np.arange(days).repeat(per_day)
    moment = 1_767_571_200_000 + day * 24 * HOUR_MS + draw.integers(0, 24 * HOUR_MS, n)
    return {
        "at": moment.tolist(),
        "calm": draw.normal(size=n).round(3).tolist(),
        "weather": (draw.normal(size=n) * 0.3 + draw.normal(0, 2, days)[day]).round(3).tolist(),
        "plan": draw.choice(["basic", "pro", "team"], n, p=[0.6, 0.3, 0.1]).tolist(),
        "gaps": [None if gone else 1.5 for gone in draw.random(n) < 0.1],
    }


@pytest.fixture(scope="module")
def report() -> CalibrationReport:
    return calibrate(frame(), timestamp="at")


def test_what_is_calm_tells_nothing_and_sees_what_the_limit_lets_through(
    report: CalibrationReport,
) -> None:
    row = report["calm", "day"]
    assert (row.false_episodes_per_month, row.low, row.seen_episodes) == (0.0, 0.0, 0)
    assert 0 < row.high < 0.1
    assert row.limit is not None and 0.1 < row.limit < 0.4
    assert row.smallest_shift is not None and 0.3 < row.smallest_shift < 0.7
    assert row.delay[0.2] is None and row.delay[0.75] is not None and row.delay[0.75] <= 3
    assert not row.blind and "sees shifts from" in row.why


def test_what_is_elsewhere_every_day_is_blind_and_says_so(report: CalibrationReport) -> None:
    row = report["weather", "day"]
    assert row.blind and row.smallest_shift is None
    assert set(row.delay.values()) == {None}
    assert "blind: its own days differ so much that PSI would have to exceed" in row.why
    # What may be told of it nevertheless is a day out of the range of all others, now and then.
    assert row.false_episodes_per_month < 1
    # Its missing values are judged all the same.
    assert row.missing_delay[10] is not None and row.missing_delay[10] <= 3


def test_what_is_a_rough_figure_is_said_to_be_one(report: CalibrationReport) -> None:
    assert not any("rough" in note for note in report.notes if "calm" in note)
    draw = np.random.default_rng(0)
    level = draw.normal(size=60)
    days = np.repeat(np.sign(level) * level**2, 200)
    at = 1_767_225_600_000 + 432_000 * np.arange(len(days))
    data = {"at": at, "wild": days + 0.3 * draw.normal(size=len(days))}
    found = calibrate(data, timestamp="at", lengths=["day"], sizes=[])
    assert "most of them of its values out of range" in found["wild", "day"].why
    (note,) = [note for note in found.notes if "rough" in note]
    assert note.startswith("values out of range of wild: ")


def test_more_missing_values_are_told_no_later_than_fewer(report: CalibrationReport) -> None:
    for row in report.usual("day"):
        took = [np.inf if t is None else t for t in row.missing_delay.values()]
        assert took == sorted(took, reverse=True)
        assert row.smallest_missing is not None and 0 < row.smallest_missing < 0.15


def test_windows_of_more_rows_see_smaller_shifts(report: CalibrationReport) -> None:
    rows = [row for row in report if (row.feature, row.length) == ("calm", "day")]
    assert [row.n for row in rows] == [100, 400, 1_600]
    seen = [row.smallest_shift for row in rows if row.smallest_shift is not None]
    assert seen == sorted(seen, reverse=True) and len(set(seen)) == len(seen)
    assert [row.is_usual for row in rows] == [False, True, False]


def test_hours_too_thin_for_psi_say_so(report: CalibrationReport) -> None:
    row = report["calm", "hour"]
    assert row.limit is None and not row.blind
    assert "PSI is not judged: fewer than 8 hours have 100 values" in row.why
    assert "not tried: there are 3 full weeks" in " ".join(report.notes)


def test_a_constant_has_no_sigma(report: CalibrationReport) -> None:
    row = report["gaps", "day"]
    assert set(row.delay.values()) == {None}
    assert "always the same here" in row.why


def test_the_same_seed_gives_the_same_report_and_another_one_another() -> None:
    some = {name: frame()[name] for name in ("at", "calm")}
    options: dict[str, Any] = {"timestamp": "at", "lengths": ["day"], "sizes": [], "months": 2}
    limits = ["calm:psi=0.04"]
    first, again, other = (
        calibrate(some, **options, limits=limits, seed=seed).to_dicts() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_fixed_limit_that_is_too_tight_is_seen_before_it_is_set() -> None:
    some = {name: frame()[name] for name in ("at", "calm", "plan")}
    found = calibrate(some, timestamp="at", lengths="day", sizes=[], limits=["calm:psi=0.02"])
    noisy = found["calm", "day"]
    assert noisy.limit == 0.02 and noisy.false_episodes_per_month > 1 and noisy.low > 0
    assert noisy.open_share > 0.2
    assert "false episodes a month, most of them of its PSI" in noisy.why
    assert found["plan", "day"].false_episodes_per_month == 0
    assert noisy in text.worth_a_word(found.usual())


@pytest.mark.parametrize(("limit", "is_noisy"), [(0.02, True), (0.5, False)])
def test_limits_of_other_distances_are_tried_on_every_bin(limit: float, is_noisy: bool) -> None:
    some = {name: frame()[name] for name in ("at", "calm")}
    found = calibrate(
        some, timestamp="at", lengths="day", sizes=[], months=2, limits=[f"calm:ks={limit}"]
    )
    row = found["calm", "day"]
    assert (row.open_share > 0.9) == is_noisy == (row in text.worth_a_word(found.usual()))
    assert is_noisy == ("of its KS" in row.why)


def test_a_wilder_profile_has_lower_limits() -> None:
    some = {name: frame()[name] for name in ("at", "calm")}
    limits = {
        name: calibrate(some, timestamp="at", lengths="day", sizes=[], months=1, profile=name)
        for name in ("sensitive", "standard")
    }
    low, high = (limits[name]["calm", "day"].limit for name in ("sensitive", "standard"))
    assert low is not None and high is not None and low < high


def test_a_reference_that_was_counted_is_tried_like_its_rows(report: CalibrationReport) -> None:
    again = calibrate(profile(frame(), timestamp="at"))
    assert again.to_dicts() == report.to_dicts()


def test_progress_rises_to_all() -> None:
    told: list[tuple[int, int]] = []
    some = {name: frame()[name] for name in ("at", "calm")}
    calibrate(
        some, timestamp="at", lengths="day", sizes=[], months=1,
        progress=lambda *both: told.append(both),
    )  # fmt: skip
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"timestamp": None}, InvalidReference, "timestamp= names the column"),
        ({"timestamp": "when"}, InvalidReference, "there is no column 'when'"),
        ({"features": ["calmer"]}, InvalidReference, "did you mean 'calm'"),
        ({"lengths": ["year"]}, InvalidReference, "lengths must be of hour, day, week, 4weeks"),
        (
            {"lengths": ["week"]},
            InvalidReference,
            "too few slices: there are [23] full weeks, and 9",
        ),
        ({"sizes": [0]}, InvalidReference, "rows of a window: a whole number from 1 up, not 0"),
        ({"sizes": [math.nan]}, InvalidReference, "a whole number from 1 up, not nan"),
        ({"sizes": ["100"]}, InvalidReference, "a whole number from 1 up, not '100'"),
        ({"months": 0}, InvalidReference, "months: a whole number from 1 up, not 0"),
        ({"months": math.nan}, InvalidReference, "months: a whole number from 1 up, not nan"),
        ({"seed": -1}, InvalidReference, "seed: a whole number from 0 up, not -1"),
        ({"profile": "loud"}, StatisticError, "must be one of quiet, standard, sensitive"),
        ({"limits": ["calmer:psi=0.2"]}, StatisticError, "did you mean 'calm'"),
        ({"limits": ["calm:psy=0.2"]}, StatisticError, "did you mean 'psi'"),
        ({"limits": ["calm"]}, StatisticError, "feature:statistic=warning"),
        ({"limits": [3]}, StatisticError, "limits: 3 must be a text"),
        (
            {"limits": ["calm:missing=nan"]},
            StatisticError,
            "'calm:missing=nan' must be feature:statistic",
        ),
    ],
)
def test_what_cannot_be_tried_is_said(
    changed: dict[str, Any], error: type[Exception], words: str
) -> None:
    options: dict[str, Any] = {"timestamp": "at", "lengths": ["day"], "sizes": [], **changed}
    with pytest.raises(error, match=words.replace("(", r"\(")):
        calibrate(frame(per_day=20), **options)


def test_a_reference_without_times_or_rows_says_what_it_lacks() -> None:
    without = {name: values for name, values in frame(per_day=20).items() if name != "at"}
    with pytest.raises(InvalidReference, match="no times"):
        calibrate(profile(without))
    counted = profile(frame(per_day=20), timestamp="at")
    with pytest.raises(InvalidReference, match="say how a reference is built"):
        calibrate(counted, exclude=["calm"])
    with pytest.raises(InvalidReference, match="needs the rows themselves"):
        calibrate(counted, lengths="day", limits=["calm:ks=0.1"])


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)


def test_names_are_data_wherever_a_report_is_shown() -> None:
    some = {name: frame(per_day=50)[name] for name in ("at", "calm")}
    found = calibrate(
        {"at": some["at"], HOSTILE: some["calm"]}, timestamp="at", lengths="day", months=1
    )
    assert "\x1b" not in repr(found) and "<script>" in repr(found)
    assert ElementTree.fromstring(found.to_svg()).tag.endswith("svg")
    for page in (found.to_html(), found._repr_html_()):
        tags = _Tags()
        tags.feed(page)
        assert "script" not in tags.names and "table" in tags.names
        assert "\x1b" not in page
    assert "<svg" in found.to_html()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_screen(report: CalibrationReport, width: int) -> None:
    lines = text.table(report, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("calm ") for line in lines) == len(report.lengths)


def test_a_report_becomes_plain_values_and_a_frame(report: CalibrationReport) -> None:
    rows = json.loads(json.dumps(report.to_dicts(), allow_nan=False))
    assert list(rows[0]) == list(COLUMNS)
    assert set(rows[0]["delay"]) == {"0.2", "0.35", "0.5", "0.75"}
    table = report.to_pandas()
    assert len(table) == len(report)
    assert table["delay_0.75"].dtype == table["missing_delay_10"].dtype == np.float64


# What is underneath.


@pytest.mark.parametrize("seed", range(20))
def test_the_fold_is_the_rules_own_window_by_window(seed: int) -> None:
    draw = np.random.default_rng(seed)
    marks = draw.choice([0, 1, 2, 3], 300, p=[0.1, 0.6, 0.1, 0.2]).astype(np.uint8)
    starts = np.arange(300) * HOUR_MS + np.cumsum(draw.integers(0, 3, 300)) * HOUR_MS
    state, opened, while_open, first = QUIET, 0, 0, -1
    for place, (start, mark) in enumerate(zip(starts.tolist(), marks.tolist(), strict=True)):
        was = state.latch
        state, ended = step(state, start, start + HOUR_MS, mark, HOUR_MS)
        if state.latch is not None:
            while_open += 1
            if was is None or ended is not None:
                opened += 1
                first = place if first < 0 else first
    told = fold(marks, starts, starts + HOUR_MS, HOUR_MS)
    assert (told.opened, told.open_windows, told.first) == (opened, while_open, first)
    soon = fold(marks, starts, starts + HOUR_MS, HOUR_MS, is_first_enough=True)
    assert soon.first == first


def test_one_window_above_its_limit_opens_nothing() -> None:
    marks = np.full(50, Mark.CLEAR, np.uint8)
    marks[[10, 40]] = Mark.EXCEEDS
    starts = np.arange(50) * HOUR_MS
    assert fold(marks, starts, starts + HOUR_MS, HOUR_MS).opened == 0
    marks[12] = Mark.EXCEEDS
    assert fold(marks, starts, starts + HOUR_MS, HOUR_MS).opened == 1


def test_runs_put_weekdays_where_weekdays_are_and_keep_neighbours() -> None:
    weekend = np.arange(28) % 7 >= 5
    order = runs(np.random.default_rng(0), 700, weekend, np.ones(28, np.int64), first=3)
    assert (weekend[order] == ((3 + np.arange(700)) % 7 >= 5)).all()
    assert 0.5 < (np.diff(order) == 1).mean() < 0.95
    assert set(order.tolist()) == set(range(28))


def test_without_some_slices_the_reference_has_the_others_alone() -> None:
    reference = build_reference(frame(), timestamp="at")
    learnt = from_reference(reference, ALL, "day")
    assert learnt is not None
    world = World(reference, "day", learnt)
    left_out = np.arange(len(world)) % 5 == 0
    without = world.without(left_out)
    slices = observed_slices(reference, world.slices)
    whole = observe(reference, reference.profiles[ALL].counts[None, :])
    rest = observe(without, without.profiles[ALL].counts[None, :])
    for name in ("rows", "groups", "values", "missing"):
        left = getattr(whole, name)[0] - getattr(slices, name)[left_out].sum(axis=0)
        assert np.array_equal(getattr(rest, name)[0], left)
    assert len(without.slices[ALL]["day"].starts_ms) == (~left_out).sum()


def test_drawn_windows_wobble_as_the_slices_do() -> None:
    """Copies of a slice's rows would wobble by its own chance as well: by twice as much."""
    reference = build_reference(frame(days=60, per_day=200), timestamp="at")
    learnt = from_reference(reference, ALL, "day")
    assert learnt is not None
    world = World(reference, "day", learnt)
    which = np.tile(np.arange(len(world)), 20)
    drawn = world.draw(np.random.default_rng(0), which, world.slices.rows[which])
    span = reference.gridset.groups[0]
    seen = observed_slices(reference, world.slices).groups[:, span]
    made = observe(reference, drawn.counts).groups[:, span]
    spread = [(of / of.sum(axis=1, keepdims=True)).std(axis=0).mean() for of in (seen, made)]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


def test_a_shift_and_missing_values_arrive_as_they_are_said() -> None:
    reference = build_reference(frame(), timestamp="at")
    learnt = from_reference(reference, ALL, "day")
    assert learnt is not None
    world = World(reference, "day", learnt)
    which = np.arange(len(world))
    rows = np.full(len(world), 20_000)
    draw = np.random.default_rng(0)
    calm, shifted, gone = (
        observe(reference, world.draw(draw, which, rows, change).counts)
        for change in (Change(), Change(shift=0.5), Change(missing=0.05))
    )
    first = slice(0, int(reference.gridset.B[0]) // 2)
    share = [seen.groups[:, first].sum() / seen.values[:, 0].sum() for seen in (calm, shifted)]
    # Below the median after a shift of half a sigma: the normal distribution at -0.5.
    assert share == pytest.approx([0.5, 0.3085], abs=0.01)
    rise = (gone.missing - calm.missing).mean(axis=0) / 20_000
    assert rise == pytest.approx([0.05] * 4, abs=0.005)


# The command.


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("calibrate") / "rows.csv"
    some = frame(per_day=60)
    pd.DataFrame({name: some[name] for name in ("at", "calm", "plan")}).to_csv(made, index=False)
    return made


LIMIT = {"feature": "calm", "statistic": "psi", "warning": 0.5, "critical": None}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_the_command_prints_a_table_and_draws_a_picture(file: Path, tmp_path: Path) -> None:
    for name in ("a.svg", "a.html"):
        done = run(
            file,
            "--timestamp",
            "at",
            "--length",
            "day",
            "--months",
            1,
            "--picture",
            tmp_path / name,
        )
        assert done.exit_code == 0, done.output
        assert "Days of 60 rows" in done.output and "seed 0" in done.output
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert "<svg" in (tmp_path / "a.html").read_text()


def test_the_command_prints_one_json_object(file: Path) -> None:
    done = run(
        file, "--timestamp", "at", "--length", "day", "--months", 1, "--size", 30, "--json",
        "--limit", "calm:psi=0.5", "--profile", "quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["profile"], found["limits"], found["seed"]) == ("quiet", [LIMIT], 0)
    assert {row["n"] for row in found["features"]} == {30, 60}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([], InvalidReference, "--timestamp names the column"),
        (["--timestamp", "at", "--length", "week"], InvalidReference, "too few slices"),
        (["--timestamp", "at", "--feature", "calmer"], InvalidReference, "did you mean 'calm'"),
    ],
)
def test_the_command_speaks_of_its_options(
    file: Path, arguments: list[str], error: type[Exception], words: str
) -> None:
    done = run(file, *arguments)
    assert isinstance(done.exception, error)
    assert words in str(done.exception)


def test_a_picture_is_a_file_that_can_be_written(file: Path, tmp_path: Path) -> None:
    assert run(file, "--picture", "a.png").exit_code == 2
    done = run(file, "--timestamp", "at", "--picture", tmp_path / "nowhere" / "a.svg")
    assert done.exit_code == 2 and "no directory" in done.output
