"""Airflow: a request is a run of a DAG, of 3.x over `/api/v2`, of 2.x over `/api/v1`.

The run's id derives from the request, so that what is sent again finds the run that is there.
3.x wants a `logical_date` of null (several runs may then begin in one moment), 2.x refuses one.
3.x wants a token that it gives for a user and a password and that lives for a day.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from monitor.alerts.schedule import Answer
from monitor.alerts.trainers.asked import Asked, asked_of
from monitor.alerts.trainers.talk import Seen, State, Talk, Told
from monitor.storage.endpoints import AIRFLOW, Endpoint
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

APIS: Final = {"3": "/api/v2", "2": "/api/v1"}
# A note is shown in a table.
_NOTE: Final = 1_000
_STATES: Final[Mapping[str, State]] = {
    "queued": "queued",
    "running": "running",
    "success": "succeeded",
    "failed": "failed",
}
_WORDS: Final[Mapping[State, str]] = {
    "queued": "is queued",
    "running": "is running",
    "succeeded": "succeeded",
    "failed": "failed",
}
_TOKEN: Final = re.compile(r"[!-~]+")
# A date without its end: every Airflow refuses it, after it has looked who asks.
_NO_RUN: Final = {"data_interval_start": "2000-01-01T00:00:00Z"}


def starts(settings: Mapping[str, object]) -> str:
    """Return what an endpoint of this kind starts."""
    return f"DAG {settings['dag']}"


def start(endpoint: Endpoint, message: Message, talk: Talk) -> Answer:
    """Begin a run, or find the one that began before."""
    try:
        return _start(_Session(endpoint, talk), asked_of(message))
    except _Refused as refused:
        return refused.answer


def check(endpoint: Endpoint, talk: Talk) -> Answer:
    """Try whether a run could begin: address, credentials, DAG, whether it is paused."""
    try:
        return _check(_Session(endpoint, talk))
    except _Refused as refused:
        return refused.answer


def look(endpoint: Endpoint, run: Run, talk: Talk) -> Seen:
    """Ask how a run is."""
    try:
        session = _Session(endpoint, talk)
        told = session.get(session.run(run.id))
        if told.status == 404 and told.is_json and "detail" in told.data:
            return Seen("failed", f"run {run.id} is not there any more: it was deleted")
        state = _STATES.get(str(told.data.get("state"))) if told.is_good else None
        if state is None:
            return told.unseen("Airflow")
        if state == "queued" and session.is_paused():
            return Seen(state, f"run {run.id} waits: {session.paused}")
        return Seen(state, f"run {run.id} {_WORDS[state]}")
    except _Refused as refused:
        return Seen(None, refused.answer.why or "")


def _start(session: _Session, asked: Asked) -> Answer:
    body: dict[str, Any] = {
        "dag_run_id": asked.name,
        "conf": dict(asked.data),
        "note": asked.sentence[:_NOTE],
        **session.no_date,
    }
    told = session.post(f"{session.dag}/dagRuns", body)
    if told.status == 409:
        # Either this very run is there, or another one with the date that this one was given.
        before = session.get(session.run(asked.name))
        if before.status == 404:
            return told.refused("another run of the DAG has this moment's logical date")
        told = before
    if not told.is_good:
        return session.refused(told)
    state = str(told.data.get("state"))
    if state not in _STATES:
        return told.refused("it answered as no Airflow does: is this Airflow's address?")
    words = f"run {asked.name} {_WORDS[_STATES[state]]}"
    if state == "queued" and session.is_paused():
        words = f"run {asked.name} waits: {session.paused}"
    return Answer(told.status, body=words, run=Run(AIRFLOW, asked.name, session.page(asked.name)))


def _check(session: _Session) -> Answer:
    dag = session.get(session.dag)
    if not dag.is_good:
        return session.refused(dag)
    told = session.post(f"{session.dag}/dagRuns", {**_NO_RUN, **session.no_date})
    if told.status not in (400, 422) or not told.is_json:
        return session.refused(told)
    if dag.data.get("is_paused") is True:
        return dag.refused(session.paused)
    words = f"DAG {session.name} of Airflow {session.api} is there, and {session.who} may start it"
    return Answer(dag.status, body=words)


class _Refused(Exception):
    """A conversation that ended before what it was about."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.why)


class _Session:
    """A conversation with an Airflow whose version and token are found out on the way.

    Raises
    ------
    _Refused
        They cannot be.
    """

    def __init__(self, endpoint: Endpoint, talk: Talk) -> None:
        self._settings, self._talk = endpoint.settings, talk
        self._secret = endpoint.secrets[0].value if endpoint.secrets else ""
        self.name = str(self._settings["dag"])
        self._user = self._settings.get("user")
        self.api = str(self._settings.get("airflow") or talk.memory.get("api") or self._found())

    @property
    def who(self) -> str:
        """Who asks, as people read it."""
        return f"user {self._user}" if self._user else "the token's user"

    @property
    def paused(self) -> str:
        """What to know of a paused DAG."""
        return f"DAG {self.name} is paused, and its runs begin when somebody unpauses it"

    @property
    def no_date(self) -> dict[str, None]:
        """What says that a run is for no date, where that must be said."""
        return {"logical_date": None} if self.api == "3" else {}

    @property
    def dag(self) -> str:
        """The DAG's path."""
        return f"{APIS[self.api]}/dags/{quote(self.name, safe='')}"

    def run(self, run_id: str) -> str:
        """A run's path."""
        return f"{self.dag}/dagRuns/{quote(run_id, safe='')}"

    def page(self, run_id: str) -> str:
        """Where people look at a run."""
        dag, run = quote(self.name, safe=""), quote(run_id, safe="")
        below = f"runs/{run}" if self.api == "3" else f"grid?dag_run_id={run}"
        return f"{self._talk.url}/dags/{dag}/{below}"

    def get(self, path: str) -> Told:
        """Ask for something."""
        return self._as_user(lambda headers: self._talk.get(path, headers))

    def post(self, path: str, body: Mapping[str, Any]) -> Told:
        """Send something."""
        return self._as_user(lambda headers: self._talk.post(path, body, headers))

    def is_paused(self) -> bool:
        """Whether the DAG is paused, where Airflow says so."""
        return self.get(self.dag).data.get("is_paused") is True

    def refused(self, told: Told) -> Answer:
        """Return what Airflow refused, in words that name the mend."""
        if told.status is None or not told.is_json:
            return told.refused(f"Airflow {told.said}")
        if told.status == 401:
            return told.refused(f"Airflow does not know {self.who}: {told.words}")
        if told.status == 403:
            # 2.x says so of a wrong password, too.
            or_else = ", or the password is another" if self.api == "2" and self._user else ""
            return told.refused(
                f"Airflow refuses {self.who}: no right to start runs of DAG {self.name}{or_else}"
            )
        if told.status == 404:
            return told.refused(f"Airflow knows no DAG {self.name}: {told.words}")
        return told.refused(f"Airflow {told.said}")

    def _found(self) -> str:
        told = Told(None, None)
        for api, path in APIS.items():
            told = self._talk.get(f"{path}/version")
            if told.is_good and str(told.data.get("version", "")).startswith(f"{api}."):
                self._talk.memory["api"] = api
                return api
            if told.status is None:
                break
        if told.status is None:
            raise _Refused(told.refused(f"Airflow {told.said}"))
        raise _Refused(
            told.refused(
                f"the address does not say which Airflow it is ({told.said}): mend it, or say "
                "which with --airflow"
            )
        )

    def _as_user(self, ask: Callable[[Mapping[str, str]], Told]) -> Told:
        is_old = "token" in self._talk.memory
        told = ask(self._headers())
        if told.status in (401, 403) and is_old:
            # 401 is a token whose day is over, 403 one of an Airflow that began anew.
            self._talk.memory.pop("token", None)
            told = ask(self._headers())
        return told

    def _headers(self) -> dict[str, str]:
        if not self._user:
            return {"authorization": f"Bearer {self._secret}"}
        if self.api == "2":
            pair = base64.b64encode(f"{self._user}:{self._secret}".encode()).decode()
            return {"authorization": f"Basic {pair}"}
        token = self._talk.memory.get("token") or self._token()
        return {"authorization": f"Bearer {token}"}

    def _token(self) -> str:
        told = self._talk.post(
            "/auth/token", {"username": self._user, "password": self._secret}, {}
        )
        token = told.data.get("access_token") if told.is_good else None
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            self._talk.memory["token"] = token
            return token
        if told.status == 401 and told.is_json:
            why = f"Airflow refuses {self.who}: the name or the password is another"
        elif told.status == 404:
            why = (
                "Airflow gives no tokens at /auth/token: leave out the user, and give a token "
                "as the secret"
            )
        elif told.status is not None and 200 <= told.status < 300:
            why = "Airflow's /auth/token answered, and gave no token that can be sent"
        else:
            why = f"Airflow's /auth/token {told.said}"
        # What is kept of an attempt may be read: of an answer that may hold a token, nothing is.
        raise _Refused(replace(told.refused(why), body=""))
