"""Each kind of endpoint is sent a message as it wants it, by a real dispatcher to real servers."""

from __future__ import annotations

import ipaddress
import json
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from receivers import misbehaving, receiving, trickle_head
from sqlalchemy.engine import Engine

from monitor.alerts import Dispatcher, Poster
from monitor.alerts.apprise import Notifier
from monitor.alerts.guard import Address, networks
from monitor.alerts.smtp import Mailer
from monitor.alerts.ways import Ways
from monitor.clock import HeldClock
from monitor.storage import endpoints, outbox, reads
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

LOCAL = networks("127.0.0.1/32")
NOW_MS = 1_750_000_000_000
CERTIFICATE = Path(__file__).with_name("hooks.example.pem")
KEY = "0123456789abcdef0123456789ABCDEF"
HOSTILE = "<!channel> & \r\nBcc: all@firm.example"


def here(host: str, port: int) -> Sequence[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


def tell(engine: Engine, kind: str, sequence: int, severity: str = "critical", **more: Any) -> None:
    data = {
        "alert_id": "alert", "sequence": sequence, "model": "flight-delay", "version": "3",
        "severity": severity, "summary": f"flight-delay 3: {HOSTILE} moved.",
        "url": "http://127.0.0.1:8050/incidents/3?a=1&b=2",
        "incidents": [
            {"id": n, "feature": f"f{n}{HOSTILE}", "segment": "all", "kind": "missing",
             "severity": severity, "summary": "missing 0.3 % -> 77 %"} for n in range(12)
        ],
        **more,
    }  # fmt: skip
    body = json.dumps({"type": kind, "timestamp": "2025-06-15T00:00:00Z", "data": data})
    with transaction(engine) as conn:
        told = Message(f"{kind}-{sequence}", "alert", sequence, kind, body)
        outbox.enqueue(conn, told, NOW_MS)


def add(engine: Engine, kind: str, url: str, secret: str | None = None, **settings: Any) -> None:
    with transaction(engine) as conn:
        endpoints.add(conn, "one", url, secret, now_ms=NOW_MS, kind=kind, settings=settings)


def deliver(engine: Engine, ways: Ways | None = None) -> list[tuple[str, int | None, str | None]]:
    """Send what is due; return (state, status, error) of each message."""
    ways = ways or Ways(Poster(LOCAL), Mailer(LOCAL), Notifier(LOCAL))
    dispatcher = Dispatcher(engine, ways, clock=HeldClock(NOW_MS))
    while dispatcher.step():
        assert dispatcher.finish(60)
    with reading(engine) as conn:
        found = list(reversed(reads.deliveries(conn)))
        tried = reads.attempts_of(conn, [one.id for one in found])
    last = {one.id: tried[one.id][-1] for one in found if tried[one.id]}
    return [
        (one.state, last[one.id].status, last[one.id].error) if one.id in last
        else (one.state, None, None) for one in found
    ]  # fmt: skip


# Slack


def test_slack_is_sent_blocks_in_which_no_name_is_a_mark(engine: Engine) -> None:
    with receiving() as slack:
        slack.answer = lambda _: (200, {}, b"ok")
        add(engine, "slack", slack.url)
        tell(engine, "drift.detected", 1)
        tell(engine, "drift.resolved", 2)
        assert [state for state, _, _ in deliver(engine)] == ["delivered", "delivered"]
    opened, over = (json.loads(one.body) for one in slack.received)
    assert "webhook-signature" not in slack.received[0].headers
    first, lines = (block["text"]["text"] for block in opened["blocks"])
    assert ":rotating_light: *critical* flight-delay 3: &lt;!channel&gt; &amp; Bcc" in first
    assert "<http://127.0.0.1:8050/incidents/3?a=1&amp;b=2|Open it>" in first
    assert "<!channel>" not in json.dumps(opened)
    assert lines.count("•") == 11 and "and 2 more" in lines
    assert len(over["blocks"]) == 1 and "*over*" in over["blocks"][0]["text"]["text"]
    assert all(len(b["text"]["text"]) <= 3_000 for b in opened["blocks"])


def test_slack_that_asks_for_time_is_given_it_and_an_archived_channel_ends_it(
    engine: Engine,
) -> None:
    with receiving() as slack:
        slack.answer = lambda _: (429, {"retry-after": "30"}, b"rate_limited")
        add(engine, "slack", slack.url)
        tell(engine, "drift.detected", 1)
        assert deliver(engine) == [("pending", 429, "it answered 429")]
        with reading(engine) as conn:
            assert reads.deliveries(conn)[0].due_ms == NOW_MS + 30_000
            [one] = endpoints.endpoints(conn)
        slack.answer = lambda _: (410, {}, b"channel_is_archived")
        with transaction(engine) as conn:
            from monitor.storage import redelivery

            redelivery.hurry(conn, 1, now_ms=NOW_MS)
        assert deliver(engine)[0][0] == "dead"
    with reading(engine) as conn:
        assert not endpoints.endpoints(conn)[0].is_enabled
    assert one.is_enabled


# PagerDuty


def test_pagerduty_has_one_incident_an_alert_that_its_end_resolves(engine: Engine) -> None:
    with receiving() as duty:
        duty.answer = lambda _: (202, {}, b'{"status":"success"}')
        add(engine, "pagerduty", duty.url, KEY)
        tell(engine, "drift.detected", 1, "warning")
        tell(engine, "drift.updated", 2)
        tell(engine, "drift.acknowledged", 3)
        tell(engine, "drift.withdrawn", 4)
        assert {state for state, _, _ in deliver(engine)} == {"delivered"}
    sent = [json.loads(one.body) for one in duty.received]
    actions = [one["event_action"] for one in sent]
    assert actions == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {(one["dedup_key"], one["routing_key"]) for one in sent} == {("alert", KEY)}
    payload = sent[1]["payload"]
    assert [one["payload"]["severity"] for one in sent[:2]] == ["warning", "critical"]
    assert payload["source"] == "flight-delay 3" and payload["timestamp"] == "2025-06-15T00:00:00Z"
    assert "\n" not in payload["summary"] and len(payload["summary"]) <= 1_024
    assert sent[1]["links"][0]["href"].startswith("http://127.0.0.1:8050/incidents/3")
    assert "payload" not in sent[3]


def test_a_test_of_pagerduty_wakes_nobody(engine: Engine) -> None:
    from monitor.alerts import messages

    with receiving() as duty:
        duty.answer = lambda _: (202, {}, b"{}")
        add(engine, "pagerduty", duty.url, KEY)
        with transaction(engine) as conn:
            [one] = endpoints.endpoints(conn)
            outbox.enqueue_for(conn, one.id, messages.endpoint_test(one, NOW_MS), NOW_MS)
        assert deliver(engine)[0][0] == "delivered"
    assert json.loads(duty.received[0].body)["event_action"] == "resolve"


# Mail


class Inbox:
    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Any]] = []
        self.users: list[str] = []
        self.answer = "250 taken"
        self.refused: set[str] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, _: Any) -> str:
        if to in self.refused:
            return "550 nobody here"
        envelope.rcpt_tos.append(to)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return self.answer

    def log_in(self, server: Any, session: Any, envelope: Any, how: str, data: Any) -> AuthResult:
        self.users.append(data.login.decode())
        is_right = data.password == b"pass word"
        return AuthResult(success=is_right, handled=False)


@contextmanager
def mail_server(*, secure: bool = False, implicit: bool = False) -> Iterator[tuple[Inbox, int]]:
    inbox, context = Inbox(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    more: dict[str, Any] = {}
    if secure:
        more = {
            "tls_context": context, "authenticator": inbox.log_in, "auth_required": True,
            "require_starttls": True,
        }  # fmt: skip
    if implicit:
        more = {"ssl_context": context}
    controller = _Controller(inbox, hostname="127.0.0.1", port=0, **more)
    controller.start()
    try:
        yield inbox, controller.server.sockets[0].getsockname()[1]
    finally:
        controller.stop()


class _Controller(Controller):
    def _trigger_server(self) -> None:
        """Say hello, to the port that it was given."""
        port = self.server.sockets[0].getsockname()[1]
        if self.ssl_context is None:
            smtplib.SMTP("127.0.0.1", port).quit()
        else:
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            smtplib.SMTP_SSL("127.0.0.1", port, context=trusting).quit()


def mailing(tls: bool = True, **more: Any) -> Ways:
    context = ssl.create_default_context(cafile=CERTIFICATE) if tls else None
    return Ways(Poster(LOCAL), Mailer(LOCAL, resolve=here, tls=context, **more), Notifier(LOCAL))


PEOPLE = {"from": "driftline@firm.example", "to": ["a@firm.example", "b@firm.example"]}


def test_mail_goes_to_each_in_one_thread_and_no_name_writes_a_header(engine: Engine) -> None:
    with mail_server() as (inbox, port):
        add(engine, "smtp", f"smtp://mail.firm.example:{port}", **PEOPLE)
        tell(engine, "drift.detected", 1)
        tell(engine, "drift.resolved", 2)
        assert deliver(engine, mailing()) == [("delivered", 250, None)] * 2
    (to, first), (_, second) = inbox.mails
    assert to == ["a@firm.example", "b@firm.example"]
    assert first["Subject"].startswith("[critical] flight-delay 3: <!channel> & Bcc: all@firm")
    assert first["Bcc"] is None and first["From"] == "driftline@firm.example"
    assert second["In-Reply-To"] == first["Message-ID"] == "<alert.1@driftline.invalid>"
    text = first.get_content()
    assert "missing 0.3 % -> 77 %" in text and "http://127.0.0.1:8050/incidents/3" in text
    assert second["Subject"].startswith("[over]")


def test_with_a_password_the_line_is_encrypted_first_and_the_name_must_be_right(
    engine: Engine,
) -> None:
    with mail_server(secure=True) as (inbox, port):
        add(engine, "smtp", f"smtp://hooks.example:{port}", "pass word", **PEOPLE, user="me")
        tell(engine, "drift.detected", 1)
        assert deliver(engine, mailing()) == [("delivered", 250, None)]
        assert inbox.users == ["me"]
        with transaction(engine) as conn:
            [one] = endpoints.endpoints(conn)
            endpoints.remove(conn, one.id, now_ms=NOW_MS)
        add(engine, "smtp", f"smtp://other.example:{port}", "pass word", **PEOPLE, user="me")
        tell(engine, "drift.updated", 2)
        [_, (state, _, error)] = deliver(engine, mailing())
        assert state == "pending" and "certificate" in (error or "").lower()
        assert inbox.users == ["me"]


def test_a_password_is_not_sent_where_nothing_encrypts(engine: Engine) -> None:
    with mail_server() as (inbox, port):
        add(engine, "smtp", f"smtp://hooks.example:{port}", "pass word", **PEOPLE, user="me")
        tell(engine, "drift.detected", 1)
        [(state, _, error)] = deliver(engine, mailing())
    assert state == "pending" and "STARTTLS" in (error or "")
    assert inbox.users == [] and inbox.mails == []


def test_smtps_is_encrypted_from_the_first_byte(engine: Engine) -> None:
    with mail_server(implicit=True) as (inbox, port):
        add(engine, "smtp", f"smtps://hooks.example:{port}", **PEOPLE)
        tell(engine, "drift.detected", 1)
        assert deliver(engine, mailing()) == [("delivered", 250, None)]
    assert len(inbox.mails) == 1


def test_what_the_mail_server_refuses_is_a_failure_and_one_mailbox_of_two_is_none(
    engine: Engine,
) -> None:
    with mail_server() as (inbox, port):
        add(engine, "smtp", f"smtp://hooks.example:{port}", **PEOPLE)
        tell(engine, "drift.detected", 1)
        inbox.answer = "451 later"
        assert deliver(engine, mailing()) == [("pending", 451, "it answered 451")]
        inbox.answer, inbox.refused = "250 taken", {"b@firm.example"}
        with transaction(engine) as conn:
            from monitor.storage import redelivery

            redelivery.hurry(conn, 1, now_ms=NOW_MS)
        assert deliver(engine, mailing()) == [("delivered", 250, None)]
        with reading(engine) as conn:
            last = reads.attempts_of(conn, [1])[1][-1]
    assert last.response == "not for b@firm.example: nobody here"


def test_a_mail_server_inside_is_refused_and_one_that_hangs_is_not_waited_for(
    engine: Engine,
) -> None:
    with mail_server() as (inbox, port):
        add(engine, "smtp", f"smtp://mail.firm.example:{port}", **PEOPLE)
        tell(engine, "drift.detected", 1)
        ways = Ways(Poster(), Mailer(resolve=here))
        [(_, _, error)] = deliver(engine, ways)
        assert "mail.firm.example (127.0.0.1) is loopback" in (error or "")
        assert inbox.mails == []
    with misbehaving(trickle_head) as url:
        port = int(url.split(":")[2].split("/")[0])
        said = Mailer(LOCAL, resolve=here, timeout_s=0.5)(
            f"smtp://mail.firm.example:{port}", PEOPLE, None, _said()
        )
    assert said.status is None and said.error


def _said() -> Any:
    from monitor.alerts.said import said

    body = '{"type": "drift.resolved", "timestamp": "2025-06-15T00:00:00Z", "data": {}}'
    return said(Message("msg_1", "a", 2, "drift.resolved", body))


# Apprise


def test_apprise_sends_what_its_address_says_and_every_connection_is_checked(
    engine: Engine,
) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (200, {}, b"ok")
        where = receiver.url.removeprefix("http://")
        add(engine, "apprise", f"json://{where}")
        tell(engine, "drift.detected", 1)
        assert deliver(engine) == [("delivered", 200, None)]
        [got] = receiver.received
        sent = json.loads(got.body)
        assert sent["title"] == "[critical] flight-delay 3" and sent["type"] == "failure"
        assert "missing 0.3 % -> 77 %" in sent["message"]
        strict = Notifier()
        for host in (where, where.replace("127.0.0.1", "localhost")):
            answer = strict(f"json://{host}", _said())
            assert "is loopback: nothing is sent there" in (answer.error or ""), answer
        assert len(receiver.received) == 1


def test_a_redirect_of_apprise_leads_no_further_than_the_check() -> None:
    with receiving() as receiver, receiving("127.0.0.2") as inside:
        receiver.answer = lambda _: (307, {"location": inside.url}, b"")
        answer = Notifier(LOCAL)(f"json://{receiver.url.removeprefix('http://')}", _said())
        assert len(receiver.received) == 1
    assert answer.status is None and inside.received == []


def test_a_kind_of_a_newer_release_is_a_failure_that_says_so(engine: Engine) -> None:
    add(engine, "pigeon", "coop://roof")
    tell(engine, "drift.detected", 1)
    [(state, _, error)] = deliver(engine)
    assert state == "pending" and "newer release" in (error or "")
