"""Dead letters are written to the topic again: what is whole, once, and with where it came from."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from arrow_records import HEADERS, stream
from fake_source import KAFKA_MS, counters, prediction, register
from fastapi.testclient import TestClient
from ingest_rig import Rig, letters
from sqlalchemy.engine import Engine

from consumers.admit import KEPT_BYTES
from driftline import Client
from driftline.delivering import Placed
from driftline.errors import ApiError, BrokerUnavailable, ServerUnavailable, StreamError
from driftline.producer import ARROW, Record
from monitor import cli
from monitor.api.app import create_app
from monitor.storage import schema as t

BOTH = pytest.mark.both_databases
PATH = "/api/v1/dead-letters/replay"
DAY_MS = 86_400_000
Outcome = Placed | StreamError | None


class IntoTopic:
    """A delivery into a rig's topic; `fate` says otherwise of a record (None = it is taken)."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.topic = rig, rig.settings.topic
        self.fate: Callable[[Record], Outcome] = lambda record: None
        self.is_there = True
        self.meanwhile: Callable[[], None] = lambda: None

    def connect(self) -> None:
        if not self.is_there:
            raise BrokerUnavailable("no Kafka broker answers at nowhere:1")

    def deliver_each(self, records: Sequence[Record]) -> list[Placed | StreamError]:
        self.meanwhile()
        return [self._put(record) for record in records]

    def _put(self, record: Record) -> Placed | StreamError:
        outcome = self.fate(record)
        if outcome is None:
            offset = len(self.rig.topic.logs[0])
            self.rig.topic.append(
                record.value, kafka_ms=self.rig.clock.now_ms(), headers=tuple(record.headers)
            )
            outcome = Placed(0, offset)
        return outcome

    @property
    def sent(self) -> list[Any]:
        """The records of the topic that are dead letters sent again."""
        return [e for e in self.rig.topic.logs[0] if dict(e.headers).get("driftline-dead-letter")]


@pytest.fixture
def rig(engine: Engine) -> Rig:
    register(engine)
    return Rig(engine)


@pytest.fixture
def into(rig: Rig) -> IntoTopic:
    return IntoTopic(rig)


@contextmanager
def asking(rig: Rig, into: Any) -> Iterator[TestClient]:
    app = create_app(rig.engine, with_dashboard=False, clock=rig.clock, delivery=into)
    with TestClient(app, base_url="http://127.0.0.1:8050", raise_server_exceptions=False) as api:
        yield api


@pytest.fixture
def api(rig: Rig, into: IntoTopic) -> Iterator[TestClient]:
    with asking(rig, into) as client:
        yield client


@pytest.fixture
def sdk(api: TestClient) -> Iterator[Client]:
    client = Client("http://127.0.0.1:8050")
    client._http._client.close()
    client._http._client = api  # type: ignore[assignment]
    yield client


def replay(api: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = api.post(PATH, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def in_future(i: int, model: str = "m") -> bytes:
    """An event that is too early by a day."""
    return prediction(i, model=model, time=KAFKA_MS + DAY_MS)


@BOTH
def test_what_is_sent_again_is_the_same_bytes_and_says_where_it_came_from(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    values = [in_future(0), b"not json", in_future(1) + b"\n" + b"[1]\n" + prediction(2)]
    rig.topic.extend(values)
    rig.settle()
    assert counters(rig.engine)["prediction"] == 1
    found = replay(api, all=True)
    assert (found["selected"], found["sent"], found["refused"]) == (4, 4, {})
    lines = [values[0], values[1], in_future(1), b"[1]"]
    assert [entry.value for entry in into.sent] == lines
    headers = [dict(entry.headers) for entry in into.sent]
    assert [h["driftline-origin"].decode() for h in headers] == [
        "driftline.events/0/0/0", "driftline.events/0/1/0", "driftline.events/0/2/1",
        "driftline.events/0/2/2",
    ]  # fmt: skip
    assert [h["driftline-reason"].decode() for h in headers] == [
        "time_in_future", "bad_json", "time_in_future", "not_an_object",
    ]  # fmt: skip
    assert [h["driftline-dead-letter"].decode() for h in headers] == [
        one["id"] for one in found["letters"]
    ]
    one = api.get(f"/api/v1/dead-letters/{found['letters'][2]['id']}").json()
    assert (one["replay"], one["replayed_partition"], one["replayed_offset"]) == ("sent", 0, 5)
    with rig.engine.connect() as conn:
        noted = conn.execute(sa.select(t.audit)).one()
    assert noted.action == "dead_letter.replay"
    assert json.loads(noted.detail) == {"in_doubt": 0, "sent": 4}


def test_what_can_be_counted_by_then_is_and_what_fails_again_is_a_new_dead_letter(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    rig.topic.extend([in_future(0), b"not json"])
    rig.settle()
    rig.clock.advance(2 * DAY_MS / 1_000)
    replay(api, all=True)
    rig.settle()
    told = counters(rig.engine)
    assert told == {"dead:time_in_future": 1, "dead:bad_json": 2, "prediction": 1}
    assert [row.offset for row in letters(rig.engine)] == [0, 1, 3]
    # The new one is sent again by itself; what was sent is not.
    assert replay(api, all=True)["refused"] == {"sent": 2}
    assert len(into.sent) == 3


def test_asked_twice_it_is_sent_once(rig: Rig, into: IntoTopic, api: TestClient) -> None:
    rig.topic.append(b"not json")
    rig.settle()
    assert replay(api, reason="bad_json")["sent"] == 1
    again = replay(api, reason="bad_json")
    assert (again["sent"], again["refused"]) == (0, {"sent": 1})
    assert len(into.sent) == 1


@BOTH
def test_two_that_ask_at_once_send_once(rig: Rig, into: IntoTopic, api: TestClient) -> None:
    rig.topic.extend(f"not json {i}".encode() for i in range(50))
    rig.settle()
    other = IntoTopic(rig)
    first: list[dict[str, Any]] = []
    with asking(rig, other) as second:
        # The one has looked and not taken yet when the other sends some of them.
        into.connect = lambda: first.append(replay(second, limit=30, all=True))  # type: ignore[method-assign]
        late = replay(api, all=True)
    assert first[0]["sent"] == 30
    assert (late["sent"], late["refused"]) == (20, {"sent": 30})
    assert len({entry.value for entry in into.sent}) == len(into.sent) == 50


def test_what_was_not_kept_whole_is_refused_by_why(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    long = b"[" + b"1," * KEPT_BYTES
    rig.topic.extend([long, b"damaged", b"withheld", b"of before", b"fine"])
    # A stream with one row that is too early, and one that is none.
    row = stream({"time": [KAFKA_MS + DAY_MS]}, type="prediction", model="m", version="1")
    rig.topic.append(row, headers=HEADERS)
    rig.topic.append(b"broken arrow", headers=HEADERS)
    rig.settle()
    c = t.dead_letter.c
    with rig.engine.begin() as conn:
        for offset, values in (
            (1, {"payload": b"damaGed"}),
            (2, {"payload": None}),
            (3, {"form": None, "line": 7}),
        ):
            conn.execute(sa.update(t.dead_letter).where(c.offset == offset).values(**values))
    wanted = {
        "truncated": 1, "damaged": 1, "withheld": 1, "unknown_form": 1, "arrow_row": 1,
    }  # fmt: skip
    tried = replay(api, all=True, dry_run=True)
    assert (tried["sent"], tried["refused"], tried["letters"]) == (2, wanted, [])
    assert not into.sent
    done = replay(api, all=True)
    assert (done["sent"], done["refused"]) == (2, wanted)
    assert [entry.value for entry in into.sent] == [b"fine", b"broken arrow"]
    # What was an Arrow stream is called one again.
    assert [dict(e.headers).get("content-type") for e in into.sent] == [None, ARROW.encode()]
    states = {
        one["offset"]: one["replay"] for one in api.get("/api/v1/dead-letters").json()["items"]
    }
    assert states == {
        0: "truncated", 1: "damaged", 2: "withheld", 3: "unknown_form", 4: "sent", 5: "arrow_row",
        6: "sent",
    }  # fmt: skip


def test_letters_of_another_topic_stay_where_they_are(rig: Rig, into: IntoTopic) -> None:
    rig.topic.append(b"not json")
    rig.settle()
    into.topic = "driftline.other"
    with asking(rig, into) as api:
        assert replay(api, all=True)["refused"] == {"other_topic": 1}
    assert not into.sent


def test_they_are_selected_by_all_that_is_said(rig: Rig, api: TestClient, sdk: Client) -> None:
    rig.topic.extend([in_future(0), in_future(1, "other"), b'{"model": "m"', b"x"])
    rig.settle()
    rig.clock.advance(3_600)
    rig.topic.append(b"later")
    rig.settle()

    def selected(**body: Any) -> int:
        return int(replay(api, dry_run=True, **body)["selected"])

    assert selected(all=True) == 5
    assert selected(reason="bad_json") == 3
    assert selected(model="m") == 2
    assert selected(model="m", reason="time_in_future") == 1
    assert selected(topic="driftline.events") == 5
    assert selected(topic="another") == 0
    hour = datetime.fromtimestamp(KAFKA_MS / 1_000 + 1_800, UTC)
    assert selected(**{"from": hour.isoformat()}) == 1
    assert selected(to=hour.isoformat()) == 4
    ids = [one.id for one in sdk.dead_letters("bad_json")]
    assert selected(ids=ids[:2]) == 2
    assert sdk.replay_dead_letters(ids, dry_run=True).sent == 3
    assert sdk.replay_dead_letters(start=hour, dry_run=True).selected == 1
    assert "1-0-99-0" in replay(api, 404, ids=["1-0-99-0"])["detail"]
    assert replay(api, 422)["title"] == "Nothing says which dead letters"
    assert replay(api, 422, every=True)["title"] == "The request is not valid"


def test_many_go_in_pages_and_progress_is_told(
    rig: Rig, into: IntoTopic, api: TestClient, sdk: Client
) -> None:
    rig.settings = replace(rig.settings, breaker=False)
    rig.start()
    rig.topic.extend(f"not json {i}".encode() for i in range(1_200))
    rig.settle(rounds=6)
    told: list[int] = []
    found = sdk.replay_dead_letters(everything=True, progress=told.append)
    assert (found.sent, found.selected, dict(found.refused)) == (1_200, 1_200, {})
    assert told == [500, 500, 200]
    assert len({entry.value for entry in into.sent}) == 1_200


def test_a_broker_that_is_away_takes_nothing_and_nothing_is_taken(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    rig.topic.append(b"not json")
    rig.settle()
    into.is_there = False
    assert "Nothing was sent" in replay(api, 503, all=True)["detail"]
    into.is_there = True

    def lost() -> None:
        raise BrokerUnavailable("the connection was lost before")

    into.meanwhile = lost
    assert "Nothing was sent" in replay(api, 503, all=True)["detail"]
    into.meanwhile = lambda: None
    assert replay(api, all=True)["sent"] == 1


def test_what_the_broker_refuses_can_be_sent_later(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    rig.topic.extend([b"first", b"second"])
    rig.settle()
    into.fate = lambda record: StreamError("too large") if record.value == b"first" else None
    found = replay(api, all=True)
    assert (found["sent"], found["refused"]) == (1, {"not_written": 1})
    into.fate = lambda record: None
    assert replay(api, all=True)["sent"] == 1
    assert [entry.value for entry in into.sent] == [b"second", b"first"]


def test_one_that_may_have_arrived_is_sent_again_only_by_who_says_so(
    rig: Rig, into: IntoTopic, api: TestClient
) -> None:
    rig.topic.extend([b"first", b"second"])
    rig.settle()
    into.fate = lambda record: BrokerUnavailable("?") if record.value == b"first" else None
    assert "1 were sent; of 1 nobody knows" in replay(api, 503, all=True)["detail"]
    into.fate = lambda record: None
    assert replay(api, all=True)["refused"] == {"in_doubt": 1, "sent": 1}
    # Somebody may be sending it at this moment.
    assert replay(api, all=True, in_doubt=True)["refused"] == {"in_doubt": 1, "sent": 1}
    rig.clock.advance(61)
    assert replay(api, all=True, in_doubt=True)["sent"] == 1
    assert [entry.value for entry in into.sent] == [b"second", b"first"]
    assert replay(api, all=True, in_doubt=True)["refused"] == {"sent": 2}


class Killed(Exception):
    """The process ends here: what was not committed by then is not."""


def test_killed_between_sending_and_noting_it_is_in_doubt_and_not_sent_twice(
    rig: Rig, into: IntoTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.api import letters as module

    rig.topic.append(b"not json")
    rig.settle()

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, asking(rig, into) as api:
        patched.setattr(module.store, "note_sent", dies)
        assert api.post(PATH, json={"all": True}).status_code == 500
    assert len(into.sent) == 1
    with asking(rig, into) as api:
        assert replay(api, all=True)["refused"] == {"in_doubt": 1}
    assert len(into.sent) == 1


def test_without_taking_first_the_same_kill_sends_twice(
    rig: Rig, into: IntoTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.api import letters as module

    rig.topic.append(b"not json")
    rig.settle()

    def dies(*_: Any) -> None:
        raise Killed

    # The negative control: nothing is taken before it is sent.
    monkeypatch.setattr(module.store, "take", lambda conn, found, now_ms: list(found))
    with monkeypatch.context() as patched, asking(rig, into) as api:
        patched.setattr(module.store, "note_sent", dies)
        assert api.post(PATH, json={"all": True}).status_code == 500
    with asking(rig, into) as api:
        replay(api, all=True)
    assert len(into.sent) == 2


def test_a_server_without_a_broker_says_so(rig: Rig) -> None:
    with asking(rig, None) as api:
        assert replay(api, 503, all=True)["title"] == "This server has no broker"


@pytest.fixture
def command(
    sdk: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    from monitor.cli import dead_letter

    @contextmanager
    def connected(*_: Any) -> Iterator[Client]:
        yield sdk

    monkeypatch.setattr(dead_letter, "connect", connected)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["driftline", "dead-letter", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_the_command_lists_shows_and_sends_them(
    rig: Rig, into: IntoTopic, command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert command("list")[:2] == (0, "no dead letter is kept\n")
    rig.topic.extend([b"caf\xe9", in_future(0), b"[" + b"1," * KEPT_BYTES])
    rig.settle()
    code, out, _ = command("list")
    assert code == 0
    assert len(out.splitlines()) == 3
    code, out, _ = command("show", "1-0-0-0")
    assert "can be sent again" in out
    assert hashlib.sha256(b"caf\xe9").hexdigest() in out
    code, out, err = command("replay")
    assert (code, out) == (2, "")
    assert "--all" in err
    code, out, _ = command("replay", "--all", "--dry-run")
    assert code == 1
    assert out.startswith("2 of 3 dead letters would be sent to driftline.events\n")
    assert "1 not sent: kept in part only" in out
    assert not into.sent
    code, out, _ = command("replay", "--reason", "time_in_future", "--json")
    told = json.loads(out)
    assert (code, told["sent"], told["letters"][0]["offset"]) == (0, 1, 3)
    assert "[sent again]" in command("list")[1]
    assert "sent again as partition 0, offset 3" in command("show", "1-0-1-0")[1]
    # Again: nothing is wrong with what was sent already.
    assert command("replay", "--reason", "time_in_future")[0] == 0
    code, out, err = command("export")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["replay"] for line in lines} == {"sent", "possible", "truncated"}
    whole = next(line for line in lines if line["id"] == "1-0-0-0")
    assert base64.b64decode(whole["payload_base64"]) == b"caf\xe9"
    assert "3 dead letters written" in err
    file = tmp_path / "letters.ndjson"
    assert command("export", "--file", str(file), "--reason", "bad_json")[0] == 0
    assert len(file.read_text().splitlines()) == 2
    assert command("export", "--file", str(tmp_path / "no" / "where"))[0] == 2
    assert command("show", "1-0-99-0")[0] == 1


def test_the_client_says_what_is_wrong(sdk: Client, rig: Rig, into: IntoTopic) -> None:
    with pytest.raises(ApiError, match="Nothing says which"):
        sdk.replay_dead_letters()
    rig.topic.append(b"x")
    rig.settle()
    into.is_there = False
    with pytest.raises(ServerUnavailable, match="broker cannot be reached"):
        sdk.replay_dead_letters(everything=True)


def test_the_page_says_where_it_lies_now(rig: Rig, into: IntoTopic, api: TestClient) -> None:
    from dashboard import sentences_pipeline as say
    from monitor.storage import reads

    rig.topic.extend([b"first", b"second"])
    rig.settle()
    into.fate = lambda record: BrokerUnavailable("?") if record.value == b"first" else None
    replay(api, 503, all=True)
    with rig.engine.connect() as conn:
        doubtful, sent = (reads.find_letter(conn, 1, 0, offset, 0) for offset in (0, 1))
    assert doubtful is not None
    assert sent is not None
    assert say.sent_again(sent, say.Told()).endswith(", partition 0, offset 2")
    assert say.sent_again(doubtful, say.Told()).endswith("nobody knows whether it arrived")
