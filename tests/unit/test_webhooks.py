"""A webhook is signed as the standard says, and nothing that is not genuine and fresh is read."""

from __future__ import annotations

import base64
import doctest
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_string
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

import driftline.webhooks
from driftline import WebhookVerificationError, verify_webhook
from driftline.webhooks import Alert, AlertWindow, new_secret, sign, verified
from monitor.detect.retrain_messages import Wish, body_of

# The vector of the standard's own library.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, SENT_S = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
VECTOR = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

BODY = {
    "type": "drift.detected",
    "timestamp": "2013-02-09T00:00:00Z",
    "data": {
        "alert_id": "alert_1",
        "sequence": 1,
        "model": "flight-delay",
        "version": "3",
        "severity": "critical",
        "summary": "The weather feed is dead.",
        "url": "http://127.0.0.1:8050/incidents/4",
        "incidents": [
            {
                "id": 4,
                "feature": "temp",
                "segment": "all",
                "kind": "missing",
                "statistic": "missing",
                "value": 1,
                "limit": 0.02,
                "window": {"start": "2013-02-08T05:00:00Z", "end": "2013-02-08T06:00:00Z"},
            }
        ],
    },
}


def request(
    body: Any = BODY, secret: str = SECRET, *, sent_s: int = SENT_S
) -> tuple[dict[str, str], bytes]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "webhook-id": ID,
        "webhook-timestamp": str(sent_s),
        "webhook-signature": sign(secret, ID, sent_s, content),
    }, content


def read(headers: Any, body: Any, secrets: Any = SECRET, *, now_s: float = SENT_S) -> Alert:
    return verified(headers, body, secrets, now_s=now_s, tolerance_s=300)


def refused(headers: Any, body: Any, secrets: Any = SECRET, *, now_s: float = SENT_S) -> str:
    with pytest.raises(WebhookVerificationError) as caught:
        read(headers, body, secrets, now_s=now_s)
    return caught.value.reason


def test_the_vector_of_the_standard_holds() -> None:
    assert sign(SECRET, ID, SENT_S, VECTOR) == SIGNATURE
    headers = {
        "webhook-id": ID, "webhook-timestamp": str(SENT_S), "webhook-signature": SIGNATURE,
    }  # fmt: skip
    # It is genuine, and only then found to be no alert.
    assert refused(headers, VECTOR) == "bad_body"
    assert refused(headers, VECTOR + " ") == "no_match"


def test_the_library_of_the_standard_verifies_ours() -> None:
    now_s = int(time.time())
    for secret in (SECRET, new_secret()):
        headers, body = request(secret=secret, sent_s=now_s)
        assert Webhook(secret).verify(body, headers) == BODY


def test_ours_verifies_the_library_of_the_standard() -> None:
    now, body = datetime.now(UTC), json.dumps(BODY)
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(ID, now, body),
    }
    assert verify_webhook(headers, body, SECRET).alert_id == "alert_1"


def test_everything_that_an_alert_says_is_read() -> None:
    alert = read(*request())
    assert alert.webhook_id == ID
    assert (alert.type, alert.timestamp) == ("drift.detected", datetime(2013, 2, 9, tzinfo=UTC))
    assert (alert.alert_id, alert.sequence) == ("alert_1", 1)
    assert (alert.model, alert.version, alert.severity) == ("flight-delay", "3", "critical")
    assert alert.summary == "The weather feed is dead."
    assert alert.url == "http://127.0.0.1:8050/incidents/4"
    [incident] = alert.incidents
    assert (incident.id, incident.feature, incident.segment) == (4, "temp", "all")
    assert (incident.kind, incident.statistic) == ("missing", "missing")
    assert (incident.value, incident.limit) == (1.0, 0.02)
    assert type(incident.value) is float
    start = datetime(2013, 2, 8, 5, tzinfo=UTC)
    assert incident.window == AlertWindow(start, start + timedelta(hours=1))
    assert alert.raw == BODY


def test_a_reminder_says_that_nothing_is_new() -> None:
    assert not read(*request()).is_reminder
    again = {**BODY, "type": "drift.updated", "data": {**BODY["data"], "reminder": True}}
    assert read(*request(again)).is_reminder
    odd = {**BODY, "data": {**BODY["data"], "reminder": "yes"}}
    assert not read(*request(odd)).is_reminder


def test_an_alert_that_another_version_ended_says_which() -> None:
    assert read(*request()).successor is None
    ended = {"ended": "superseded", "successor": "3"}
    over = {**BODY, "type": "drift.resolved", "data": {**BODY["data"], **ended}}
    assert read(*request(over)).successor == "3"
    odd = {**BODY, "data": {**BODY["data"], "ended": "superseded", "successor": 3}}
    assert read(*request(odd)).successor is None


def test_a_type_and_members_of_a_newer_server_are_kept() -> None:
    body = {
        "type": "moon.risen", "timestamp": "2013-02-09T02:00:00+02:00",
        "data": {"phase": "full", "incidents": [{"id": 1, "colour": "red"}]},
    }  # fmt: skip
    alert = read(*request(body))
    assert alert.type == "moon.risen"
    assert alert.timestamp == datetime(2013, 2, 9, 2, tzinfo=timezone(timedelta(hours=2)))
    assert (alert.alert_id, alert.sequence, alert.model) == (None, 0, None)
    assert alert.raw["data"]["phase"] == "full"
    assert alert.incidents[0].raw["colour"] == "red"
    assert alert.incidents[0].window is None


def test_a_request_for_a_retraining_names_incidents_by_their_numbers() -> None:
    wish = Wish(7, "k", "flight-delay", "1", "Drift.", {"incidents": [4, 9]}, 0, 1, "", False)
    alert = read(*request(body_of(wish).encode()))
    assert alert.type == "retrain.requested"
    assert [incident.id for incident in alert.incidents] == [4, 9]
    assert alert.incidents[0].feature is None
    assert alert.raw["data"]["request_id"] == 7


@pytest.mark.parametrize(
    "shape",
    [
        lambda h: {name.title(): value for name, value in h.items()},
        lambda h: {name.upper(): value for name, value in h.items()},
        lambda h: {name.encode(): value.encode() for name, value in h.items()},
        lambda h: list(h.items()),
        lambda h: [(name.encode(), value.encode()) for name, value in h.items()],
        lambda h: iter([("Host", "example"), *h.items()]),
        lambda h: message_from_string("".join(f"{name}: {value}\n" for name, value in h.items())),
    ],
)
def test_headers_come_in_many_shapes(shape: Any) -> None:
    headers, body = request()
    assert read(shape(headers), body).sequence == 1


def test_a_body_is_bytes_or_text() -> None:
    headers, body = request({**BODY, "note": "für"})
    assert read(headers, body) == read(headers, body.decode()) == read(headers, bytearray(body))


def test_a_secret_may_have_its_prefix_or_not() -> None:
    headers, body = request()
    bare = SECRET.removeprefix("whsec_")
    assert read(headers, body, bare) == read(headers, body, f"{SECRET}\n") == read(headers, body)


def test_while_a_secret_is_replaced_either_one_will_do() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers, body = request(secret=old)
    assert read(headers, body, (new, old)).sequence == 1
    headers["webhook-signature"] += " " + sign(new, ID, SENT_S, body)
    assert read(headers, body, new).sequence == read(headers, body, old).sequence == 1
    assert refused(headers, body, other) == "no_match"


def test_signatures_of_another_version_are_passed_over() -> None:
    headers, body = request()
    ours = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1a,AAAA v2,{ours.removeprefix('v1,')} {ours} v1 , x"
    assert read(headers, body).sequence == 1
    headers["webhook-signature"] = f"v2,{ours.removeprefix('v1,')}"
    assert refused(headers, body) == "no_match"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_or_empty_is_named(name: str) -> None:
    headers, body = request()
    for broken in ({**headers, name: " "}, {k: v for k, v in headers.items() if k != name}):
        with pytest.raises(WebhookVerificationError, match=name) as caught:
            read(broken, body)
        assert caught.value.reason == "missing_header"


@pytest.mark.parametrize(
    "stamp", ["yesterday", "-1", "1e9", "1614265330.5", "１６１４２６５３３０", "9" * 5_000, "0x10"]
)
def test_a_timestamp_that_is_none_is_refused(stamp: str) -> None:
    headers, body = request()
    assert refused({**headers, "webhook-timestamp": stamp}, body) == "bad_timestamp"


def test_what_is_replayed_later_or_comes_from_the_future_is_refused() -> None:
    headers, body = request()
    for age_s in (-300, 0, 300):
        assert read(headers, body, now_s=SENT_S + age_s).sequence == 1
    assert refused(headers, body, now_s=SENT_S + 301) == "too_old"
    assert refused(headers, body, now_s=SENT_S - 301) == "too_new"
    with pytest.raises(WebhookVerificationError, match=r"sent \d+ s ago"):
        verify_webhook(headers, body, SECRET)
    assert verify_webhook(headers, body, SECRET, tolerance_s=float("inf")).sequence == 1


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(SENT_S + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,%%%"},
        {"webhook-signature": "v1,ünïcode"},
        {"webhook-signature": "nonsense"},
    ],
)
def test_what_is_forged_is_refused(change: dict[str, str]) -> None:
    headers, body = request()
    assert refused({**headers, **change}, body) == "no_match"


def test_a_changed_body_is_refused() -> None:
    headers, body = request()
    assert refused(headers, body.replace(b"critical", b"warning!")) == "no_match"
    assert refused(headers, b"") == "no_match"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\xff",
        b"[" * 100_000,
        [],
        {"type": "drift.detected"},
        {**BODY, "type": None},
        {**BODY, "timestamp": "yesterday"},
        {**BODY, "timestamp": "2013-02-09T00:00:00"},
        {**BODY, "data": []},
        {**BODY, "data": {"sequence": "1"}},
        {**BODY, "data": {"sequence": True}},
        {**BODY, "data": {"incidents": {}}},
        {**BODY, "data": {"incidents": ["x"]}},
        {**BODY, "data": {"incidents": [True]}},
        {**BODY, "data": {"incidents": [{"value": "high"}]}},
        {**BODY, "data": {"incidents": [{"window": {"start": "2013-02-09T00:00:00Z"}}]}},
    ],
)
def test_a_genuine_body_that_is_no_alert_is_refused(body: Any) -> None:
    assert refused(*request(body)) == "bad_body"


@pytest.mark.parametrize(
    "secrets",
    [
        None,
        "",
        (),
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_not base64!",
        "whsec_ünïcode",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        b"whsec_bytes",
        [SECRET, None],
        [SECRET, "whsec_c2hvcnQ="],
    ],
)
def test_a_secret_that_is_none_is_said_to_be_this_side_s_fault(secrets: Any) -> None:
    headers, body = request()
    assert refused(headers, body, secrets) == "bad_secret"


def test_an_error_tells_no_secret() -> None:
    headers, body = request()
    for secret in ("whsec_topsecret!", "whsec_c2hvcnQ="):
        with pytest.raises(WebhookVerificationError) as caught:
            read(headers, body, secret)
        assert secret.removeprefix("whsec_") not in str(caught.value)


def test_secrets_of_24_to_64_bytes_sign() -> None:
    for size in (24, 64):
        secret = "whsec_" + base64.b64encode(bytes(range(size))).decode()
        headers, body = request(secret=secret)
        assert read(headers, body, secret).sequence == 1
    assert len({new_secret() for _ in range(100)}) == 100


def test_a_receiver_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; from driftline import verify_webhook; "
        "heavy = {'numpy', 'scipy', 'httpx2', 'msgspec', 'kafka', 'typer', 'rich'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(driftline.webhooks).failed == 0
