"""What a port is told apart by, and what the doctor says of records: each fault with its mend."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kafka import errors as kafka_errors
from sqlalchemy.engine import Engine

from consumers.admit import Rules
from driftline import __version__
from driftline.stats.reference import build_reference
from monitor.doctor import broker, records, store
from monitor.doctor.broker import Place
from monitor.doctor.check import Check, State, ok, within
from monitor.doctor.wire import meet
from monitor.storage import engine as storage
from monitor.storage import heartbeats
from monitor.storage.heartbeats import STANDS_STILL_MS, Beat
from monitor.storage.registry import BoundVersion, Registry
from tests.certificates import Authority

TIME = "2026-05-01T10:00:00Z"
AT_MS = 1_777_629_600_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which each connection is answered so, and then closed."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.settimeout(5)
            with connection, suppress(OSError):
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def as_kafka(connection: socket.socket) -> None:
    """Answer the question for versions; anything else is no length that a broker takes."""
    head = connection.recv(4)
    (length,) = struct.unpack(">i", head)
    if length > 100_000:
        return
    body = connection.recv(length)
    (correlation,) = struct.unpack(">i", body[4:8])
    answer = struct.pack(">ihi", correlation, 0, 0)
    connection.sendall(struct.pack(">i", len(answer)) + answer)


def by_tls(certificate: Path, clients: Path | None = None) -> Callable[[socket.socket], None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            as_kafka(secured)

    return answer


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


def test_a_broker_is_known_by_either_way_of_speaking(authority: Authority) -> None:
    with listening(as_kafka) as port:
        assert meet("127.0.0.1", port, None, 3).fault == ""
    with listening(by_tls(authority.certificate("broker"))) as port:
        assert meet("127.0.0.1", port, trusting(authority), 3).fault == ""


def test_a_stranger_s_certificate_and_another_name_are_two_faults(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path)
    named = authority.certificate("elsewhere", "DNS:elsewhere.example")
    with listening(by_tls(named)) as port:
        assert meet("127.0.0.1", port, trusting(authority), 3).fault == "wrong_name"
        assert meet("127.0.0.1", port, trusting(other), 3).fault == "untrusted"
        assert meet("127.0.0.1", port, ssl.create_default_context(), 3).fault == "untrusted"
        unchecked = trusting(authority)
        unchecked.check_hostname = False
        assert meet("127.0.0.1", port, unchecked, 3).fault == ""


def test_tls_and_plain_text_are_not_taken_for_each_other(authority: Authority) -> None:
    with listening(as_kafka) as port:
        assert meet("127.0.0.1", port, trusting(authority), 3).fault == "plain_here"
    with listening(by_tls(authority.certificate("broker"))) as port:
        assert meet("127.0.0.1", port, None, 3).fault == "tls_here"


def test_a_broker_that_wants_a_certificate_says_so(authority: Authority) -> None:
    answer = by_tls(authority.certificate("broker"), clients=authority.file)
    with listening(answer) as port:
        assert meet("127.0.0.1", port, trusting(authority), 3).fault == "refused_us"
        known = trusting(authority)
        known.load_cert_chain(authority.certificate("client"))
        assert meet("127.0.0.1", port, known, 3).fault == ""


def test_what_is_no_broker_is_none(authority: Authority) -> None:
    with listening(lambda s: s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert meet("127.0.0.1", port, None, 3).fault == "not_kafka"
    with listening(lambda s: time.sleep(0.6)) as port:
        assert meet("127.0.0.1", port, None, 0.3).fault == "not_kafka"
    assert meet("127.0.0.1", port, None, 3).fault == "unreachable"
    assert meet("no-such-host.invalid", 9092, None, 3).fault == "unreachable"


def test_every_fault_of_a_port_has_its_words_and_its_mend() -> None:
    assert set(broker._WORDS) == set(broker._MENDS)
    with listening(as_kafka) as port:
        place = Place(f"127.0.0.1:{port}", "t", "g", {}, ssl.create_default_context())
        lines = list(broker.port(place))
    assert [(line.name, line.state) for line in lines] == [
        ("broker reachable", State.OK),
        ("broker protocol", State.FAIL),
    ]
    assert "PLAINTEXT" in lines[1].mend


PLACE = Place(
    "b:1", "t", "g", {"sasl_mechanism": "PLAIN", "sasl_plain_username": "ann",
                      "sasl_plain_password": "pw-pw"}, None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (kafka_errors.SaslAuthenticationFailedError("invalid credentials"), "refuses user ann"),
        (kafka_errors.UnsupportedSaslMechanismError("[SCRAM]"), "does not take PLAIN"),
        (kafka_errors.IllegalSaslStateError(), "asks for no login"),
        (kafka_errors.KafkaConnectionError("reset"), "the connection is not taken"),
    ],
)
def test_a_refused_login_says_why(error: Exception, said: str) -> None:
    timeout = kafka_errors.KafkaTimeoutError("Unable to bootstrap")
    line = broker._refused("broker credentials", [error, timeout], PLACE)
    assert line.state is State.FAIL
    assert said in line.said
    assert line.mend
    assert "pw-pw" not in line.said + line.mend


class Admin:
    """What the broker's answers are made of, where no broker of the tests gives them."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def answer(*_: Any, **__: Any) -> Any:
            found = self._answers[name]
            if isinstance(found, Exception):
                raise found
            return found

        return answer


def test_a_right_that_is_absent_is_named_with_its_user() -> None:
    forbidden = {"error_code": 29, "partitions": []}
    (line,) = broker.topic(Admin(describe_topics=[forbidden]), PLACE, lambda _: None)
    assert (line.state, line.mend) == (State.FAIL, "grant READ on topic t to User:ann")
    denied = kafka_errors.GroupAuthorizationFailedError()

    def finds_no_group(_admin: Any, _group: str) -> int:
        raise denied

    for beat, state in (
        (lambda _admin, _group: 25, State.OK),
        (lambda _admin, _group: 30, State.FAIL),
        (finds_no_group, State.FAIL),
        (lambda _admin, _group: 16, State.SKIPPED),
    ):
        (line,) = broker.rights(Admin(), PLACE, beat)
        assert line.state is state
        if state is State.FAIL:
            assert line.mend == "grant READ on group g to User:ann"
    (line,) = broker.lag(Admin(list_group_offsets=denied), PLACE, broker.Topic((0,), {0: (0, 1)}))
    assert line.state is State.SKIPPED


def configured(**values: str) -> Admin:
    told = {name.replace("_", "."): {"value": value} for name, value in values.items()}
    return Admin(describe_configs={"topic": {"t": told}})


def test_the_topic_s_settings_are_judged() -> None:
    (line,) = broker._configured(configured(message_timestamp_type="CreateTime"), PLACE)
    assert (line.state, line.mend) == (
        State.WARN,
        "message.timestamp.type=LogAppendTime on the topic",
    )
    short = configured(message_timestamp_type="LogAppendTime", retention_ms="60000")
    (line,) = broker._configured(short, PLACE)
    assert line.state is State.WARN
    good = configured(message_timestamp_type="LogAppendTime", retention_ms="604800000")
    (line,) = broker._configured(good, PLACE)
    assert (line.state, line.said) == (State.OK, "timestamps LogAppendTime, kept for 7 days")
    denied = Admin(describe_configs=kafka_errors.TopicAuthorizationFailedError())
    (line,) = broker._configured(denied, PLACE)
    assert line.state is State.SKIPPED


def test_a_clock_that_is_behind_the_records_is_seen() -> None:
    written = [SimpleNamespace(timestamp=100_000), SimpleNamespace(timestamp=-1)]
    assert broker.clock(written, 103_000).state is State.OK
    assert broker.clock(written, 96_000).state is State.OK
    assert broker.clock(written, 40_000).state is State.WARN
    assert broker.clock([], 0).state is State.SKIPPED


# Records.


def record(offset: int, text: str) -> Any:
    return SimpleNamespace(offset=offset, timestamp=AT_MS, value=text.encode(), headers=())


def event(offset: int, features: str, version: str = "1") -> Any:
    return record(
        offset,
        f'{{"type":"prediction","model":"m","version":"{version}","time":"{TIME}",'
        f'"features":{features},"prediction":0.5}}',
    )


@pytest.fixture(scope="module")
def registry() -> Registry:
    frame = pd.DataFrame({"age": range(300), "plan": ["a", "b", "c"] * 100})
    made = build_reference(frame)
    bound = BoundVersion(1, "m", "1", "UTC", 3_600_000, ((0, made.digest),))
    return Registry(1, frozenset({"m"}), {("m", "1"): bound}, {made.digest: made})


def lines(found: list[Any], registry: Registry) -> list[Check]:
    told, admitted = records.parsing(found, Rules())
    return [*told, *records.matching(admitted, registry)]


def test_records_that_are_as_the_reference_says_are_well(registry: Registry) -> None:
    found = lines([event(i, '{"age": 41, "plan": "a"}') for i in range(3)], registry)
    assert [line.state for line in found] == [State.OK, State.OK]
    assert found[0].said == "the last 3 records hold 3 events"
    found = lines([event(1, '{"age": 41, "plan": "a"}')], registry)
    assert found[0].said == "the last record holds 1 event"
    assert found[1].said == "1 prediction of m 1, all 2 features as in the reference"


def test_records_that_do_not_parse_are_counted_by_reason(registry: Registry) -> None:
    broken = [record(1, "no JSON"), record(2, "no JSON"), record(3, '{"type":"label"}')]
    good = event(4, '{"age": 41, "plan": "a"}')
    parsed, _ = lines([*broken, good], registry)
    assert parsed.state is State.WARN
    assert "of the last 4 records: 2 bad_json, 1 model_missing" in parsed.said
    parsed, matched = lines(broken, registry)
    assert (parsed.state, matched.state) == (State.FAIL, State.SKIPPED)


def test_a_version_without_a_reference_is_named_with_those_that_have_one(
    registry: Registry,
) -> None:
    _, matched = lines([event(1, "{}", version="2")], registry)
    assert matched.state is State.FAIL
    assert "1 prediction of m 2, which has no reference; m has 1" in matched.said
    assert "reference register" in matched.mend


def test_features_that_are_missing_unknown_or_of_another_type_are_named(
    registry: Registry,
) -> None:
    _, matched = lines([event(1, '{"age": "41", "Plan": "a"}')], registry)
    assert matched.state is State.WARN
    assert "in no event: plan" in matched.said
    assert "of the wrong type: age (1 of 1 are not numeric)" in matched.said
    assert "not in the reference: Plan" in matched.said
    _, matched = lines([event(1, '{"AGE": 41, "Plan": "a"}')], registry)
    assert matched.state is State.FAIL
    # What is there at times is how data are.
    some = [event(1, '{"age": 41}'), event(2, '{"age": 41, "plan": "a"}')]
    assert lines(some, registry)[1].state is State.OK


# Processes.


def beat(engine: Engine, role: str, at_ms: int, version: str = __version__) -> None:
    with storage.transaction(engine) as conn:
        heartbeats.write(conn, Beat(role, f"here:1:{role}", at_ms, at_ms, version))


@pytest.mark.both_databases
def test_a_role_that_does_not_run_is_named_with_what_starts_it(engine: Engine) -> None:
    found = {line.name: line for line in store.processes(engine, AT_MS, 30.0)}
    for role in ("ingest", "evaluate", "deliver"):
        assert (found[role].state, found[role].said) == (State.FAIL, "it does not run")
        assert found[role].mend == f"start `driftline {role}`, or `driftline up` for all"
        beat(engine, role, AT_MS)
    found = {line.name: line for line in store.processes(engine, AT_MS, 30.0)}
    assert {line.state for line in found.values()} == {State.OK, State.WARN}
    assert found["ingest"].said == "it runs, and has read nothing yet"
    assert found["evaluate"].said == "it runs, and has judged nothing yet"
    assert found["deliver"].said == "no message waits"
    # Nothing is there any more, and nothing took its row away.
    late_ms = AT_MS + 3 * 60_000
    found = {line.name: line for line in store.processes(engine, late_ms, 30.0)}
    assert found["evaluate"].state is State.FAIL
    assert "here:1:evaluate did not end in order, last seen 3 min ago" in found["evaluate"].said
    # It is there, and beats, and its work hangs.
    moved_ms = late_ms - 2 * STANDS_STILL_MS
    with storage.transaction(engine) as conn:
        heartbeats.write(
            conn, Beat("evaluate", "here:2:b", moved_ms, late_ms, __version__, moved_ms)
        )
    found = {line.name: line for line in store.processes(engine, late_ms, 30.0)}
    assert found["evaluate"].state is State.FAIL
    assert found["evaluate"].said == "it lives, but here:2:b stands still for 2 h"
    assert found["evaluate"].mend == "end it and start `driftline evaluate` again"


def test_a_role_of_another_release_is_seen(engine: Engine) -> None:
    beat(engine, "evaluate", AT_MS, version="0.0.1")
    found = {line.name: line for line in store.processes(engine, AT_MS, 30.0)}
    assert found["evaluate"].state is State.WARN
    assert "0.0.1" in found["evaluate"].said


# Bounds.


def test_a_check_that_hangs_is_a_line_and_what_it_said_before_is_kept() -> None:
    over = threading.Event()

    def hangs() -> Iterator[Check]:
        yield ok("first", "said")
        over.wait(30)

    began_s = time.monotonic()
    found = within("slow", hangs, 0.2)
    over.set()
    assert time.monotonic() - began_s < 5
    assert [(line.name, line.state) for line in found] == [
        ("first", State.OK),
        ("slow", State.FAIL),
    ]
    assert "0.2 s" in found[1].said


def test_a_check_that_breaks_is_a_line() -> None:
    def breaks() -> Iterator[Check]:
        yield ok("first", "said")
        raise RuntimeError("what nobody expected\nin two lines")

    found = within("broken", breaks, 5)
    assert found[1].state is State.FAIL
    assert "RuntimeError: what nobody expected" in found[1].said


@pytest.mark.parametrize(("hung_s", "ended"), [(60, ""), (0, "Python ended\n")])
def test_python_is_not_taken_apart_around_a_check_that_still_works(
    hung_s: float, ended: str
) -> None:
    """A thread that was inside of pandas when Python ended around it was an abort, by signal."""
    code = f"""
import atexit, sys, time
from monitor.cli import doctor
from monitor.cli.app import app
from monitor.doctor.check import fail, within

def slow():
    time.sleep({hung_s})
    yield fail("slow", "it came", "")

doctor._checks = lambda *_: within("slow", slow, 0.2 if {hung_s} else 20.0)
atexit.register(print, "Python ended")
sys.argv = ["driftline", "doctor"]
app()
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    said = "no answer within 0.2 s" if hung_s else "it came"
    assert done.returncode == 1, done.stderr
    assert said in done.stdout
    assert done.stdout.endswith("1 of 1 checks failed\n" + ended)
    assert time.monotonic() - began < 45
