"""History that was counted elsewhere: it counts once, all at once, and never beside the stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
import sqlalchemy as sa
from fake_source import KAFKA_MS, START_MS, Entry, prediction, small_reference
from pyarrow import csv, parquet
from replay_rig import STEP_MS, Twice
from serving import served
from sqlalchemy.engine import Engine

from consumers.admit import Rules, admit
from consumers.count import count
from driftline import Client, uploading
from driftline.errors import ApiConflict, ApiError, Conflict, InvalidFrame
from driftline.history import Packed, Panes, Profiles
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.profile import Profile
from monitor import cli
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.retention import Keeper, Policy
from monitor.storage import checkpoint, models, registry, upload_rows, uploads
from monitor.storage import schema as t
from monitor.storage.checkpoint import Move
from monitor.storage.engine import take_turns, transaction

pytestmark = pytest.mark.both_databases


class World(Twice):
    """A topic that is counted, and history of the same model that is not in it."""

    url: str

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine)
        self.client = client
        self.reference = self.register()

    def history(self, first: int, n: int, version: str = "1") -> Profiles:
        """What predictions `first` to `first + n` add up to; six are an hour's."""
        log = [Entry(i, KAFKA_MS, prediction(first + i, version=version)) for i in range(n)]
        known = registry.load(self.engine)
        bound = known.versions["m", version]
        panes = Panes(known.references[bound.bindings[-1][1]].gridset)
        for key, profile in count(admit(log, Rules()), known).counted().items():
            panes.put((key.start_ms, key.segment), profile)
        return Profiles(panes, HOUR_MS)

    def upload(self, history: Profiles, **more: Any) -> Any:
        return self.client.upload_history("m", "1", history, **more)

    def evaluate(self) -> int:
        settings = EvaluateSettings("", idle_timeout_s=1e9, stalled_after_s=1e9)
        return Evaluator(self.engine, settings, now_ms=self.rig.clock.now_ms).step()

    def uploaded(self) -> dict[tuple[int, str], tuple[int, bytes]]:
        """What counts of all uploads."""
        return {
            (row.start_ms, row.segment): (row.rows, row.body)
            for row in self.rows(t.pane)
            if row.stream_id < 0 and row.rows
        }


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    made = World.__new__(World)
    Twice.__init__(made, engine)
    with served(engine, made.rig.clock) as url, Client(url) as client:
        World.__init__(made, engine, client)
        made.url = url
        yield made


class Run(Protocol):
    """Runs a command and returns what it prints, on standard output or as its error."""

    def __call__(self, url: str, *words: str, code: int = 0) -> str: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(url: str, *words: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["driftline", *words, "--url", url])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        assert (ended.value.code or 0) == code, told
        return told.err if code else told.out

    return ran


@pytest.fixture
def many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "CHUNK_PANES", 10)


def hour_of(i: int) -> str:
    """The hour of the i-th prediction, as messages name it."""
    return upload_rows.instant((START_MS + i * STEP_MS) // HOUR_MS * HOUR_MS)


def packed(history: Profiles) -> dict[tuple[int, str], tuple[int, bytes]]:
    return {(key[0] or 0, key[1]): tuple(pane) for key, pane in history.panes.packed().items()}  # type: ignore[misc]


@pytest.mark.usefixtures("many_chunks")
def test_history_counts_as_the_same_events_would_and_once(world: World) -> None:
    history = world.history(0, 200)
    told: list[tuple[int, int]] = []
    done = world.upload(history, progress=lambda *at: told.append(at))
    n_chunks = -(-len(history.panes) // 10)
    assert told == [(i + 1, n_chunks) for i in range(n_chunks)]
    assert (done.state, done.panes, done.rows) == ("counted", len(history.panes), 200)
    assert (done.model, done.version, done.gridset) == ("m", "1", history.gridset)
    assert world.uploaded() == packed(history)
    assert not world.rows(t.lane_pane)
    again = world.upload(history)
    assert again == done
    assert world.uploaded() == packed(history)
    assert [row.rev for row in world.rows(t.pane)] == [1] * len(history.panes)
    (listed,) = world.client.uploads("m")
    assert (listed.upload, listed.also_streamed) == (done.upload, None)
    assert world.client.upload(done.upload).also_streamed == 0
    # The log, of later hours, adds to what is there.
    world.sent = 204
    world.send(30)
    world.count()
    whole = world.history(0, 200).rows + 30
    assert sum(row.rows for row in world.rows(t.pane) if row.segment == "all") == whole
    actions = [row.action for row in world.rows(t.audit)]
    assert actions.count("upload.count") == 1


def _written(folder: Path, kind: str, n: int) -> tuple[Path, tuple[str, ...]]:
    """The first predictions as a file, and the options that say what is what."""
    events = [json.loads(prediction(i)) for i in range(n)]
    if kind == "ndjson":
        file = folder / "events.ndjson"
        file.write_text("".join(json.dumps(event) + "\n" for event in events))
        return file, ()
    rows = [
        {
            **event["features"],
            "class": event["prediction"]["class"],
            "p": event["prediction"]["score"],
            "at": event["time"] if kind == "parquet" else upload_rows.instant(event["time"]),
            "note": "not a feature",
        }
        for event in events
    ]
    table = pa.Table.from_pylist(rows)
    file = folder / f"scored.{kind}"
    if kind == "parquet":
        parquet.write_table(table, file)
    else:
        csv.write_csv(table, file)
    return file, ("--prediction", "class", "--score", "p", "--timestamp", "at")


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
def test_the_shell_counts_a_file_as_the_stream_would(
    world: World, run: Run, tmp_path: Path, kind: str
) -> None:
    assert "no upload; `driftline history upload" in run(world.url, "history", "list")
    history = world.history(0, 200)
    file, columns = _written(tmp_path, kind, 200)
    asked = ("history", "upload", str(file), "--model", "m", "--version", "1", *columns)
    said = run(world.url, *asked)
    assert world.uploaded() == packed(history)
    (done,) = world.client.uploads()
    assert f"m 1: upload {done.upload}" in said
    first = hour_of(0)[:16].replace("T", " ")
    assert f"200 rows in {len(history.panes)} panes, {first} UTC to" in said
    again = json.loads(run(world.url, *asked, "--json"))
    assert (again["upload"], again["state"], again["rows"]) == (done.upload, "counted", 200)
    assert (again["refused"], again["left_out"]) == ({}, 0)
    assert f"{done.upload}  counted: m 1" in run(world.url, "history", "list", "--model", "m")
    assert [one["rows"] for one in json.loads(run(world.url, "history", "list", "--json"))] == [200]
    shown = run(world.url, "history", "show", done.upload)
    assert "counts since" in shown and f"history remove {done.upload}`" in shown
    as_json = json.loads(run(world.url, "history", "show", done.upload, "--json"))
    assert (as_json["upload"], as_json["also_streamed"]) == (done.upload, 0)
    assert "is removed" in run(world.url, "history", "remove", done.upload)
    assert not world.uploaded()
    assert "no such upload" in run(world.url, "history", "show", done.upload, code=1).lower()


def test_the_shell_leaves_hours_out_and_says_what_is_wrong(
    world: World, run: Run, tmp_path: Path
) -> None:
    file, columns = _written(tmp_path, "parquet", 60)
    asked = ("history", "upload", str(file), "--model", "m", *columns)
    hour = hour_of(12)
    said = run(world.url, *asked, "--version", "1", "--from", hour, "--until", hour_of(30))
    ends = [(START_MS + i * STEP_MS) // HOUR_MS * HOUR_MS for i in (12, 30)]
    kept = world.history(0, 60).between(*ends)
    assert f"{60 - kept.rows} rows outside of --from and --until left out" in said
    assert 0 < kept.rows < 60
    assert world.uploaded() == packed(kept)
    wrong = {
        ("--version", "9"): "a version of m with a reference: 1",
        ("--version", "1", "--from", "noon"): "a time as 2025-06-01T00:00:00Z",
        ("--version", "1", "--until", "2001-01-01T00:00:00Z", "--from", hour): "after --from",
    }
    for options, words in wrong.items():
        assert words in run(world.url, *asked, *options, code=2)
    bare = ("history", "upload", str(file), "--model", "m", "--version", "1")
    assert "--timestamp" in run(world.url, *bare, code=2)
    assert "no column 'when'" in run(world.url, *bare, "--timestamp", "when", code=1)
    # Part of it counts already, by that upload.
    assert "has counted that time" in run(world.url, *asked, "--version", "1", code=1)


def test_what_the_stream_counted_is_refused_at_its_chunk(world: World) -> None:
    world.sent = 60
    world.send(12)
    world.count()
    before = world.rows(t.pane)
    with pytest.raises(ApiConflict, match="stream has counted that time of m 1") as raised:
        world.upload(world.history(0, 72))
    assert hour_of(60) in str(raised.value)
    assert hour_of(71) in str(raised.value)
    assert world.rows(t.pane) == before
    (open_,) = world.client.uploads()
    assert (open_.state, open_.chunks) == ("open", 0)
    # The rest of it is taken.
    first_ms = min(row.start_ms for row in before)
    rest = world.history(0, 72).between(0, first_ms)
    assert world.upload(rest).rows == rest.rows
    assert world.uploaded() == packed(rest)


def _sent_and_not_counted(world: World, history: Profiles, monkeypatch: Any) -> None:
    """Send all chunks of history, and be cut off before it is made to count."""

    class Cut(Exception):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(uploading, "_refuse_other", lambda *_: None)
        real = world.client._call

        def call(method: str, path: str, **more: Any) -> Any:
            return cut() if path.endswith("/count") else real(method, path, **more)

        patched.setattr(world.client, "_call", call)
        with pytest.raises(Cut):
            world.upload(history)


def test_what_the_stream_counts_between_the_last_chunk_and_the_swap_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = world.history(0, 72)
    _sent_and_not_counted(world, history, monkeypatch)
    world.sent = 70
    world.send(2)
    world.count()
    before = world.rows(t.pane)
    with pytest.raises(ApiConflict, match=f"the pane of {hour_of(70)}"):
        world.upload(history)
    assert world.rows(t.pane) == before
    assert not world.evaluate() or not world.uploaded()


def test_a_checkpoint_that_is_being_written_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong was: history looked for what stands while a consumer was just writing it."""
    world.sent = 600
    world.send(2)
    world.count()  # so that there is a position
    history = world.history(0, 72)
    _sent_and_not_counted(world, history, monkeypatch)
    outcome: list[BaseException | Any] = []

    def ask() -> None:
        try:
            outcome.append(world.upload(history))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    with transaction(world.engine) as conn:
        row = conn.execute(sa.select(t.stream_position).where(sa.text("partition = 0"))).one()
        held = checkpoint.Claim(
            row.stream_id, 0, row.claim_epoch, row.next_offset, row.registry_revision, None, None, 0
        )
        known = registry.load(world.engine)
        delta = count(admit([Entry(0, KAFKA_MS, prediction(10))], Rules()), known)
        move = Move(row.next_offset + 1, row.registry_revision, None, None, None)
        checkpoint.commit(conn, held, move, delta, 1)
        thread.start()
        _wait(lambda: _waits_for_a_lock(world.engine) or outcome)
    thread.join(timeout=30)
    (found,) = outcome
    assert isinstance(found, ApiConflict), found
    assert hour_of(10) in str(found)
    assert not world.uploaded()


def _put(world: World, path: str, chunk: bytes) -> Any:
    return world.client._call("PUT", path, content=chunk, content_type=uploading.OCTETS)


def _waits_for_a_lock(engine: Engine) -> bool:
    if engine.dialect.name == "sqlite":
        return True  # nobody can be asked: it waits for the one write lock, or is yet to come
    with engine.connect() as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(conn.exec_driver_sql(query).scalar_one())


def _wait(until: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_uploads_of_one_time_one_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = world.history(0, 72), world.history(66, 30)
    _sent_and_not_counted(world, one, monkeypatch)
    done = world.upload(other)
    with pytest.raises(ApiConflict, match=f"upload {done.upload} has counted that time"):
        world.upload(one)
    assert world.uploaded() == packed(other)


@pytest.mark.usefixtures("many_chunks")
def test_an_upload_that_is_cut_short_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = world.history(0, 200)

    class Cut(Exception):
        pass

    def cut(done: int, _: int) -> None:
        if done == 4:
            raise Cut

    with pytest.raises(Cut):
        world.upload(history, progress=cut)
    assert not world.rows(t.pane)
    assert world.evaluate() == 0
    asked: list[str] = []
    real = world.client._call

    def call(method: str, path: str, **more: Any) -> Any:
        asked.append(path.rpartition("/")[2])
        return real(method, path, **more)

    monkeypatch.setattr(world.client, "_call", call)
    world.upload(history)
    n_chunks = -(-len(history.panes) // 10)
    assert asked[1:] == [*map(str, range(4, n_chunks)), "count"]
    assert world.uploaded() == packed(history)


@pytest.mark.usefixtures("many_chunks")
def test_a_chunk_again_changes_nothing_and_other_content_is_refused(world: World) -> None:
    history = world.history(0, 100)
    with pytest.raises(ZeroDivisionError):
        world.upload(history, upload="mine", progress=lambda *_: 1 / 0)
    (first, second, *_) = uploading._chunks(history)
    before = world.client.upload("mine")
    path = "/api/v1/uploads/mine"
    for chunk in (first, second):  # whatever comes as chunk 0
        found = _put(world, f"{path}/chunks/0", chunk)
        assert (found["chunks"], found["digest"]) == (1, before.digest)
    # Another process of the server may have taken it meanwhile.
    bound = registry.load(world.engine).versions["m", "1"]
    with transaction(world.engine) as conn:
        taken = uploads.take(
            conn, "mine", bound, [history.gridset], chunk=0, body=first, panes=[], now_ms=1
        )
    assert taken is not None
    assert (taken.chunks, taken.digest) == (1, before.digest)
    with pytest.raises(ApiConflict, match="chunk 5 is not next"):
        _put(world, f"{path}/chunks/5", second)
    with pytest.raises(ApiConflict, match="twice"):
        _put(world, f"{path}/chunks/1", first)
    with pytest.raises(ApiConflict, match="begun with other content"):
        world.upload(world.history(1, 99), upload="mine")
    with pytest.raises(ApiConflict, match="holds 1 chunks"):
        meant = json.dumps({"chunks": 1, "digest": "0" * 64}).encode()
        world.client._call("POST", f"{path}/count", content=meant)
    world.upload(history, upload="mine")
    with pytest.raises(ApiConflict, match="begun with other content"):
        world.upload(world.history(1, 99), upload="mine")
    assert world.uploaded() == packed(history)


def test_what_nobody_goes_on_with_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = world.history(0, 72)
    _sent_and_not_counted(world, history, monkeypatch)
    keeper = Keeper(world.engine, Policy(), world.rig.clock)
    world.rig.clock.advance(uploads.STALE_MS / 1_000 - 1)
    assert keeper.run().lanes == 0
    assert world.rows(t.lane_pane)
    world.rig.clock.advance(2)
    assert keeper.run().lanes == 1 + len(history.panes)
    assert not world.rows(t.lane_pane)
    assert not world.rows(t.upload)
    # It can be begun again.
    assert world.upload(history).state == "counted"


def _changed(history: Profiles, key: Any, profile: Any) -> Profiles:
    panes = Panes(history.panes.gridset)
    for each, pane in history.panes.packed().items():
        panes.put(each, pane)
    if profile is None:
        del panes._packed[key]
    else:
        panes.put(key, profile)
    return Profiles(panes, history.pane_ms)


def test_what_is_no_history_of_the_version_is_refused(world: World) -> None:
    history = world.history(0, 12)
    key = next(key for key in history.panes if key[1] == "all")
    south = (key[0], "site=south")
    start_ms, broken = key[0] or 0, history.panes[key]
    broken.counts[3] += 1
    quiet = Profile(history.panes[key].counts, None, broken.low, broken.high, broken.gridset)
    body = history.panes.packed()[key].body
    other = world.register("2", seed=2)
    elsewhere = Panes(other.gridset)
    elsewhere.put(key, Profile.empty(other.gridset, with_sums=True))
    rows = history.panes[key].rows
    cases: list[tuple[Any, type[Exception], str]] = [
        (_changed(history, key, broken), ApiError, "do not add up"),
        (_changed(history, key, quiet), ApiError, "must have sums"),
        (_changed(history, key, Packed(1, b"nonsense")), ApiError, "cannot be read"),
        (_changed(history, key, Packed(1, body[:-3])), ApiError, "cannot be read"),
        (_changed(history, (start_ms, "site=west"), Packed(1, body)), ApiError, "of a segment"),
        (_changed(history, (start_ms + 1, "all"), Packed(1, body)), ApiError, "begins where"),
        (_changed(history, (KAFKA_MS // HOUR_MS * HOUR_MS, "all"), Packed(1, body)), ApiError,
         "not over yet"),
        (_changed(history, south, None), ApiError, f"has {rows} rows, and "),
        (_changed(history, key, None), ApiError, "no counts of all rows"),
        (_changed(history, key, Profile.empty(world.reference.gridset, with_sums=True)), ApiError,
         "has no rows"),
        (Profiles(history.panes, 2 * HOUR_MS), ApiError, "another length"),
        (Profiles(elsewhere, HOUR_MS), ApiConflict, "is not counted on the gridset"),
        (Profiles(Panes(world.reference.gridset), HOUR_MS), InvalidFrame, "nothing was counted"),
        (_changed(history, (None, "all"), Packed(1, body)), InvalidFrame, "without times"),
    ]  # fmt: skip
    for given, kind, words in cases:
        with pytest.raises(kind, match=words):
            world.upload(given)
    assert not world.rows(t.pane)
    for model, version, words in (("n", "1", "no such model"), ("m", "9", "no such version")):
        with pytest.raises(ApiError, match=words):
            world.client.upload_history(model, version, history)
    with pytest.raises(ApiError, match="no such upload"):
        world.client.remove_upload("nothing")
    with transaction(world.engine) as conn:
        models.archive(conn, "m", actor="me", now_ms=1)
    with pytest.raises(ApiConflict, match="archived"):
        world.upload(history)


def test_a_reference_that_is_bound_meanwhile_counts_for_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = world.history(0, 72)
    _sent_and_not_counted(world, history, monkeypatch)
    later = history.panes.gridset
    with transaction(world.engine) as conn:
        made = small_reference(seed=5)
        registry.register_reference(
            conn, made, model="m", version="1", now_ms=1, effective_from_ms=START_MS + 6 * HOUR_MS
        )
    assert made.gridset.digest != later.digest
    with pytest.raises(ApiConflict, match="is counted on reference"):
        world.upload(history)
    assert not world.rows(t.pane)


def test_what_is_removed_is_judged_without_and_may_come_again(world: World) -> None:
    history = world.history(0, 144)
    done = world.upload(history)
    assert world.evaluate() > 0
    windows = {(row.length, row.start_ms, row.segment): row.rows for row in world.rows(t.window)}
    assert sum(rows for (length, _, s), rows in windows.items() if (length, s) == ("hour", "all"))
    removed = world.client.remove_upload(done.upload)
    assert removed.upload == done.upload
    assert not world.uploaded()
    assert world.client.uploads() == []
    world.evaluate()
    assert not any(row.rows for row in world.rows(t.window))
    again = world.upload(history)
    assert again.state == "counted"
    world.evaluate()
    assert windows == {
        (row.length, row.start_ms, row.segment): row.rows for row in world.rows(t.window)
    }


def test_a_replay_does_not_count_again_what_was_uploaded(world: World) -> None:
    """Events that were read before the version had a reference are history to who uploads them."""
    world.send(72, version="2")
    world.count()
    world.register("2", seed=2)
    history = world.history(0, 72, version="2")
    done = world.client.upload_history("m", "2", history)
    before = world.rows(t.pane)
    with pytest.raises(Conflict, match="was uploaded"):
        world.replay(model="m", version="2")
    assert world.rows(t.pane) == before
    assert world.nothing_is_left()
    world.client.remove_upload(done.upload)
    world.replay(model="m", version="2")
    assert sum(row.rows for row in world.rows(t.pane) if row.segment == "all") == 72


def test_a_replay_of_what_the_stream_counted_leaves_uploads_alone(world: World) -> None:
    world.sent = 150
    world.send(60)
    world.count()
    history = world.history(0, 144)
    done = world.upload(history)
    world.replay(model="m")
    assert world.uploaded() == packed(history)
    # A late event of that time counts; it is told, and a replay counts it, too.
    world.rig.topic.append(prediction(10), 0, kafka_ms=START_MS + 300 * STEP_MS)
    world.count()
    assert world.client.upload(done.upload).also_streamed == 1
    stream = [row for row in world.rows(t.pane) if row.stream_id > 0]
    world.replay(model="m")
    assert [row for row in world.rows(t.pane) if row.stream_id > 0] == stream
    assert not world.verify().differences


def test_uploaded_hours_become_days_and_go_with_their_model(world: World) -> None:
    history = world.history(0, 144 * 60)  # sixty days
    done = world.upload(history)
    assert world.evaluate() > 0
    keeper = Keeper(world.engine, Policy(hours_days=45), world.rig.clock)
    assert keeper.run().hours > 0
    assert not keeper.failures
    days = world.rows(t.pane_day)
    assert days
    hours = [row for row in world.rows(t.pane) if row.segment == "all"]
    in_days = sum(row.rows for row in days if row.segment == "all")
    assert in_days + sum(row.rows for row in hours) == 144 * 60
    # What became days is there all the same.
    with pytest.raises(ApiConflict, match=f"upload {done.upload} has counted"):
        world.upload(history.between(0, START_MS + DAY_MS))
    with transaction(world.engine) as conn:
        models.archive(conn, "m", actor="me", now_ms=1)
    deleted = models.delete(world.engine, "m", actor="me", now_ms=1)
    assert deleted is not None
    assert deleted["upload"] == 2
    assert not world.rows(t.pane)


def test_an_upload_while_an_evaluator_judges_another_is_judged_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong was: who was judging said that all was judged, and the new history never was."""
    world.upload(world.history(150, 150))
    real = Evaluator._write
    earlier = world.history(0, 140)

    def write(self: Evaluator, found: Any) -> bool:
        if len(world.client.uploads()) == 1:
            world.upload(earlier)
        return real(self, found)

    monkeypatch.setattr(Evaluator, "_write", write)
    world.evaluate()
    world.evaluate()
    hours = [row for row in world.rows(t.window) if (row.length, row.segment) == ("hour", "all")]
    assert sum(row.rows for row in hours) == 290


def test_retention_and_removal_take_turns(world: World) -> None:
    """Wrong was: a day was made of hours that had been taken out meanwhile."""
    world.upload(world.history(0, 144 * 60))
    world.evaluate()
    keeper = Keeper(world.engine, Policy(hours_days=45), world.rig.clock)
    thread = threading.Thread(target=keeper.run)
    with transaction(world.engine) as conn:
        take_turns(conn, "upload")
        thread.start()
        _wait(lambda: _waits_for_a_lock(world.engine) or not thread.is_alive())
        assert thread.is_alive(), "it did not wait for its turn"
    thread.join(timeout=60)
    assert world.rows(t.pane_day)
    assert not keeper.failures


def test_bodies_are_bounded_and_of_one_type(world: World) -> None:
    history = world.history(0, 6)
    with pytest.raises(ZeroDivisionError):
        world.upload(history, upload="mine", progress=lambda *_: 1 / 0)
    path = "/api/v1/uploads/mine/chunks/1"
    with pytest.raises(ApiError, match="too large"):
        world.client._call("PUT", path, content=b"x" * (5 << 20), content_type=uploading.OCTETS)
    with pytest.raises(ApiError, match="must be octets"):
        world.client._call("PUT", path, content=b"[]")
    with pytest.raises(ApiError, match="no history of this version"):
        world.client._call("PUT", path, content=b"\xc1", content_type=uploading.OCTETS)
    many = b"\xdd" + (2_001).to_bytes(4, "big") + b"\x93\x00\xa1a\xc4\x00" * 2_001
    with pytest.raises(ApiError, match="2,001 panes"):
        world.client._call("PUT", path, content=many, content_type=uploading.OCTETS)
    assert isinstance(history.panes.gridset, Gridset)
