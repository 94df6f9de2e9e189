"""Databricks: a request is a run of a job, over the Jobs API 2.2.

The `idempotency_token` derives from the request, so that what is sent again is answered with the
run that is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from monitor.alerts.schedule import Answer
from monitor.alerts.trainers.asked import asked_of, filled
from monitor.alerts.trainers.talk import Seen, State, Talk, Told, line, page_of
from monitor.storage.endpoints import DATABRICKS, Endpoint
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

_JOBS: Final = "/api/2.2/jobs"
# What Databricks takes.
TOKEN: Final = 64
# What a job is told unless the endpoint says otherwise; it reads them as its job parameters.
PARAMETERS: Final = {
    "driftline_request_id": "{request_id}",
    "driftline_model": "{model}",
    "driftline_version": "{version}",
    "driftline_report_url": "{report_url}",
}
_BEFORE: Final = {"BLOCKED", "PENDING", "QUEUED", "WAITING", "WAITING_FOR_RETRY"}
_ON: Final = {"RUNNING", "TERMINATING"}
_OVER: Final = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
# With the second, what failed was nothing that the job's end depends on.
_GOOD: Final = {"SUCCESS", "SUCCESS_WITH_FAILURES"}
# A job or a run that is not there is a 400 of this code, or a 404 of the other.
_GONE: Final = re.compile(r"(Run|Job)\b.*(does not|doesn't) exist", re.DOTALL)


def starts(settings: Mapping[str, object]) -> str:
    """Return what an endpoint of this kind starts."""
    return f"job {settings['job']}"


def start(endpoint: Endpoint, message: Message, talk: Talk) -> Answer:
    """Begin a run, or find the one that began before."""
    asked, settings = asked_of(message), endpoint.settings
    parameters = settings.get("parameters", PARAMETERS)
    body: dict[str, Any] = {"job_id": settings["job"], "idempotency_token": asked.name[:TOKEN]}
    if parameters:
        body["job_parameters"] = {k: filled(v, asked.data) for k, v in parameters.items()}
    told = talk.post(f"{_JOBS}/run-now", body, _headers(endpoint))
    run_id = told.data.get("run_id")
    if not told.is_good or type(run_id) is not int:
        return _refused(told, endpoint)
    # The answer does not say where people look at it; the run itself does.
    seen = talk.get(f"{_JOBS}/runs/get?run_id={run_id}", _headers(endpoint))
    run = Run(DATABRICKS, str(run_id), page_of(seen.data.get("run_page_url")))
    return Answer(told.status, body=f"run {run_id} of job {settings['job']} began", run=run)


def check(endpoint: Endpoint, talk: Talk) -> Answer:
    """Try whether the job can be seen; whether it may be run, only a run tells."""
    job = endpoint.settings["job"]
    told = talk.get(f"{_JOBS}/get?job_id={job}", _headers(endpoint))
    if not told.is_good or told.data.get("job_id") != job:
        return _refused(told, endpoint)
    settings = told.data.get("settings")
    found = settings if isinstance(settings, dict) else {}
    declared = found.get("parameters")
    names = {one.get("name") for one in declared or () if isinstance(one, dict)}
    lacks = [name for name in endpoint.settings.get("parameters", PARAMETERS) if name not in names]
    words = f"job {job} ({line(str(found.get('name', 'without a name')))}) is there"
    if lacks:
        words += f"; it declares no parameter {', '.join(lacks)}"
    return Answer(told.status, body=words)


def look(endpoint: Endpoint, run: Run, talk: Talk) -> Seen:
    """Ask how a run is."""
    told = talk.get(f"{_JOBS}/runs/get?run_id={run.id}", _headers(endpoint))
    if _is_gone(told):
        return Seen("failed", f"run {run.id} is not there any more: it was deleted")
    if not told.is_good:
        return told.unseen("Databricks")
    return seen_of(run.id, told.data) or told.unseen("Databricks")


def seen_of(run_id: str, data: Mapping[str, Any]) -> Seen | None:
    """Read how a run is from `runs/get`; None where it does not say.

    Examples
    --------
    >>> seen_of("7", {"status": {"state": "RUNNING"}}).state
    'running'
    >>> seen_of("7", {"state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"}}).state
    'failed'
    """
    status, before = _part(data, "status"), _part(data, "state")
    details = _part(status, "termination_details")
    state = str(status.get("state") or before.get("life_cycle_state") or "")
    code = str(details.get("code") or before.get("result_state") or "")
    if state in _BEFORE:
        return Seen("queued", f"run {run_id} is queued")
    if state in _ON:
        return Seen("running", f"run {run_id} is running")
    if state not in _OVER:
        return None
    ended: State = "succeeded" if code in _GOOD else "failed"
    why = line(str(details.get("message") or before.get("state_message") or ""))
    said = f"run {run_id} {ended}"
    if code and code != "SUCCESS":
        said += f" ({line(code)})"
    return Seen(ended, f"{said}: {why}" if why and ended == "failed" else said)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    secret = endpoint.secrets[0].value if endpoint.secrets else ""
    return {"authorization": f"Bearer {secret}"}


def _refused(told: Told, endpoint: Endpoint) -> Answer:
    job = endpoint.settings["job"]
    if told.is_good:
        return told.refused("it answered as no Databricks does: is this a workspace's address?")
    if told.status == 401 or (told.status == 403 and "token" in told.words.lower()):
        # It says 403 of a token that it does not know.
        return told.refused(f"Databricks refuses the token: {told.words or told.said}")
    if told.status == 403:
        return told.refused(
            f"Databricks refuses the token's user: no right to run job {job} ({told.words})"
        )
    if _is_gone(told):
        return told.refused(f"Databricks knows no job {job}: {told.words}")
    return told.refused(f"Databricks {told.said}")


def _is_gone(told: Told) -> bool:
    if told.status == 404:
        return told.data.get("error_code") in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
    return told.status == 400 and _GONE.search(told.words) is not None


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}
