"""A backup is whole, is one state, and goes back into either database; restoring loses nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import postgres
import pytest
import sqlalchemy as sa
from alembic import command
from fake_source import (
    KAFKA_MS,
    FakeSource,
    FakeTopic,
    counters,
    prediction,
    recount,
    register,
    stored_counts,
)
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline.errors import Conflict, Fenced, SchemaVersionError, StorageUnavailable
from monitor import cli
from monitor.cli.lock import DatabaseLock
from monitor.clock import HeldClock
from monitor.storage import backup, checkpoint, heartbeats, registry
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Move
from monitor.storage.delta import CounterKey, Delta
from monitor.storage.heartbeats import Beat

MOVED_ON = {
    "data_version": {"value"},
    "registry": {"revision"},
    "stream_position": {"claim_epoch"},
    "evaluator_cursor": {"epoch"},
}


def rows(engine: Engine, table: sa.Table) -> list[tuple[Any, ...]]:
    """Every row but what a restore moves on."""
    names = [c for c in table.c if c.name not in MOVED_ON.get(table.name, set())]
    with storage.reading(engine) as conn:
        found = [tuple(row) for row in conn.execute(sa.select(*names))]
    return sorted(found, key=lambda row: [(value is not None, value) for value in row])


def same(one: Engine, other: Engine) -> None:
    for table in t.metadata.sorted_tables:
        assert rows(one, table) == rows(other, table), table.name


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a restore into PostgreSQL keeps of before goes where the command was typed."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Engine]]:
    """A function that opens an SQLite file."""
    made: list[Engine] = []

    def open_(file: Path) -> Engine:
        made.append(storage.create(f"sqlite:///{file}"))
        return made[-1]

    yield open_
    for engine in made:
        engine.dispose()


@pytest.fixture
def elsewhere(database_url: str) -> Iterator[Engine]:
    """An empty database to restore into."""
    made = storage.create(database_url)
    yield made
    made.dispose()


class Counting:
    """One consumer on one topic; the database may be put back under it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.clock, self.topic = engine, HeldClock(now_ms=KAFKA_MS), FakeTopic()
        self.start()

    def start(self) -> None:
        self.source = FakeSource(self.topic, self.clock)
        settings = IngestSettings("", "", checkpoint_interval_s=1.0)
        self.loop = Loop(self.engine, self.source, settings, self.clock)
        self.source.give(0)

    def count(self, numbers: range) -> None:
        self.topic.extend(prediction(number) for number in numbers)
        for _ in range(6):
            self.loop.step()
            self.clock.advance(1.1)


@pytest.mark.both_databases
def test_a_backup_made_while_records_are_counted_is_one_state(
    engine: Engine, tmp_path: Path
) -> None:
    with storage.transaction(engine) as conn:
        stream = checkpoint.open_stream(
            conn, cluster_id="c", topic="t", topic_id="1", start_policy="earliest",
            group_id="g", bounds={0: (0, 0)}, now_ms=1,
        )  # fmt: skip
        held = checkpoint.claim(conn, stream_id=stream.id, partition=0, owner="o", group_id="g")
    stop, moves = threading.Event(), 0

    def count(held: Claim) -> None:
        nonlocal moves
        while not stop.is_set():
            delta = Delta()
            delta.counters[CounterKey("m", "1", "prediction")] = 10
            with storage.transaction(engine) as conn:
                move = Move(held.next_offset + 10, registry.revision(conn), None, None, None)
                held = checkpoint.commit(conn, held, move, delta, 1)
            moves += 1

    thread = threading.Thread(target=count, args=(held,))
    thread.start()
    try:
        before = -1
        for number in range(5):
            file = tmp_path / f"{number}.db"
            backup.write(engine, file)
            with closing(sqlite3.connect(file)) as conn:
                (offset,) = conn.execute("SELECT next_offset FROM stream_position").fetchone()
                (counted,) = conn.execute(
                    'SELECT coalesce(sum("count"), 0) FROM counter'
                ).fetchone()
            assert offset == counted >= before
            before = counted
    finally:
        stop.set()
        thread.join()
    assert moves > 5, "nothing was written meanwhile"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_from_sqlite_to_postgresql_and_back_nothing_changes(
    hostile_file: Path,
    databases: postgres.Databases,
    tmp_path: Path,
    opened: Callable[[Path], Engine],
    copy_of: Callable[[Path], Engine],
) -> None:
    first = copy_of(hostile_file)
    with storage.transaction(first) as conn:  # what no text of PostgreSQL can hold
        conn.execute(sa.update(t.model).values(owner="a\0b"))
    told: list[tuple[int, int]] = []
    backup.write(first, tmp_path / "1.db", progress=lambda *pair: told.append(pair))
    assert told
    assert told[-1][0] == told[-1][1]
    server = storage.create(databases.create())
    backup.restore(tmp_path / "1.db", server)
    same(first, server)
    made = backup.write(server, tmp_path / "2.db")
    (tmp_path / "there").mkdir()
    last = opened(tmp_path / "there" / "x.db")
    backup.restore(made.file, last)
    same(first, last)
    register(server)  # its numbers go on behind the rows that came
    server.dispose()


@pytest.mark.both_databases
def test_after_a_restore_counting_goes_on_from_there_and_counts_once(
    engine: Engine, tmp_path: Path, opened: Callable[[Path], Engine], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = register(engine)
    world = Counting(engine)
    world.count(range(40))
    backup.write(engine, tmp_path / "b.db")
    world.count(range(40, 100))
    engine.dispose()
    with pytest.raises(Conflict, match="--force"):
        backup.restore(tmp_path / "b.db", engine)
    assert counters(engine) == {"prediction": 100}
    engine.dispose()
    _, kept = backup.restore(tmp_path / "b.db", engine, force=True)
    assert kept is not None
    assert counters(opened(kept)) == {"prediction": 100}
    assert counters(engine) == {"prediction": 40}
    # The consumer of before knows nothing of it: it is fenced, and reads again.
    world.count(range(100, 120))
    world.count(range(0))
    assert counters(engine) == {"prediction": 120}
    assert stored_counts(engine, reference) == recount(engine, world.topic.logs.values())


@pytest.mark.both_databases
def test_a_claim_of_a_later_life_does_not_hold_after_a_restore(
    engine: Engine, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with storage.transaction(engine) as conn:
        stream = checkpoint.open_stream(
            conn, cluster_id="c", topic="t", topic_id="1", start_policy="earliest",
            group_id="g", bounds={0: (0, 0)}, now_ms=1,
        )  # fmt: skip
    backup.write(engine, tmp_path / "b.db")

    def claim() -> Claim:
        with storage.transaction(engine) as conn:
            return checkpoint.claim(conn, stream_id=stream.id, partition=0, owner="o", group_id="g")

    zombie = claim()
    engine.dispose()
    backup.restore(tmp_path / "b.db", engine, force=True)
    claim()
    with pytest.raises(Fenced), storage.transaction(engine) as conn:
        move = Move(10, registry.revision(conn), None, None, None)
        checkpoint.commit(conn, zombie, move, Delta(), 1)


@pytest.mark.both_databases
def test_a_database_in_use_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    register(engine)
    backup.write(engine, tmp_path / "b.db")
    target = storage.create(engine.url.render_as_string(hide_password=False))
    with engine.connect() as conn:
        conn.execute(sa.select(t.registry)).all()
        with pytest.raises(StorageUnavailable, match="stop every driftline command"):
            backup.restore(tmp_path / "b.db", target, force=True)
    engine.dispose()
    target.dispose()
    backup.restore(tmp_path / "b.db", target, force=True)
    target.dispose()


@pytest.mark.both_databases
def test_a_restore_that_fails_leaves_the_database_as_it_was(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backup.write(engine, tmp_path / "empty.db")
    register(engine)
    engine.dispose()

    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(backup, "_move_on", fails)
    with pytest.raises(RuntimeError):
        backup.restore(tmp_path / "empty.db", engine, force=True)
    assert len(rows(engine, t.model)) == 1
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".restoring")]


def test_a_database_that_cannot_be_read_leaves_no_file(tmp_path: Path) -> None:
    damaged = tmp_path / "x.db"
    damaged.write_bytes(b"no database" * 500)
    engine = storage.create(f"sqlite:///{damaged}")
    with pytest.raises(StorageUnavailable):
        backup.write(engine, tmp_path / "b.db")
    engine.dispose()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.db"]


@pytest.mark.both_databases
def test_a_backup_of_a_newer_release_is_refused_and_one_of_an_older_is_upgraded(
    engine: Engine, tmp_path: Path, opened: Callable[[Path], Engine], elsewhere: Engine
) -> None:
    register(engine)
    file = backup.write(engine, tmp_path / "b.db").file
    old = opened(file)
    command.downgrade(storage.alembic_config(old), "0002")
    old.dispose()
    if engine.dialect.name == "sqlite":
        elsewhere = opened(tmp_path / "elsewhere.db")
    found, kept = backup.restore(file, elsewhere)
    assert (found.schema, kept) == ("0002", None)
    storage.check_schema(elsewhere)
    assert len(rows(elsewhere, t.model)) == 1
    assert backup.look(file).schema == "0002", "the backup itself was changed"
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
        conn.commit()
    with pytest.raises(SchemaVersionError, match="newer release"):
        backup.restore(file, elsewhere, force=True)


def test_what_is_no_backup_is_refused_by_name(engine: Engine, tmp_path: Path) -> None:
    absent, text, other, cut = (tmp_path / name for name in ("absent", "text", "other", "cut"))
    text.write_text("no backup" * 1000)
    with closing(sqlite3.connect(other)) as conn:
        conn.execute("CREATE TABLE x (y)")
    register(engine)
    backup.write(engine, cut)
    with cut.open("r+b") as handle:
        handle.truncate(cut.stat().st_size // 2)
    for file in (absent, text, other, cut):
        with pytest.raises(StorageUnavailable, match=file.name):
            backup.restore(file, engine, force=True)
    assert len(rows(engine, t.model)) == 1


class Killed(BaseException):
    """The process is gone here."""


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("step", ["rename", "unlink", "replace"])
def test_whoever_is_killed_amid_a_restore_leaves_a_whole_database(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, has_links: bool
) -> None:
    target = Path(str(engine.url.database))
    register(engine)
    file = tmp_path / "b.db"
    backup.write(engine, file)
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.model).values(description="after the backup"))
    engine.dispose()
    steps = []

    def no_links(*_: Any) -> None:
        raise PermissionError("no links here")

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(Path, name)

        def called(path: Path, *given: Any, **named: Any) -> Any:
            if path in (target, ready) or target.name in path.name:
                steps.append(name)
                if name == step:
                    raise Killed
            return real(path, *given, **named)

        return called

    ready = tmp_path / f".b.db.{os.getpid()}.restoring"
    with monkeypatch.context() as patched:
        if not has_links:
            patched.setattr(os, "link", no_links)
        for name in ("rename", "unlink", "replace"):
            patched.setattr(Path, name, watched(name))
        is_reached = step != "rename" or not has_links
        if is_reached:
            with pytest.raises(Killed):
                backup.restore(file, engine, force=True)
        else:
            backup.restore(file, engine, force=True)
    assert step in steps or not is_reached
    said = "after the backup" if is_reached else None
    assert [row[4] for row in rows(engine, t.model)] == [said]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_restore_keeps_what_was_there_with_and_without_links(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool,
    opened: Callable[[Path], Engine],
) -> None:  # fmt: skip
    register(engine)
    backup.write(engine, tmp_path / "b.db")
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.model).values(description="after the backup"))
        beat = Beat("evaluate", "here:1:a", 1, 1, "1")
        heartbeats.write(conn, beat)
    backup.write(engine, tmp_path / "later.db")
    engine.dispose()

    def no_links(*_: Any) -> None:
        raise PermissionError("no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    _, kept = backup.restore(tmp_path / "b.db", engine, force=True)
    assert kept is not None
    assert [row[4] for row in rows(opened(kept), t.model)] == ["after the backup"]
    assert [row[4] for row in rows(engine, t.model)] == [None]
    engine.dispose()
    kept.unlink()
    backup.restore(tmp_path / "later.db", engine, force=True)
    # Whoever ran when the backup was made does not run now.
    assert rows(engine, t.heartbeat) == []


# -- the command -----------------------------------------------------------------------------


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def ran(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["driftline", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return ran


Run = Callable[..., tuple[int, str, str]]


def test_the_commands_say_what_they_did_and_refuse_in_one_line(engine: Engine, run: Run) -> None:
    register(engine)
    engine.dispose()
    code, out, _ = run("backup", "b.db", "--json")
    assert code == 0
    assert json.loads(out)["rows"]["model"] == 1
    assert Path("b.db").stat().st_mode & 0o077 == 0
    assert run("backup", "b.db")[0] == 1
    assert run("backup", "b.db", "--force")[0] == 0
    code, _, err = run("restore", "b.db")
    assert code == 1
    assert "--force" in err
    code, out, _ = run("restore", "b.db", "--force", "--json")
    assert code == 0
    kept = json.loads(out)["kept"]
    assert Path(kept).name.startswith("driftline.db.before-restore-")
    Path(kept).unlink()
    code, out, _ = run("restore", "b.db", "--force")
    assert out.startswith("what it held before is in driftline.db.before-restore-")
    code, _, err = run("restore", "b.db", "--database", "sqlite:///driftline.db")
    assert err.startswith("driftline: driftline.db is not empty")
    assert run("restore", "b.db", "--database", "sqlite:///other.db")[0] == 0
    assert run("backup", "c.db", "--database", "sqlite:///nowhere.db")[0] == 2
    assert run("restore", "nowhere.db", "--database", "sqlite:///new.db")[0] == 2
    assert not Path("new.db").exists()


def test_a_database_that_up_runs_on_is_not_replaced(engine: Engine, run: Run) -> None:
    engine.dispose()
    assert run("backup", "b.db")[0] == 0
    lock = DatabaseLock(Path("driftline.db"), "driftline up")
    lock.take()
    code, _, err = run("restore", "b.db", "--force")
    lock.release()
    assert code == 2
    assert "driftline up" in err
