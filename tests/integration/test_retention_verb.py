"""`driftline retention` says what stands and makes it smaller, and refuses what is too short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.storage import engine as storage
from monitor.storage import lanes
from monitor.storage import schema as t


def driftline(
    url: str, *words: str, code: int = 0, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {f"DRIFTLINE_RETENTION__{k.upper()}": v for k, v in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "retention", *words],
        env={**os.environ, **environment, "DRIFTLINE_DATABASE__URL": url},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def url(living_file: Path, tmp_path: Path) -> str:
    """The living database: its models are younger than any limit, its dead letters are not."""
    file = tmp_path / "driftline.db"
    file.write_bytes(living_file.read_bytes())
    return f"sqlite:///{file}"


def test_show_says_for_how_long_what_is_kept_and_since_when(url: str) -> None:
    said = driftline(url, "show").stdout
    assert "counts of hours" in said and "kept for 400 days, then added up by day" in said
    assert "since 2026-04-30" in said or "since 2026-05-01" in said
    assert "kept for ever" in said
    found = json.loads(driftline(url, "show", "--json").stdout)
    assert found["hours"]["rows"] > 100
    assert found["hours"]["days"] == 400
    assert found["days"] == {"days": 0, "rows": 0, "first": None}


def test_run_does_what_is_due_and_says_so(url: str) -> None:
    before = json.loads(driftline(url, "show", "--json").stdout)
    assert before["letters"]["rows"] > 0
    did = json.loads(driftline(url, "run", "--json", letters_days="1").stdout)
    # They were written in May 2026, and days count back from today.
    assert did["letters"] == before["letters"]["rows"]
    assert did["hours"] == did["hour_windows"] == did["windows"] == did["days"] == did["lanes"] == 0
    assert driftline(url, "run").stdout == "nothing is older than it may be\n"
    give_up_a_replay(url)
    assert driftline(url, "run").stdout == "1 rows of replays deleted that nobody can go on with\n"
    assert json.loads(driftline(url, "show", "--json").stdout)["hours"] == before["hours"]


def give_up_a_replay(url: str) -> None:
    """As a process leaves it that was killed just then."""
    engine = storage.create(url)
    with storage.transaction(engine) as conn:
        lanes.add_partition(conn, stream_id=1, partition=0, start=0)
    engine.dispose()


def test_what_cannot_be_read_is_told_and_the_rest_is_done(url: str) -> None:
    engine = storage.create(url)
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.reference).values(body=b"xxxx"))
        models = conn.scalars(sa.select(t.model.c.name)).all()
    engine.dispose()
    did = driftline(url, "run", "--json", code=1, letters_days="1")
    told = json.loads(did.stdout)
    assert told["letters"] > 0
    assert told["failed"]
    assert {what.split()[0] for what in told["failed"]} <= set(models)
    for what in told["failed"]:
        assert f"{what}: kept as it is: " in did.stderr


@pytest.mark.parametrize("words", ["show", "run"])
def test_what_is_too_short_is_refused_with_the_least_and_why(url: str, words: str) -> None:
    said = driftline(url, words, code=2, hours_days="30").stderr
    assert "retention.hours_days" in said and "at least 45" in said
    assert "late events change their windows until then" in said
    assert "environment" in said or "DRIFTLINE_RETENTION__HOURS_DAYS" in said


def test_a_database_of_another_release_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    storage.create(url).connect().close()
    said = driftline(url, "show", code=2).stderr
    assert "driftline db upgrade" in said or "db upgrade" in said
