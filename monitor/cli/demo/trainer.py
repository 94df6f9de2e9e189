"""The demo's trainer: a service that starts a training when a signed webhook asks for one.

A process of its own: ``python -m monitor.cli.demo.trainer FILE``, where the file, which only its
owner may read, holds an `Office` as JSON. One training at a time, each in a process that ends.
Whatever becomes of it is reported to the server that asked.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from driftline.errors import DriftlineError
from driftline.webhooks import Alert
from monitor.cli.demo import retrain
from monitor.cli.demo.retrain import Job
from monitor.cli.demo.webhooks import Webhooks
from monitor.cli.processes import Child, stop_with_parent, watch_parent

ENDPOINT: Final = "trainer"
REQUESTED: Final = "retrain.requested"
_LOOK_S: Final = 0.05


class Office(msgspec.Struct, frozen=True):
    """Where a trainer listens, what it believes, and where it works.

    Attributes
    ----------
    secret
        Signs the webhooks that it believes.
    url, token
        Of the Driftline server that it reports to.
    folder
        Holds the flights and takes what is made of them.
    """

    secret: str
    port: int
    url: str
    token: str | None
    folder: str


class Request(msgspec.Struct, frozen=True):
    """What a `retrain.requested` says, as far as this trainer goes by it."""

    class Evidence(msgspec.Struct, frozen=True):
        """Why it was asked for: by what was known until then."""

        until: datetime

    request_id: int
    model: str
    version: str
    evidence: Evidence
    dry_run: bool = False


def request_in(alert: Alert) -> Request | None:
    """The training that a message asks for; None where it asks for none.

    Raises
    ------
    msgspec.ValidationError
        It asks for one and does not say which.
    """
    if alert.type != REQUESTED:
        return None
    asked = msgspec.convert(alert.raw.get("data"), Request)
    return None if asked.dry_run else asked


def job_of(asked: Request, office: Office) -> Job:
    """What a request is answered with: the next version, from all that was known by then."""
    return Job(
        folder=office.folder,
        url=office.url,
        request_id=asked.request_id,
        model=asked.model,
        version=str(int(asked.version) + 1),
        replaces=asked.version,
        at_ms=int(asked.evidence.until.timestamp() * 1_000),
    )


class Trainer:
    """Takes messages from a server's threads, and trains in the one that calls `work`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._asked: queue.SimpleQueue[Alert] = queue.SimpleQueue()

    def take(self, alert: Alert) -> None:
        """Remember a message; it is answered at once and worked on later."""
        self._asked.put(alert)

    def work(self, stop: threading.Event) -> None:
        """Train what was asked for, one after the other, until `stop` is set."""
        while not stop.is_set():
            try:
                alert = self._asked.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            try:
                asked = request_in(alert)
            except msgspec.ValidationError as error:
                _say(f"{alert.type} {alert.webhook_id} cannot be read: {error}")
                continue
            if asked is not None:
                self._train(asked, stop)

    def _train(self, asked: Request, stop: threading.Event) -> None:
        job = job_of(asked, self._office)
        why = self._do("train", job, stop)
        if why is None and not stop.is_set():
            why = self._do("register", job, stop)
        if why is not None:
            _say(f"request {asked.request_id}: {why}")
            self._fail(job, why)

    def _do(self, what: str, job: Job, stop: threading.Event) -> str | None:
        """Do one step in a process of its own; return why it failed, if it did."""
        child = Child(
            what,
            [sys.executable, "-m", retrain.__name__, what, msgspec.json.encode(job).decode()],
            log=Path(job.folder) / f"{what}-{job.version}.log",
            environment={**os.environ, "DRIFTLINE_TOKEN": self._office.token or ""},
        )
        while child.exit_code is None and not stop.wait(_LOOK_S):
            pass
        if child.exit_code is None:
            child.stop()
            return None
        words = child.last_words()
        child.stop()
        if not child.exit_code:
            return None
        return f"{what} ended with exit code {child.exit_code}: {words or 'no words'}"

    def _fail(self, job: Job, why: str) -> None:
        from driftline import Client

        try:
            with Client(job.url, self._office.token or "") as client:
                client.report_retrain(job.request_id, "failed", message=why[:500])
        except DriftlineError as error:
            _say(f"request {job.request_id} cannot be reported: {error}")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def main() -> None:
    """Listen until the parent is gone."""
    watch_parent()
    office = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Office)
    stop = threading.Event()
    stop_with_parent(stop)
    trainer = Trainer(office)
    with Webhooks(office.secret, take=trainer.take, refused=_refused, port=office.port):
        trainer.work(stop)


def _refused(why: str) -> None:
    _say(f"webhook refused: {why}")


if __name__ == "__main__":
    main()
