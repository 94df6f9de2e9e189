"""`driftline replay` on the command line: what it refuses, and how it says what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumers.replay import Outcome, Verified
from consumers.replay.verify import Difference
from driftline.errors import ConfigError, MissingFile
from monitor.cli import what_if
from monitor.cli.app import app
from monitor.cli.replay import done_lines, verified_lines
from monitor.evaluate.backtest import Backtest, Told, TriedSegment
from monitor.storage import engine as storage

HOUR_MS = 3_600_000


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "limits.toml"
    file.write_text(text)
    return file


def test_limits_are_read(tmp_path: Path) -> None:
    found = what_if.read(
        write(
            tmp_path,
            'profile = "quiet"\nwindows = ["day", "hour"]\n'
            '[limits]\n"temp:ks" = [0.15, 0.3]\n"*:missing" = 0.05\n',
        )
    )
    assert found["profile"] == "quiet"
    assert found["lengths"] == ("hour", "day")
    assert [(str(each), each.warning, each.critical) for each in found["limits"]] == [
        ("temp:ks", 0.15, 0.3),
        ("*:missing", 0.05, None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one of profile, windows, limits"),
        ("profil = 'quiet'", "do you mean profile"),
        ("profile = 'loud'", "quiet, standard, sensitive"),
        ("windows = ['month']", "hour, day, week, 4weeks"),
        ("limits = 3", "[limits]"),
        ("[limits]\ntemp = 0.3", "limits.temp"),
        ("[limits]\n'temp:psi' = true", "limits.temp:psi"),
        ("[limits]\n'temp:psi' = [0.4, 'high']", "limits.temp:psi"),
        ("[limits]\n'temp:mood' = 0.4", "limits.temp:mood"),
        ("profile =", "a TOML file"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        what_if.read(write(tmp_path, text))
    assert said in str(error.value)


def test_every_wrong_key_is_named(tmp_path: Path) -> None:
    text = "profil = 'quiet'\nwindows = 3\n[limits]\ntemp = 0.3\n'a:psi' = 'x'\n"
    with pytest.raises(ConfigError) as error:
        what_if.read(write(tmp_path, text))
    for key in ("profil", "windows", "limits.temp", "limits.a:psi"):
        assert key in str(error.value)
    with pytest.raises(MissingFile):
        what_if.read(tmp_path / "absent.toml")


def test_one_thing_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'd.db'}"
    storage.upgrade(storage.create(url))
    for words in (
        ["--verify", "--abandon"],
        ["--from", "2013-02-01", "--from-offset", "7"],
        ["--what-if", "l.toml", "--from-offset", "7"],
        ["--from", "soon"],
    ):
        result = CliRunner().invoke(app, ["replay", "--database", url, *words])
        assert isinstance(result.exception, ConfigError), words


def test_what_if_without_a_reference_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'd.db'}"
    storage.upgrade(storage.create(url))
    file = write(tmp_path, "profile = 'quiet'")
    result = CliRunner().invoke(app, ["replay", "--database", url, "--what-if", str(file)])
    assert "a model with a reference" in str(result.exception)


def test_what_if_tells_each_segment_and_what_was_left_out() -> None:
    new = Told("site=A", "x", "missing", "warning", 0, None, None, "missing", "day", 0.2, 0.1)
    made = Backtest(
        0, 24 * HOUR_MS, 50, 1, 2, (), (new,), 1,
        (TriedSegment("all", 25, 1, 1, 1), TriedSegment("site=A", 25, 0, 1, 0)), ("site=B",),
    )  # fmt: skip
    assert what_if.lines("m", "1", made) == [
        "m 1, 1970-01-01 to 1970-01-02, 50 windows judged so:",
        "  incidents: 2 instead of 1, 1 the same",
        "    all rows  1 instead of 1, 1 the same",
        "    site=A    1 instead of 0, 0 the same",
        "  + x missing in site=A, warning, 1970-01-01 still open, missing 0.2 of 0.1",
        "  not tried: site=B, as one back-test judges so much at most",
    ]


def test_a_replay_says_what_it_did() -> None:
    done = Outcome((("m", "1", 0),), 1_200, 0, 0, None, False, None)
    assert done_lines(done) == [
        "m 1: all that was sent",
        "1,200 records read: every pane is as it was",
    ]
    done = Outcome((("m", "1", HOUR_MS),), 1_200, 7, 40, 2 * HOUR_MS, True, HOUR_MS)
    said = "\n".join(done_lines(done))
    for words in ("begun before", "40 events", "7 panes from 1970-01-01 02:00 UTC", "stay as they"):
        assert words in said


def test_a_recount_says_one_sentence_or_what_differs() -> None:
    equal = Verified(10, 4, "ab" * 32, (), ())
    assert verified_lines(equal) == [
        "the database holds what the log says: 10 events in 4 panes, SHA-256 abababababababab"
    ]
    pane = Difference("m", "1", 0, "all", 0, HOUR_MS, 5, 6, ("a", "b", "c", "d"))
    said = verified_lines(Verified(10, 4, "", (pane,) * 25, ("of some",)))
    assert said[0].startswith("25 of 4 panes differ")
    assert any("5 more" in line for line in said)
    assert sum(line.startswith("| m 1 | 0 | all |") for line in said) == 20
    assert said[-1] == "not compared: of some"
    json.dumps(said)
