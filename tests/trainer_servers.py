"""Airflow, Databricks and GitHub on real sockets, as far as a trainer of ours talks to them.

They answer as the real ones were seen to (Airflow 3.3 and 2.11, which `make test-targets` runs)
or as their vendors describe them (Databricks' Jobs API 2.2, GitHub's REST API).
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """An answer; `body` is sent as it is, anything else as JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Server(Protocol):
    """What answers, and what it was asked."""

    asked: list[Asked]
    # The next answers, whatever is asked; None where it answers as usual.
    odd: list[Said | Callable[[Asked], Said] | None]

    def answer(self, asked: Asked) -> Said: ...


@dataclass
class Airflow:
    """An Airflow of a version with DAGs, users and runs."""

    version: str = "3.3.2"
    dags: dict[str, bool] = field(default_factory=lambda: {"retrain": False, "paused": True})
    users: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {"drift": ("right", "op"), "look": ("right", "viewer")}
    )
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Tokens that are good, and whose they are.
    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    odd: list[Said | Callable[[Asked], Said] | None] = field(default_factory=list)

    @property
    def api(self) -> str:
        return "/api/v2" if self.version.startswith("3") else "/api/v1"

    def begin_anew(self) -> None:
        """Forget the tokens, as after a day or with another secret."""
        self.tokens.clear()

    def answer(self, asked: Asked) -> Said:
        if asked.path == f"{self.api}/version":
            return Said(200, {"version": self.version, "git_version": None})
        if asked.path == "/auth/token" and self.api == "/api/v2":
            return self._token(asked.json)
        found = re.fullmatch(rf"{self.api}/dags/([^/]+)(/dagRuns(?:/([^/]+))?)?", asked.path)
        if found is None:
            return Said(404, b"<html>nothing here</html>", {"content-type": "text/html"})
        role = self._role(asked)
        if isinstance(role, Said):
            return role
        dag, run = unquote(found[1]), unquote(found[3] or "")
        if asked.method == "POST":
            return self._begin(dag, role, asked.json)
        if run:
            held = self.runs.get(run)
            return Said(200, held) if held else Said(404, {"detail": f"run {run} was not found"})
        if dag not in self.dags:
            return Said(404, {"detail": f"Dag with id {dag} was not found"})
        return Said(200, {"dag_id": dag, "is_paused": self.dags[dag]})

    def _token(self, given: dict[str, str]) -> Said:
        password, _ = self.users.get(given["username"], ("", ""))
        if not password or given["password"] != password:
            return Said(401, {"detail": "Invalid credentials"})
        token = f"token-{len(self.asked)}"
        self.tokens[token] = given["username"]
        return Said(201, {"access_token": token})

    def _role(self, asked: Asked) -> str | Said:
        kind, _, given = asked.headers.get("authorization", "").partition(" ")
        if self.api == "/api/v2":
            if not given:
                return Said(401, {"detail": "Not authenticated"})
            if given not in self.tokens:
                return Said(403, {"detail": "Forbidden"})
            return self.users[self.tokens[given]][1]
        user, _, password = base64.b64decode(given).decode().partition(":")
        if kind != "Basic" or self.users.get(user, ("", ""))[0] != password:
            return Said(403, {"detail": None, "status": 403, "title": "Forbidden"})
        return self.users[user][1]

    def _begin(self, dag: str, role: str, body: dict[str, Any]) -> Said:
        if role == "viewer":
            return Said(403, {"detail": "Forbidden", "status": 403, "title": "Forbidden"})
        if self.api == "/api/v2" and "logical_date" not in body:
            return Said(422, {"detail": [{"loc": ["body", "logical_date"], "msg": "required"}]})
        if self.api == "/api/v1" and body.get("logical_date", "") is None:
            return Said(400, {"detail": "None is not of type 'string' - 'logical_date'"})
        if ("data_interval_start" in body) != ("data_interval_end" in body):
            return Said(422 if self.api == "/api/v2" else 400, {"detail": "both or none"})
        if dag not in self.dags:
            return Said(404, {"detail": f"Dag with dag_id: '{dag}' not found"})
        run = body["dag_run_id"]
        if re.fullmatch(r"[A-Za-z0-9_.~:+-]+", run) is None:
            return Said(400, {"detail": f"The run_id provided '{run}' does not match"})
        if run in self.runs:
            return Said(409, {"detail": "Unique constraint violation"})
        self.runs[run] = {"dag_id": dag, "dag_run_id": run, "state": "queued", "sent": body}
        return Said(200, self.runs[run])


@dataclass
class Databricks:
    """A workspace with one job, as its Jobs API 2.2 is described."""

    job: int = 77
    token: str = "dapi-right"
    parameters: list[str] = field(default_factory=list)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    by_token: dict[str, int] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    odd: list[Said | Callable[[Asked], Said] | None] = field(default_factory=list)

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return Said(403, {"error_code": "403", "message": "Invalid access token."})
        match asked.method, asked.path:
            case "POST", "/api/2.2/jobs/run-now":
                return self._begin(asked.json)
            case "GET", "/api/2.2/jobs/get":
                if int(asked.query["job_id"]) != self.job:
                    return self._unknown(f"Job {asked.query['job_id']} does not exist.")
                declared = [{"name": name, "default": ""} for name in self.parameters]
                settings = {"name": "retrain flights", "parameters": declared}
                return Said(200, {"job_id": self.job, "settings": settings})
            case "GET", "/api/2.2/jobs/runs/get":
                number = int(asked.query["run_id"])
                if number not in self.runs:
                    return self._unknown(f"Run {number} does not exist.")
                return Said(200, self.runs[number])
        return Said(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"})

    def _begin(self, body: dict[str, Any]) -> Said:
        if len(body["idempotency_token"]) > 64:
            return self._unknown("idempotency_token has at most 64 characters")
        if body["job_id"] != self.job:
            return self._unknown(f"Job {body['job_id']} does not exist.")
        number = self.by_token.setdefault(body["idempotency_token"], 500 + len(self.runs))
        self.runs.setdefault(
            number,
            {
                "run_id": number, "status": {"state": "PENDING"}, "sent": body,
                "run_page_url": f"https://workspace.example/jobs/{self.job}/runs/{number}",
            },
        )  # fmt: skip
        return Said(200, {"run_id": number, "number_in_job": number})

    def _unknown(self, words: str) -> Said:
        return Said(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": words})


@dataclass
class Github:
    """GitHub's API with one repository."""

    repository: str = "acme/models"
    token: str = "github_pat_right"
    push: bool = True
    archived: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    odd: list[Said | Callable[[Asked], Said] | None] = field(default_factory=list)

    def answer(self, asked: Asked) -> Said:
        if "user-agent" not in asked.headers:
            return Said(403, b"Request forbidden by administrative rules.")
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return Said(401, {"message": "Bad credentials", "status": "401"})
        if asked.path == f"/repos/{self.repository}":
            rights = {"admin": False, "push": self.push, "pull": True}
            told = {"full_name": self.repository, "archived": self.archived}
            return Said(200, {**told, "permissions": rights})
        if asked.path != f"/repos/{self.repository}/dispatches" or asked.method != "POST":
            return Said(404, {"message": "Not Found", "status": "404"})
        if not self.push:
            words = "Resource not accessible by personal access token"
            return Said(403, {"message": words, "status": "403"})
        body = asked.json
        if len(body["event_type"]) > 100 or len(body["client_payload"]) > 10:
            words = "No more than 10 properties are allowed; 11 were supplied."
            return Said(422, {"message": f"Invalid request.\n\n{words}"})
        self.events.append(body)
        return Said(204)


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """The address at which a server answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, query, headers, body)
            server.asked.append(asked)
            odd = server.odd.pop(0) if server.odd else None
            said = odd if isinstance(odd, Said) else (odd or server.answer)(asked)
            content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            content = b"" if said.status == 204 else content
            self.send_response(said.status)
            for name, value in {"content-type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            if said.status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do

        def log_message(self, *args: object) -> None:
            pass

    class Threads(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """One that hung up."""

    http = Threads(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join(timeout=10)
