"""A trainer is asked for a run once, whatever it answers is read, and a test starts nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from receivers import Behaviour, flood, hang, misbehaving, reset, trickle_body
from trainer_servers import Airflow, Databricks, Github, Said, Server, serving

from monitor.alerts.guard import networks
from monitor.alerts.http import Caller
from monitor.alerts.schedule import Answer
from monitor.alerts.trainers import Trainers, starts
from monitor.alerts.trainers.airflow import look
from monitor.alerts.trainers.asked import asked_of
from monitor.alerts.trainers.databricks import seen_of
from monitor.alerts.trainers.talk import MAX_BYTES, Seen, Talk
from monitor.storage.endpoints import Endpoint, Secret
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

LOCAL = networks("127.0.0.1/32")
KEY = "0123456789abcdef0123456789abcdef"
RUN_ID = f"driftline-retrain_{KEY}"
DATA = {
    "request_id": 7, "key": KEY, "model": "flights", "version": "3",
    "reason": "drift open 5 of 28 days", "evidence": {"days": 5}, "alert_ids": ["a1"],
    "incidents": [3], "url": "http://drift.example/retrains/7",
    "report_url": "http://drift.example/api/v1/retrains/7", "deadline": "2025-06-02T08:00:00Z",
    "dry_run": False,
}  # fmt: skip
TEST = Message("test_1", None, 0, "endpoint.test", '{"type": "endpoint.test", "data": {}}')
HTML = Said(200, b"<html>Log in</html>", {"content-type": "text/html"})


def message(
    type: str = "retrain.requested", webhook_id: str = f"retrain_{KEY}", **more: Any
) -> Message:
    body = {"type": type, "timestamp": "2025-06-01T08:00:00Z", "data": {**DATA, **more}}
    return Message(webhook_id, None, 0, type, json.dumps(body))


def endpoint(kind: str, url: str, secret: str = "right", **settings: Any) -> Endpoint:
    return Endpoint(1, "trainer", url, (Secret(secret),), 0, None, None, kind, settings)


def airflow(url: str, secret: str = "right", **settings: Any) -> Endpoint:
    return endpoint("airflow", url, secret, **{"dag": "retrain", "user": "drift", **settings})


def databricks(url: str, secret: str = "dapi-right", **settings: Any) -> Endpoint:
    return endpoint("databricks", url, secret, **{"job": 77, **settings})


def github(url: str, secret: str = "github_pat_right", **settings: Any) -> Endpoint:
    known = {"repository": "acme/models", "event": "driftline-retrain"}
    return endpoint("github", url, secret, **{**known, **settings})


def trainers(**more: Any) -> Trainers:
    return Trainers(Caller(LOCAL, timeout_s=5), **more)


# Airflow


@pytest.mark.parametrize("version", ["3.3.2", "2.11.2"])
def test_airflow_starts_one_run_of_a_request_however_often_it_is_sent(version: str) -> None:
    server, trains = Airflow(version), trainers()
    with serving(server) as url:
        first = trains.send(airflow(url), message())
        server.begin_anew()
        again = trains.send(airflow(url), message())
        server.runs[RUN_ID]["state"] = "running"
        other = trainers().send(airflow(url), message())
    page = f"runs/{RUN_ID}" if version[0] == "3" else f"grid?dag_run_id={RUN_ID}"
    run = Run("airflow", RUN_ID, f"{url}/dags/retrain/{page}")
    assert first == Answer(200, body=f"run {RUN_ID} is queued", run=run)
    assert again == first and other.run == run and other.body == f"run {RUN_ID} is running"
    assert list(server.runs) == [RUN_ID]
    sent = server.runs[RUN_ID]["sent"]
    assert sent["conf"] == DATA and "flights 3" in sent["note"]
    # 3.x refuses a run without it, 2.x one with it.
    assert ("logical_date" in sent) == (version[0] == "3")


def test_a_token_is_asked_for_once_and_again_when_its_day_is_over() -> None:
    server, trains = Airflow(), trainers()

    def logins() -> int:
        return sum(asked.path == "/auth/token" for asked in server.asked)

    with serving(server) as url:
        run = trains.send(airflow(url), message()).run
        assert run is not None and logins() == 1
        assert trains.look(airflow(url), run).state == "queued" and logins() == 1
        server.begin_anew()
        assert trains.look(airflow(url), run).state == "queued" and logins() == 2
        # 401 is what 3.x says of one that expired.
        server.odd = [Said(401, {"detail": "Token Expired"})]
        assert trains.look(airflow(url), run).state == "queued" and logins() == 3
        server.users["drift"] = ("another", "op")
        server.begin_anew()
        seen = trains.look(airflow(url), run)
    assert seen.state is None and "name or the password is another" in seen.words


@pytest.mark.parametrize("version", ["3.3.2", "2.11.2"])
def test_a_paused_dag_takes_the_run_and_it_is_said(version: str) -> None:
    server, trains = Airflow(version), trainers()
    with serving(server) as url:
        to = airflow(url, dag="paused")
        tried = trains.send(to, TEST)
        begun = trains.send(to, message())
        assert begun.run is not None
        seen = trains.look(to, begun.run)
    assert not tried.is_delivered and tried.why == (
        "DAG paused is paused, and its runs begin when somebody unpauses it"
    )
    assert begun.is_delivered and "DAG paused is paused" in begun.body
    assert (seen.state, "DAG paused is paused" in seen.words) == ("queued", True)


@pytest.mark.parametrize("version", ["3.3.2", "2.11.2"])
@pytest.mark.parametrize(
    ("settings", "secret", "words"),
    [
        ({"dag": "retrian"}, "right", "knows no DAG retrian"),
        ({"user": "look"}, "right", "user look: no right to start runs of DAG retrain"),
        ({}, "wrong", "password is another"),
        ({"user": "nobody"}, "right", "password is another"),
    ],
)
def test_what_airflow_refuses_is_said_in_words_to_a_test_as_to_a_request(
    version: str, settings: dict[str, str], secret: str, words: str
) -> None:
    server = Airflow(version)
    with serving(server) as url:
        for asked in (TEST, message()):
            answer = trainers().send(airflow(url, secret, **settings), asked)
            assert not answer.is_delivered and words in (answer.why or ""), answer
            assert answer.status in (401, 403, 404)
    assert server.runs == {}


@pytest.mark.parametrize("version", ["3.3.2", "2.11.2"])
def test_a_test_of_airflow_starts_nothing(version: str) -> None:
    server = Airflow(version)
    with serving(server) as url:
        answer = trainers().send(airflow(url), TEST)
        dry = trainers().send(airflow(url), message(dry_run=True))
    assert answer == dry and answer.is_delivered
    assert (
        answer.body == f"DAG retrain of Airflow {version[0]} is there, and user drift may start it"
    )
    assert server.runs == {}


def test_another_run_with_the_same_date_is_no_run_of_ours() -> None:
    server = Airflow("2.11.2")
    with serving(server) as url:
        server.odd = [None, None, Said(409, {"detail": "logical date already exists"})]
        answer = trainers().send(airflow(url), message())
        assert (answer.status, answer.run) == (409, None)
        assert answer.why == "another run of the DAG has this moment's logical date"
        assert trainers().send(airflow(url), message()).is_delivered


def test_an_airflow_that_is_said_is_not_looked_for_and_one_that_is_none_is_told() -> None:
    server = Airflow("2.11.2")
    with serving(server) as url:
        assert trainers().send(airflow(url, airflow="2"), message()).is_delivered
        assert not any(asked.path.endswith("/version") for asked in server.asked)
    with serving(Github()) as url:
        answer = trainers().send(airflow(url), message())
    assert "does not say which Airflow it is" in (answer.why or "") and "--airflow" in answer.why


def test_a_token_in_the_place_of_user_and_password_is_sent_as_it_is() -> None:
    server = Airflow(tokens={"static": "drift"})
    with serving(server) as url:
        assert trainers().send(airflow(url, "static", user=None), message()).is_delivered
        refused = trainers().send(airflow(url, "other", user=None), message())
    assert "the token's user" in (refused.why or "")
    assert not any(asked.path == "/auth/token" for asked in server.asked)


def test_an_airflow_that_gives_no_tokens_says_what_to_do() -> None:
    server = Airflow()
    with serving(server) as url:
        server.odd = [None, Said(404, {"detail": "Not Found"})]
        answer = trainers().send(airflow(url), message())
    assert "give a token as the secret" in (answer.why or "")


@pytest.mark.parametrize("body", [b"s3cret", {"access_token": "s3cret token"}, {"token": "s3cret"}])
def test_a_token_that_cannot_be_read_is_kept_nowhere(body: Any) -> None:
    server = Airflow()
    with serving(server) as url:
        server.odd = [None, Said(201, body)]
        answer = trainers().send(airflow(url), message())
    assert "gave no token that can be sent" in (answer.why or "")
    assert "s3cret" not in repr(answer)


@pytest.mark.parametrize(
    ("state", "seen"),
    [("queued", "queued"), ("running", "running"), ("success", "succeeded"), ("failed", "failed")],
)
def test_airflows_states_are_ours(state: str, seen: str) -> None:
    server = Airflow(runs={RUN_ID: {"state": state}})
    with serving(server) as url:
        assert trainers().look(airflow(url), Run("airflow", RUN_ID)).state == seen


def test_a_deleted_run_failed_and_a_proxys_404_is_no_deleted_run() -> None:
    server, run = Airflow(), Run("airflow", RUN_ID)
    with serving(server) as url:
        gone = trainers().look(airflow(url), run)
        page = Said(404, b"<html>nginx</html>", {"content-type": "text/html"})
        server.odd = [None, None, page]
        away = trainers().look(airflow(url), run)
    assert gone == Seen("failed", f"run {RUN_ID} is not there any more: it was deleted")
    assert away.state is None and "404" in away.words


# Databricks


def test_databricks_starts_one_run_of_a_request_however_often_it_is_sent() -> None:
    server = Databricks()
    with serving(server) as url:
        first = trainers().send(databricks(url), message())
        again = trainers().send(databricks(url), message())
    page = "https://workspace.example/jobs/77/runs/500"
    assert first == Answer(200, body="run 500 of job 77 began", run=Run("databricks", "500", page))
    assert again == first and list(server.runs) == [500]
    sent = server.runs[500]["sent"]
    assert sent["idempotency_token"] == RUN_ID and len(RUN_ID) <= 64
    assert sent["job_parameters"] == {
        "driftline_request_id": "7", "driftline_model": "flights", "driftline_version": "3",
        "driftline_report_url": DATA["report_url"],
    }  # fmt: skip


def test_job_parameters_are_filled_from_the_request_or_left_out() -> None:
    server = Databricks(parameters=["all", "what"])
    given = {"all": "{request}", "what": "{model}@{version}: {reason}"}
    with serving(server) as url:
        trainers().send(databricks(url, parameters=given), message())
        trainers().send(databricks(url, parameters={}), message(webhook_id="retrain_2"))
        tried = trainers().send(databricks(url), TEST)
    first, second = (run["sent"] for run in server.runs.values())
    assert json.loads(first["job_parameters"]["all"]) == DATA
    assert first["job_parameters"]["what"] == f"flights@3: {DATA['reason']}"
    assert "job_parameters" not in second
    assert tried.is_delivered and "declares no parameter driftline_request_id" in tried.body
    assert len(server.runs) == 2


@pytest.mark.parametrize(
    ("settings", "secret", "words"),
    [
        ({"job": 78}, "dapi-right", "knows no job 78: Job 78 does not exist."),
        ({}, "dapi-wrong", "refuses the token: Invalid access token."),
    ],
)
def test_what_databricks_refuses_is_said_in_words(
    settings: dict[str, int], secret: str, words: str
) -> None:
    server = Databricks()
    with serving(server) as url:
        for asked in (TEST, message()):
            answer = trainers().send(databricks(url, secret, **settings), asked)
            assert not answer.is_delivered and words in (answer.why or ""), answer


def test_a_user_without_the_right_to_run_is_told_apart_from_a_wrong_token() -> None:
    server = Databricks()
    words = "User does not have Manage Run or Owner permissions on job 77"
    with serving(server) as url:
        server.odd = [Said(403, {"error_code": "PERMISSION_DENIED", "message": words})]
        answer = trainers().send(databricks(url), message())
    assert "no right to run job 77" in (answer.why or "") and words in answer.why


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ({"status": {"state": "BLOCKED"}}, "queued", "is queued"),
        ({"status": {"state": "QUEUED"}}, "queued", "is queued"),
        ({"status": {"state": "WAITING"}}, "queued", "is queued"),
        ({"status": {"state": "RUNNING"}}, "running", "is running"),
        ({"status": {"state": "TERMINATING"}}, "running", "is running"),
        (
            {"status": {"state": "TERMINATED", "termination_details": {"code": "SUCCESS"}}},
            "succeeded", "run 500 succeeded",
        ),
        (
            {"status": {"state": "TERMINATED",
                        "termination_details": {"code": "SUCCESS_WITH_FAILURES"}}},
            "succeeded", "(SUCCESS_WITH_FAILURES)",
        ),
        (
            {"status": {"state": "TERMINATED", "termination_details": {
                "code": "RUN_EXECUTION_ERROR", "message": "Task train failed"}}},
            "failed", "(RUN_EXECUTION_ERROR): Task train failed",
        ),
        (
            {"status": {"state": "TERMINATED", "termination_details": {"code": "USER_CANCELED"}}},
            "failed", "(USER_CANCELED)",
        ),
        ({"state": {"life_cycle_state": "PENDING"}}, "queued", "is queued"),
        ({"state": {"life_cycle_state": "WAITING_FOR_RETRY"}}, "queued", "is queued"),
        (
            {"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}},
            "succeeded", "succeeded",
        ),
        (
            {"state": {"life_cycle_state": "TERMINATED", "result_state": "TIMEDOUT",
                       "state_message": "over"}},
            "failed", "(TIMEDOUT): over",
        ),
        ({"state": {"life_cycle_state": "SKIPPED"}}, "failed", "failed"),
        ({"state": {"life_cycle_state": "INTERNAL_ERROR"}}, "failed", "failed"),
    ],
)  # fmt: skip
def test_databricks_states_are_ours(told: dict[str, Any], state: str, words: str) -> None:
    server = Databricks(runs={500: told})
    with serving(server) as url:
        seen = trainers().look(databricks(url), Run("databricks", "500"))
    assert seen.state == state and words in seen.words


def test_what_databricks_says_is_kept_as_a_line_that_every_database_takes() -> None:
    told = {"code": "RUN_\x00ERROR", "message": "a\x00b\nc \ud800 " + "x" * 1_000}
    seen = seen_of("500", {"status": {"state": "TERMINATED", "termination_details": told}})
    assert seen is not None and seen.words.startswith("run 500 failed (RUN_ ERROR): a b c x")
    assert seen.words.isprintable() and len(seen.words) < 400


@pytest.mark.parametrize(
    "page", ["javascript:alert(1)", "https://x\x00y", 7, "https://" + "x" * 2_000]
)
def test_a_page_that_no_browser_should_open_is_none(page: object) -> None:
    server = Databricks()
    with serving(server) as url:
        trainers().send(databricks(url), message())
        server.runs[500]["run_page_url"] = page
        again = trainers().send(databricks(url), message())
    assert again.run == Run("databricks", "500", None)


@pytest.mark.parametrize("told", [{}, {"status": []}, {"status": {"state": "NEW"}}, {"state": 3}])
def test_a_state_that_databricks_does_not_have_yet_is_asked_for_again(told: dict[str, Any]) -> None:
    assert seen_of("500", told) is None
    with serving(Databricks(runs={500: told})) as url:
        assert trainers().look(databricks(url), Run("databricks", "500")).state is None


def test_a_run_that_databricks_deleted_failed() -> None:
    with serving(Databricks()) as url:
        seen = trainers().look(databricks(url), Run("databricks", "501"))
    assert seen == Seen("failed", "run 501 is not there any more: it was deleted")


# GitHub


def test_github_is_sent_an_event_with_at_most_ten_names() -> None:
    server = Github()
    with serving(server) as url:
        answer = trainers().send(github(url), message())
    assert answer.is_delivered and answer.run is None and "reports back" in answer.body
    [event] = server.events
    assert event["event_type"] == "driftline-retrain"
    payload = event["client_payload"]
    assert len(payload) <= 10 and payload["request"] == DATA
    assert payload["report_url"] == DATA["report_url"] and payload["request_id"] == 7


def test_what_is_too_much_for_an_event_is_left_to_its_page() -> None:
    server = Github()
    with serving(server) as url:
        answer = trainers().send(github(url), message(evidence={"x": "y" * 70_000}))
    assert answer.is_delivered
    [event] = server.events
    assert "evidence" not in event["client_payload"]["request"]
    assert event["client_payload"]["request"]["model"] == "flights"
    assert len(json.dumps(event)) < 64_000


@pytest.mark.parametrize(
    ("server", "settings", "secret", "words"),
    [
        (Github(), {}, "wrong", "refuses the token: Bad credentials"),
        (Github(), {"repository": "acme/other"}, "github_pat_right", "no repository acme/other"),
        (Github(push=False), {}, "github_pat_right", "contents: write"),
    ],
)
def test_what_github_refuses_is_said_in_words(
    server: Github, settings: dict[str, str], secret: str, words: str
) -> None:
    with serving(server) as url:
        for asked in (TEST, message()):
            answer = trainers().send(github(url, secret, **settings), asked)
            assert not answer.is_delivered and words in (answer.why or ""), answer
    assert server.events == []


def test_an_archived_and_a_renamed_repository_are_told() -> None:
    with serving(Github(archived=True)) as url:
        archived = trainers().send(github(url), TEST)
    server = Github()
    with serving(server) as url:
        moved = {"message": "Moved Permanently", "url": "https://api.github.com/repositories/1"}
        server.odd = [Said(307, moved, {"location": f"{url}/repositories/1/dispatches"})]
        renamed = trainers().send(github(url), message())
        fine = trainers().send(github(url), TEST)
    assert "is archived" in (archived.why or "")
    assert "under another name" in (renamed.why or "") and server.events == []
    assert fine.is_delivered


def test_an_hour_that_is_used_up_at_github_is_waited_for() -> None:
    server = Github()
    limits = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1750000600"}
    with serving(server) as url:
        server.odd = [Said(403, {"message": "API rate limit exceeded for user"}, limits)]
        answer = trainers().send(github(url), message())
    assert answer.retry_after == "Sun, 15 Jun 2025 15:16:40 GMT"
    assert "asked too often" in (answer.why or "")


# All of them

ALL = [(Airflow, airflow), (Databricks, databricks), (Github, github)]


@pytest.mark.parametrize(("server", "to"), ALL)
@pytest.mark.parametrize(
    ("odd", "status", "words"),
    [
        (Said(422, {"message": "no", "detail": "no"}), 422, "no"),
        (Said(429, {"message": "slow", "detail": "slow"}, {"retry-after": "120"}), 429, "slow"),
        (Said(500, b"oops"), 500, "'oops'"),
        (HTML, 200, "address"),
        (Said(200, b'{"run_id": 1'), 200, "address"),
        (Said(200, b"[" * 100_000), 200, "address"),
        (Said(200, [1]), 200, "address"),
        (Said(200, b'{"a": "' + b"x" * (MAX_BYTES + 1) + b'"}'), 200, "address"),
        (Said(302, b"", {"location": "/login"}), 302, ""),
    ],
)
def test_an_answer_that_is_none_is_a_failure_that_names_it(
    server: type[Server], to: Any, odd: Said, status: int, words: str
) -> None:
    made = server()
    if isinstance(made, Airflow):
        made.tokens["t"] = "drift"
    with serving(made) as url:
        trainer = to(url)
        if isinstance(made, Airflow):
            trainer = to(url, "t", user=None, airflow="3")
        made.odd = [odd]
        answer = trainers().send(trainer, message())
        assert not answer.is_delivered and answer.run is None, answer
        assert answer.status == status and words in (answer.why or ""), answer
        assert len(answer.body) <= 4_096
        if status == 429:
            assert answer.retry_after == "120"
        made.odd = []
        assert trainers().send(trainer, message()).is_delivered


@pytest.mark.parametrize(("server", "to"), ALL[:2])
def test_a_run_is_asked_for_again_when_its_trainer_wants_to_be_asked_later(
    server: type[Server], to: Any
) -> None:
    made = server()
    with serving(made) as url:
        made.odd = [Said(429, {"message": "slow"}, {"retry-after": "120"})]
        if isinstance(made, Airflow):
            made.odd = [None, None, *made.odd]
        seen = trainers().look(to(url), Run(to(url).kind, RUN_ID if to is airflow else "500"))
    assert (seen.state, seen.retry_after_s) == (None, 120.0)


@pytest.mark.parametrize(("_", "to"), ALL)
@pytest.mark.parametrize("behave", [hang, reset, flood, trickle_body])
def test_a_trainer_that_misbehaves_is_a_failure_in_bounded_time(
    _: Any, to: Any, behave: Behaviour
) -> None:
    with misbehaving(behave) as url:
        base = url.removesuffix("/hook")
        # One that never ends its answer is waited for; the others have to be found out before.
        asking = trainers(talk_s=0.2 if behave in (hang, trickle_body) else 5)
        answer = asking.send(to(base), message())
        seen = asking.look(to(base), Run(to(base).kind, "1"))
    assert not answer.is_delivered and answer.why
    assert seen.state is None and seen.words


def test_a_conversation_has_one_end_however_many_requests_it_takes() -> None:
    server = Airflow()
    with serving(server) as url:
        talk = Talk(Caller(LOCAL), url, {}, 0.0)
        seen = look(airflow(url), Run("airflow", RUN_ID), talk)
    assert seen.state is None and "no answer within 0 s" in seen.words
    assert server.asked == []


@pytest.mark.parametrize(("_", "to"), ALL)
def test_a_trainer_inside_is_refused_unless_it_is_allowed(_: Any, to: Any) -> None:
    with serving(Airflow()) as url:
        answer = Trainers(Caller()).send(to(url), message())
    assert "is loopback: nothing is sent there" in (answer.why or "")


@pytest.mark.parametrize(("server", "to"), ALL)
def test_what_is_no_request_starts_nothing(server: type[Server], to: Any) -> None:
    made = server()
    with serving(made) as url:
        answer = trainers().send(to(url), message("drift.detected"))
    assert not answer.is_delivered and "no drift.detected" in (answer.why or "")
    assert made.asked == []


def test_a_run_has_the_same_name_for_ever_and_every_trainer_takes_it() -> None:
    assert asked_of(message()).name == RUN_ID
    odd = asked_of(message(webhook_id="retrain_a/b c")).name
    assert odd == asked_of(message(webhook_id="retrain_a/b c")).name
    assert odd != asked_of(message(webhook_id="retrain_a/b d")).name
    for name in (RUN_ID, odd, asked_of(message(webhook_id="x" * 80)).name):
        assert len(name) <= 64 and set(name) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
        )


def test_what_a_trainer_starts_is_said() -> None:
    assert starts(airflow("")) == "DAG retrain"
    assert starts(databricks("")) == "job 77"
    assert starts(github("")) == "driftline-retrain of acme/models"
    assert starts(endpoint("webhook", "")) is None
