"""A message is written once for every endpoint that is to have it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.errors import Conflict
from monitor.storage import endpoints, outbox
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

pytestmark = pytest.mark.both_databases

MESSAGE = Message("msg_1", "alert_1", 1, "drift.detected", '{"type": "drift.detected"}')


def _add(engine: Engine, *names: str) -> dict[str, int]:
    with transaction(engine) as conn:
        return {
            name: endpoints.add(conn, name, f"https://{name}.example", "whsec_x", now_ms=5)[0].id
            for name in names
        }


def _rows(engine: Engine) -> list[tuple[int, str, str, str, int, int]]:
    o = t.outbox.c
    query = sa.select(o.endpoint_id, o.webhook_id, o.state, o.body, o.attempts, o.due_ms)
    with reading(engine) as conn:
        return [tuple(row) for row in conn.execute(query.order_by(o.id))]


def test_a_message_is_written_once_for_each_enabled_endpoint(engine: Engine) -> None:
    ids = _add(engine, "one", "two", "off", "gone")
    with transaction(engine) as conn:
        endpoints.disable(conn, ids["off"], "for a while", now_ms=6)
        endpoints.remove(conn, ids["gone"], now_ms=6)
    with transaction(engine) as conn:
        assert outbox.enqueue(conn, MESSAGE, 10) == 2
        assert outbox.enqueue(conn, MESSAGE, 11) == 0
    assert _rows(engine) == [
        (ids[name], "msg_1", "pending", MESSAGE.body, 0, 10) for name in ("one", "two")
    ]


def test_an_endpoint_that_came_later_gets_what_it_has_not(engine: Engine) -> None:
    _add(engine, "one")
    with transaction(engine) as conn:
        assert outbox.enqueue(conn, MESSAGE, 10) == 1
    _add(engine, "two")
    with transaction(engine) as conn:
        assert outbox.enqueue(conn, MESSAGE, 10) == 1


def test_without_endpoints_nothing_is_written(engine: Engine) -> None:
    with transaction(engine) as conn:
        assert outbox.enqueue(conn, MESSAGE, 10) == 0


def test_a_message_for_one_endpoint_reaches_no_other(engine: Engine) -> None:
    ids = _add(engine, "one", "two")
    with transaction(engine) as conn:
        assert outbox.enqueue_for(conn, ids["two"], MESSAGE, 10)
        assert not outbox.enqueue_for(conn, ids["two"], MESSAGE, 10)
    assert [row[0] for row in _rows(engine)] == [ids["two"]]


def test_what_is_rolled_back_was_never_enqueued(engine: Engine) -> None:
    _add(engine, "one")
    with pytest.raises(RuntimeError), transaction(engine) as conn:
        outbox.enqueue(conn, MESSAGE, 10)
        raise RuntimeError
    assert _rows(engine) == []


def test_the_same_endpoint_again_is_the_one_that_stands(engine: Engine) -> None:
    with transaction(engine) as conn:
        first, is_new = endpoints.add(conn, "one", "https://a.example", "whsec_a", now_ms=1)
        again, is_new_again = endpoints.add(conn, "one", "https://a.example", "whsec_b", now_ms=2)
        assert (is_new, is_new_again) == (True, False)
        assert again == first
        with pytest.raises(Conflict, match=r"sends to https://a\.example already"):
            endpoints.add(conn, "one", "https://b.example", "whsec_a", now_ms=3)


def test_a_removed_endpoint_frees_its_name_and_takes_no_old_messages_along(engine: Engine) -> None:
    old = _add(engine, "one")["one"]
    with transaction(engine) as conn:
        outbox.enqueue(conn, MESSAGE, 10)
        endpoints.remove(conn, old, now_ms=11)
    new = _add(engine, "one")["one"]
    assert new != old
    assert [(row[0], row[2]) for row in _rows(engine)] == [(old, "cancelled")]
    with reading(engine) as conn:
        assert [found.id for found in endpoints.endpoints(conn)] == [new]
        secrets = sa.select(t.endpoint.c.secrets).where(t.endpoint.c.id == old)
        assert conn.execute(secrets).scalar_one() == "[]"


def test_two_secrets_sign_while_one_takes_over_from_the_other(engine: Engine) -> None:
    with transaction(engine) as conn:
        made, _ = endpoints.add(conn, "one", "https://a.example", "whsec_a", now_ms=1)
        made = endpoints.rotate(conn, made, "whsec_b", now_ms=10, until_ms=20)
        assert made.signing(19) == ("whsec_b", "whsec_a")
        assert made.signing(20) == ("whsec_b",)
        made = endpoints.rotate(conn, made, "whsec_c", now_ms=12, until_ms=30)
        assert made.signing(19) == ("whsec_c", "whsec_b")


def test_a_secret_is_in_no_text_about_an_endpoint(engine: Engine) -> None:
    with transaction(engine) as conn:
        made, _ = endpoints.add(conn, "one", "https://a.example", "whsec_a", now_ms=1)
    assert "whsec" not in repr(made)
