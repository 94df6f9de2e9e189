"""What the command line makes of files, addresses and settings, without a process of its own."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import driftline
from consumers.kafka import KafkaSource
from driftline.errors import ConfigError, InvalidFrame, StorageUnavailable
from driftline.program import command
from monitor.cli import status, tables
from monitor.cli.app import app
from monitor.cli.broker import ensure_topic
from monitor.cli.demo.command import make_room
from monitor.cli.lock import DatabaseLock
from monitor.cli.processes import Child, free_port, require_free_port, wait_for_port
from monitor.cli.tree import Tree
from monitor.config import load
from monitor.storage import engine as storage


def test_a_csv_file_whose_header_is_not_utf_8_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("größe,x\n1,2\n".encode("latin-1"))
    with pytest.raises(InvalidFrame, match="save it as UTF-8"):
        tables.read(path)


def test_an_empty_column_of_a_csv_file_is_watched_for_presence(tmp_path: Path) -> None:
    from driftline.stats.reference import build_reference

    path = tmp_path / "x.csv"
    path.write_text("x,empty\n" + "1,\n2,\n" * 10)
    made = build_reference(tables.read(path).frame)
    assert [f.kind for f in made.gridset.features] == ["numeric", "presence"]


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("address", ["localhost:abc", "[::1", "localhost:9, localhost:"])
def test_brokers_that_are_no_address_are_a_setting_to_mend(address: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        KafkaSource(address, "topic", "group")
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        ensure_topic(address, "topic")
    gc.collect()  # kafka-python leaves a pair of sockets behind


def _tree(host: str) -> Tree:
    settings = load({"DRIFTLINE_WEB__HOST": host, "DRIFTLINE_WEB__PORT": str(free_port())})
    return Tree(settings, with_broker=False, folder=None)


def test_the_page_is_waited_for_at_its_own_address() -> None:
    tree = _tree("127.0.0.2")
    assert tree.web_url == f"http://127.0.0.2:{tree.web_port}"
    tree.require_free_ports()
    with socket.create_server(("127.0.0.2", tree.web_port)):
        with pytest.raises(ConfigError, match="--port"):
            tree.require_free_ports()
        child = Child("web", ["sleep", "30"], log=None, is_ours=False)
        try:
            assert wait_for_port(tree.web_port, child, 5, tree.web_host)
            tree.children.append(child)
            tree.wait_for_web()
        finally:
            child.stop()


def test_an_address_of_ipv6_may_be_free_and_has_brackets_in_its_url() -> None:
    tree = _tree("::1")
    assert tree.web_url == f"http://[::1]:{tree.web_port}"
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    tree.require_free_ports()
    with (
        socket.create_server(("::1", tree.web_port), family=socket.AF_INET6),
        pytest.raises(ConfigError, match="a free port"),
    ):
        tree.require_free_ports()


def test_an_address_that_strangers_reach_or_that_is_not_here_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"a token in DRIFTLINE_TOKEN or web\.token_file"):
        _tree("0.0.0.0").require_free_ports()
    with pytest.raises(ConfigError, match="an address of this machine"):
        require_free_port(0, key="web.port", option="--port", host="192.0.2.1")


def test_a_feature_with_an_outcome_s_name_is_asked_about() -> None:
    import pandas as pd

    from driftline.stats.reference import build_reference

    frame = pd.DataFrame(
        {name: [0.5, 1.5] * 1_000 for name in ("x", "Class", "Y", "score", "classy")}
    )
    said = build_reference(frame).warnings
    assert len(said) == 3
    assert "pass prediction='Class' or label='Class', or exclude it" in said[0]
    assert "is it the label?" in said[1]
    assert "is it the score?" in said[2]
    assert not build_reference(frame, prediction="Class", label="Y", score="score").warnings


def test_a_lock_has_one_holder_and_a_dead_one_s_file_blocks_nobody(tmp_path: Path) -> None:
    file = tmp_path / "driftline.db"
    (tmp_path / "driftline.db-lock").write_text("driftline up (pid 1)\n")
    first, second = DatabaseLock(file, "driftline up"), DatabaseLock(file, "driftline demo")
    first.take()
    first.take()
    with pytest.raises(StorageUnavailable, match=rf"driftline up \(pid {os.getpid()}\) uses"):
        second.take()
    first.release()
    second.take()
    second.release()
    assert not list(tmp_path.iterdir())


def _version(database: Path, model: str, version: str) -> None:
    engine = storage.create(f"sqlite:///{database}")
    storage.upgrade(engine)
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql(
            "INSERT OR IGNORE INTO model (id, name, timezone, created_ms) VALUES (?, ?, 'UTC', 0)",
            (len(model), model),
        )
        conn.exec_driver_sql(
            "INSERT INTO model_version (model_id, name, created_ms) VALUES (?, ?, 0)",
            (len(model), version),
        )
    engine.dispose()


def test_a_demo_removes_a_demo_s_database_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    url = f"sqlite:///{file}"
    make_room(url)  # none yet
    _version(file, "flight-delay", "1")
    make_room(url)
    assert not list(tmp_path.iterdir())

    for version in ("1", "2", "3"):  # retrained twice
        _version(file, "flight-delay", version)
    make_room(url)
    assert not list(tmp_path.iterdir())

    for version in ("1", "3"):
        _version(file, "flight-delay", version)
    with pytest.raises(ConfigError, match="something else"):
        make_room(url)
    file.unlink()

    _version(file, "flight-delay", "1")
    _version(file, "churn", "3")
    with pytest.raises(ConfigError, match="something else"):
        make_room(url)
    assert file.exists()
    for content in (b"no database at all", b""):
        file.write_bytes(content)
        if content:
            with pytest.raises(ConfigError, match="something else"):
                make_room(url)
        else:
            make_room(url)
        assert file.read_bytes() == content


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"driftline {driftline.__version__}\n")
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(InvalidFrame, match=r"only \.parquet, \.csv"):
        tables.read(path)


def test_the_status_says_which_share_of_each_model_drifted_also_by_importance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    models = [
        {"model": "parcel-delay", "version": "3", "health": "critical", "features": 15,
         "moved": 2, "share": 0.133, "weighted": 0.4567, "judged_to": None},
        {"model": "m" * 70, "version": "1", "health": "schema_broken", "features": 3, "moved": 1,
         "share": 0.333, "weighted": None, "judged_to": None},
        {"model": "fare", "version": None, "health": "unreferenced", "features": 0, "moved": 0,
         "share": None, "weighted": None, "judged_to": None},
    ]  # fmt: skip

    def printed(*which: int) -> list[str]:
        sent = {"delivered": 0, "failed": 0, "pending": 0}
        shown = [models[n] for n in which]
        found = status.Status("x", None, {}, {}, [], [], [], [], sent, [], shown)
        status._print(found, 0)
        return capsys.readouterr().out.splitlines()

    lines = printed(0, 1, 2)
    assert max(map(len, lines)) <= 80
    (head,) = (line.split("  ") for line in lines if "by importance" in line)
    assert "features drifted" in " ".join(head)
    row = next(line for line in lines if "parcel-delay 3" in line)
    assert row.split()[2:] == ["critical", "2", "of", "15", "46", "%"]
    assert any("schema broken" in line and line.split()[-3:] == ["1", "of", "3"] for line in lines)
    assert any("fare" in line and "none judged" in line for line in lines)
    assert not any("importance" in line or "%" in line for line in printed(1, 2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "replay of m 1 from 2026-01-01 00:00 on, events: 4 of 40 offsets since 2026-01-02 "
            "03:04 (ops:7)",
        ),
        (
            {"model": None, "version": None, "start": None},
            "replay of everything, events: 4 of 40 offsets since 2026-01-02 03:04 (ops:7)",
        ),
        (
            {"is_stale": True},
            "replay of m 1 from 2026-01-01 00:00 on, events: stopped at 4 of 40 offsets, last "
            "seen 2026-01-02 03:05 (ops:7); the same command goes on with it, "
            f"`{command('replay --abandon')}` gives it up",
        ),
    ],
)
def test_the_status_says_what_is_counted_again_and_how_far(
    changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    one = {
        "topic": "events", "model": "m", "version": "1", "start": "2026-01-01T00:00:00Z",
        "begun": "2026-01-02T03:04:05Z", "seen": "2026-01-02T03:05:06Z", "owner": "ops:7",
        "read": 4, "total": 40, "is_stale": False,
    }  # fmt: skip
    sent = {"delivered": 0, "failed": 0, "pending": 0}
    found = status.Status("x", None, {}, {}, [], [], [], [], sent, [], replays=[one | changes])
    monkeypatch.setenv("COLUMNS", "400")
    status._print(found, 0)
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("is_fresh", [True, False])
def test_the_status_says_when_nothing_runs_and_counts_segments_apart(
    is_fresh: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:09Z",
        None if is_fresh else "2025-12-31T00:00:00Z",
    ]
    partitions = [
        {
            "topic": "driftline.events",
            "partition": i,
            "position": 12_345_678,
            "lag": 0,
            "max_event_time": "2025-12-31T23:00:00.123000Z",
            "caught_up_s": 97.0,
            "is_fresh": is_fresh and i == 1,
            "seen": at,
        }
        for i, at in enumerate(seen)
    ]
    incidents = [
        {
            "id": i,
            "severity": "warning",
            "segments": segments,
            "members": members,
            "summary": "It moved.",
        }
        for i, (segments, members) in enumerate([(["all"], [0, 1, 2]), (["origin=JFK"], [3])])
    ]
    sent = {"delivered": 2, "failed": 0, "pending": 1}
    off = [{"name": "on-call", "reason": "it answered 410"}]
    found = status.Status("sqlite:///x.db", None, {}, {}, partitions, [], [], incidents, sent, [])
    # 2026-01-01T00:05:09Z, on a terminal of 80 columns.
    monkeypatch.setenv("COLUMNS", "80")
    now_ms = 1_767_225_909_000
    status._print(found, now_ms)
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.startswith(" driftline.events ")]
    assert [row[1] for row in rows] == ["0", "1", "2"], "each partition is one line"
    assert rows[0][-4:] == ["silent", "for", "5", "min"]
    assert rows[1][2:6] == ["12,345,678", "0", "2025-12-31", "23:00"]
    assert "incidents: 2 open (4 members: one for each feature, segment and kind)" in said
    assert "#0 warning: It moved." in said
    assert "#1 warning, origin=JFK: It moved." in said
    assert ("nothing is reading: last seen 2026-01-01 00:00" in said) is not is_fresh
    assert ("idle for 97 s" in said) is is_fresh
    status._print(status.Status("sqlite:///x.db", None, {}, {}, [], [], [], [], sent, off), now_ms)
    said = capsys.readouterr().out
    assert "incidents: 0 open\n" in said
    assert "webhooks: 2 delivered, 0 given up, 1 pending" in said
    assert "endpoint on-call is disabled: it answered 410" in said
    assert "nothing is reading" not in said
