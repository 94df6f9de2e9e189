"""One training of the demo's model, from the flights that were known when it was asked for.

Two processes, one after the other, as what each needs in memory goes back to the machine when it
ends: ``python -m monitor.cli.demo.retrain train`` and ``... register``, with a `Job` as JSON. The
second registers what was trained the way any trainer does, through `driftline.Client`; a token
comes in the environment (DRIFTLINE_TOKEN).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from monitor.cli.processes import watch_parent

# Half of the days of three months teach more than all of January's, whose model is the first: two
# trainings beside that of the model itself are enough for scores out of fold.
FOLDS: Final = 2


class Job(msgspec.Struct, frozen=True):
    """What is to be trained.

    Attributes
    ----------
    folder
        Holds the warehouse's file, and takes the scores of the new version.
    at_ms
        What was known at this time is learnt from; epoch ms.
    url
        Of the Driftline server.
    """

    folder: str
    url: str
    request_id: int
    model: str
    version: str
    replaces: str
    at_ms: int


def scores_in(folder: Path, version: str) -> Path:
    """The file with a version's score of each flight of the year.

    Out of fold for those that it learnt from.
    """
    return folder / f"scores-{version}.npy"


def train(job: Job) -> None:
    """Train on what was known, and score every flight of the year."""
    import numpy as np

    from monitor.cli.demo import model, warehouse

    folder = Path(job.folder)
    year = warehouse.known_at(folder, job.at_ms)
    known, others = year.features[: year.departed], year.features[year.departed :]
    late, day = year.late[: year.departed], year.day[: year.departed]
    scores = model.train(known, others, late, day, FOLDS)
    np.save(scores_in(folder, job.version), np.concatenate(scores))


def register(job: Job) -> None:
    """Report and register a version that was trained, with all flights it could learn from.

    Raises
    ------
    DriftlineError
        The server did not take it.
    """
    import numpy as np

    from driftline import Client
    from driftline.stats.reference import build_reference
    from monitor.cli.demo import flights, memory, model, warehouse

    folder = Path(job.folder)
    count = warehouse.known_at(folder, job.at_ms).departed
    scores = np.load(scores_in(folder, job.version))[:count]
    said = dict(flights.WATCHED)
    description = said.pop("description")
    made = build_reference(model.with_score(warehouse.departed(folder, count), scores), **said)
    memory.give_back()  # the rows, before the server takes what it needs to read their counts
    with Client(job.url, timeout_s=60) as client:
        # Registering ends the request: nothing can be reported of it afterwards.
        client.report_retrain(job.request_id, "succeeded", version=job.version)
        client.register_reference(
            job.model, job.version, made, replaces=job.replaces, description=description
        )


def main() -> None:
    """Do what the command line says."""
    watch_parent()
    job = msgspec.json.decode(sys.argv[2], type=Job)
    if sys.argv[1] == "train":
        train(job)
    else:
        register(job)


if __name__ == "__main__":
    main()
