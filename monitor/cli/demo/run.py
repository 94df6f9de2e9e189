"""The demo from start to end: train, register, stream, retrain, close, and take stock.

Everything goes the way a user's own service would: the reference over HTTP, the events
through Kafka, the alerts and the requests for a retraining as webhooks. The parent only watches
the database that the other processes write.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from driftline import Client
from driftline.errors import StreamError
from driftline.webhooks import new_secret
from monitor.cli.broker import PARTITIONS
from monitor.cli.demo import flights, loop, model, trainer, warehouse
from monitor.cli.demo.accuracy import auc
from monitor.cli.demo.flights import Floats, Year
from monitor.cli.demo.memory import Memory, give_back
from monitor.cli.demo.produce import MODEL, VERSION, Log, Sender
from monitor.cli.demo.receiver import ENDPOINT, Receiver
from monitor.cli.demo.result import Auc, Result, View
from monitor.cli.demo.screen import Screen
from monitor.cli.demo.watch import Watch
from monitor.cli.processes import free_port, wait_for_port
from monitor.cli.tree import Tree
from monitor.clock import SystemClock
from monitor.detect.retraining import Policy
from monitor.evaluate import EvaluateSettings, Evaluator

# The log is complete and read to its end: a short silence closes the last windows.
_IDLE_S: Final = 1.0
# Every message is told once to a receiver of this machine: a moment is enough for all of them.
_DRAIN_S: Final = 60.0
# A second on an idle machine.
_TRAINER_START_S: Final = 60.0
POLICY: Final = Policy()


@dataclass(frozen=True)
class _Scored:
    """The year's log, and what to measure it by.

    Attributes
    ----------
    late
        Of each flight of the log, NaN where its outcome is not known.
    never
        January's model's score of each.
    before
        How many flights come before the log.
    """

    log: Log
    late: Floats
    never: Floats
    before: int


def run(tree: Tree, screen: Screen, receiver: Receiver, folder: Path, *, retrains: bool) -> Result:
    """Run the year on a tree that is not started yet.

    Afterwards the tree still runs, but for the evaluator, which has nothing left to judge.

    Parameters
    ----------
    folder
        Nobody else's: the trainer's flights and scores are put there.
    retrains
        Whether the model is retrained when its policy asks for it.

    Raises
    ------
    ChildDied
        A process of the tree ended.
    StreamError
        The stream got stuck.
    """
    with Memory() as memory:
        tree.start()
        screen.say(f"The dashboard is at {tree.web_url}")
        scored = _prepare(tree, screen, receiver, folder if retrains else None)
        give_back()
        log, taken = scored.log, []
        with View(tree.database_url, MODEL) as view:
            with screen.progress(len(scored.late)) as bar:
                watch = Watch(tree, view, bar)
                with Sender(
                    bootstrap=tree.bootstrap, topic=tree.topic, told=watch.look_at_slice
                ) as sender:
                    if retrains:
                        desk = watch.desk(POLICY, screen.say)
                        taken = loop.stream(
                            log, sender.send, policy=POLICY, desk=desk, folder=folder,
                            before=scored.before,
                        )  # fmt: skip
                    else:
                        sender.send(log.slices())
                watch.wait_until(lambda seen: seen.records >= len(log))
                # One evaluator at a time: the last one knows that the log is complete.
                tree.end("evaluate")
                closing = Evaluator(
                    view.engine,
                    EvaluateSettings(
                        tree.database_url,
                        owner="demo",
                        idle_timeout_s=_IDLE_S,
                        web_url=tree.public_url,
                    ),
                    now_ms=SystemClock().now_ms,
                )
                watch.wait_until(lambda _: closing.step() == 0 and view.is_judged())
                # A message that has to wait for another attempt may take days: not here.
                watch.wait_until(lambda seen: seen.pending == 0, at_most_s=_DRAIN_S)
                watch.look(now=True)
            return view.result(
                live_ms={one.version: one.live_ms for one in taken},
                auc=Auc(auc(scored.late, scored.never), auc(scored.late, log.scores)),
                seconds=memory.seconds,
                peak_bytes=memory.peak_bytes,
            )


def _prepare(tree: Tree, screen: Screen, receiver: Receiver, folder: Path | None) -> _Scored:
    """Build, train, score, register January, and name who receives; without a folder no trainer."""
    screen.say("Reading the flights of 2013 ...")
    year = flights.build()
    if folder is not None:
        _store(year, folder)
    give_back()
    tree.check()
    screen.say("Training the model on January ...")
    year = model.score(year)
    give_back()
    tree.wait_for_web()
    screen.say("Registering January as the reference ...")
    with Client(tree.web_url, tree.web_token) as client:
        _register(client, year, screen, receiver)
        if folder is not None:
            _begin_trainer(client, tree, folder)
    return _Scored(
        log=Log(year.stream, partitions=PARTITIONS),
        late=year.stream["late"].to_numpy(np.float64),
        never=year.stream["score"].to_numpy(np.float64),
        before=len(year.reference),
    )


def _store(year: Year, folder: Path) -> None:
    """Write what a trainer will read: January's flights come first."""
    columns = ["time", *flights.FEATURES, "late", "lands_at"]
    whole = pd.concat([year.reference[columns], year.stream[columns]], ignore_index=True)
    _, day = model.outcomes(whole)
    warehouse.write(whole, model.numbers(whole), day, folder)


def _register(client: Client, year: Year, screen: Screen, receiver: Receiver) -> None:
    reference = client.register_reference(MODEL, VERSION, year.reference, **flights.WATCHED)
    for warning in reference.warnings:
        screen.say(f"  {warning}")
    client.add_endpoint(ENDPOINT, receiver.url, secret=receiver.secret)


def _begin_trainer(client: Client, tree: Tree, folder: Path) -> None:
    """Start the trainer, and let the model's policy ask it; alerts go to the receiver alone."""
    secret, port = new_secret(), free_port()
    office = trainer.Office(
        secret=secret, port=port, url=tree.web_url, token=tree.web_token, folder=str(folder)
    )
    file = folder / "trainer.json"
    file.touch(0o600)
    file.write_bytes(msgspec.json.encode(office))
    child = tree.begin_module("trainer", trainer.__name__, os.fspath(file))
    if not wait_for_port(port, child, _TRAINER_START_S):
        tree.check()
        raise StreamError(f"the demo's trainer did not answer within {_TRAINER_START_S:.0f} s")
    file.unlink()  # it was read, and says secrets
    url = f"http://127.0.0.1:{port}/webhooks"
    client.add_endpoint(trainer.ENDPOINT, url, secret=secret)
    client.set_route(MODEL, "alerts", [ENDPOINT])
    client.set_retraining(MODEL, trainer=trainer.ENDPOINT)
