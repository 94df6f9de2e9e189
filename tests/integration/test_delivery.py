"""The dispatcher as a process, against real receivers: killed, restarted, in parallel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import receivers
from receivers import Received, Receiver, misbehaving, receiving
from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret, verify_webhook
from monitor.clock import SystemClock
from monitor.storage import endpoints, outbox, reads
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

pytestmark = pytest.mark.both_databases

SECRET = new_secret()
# The lease outlives the dispatcher that was killed, and ends while the test waits.
LEASE_S = 1.5
# The dispatcher with a fault point: it is ended with SIGKILL between sending and recording.
DISPATCHER = """
import os, signal, sys
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.dispatch import Limits
from monitor.alerts.guard import networks
from monitor.clock import SystemClock
from monitor.storage import engine as storage

def die(held):
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)

dispatcher = Dispatcher(
    storage.create(sys.argv[1]), Poster(networks("127.0.0.1/32"), timeout_s=1),
    clock=SystemClock(), limits=Limits(lease_s=float(sys.argv[3])), after_sending=die,
)
while True:
    dispatcher.step() or dispatcher.wait(0.1)
"""


@contextmanager
def delivering(engine: Engine, how: str = "lives") -> Iterator[subprocess.Popen[bytes]]:
    """A dispatcher in a process of its own."""
    url = engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", DISPATCHER, url, how, str(LEASE_S)]
    process = subprocess.Popen(arguments)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def add(engine: Engine, **urls: str) -> None:
    with transaction(engine) as conn:
        for name, url in urls.items():
            endpoints.add(conn, name, url, SECRET, now_ms=SystemClock().now_ms())


def tell(engine: Engine, count: int, alert_id: str = "alert") -> list[str]:
    """Enqueue messages of one alert; return their ids."""
    ids = [f"{alert_id}-{number}" for number in range(1, count + 1)]
    with transaction(engine) as conn:
        for number, webhook_id in enumerate(ids, 1):
            body = {
                "type": "drift.updated",
                "timestamp": "2025-06-15T00:00:00Z",
                "data": {"alert_id": alert_id, "sequence": number, "summary": "für alle"},
            }
            said = json.dumps(body, ensure_ascii=False)
            told = Message(webhook_id, alert_id, number, "drift.updated", said)
            outbox.enqueue(conn, told, SystemClock().now_ms())
    return ids


def states(engine: Engine, name: str) -> dict[str, str]:
    with reading(engine) as conn:
        return {one.webhook_id: one.state for one in reads.deliveries(conn, endpoint=name)}


def wait_until_delivered(engine: Engine, name: str, timeout_s: float = 30) -> None:
    deadline_s = time.monotonic() + timeout_s
    while set(states(engine, name).values()) != {"delivered"}:
        assert time.monotonic() < deadline_s, states(engine, name)
        time.sleep(0.05)


def test_killed_between_sending_and_recording_it_sends_the_same_again(engine: Engine) -> None:
    with receiving() as receiver:
        add(engine, one=receiver.url)
        [webhook_id] = tell(engine, 1)
        with delivering(engine, "dies") as process:
            assert process.wait(30) == -signal.SIGKILL
        assert receiver.ids() == [webhook_id]
        assert states(engine, "one") == {webhook_id: "pending"}
        with delivering(engine):
            first, second = receiver.wait_for(2)
            wait_until_delivered(engine, "one")
    assert first.id == second.id == webhook_id
    assert first.body == second.body
    assert len(receiver.received) == 2
    for got in (first, second):
        assert verify_webhook(got.headers, got.body, SECRET).webhook_id == webhook_id
    stamps = [int(got.headers["webhook-timestamp"]) for got in (first, second)]
    assert stamps[1] - stamps[0] >= LEASE_S - 1


def test_killed_again_and_again_it_loses_nothing_and_keeps_the_order(engine: Engine) -> None:
    with receiving() as receiver:
        add(engine, one=receiver.url)
        wanted = tell(engine, 4)
        for _ in range(3):
            with delivering(engine, "dies") as process:
                assert process.wait(30) == -signal.SIGKILL
        with delivering(engine):
            wait_until_delivered(engine, "one")
    first_seen = list(dict.fromkeys(receiver.ids()))
    assert first_seen == wanted
    # Messages of one alert never overtake each other, whoever dies in between.
    numbers = [verify_webhook(r.headers, r.body, SECRET).sequence for r in receiver.received]
    assert numbers == sorted(numbers)
    bodies = {(got.id, got.body) for got in receiver.received}
    assert len(bodies) == len(wanted)


def test_two_dispatchers_deliver_everything_once(engine: Engine) -> None:
    with ExitStack() as stack:
        found = [stack.enter_context(receiving()) for _ in range(3)]
        add(engine, **{f"e{place}": receiver.url for place, receiver in enumerate(found)})
        wanted = [one for alert in "abcdef" for one in tell(engine, 3, alert)]
        for _ in range(2):
            stack.enter_context(delivering(engine))
        for receiver in found:
            receiver.wait_for(len(wanted), timeout_s=60)
        for place in range(3):
            wait_until_delivered(engine, f"e{place}")
        for receiver in found:
            assert sorted(receiver.ids()) == sorted(wanted)
            for alert in "abcdef":
                assert [i for i in receiver.ids() if i[0] == alert] == [
                    i for i in wanted if i[0] == alert
                ]


@pytest.mark.parametrize(
    "behave", [receivers.hang, receivers.reset, receivers.trickle_head, receivers.flood_head]
)
def test_a_receiver_that_misbehaves_holds_up_no_other(
    engine: Engine, behave: receivers.Behaviour
) -> None:
    with misbehaving(behave) as bad, receiving() as receiver:
        add(engine, bad=bad, good=receiver.url)
        wanted = [one for alert in "abcdefgh" for one in tell(engine, 1, alert)]
        with delivering(engine):
            receiver.wait_for(len(wanted), timeout_s=20)
            wait_until_delivered(engine, "good")
            deadline_s = time.monotonic() + 20
            while not failures(engine, "bad"):
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
    assert sorted(receiver.ids()) == sorted(wanted)
    assert set(states(engine, "bad").values()) == {"pending"}


def failures(engine: Engine, name: str) -> list[str]:
    with reading(engine) as conn:
        found = reads.deliveries(conn, endpoint=name)
        tried = reads.attempts_of(conn, [one.id for one in found])
    return [each.error or "" for attempts in tried.values() for each in attempts]


def test_a_receiver_that_recovers_gets_the_message_after_five_seconds(engine: Engine) -> None:
    def grumpy(receiver: Receiver) -> tuple[int, dict[str, str], bytes]:
        return (500, {}, b"not yet") if len(receiver.received) == 1 else (200, {}, b"")

    with receiving() as receiver:
        receiver.answer = lambda _: grumpy(receiver)
        add(engine, one=receiver.url)
        tell(engine, 1)
        with delivering(engine):
            receiver.wait_for(2)
            wait_until_delivered(engine, "one")
    assert failures(engine, "one") == ["it answered 500", ""]


def test_410_ends_an_endpoint_and_the_others_hear_of_it(engine: Engine) -> None:
    def told(receiver: Receiver) -> list[Received]:
        return [got for got in receiver.received if b"endpoint.disabled" in got.body]

    with receiving() as gone, receiving() as other:
        gone.answer = lambda _: (410, {}, b"bye")
        add(engine, gone=gone.url, other=other.url)
        tell(engine, 3)
        with delivering(engine):
            other.wait_for(4)
            wait_until_delivered(engine, "other")
        assert len(gone.received) == 1
        [got] = told(other)
    alert = verify_webhook(got.headers, got.body, SECRET)
    assert (alert.type, alert.raw["data"]["endpoint"]) == ("endpoint.disabled", "gone")
    assert set(states(engine, "gone").values()) == {"dead"}


def test_the_verb_delivers_what_is_allowed_and_says_what_is_not(
    engine: Engine, tmp_path: Path
) -> None:
    import os

    with receiving() as receiver:
        add(engine, one=receiver.url)
        tell(engine, 1)
        url = engine.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "monitor.cli", "deliver", "--database", url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path)
        try:
            deadline_s = time.monotonic() + 30
            while not failures(engine, "one"):
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        finally:
            process.kill()
        assert receiver.received == []
        assert "alerts.allow" in failures(engine, "one")[0]
        allowed = {**os.environ, "DRIFTLINE_ALERTS__ALLOW": "127.0.0.1/32"}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, env=allowed)
        try:
            wait_until_delivered(engine, "one")
        finally:
            process.kill()
            process.communicate(timeout=20)
