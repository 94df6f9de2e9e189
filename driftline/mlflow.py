"""MLflow's runs and registry beside Driftline: references from what was logged, drift written back.

    from driftline import Client, mlflow

    client = Client("http://127.0.0.1:8050")
    mlflow.reference_from_model_version(client, "flight-delay", 3, prediction="delay", replaces="2")
    mlflow.log_drift(client, "flight-delay", 3)

It needs `driftline[mlflow]`; MLflow itself is imported when a function is called, and is asked with
its own settings (`MLFLOW_TRACKING_URI`, credentials). Only Parquet and CSV are read: nothing that
was logged is ever unpickled or run.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from driftline import answers
from driftline.arrow import pyarrow
from driftline.client import Client, Reference
from driftline.errors import ApiError, InvalidReference, MissingExtra

# What MLflow takes in the key of a metric, of which the slash makes groups.
_KEY: Final = re.compile(r"[^\w\-. ]+")
_TABLES: Final = (".parquet", ".csv")
# What MLflow logs at once.
_AT_ONCE: Final = 1_000
# How deep folders of artifacts are looked through, and how many of them.
_DEEP, _FOLDERS = 4, 200


@dataclass(frozen=True, slots=True)
class Logged:
    """What `log_drift` did.

    Attributes
    ----------
    run_id
        Where metrics stand; None where the model version has no run.
    metrics
        Metric -> value, of the window.
    tags
        Tag of the model version -> value.
    start, end
        The window that they are of; None where none was judged.
    is_new
        False where exactly this stood there already: then no metric was written.
    """

    run_id: str | None
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    start: datetime | None
    end: datetime | None
    is_new: bool


def reference_from_run(
    client: Client,
    run_id: str,
    model: str,
    version: str | int,
    *,
    artifact: str | None = None,
    dataset: str | None = None,
    tracking_uri: str | None = None,
    **given: Any,
) -> Reference:
    """Register what a run was trained on as the reference of a model's version.

    Parameters
    ----------
    client
        Of Driftline's server.
    artifact
        Path of a Parquet or CSV file (or a folder of Parquet files) among the run's artifacts.
        Logging the training frame so is the reliable way.
    dataset
        Name of a dataset that was logged with the run (``mlflow.log_input``). Its data come from
        its source, as they are now.
    tracking_uri
        Where MLflow is; its own setting unless given.
    **given
        As `driftline.Client.register_reference` takes it: ``prediction``, ``score``,
        ``timestamp``, ``segments``, ``replaces``, ...

    Returns
    -------
    Reference
        Registered; the same again changes nothing.

    Raises
    ------
    MissingExtra
        MLflow is not installed.
    InvalidReference
        The run has no such table, more than one, or one whose source cannot be loaded; or a
        dataset has other rows by now than it had when it was logged.
    """
    mlflow = _mlflow()
    service = mlflow.MlflowClient(tracking_uri)
    with tempfile.TemporaryDirectory(prefix="driftline-") as folder:
        frame = _frame(mlflow, service, run_id, artifact, dataset, Path(folder))
    return client.register_reference(model, version, frame, **given)


def reference_from_model_version(
    client: Client,
    name: str,
    version: str | int,
    *,
    model: str | None = None,
    artifact: str | None = None,
    dataset: str | None = None,
    tracking_uri: str | None = None,
    **given: Any,
) -> Reference:
    """Register what a version of MLflow's registry was trained on as its reference.

    As `reference_from_run`, with the run that made the version. `model` is what Driftline calls
    the model; the registered model's name unless given.

    Raises
    ------
    InvalidReference
        The version has no run, or its run no table: see `reference_from_run`.
    """
    service = _mlflow().MlflowClient(tracking_uri)
    run_id = service.get_model_version(name, str(version)).run_id
    if not run_id:
        raise InvalidReference(
            f"version {version} of {name} has no run in MLflow: name one, with reference_from_run"
        )
    return reference_from_run(
        client, run_id, model or name, version, artifact=artifact, dataset=dataset,
        tracking_uri=tracking_uri, **given,
    )  # fmt: skip


def log_drift(
    client: Client,
    model: str,
    version: str | int,
    *,
    registered: str | None = None,
    run_id: str | None = None,
    length: str = "day",
    tracking_uri: str | None = None,
) -> Logged:
    """Write the latest drift figures of a model's version to MLflow; the same again adds nothing.

    The run gets metrics of the last judged window, at its end: ``driftline/psi/FEATURE``,
    ``driftline/psi_max``, ``driftline/features_drifted`` and ``driftline/incidents_open``. The
    model version gets tags ``driftline.health``, ``.window``, ``.psi_max``, ``.worst``,
    ``.incidents_open`` and ``.url``.

    Parameters
    ----------
    registered
        What MLflow calls the model; `model` unless given.
    run_id
        Where metrics go; the run that made the version unless given.
    length
        Of which windows: hour, day, week or 4weeks.

    Raises
    ------
    MissingExtra
        MLflow is not installed.
    ApiError
        Driftline has no such model or version.
    """
    mlflow = _mlflow()
    service = mlflow.MlflowClient(tracking_uri)
    name, number = registered or model, str(version)
    run_id = run_id or service.get_model_version(name, number).run_id or None
    known = _version(client, model, number)
    window, findings = _last(client, model, known, length)
    is_open = sum(1 for _ in client.incidents(model, version=number, state="open"))
    metrics = _metrics(findings, is_open)
    tags = _tags(client, model, number, known, window, findings, is_open)
    is_new = False
    if run_id is not None and window is not None:
        is_new = _log(mlflow, service, run_id, window, metrics)
    for key, value in tags.items():
        service.set_model_version_tag(name, number, key, value)
    return Logged(
        run_id, metrics, tags, None if window is None else window.start,
        None if window is None else window.end, is_new,
    )  # fmt: skip


# -- what was logged ---------------------------------------------------------------------------


def _frame(
    mlflow: Any, service: Any, run_id: str, artifact: str | None, dataset: str | None, folder: Path
) -> Any:
    """Return the table that a run was trained on, as an Arrow table."""
    if artifact is not None and dataset is not None:
        raise InvalidReference("name an artifact or a dataset, not both")
    if artifact is not None:
        return _downloaded(mlflow, service, run_id, artifact, folder)
    inputs = list(service.get_run(run_id).inputs.dataset_inputs)
    if dataset is not None:
        found = [one for one in inputs if one.dataset.name == dataset]
        if not found:
            names = ", ".join(repr(one.dataset.name) for one in inputs) or "none"
            raise InvalidReference(f"run {run_id} has no dataset {dataset!r}; it has {names}")
        return _loaded(mlflow, found[0].dataset)
    return _only(mlflow, service, run_id, inputs, folder)


def _only(mlflow: Any, service: Any, run_id: str, inputs: Sequence[Any], folder: Path) -> Any:
    """Return the one table that a run has, whatever way it was logged."""
    paths = [path for path in _artifacts(service, run_id) if path.endswith(".parquet")]
    if len(paths) == 1:
        return _downloaded(mlflow, service, run_id, paths[0], folder)
    training = [one for one in inputs if _context(one) == "training"] or list(inputs)
    why = []
    if len(training) == 1:
        try:
            return _loaded(mlflow, training[0].dataset)
        except InvalidReference as error:
            why.append(str(error))
    elif training:
        names = ", ".join(repr(one.dataset.name) for one in training)
        why.append(f"its datasets are {names}: name one, with dataset=")
    if paths:
        listed = ", ".join(map(repr, paths[:5]))
        why.append(f"its Parquet files are {listed}: name one, with artifact=")
    said = "; ".join(why) or "it has neither a Parquet artifact nor a dataset"
    raise InvalidReference(
        f"run {run_id} has no one table that it was trained on: {said}. Reliable is to log the "
        'training frame: frame.to_parquet("training.parquet"), then '
        'mlflow.log_artifact("training.parquet")'
    )


def _context(one: Any) -> str:
    tags = {tag.key: tag.value for tag in one.tags}
    return str(tags.get("mlflow.data.context", ""))


def _artifacts(service: Any, run_id: str) -> list[str]:
    """Return the paths of a run's files, as far as folders go that are not too many."""
    folders, files, seen = [("", 0)], [], 0
    while folders and seen < _FOLDERS:
        path, depth = folders.pop(0)
        seen += 1
        for one in service.list_artifacts(run_id, path or None):
            if not one.is_dir:
                files.append(one.path)
            elif depth < _DEEP:
                folders.append((one.path, depth + 1))
    return sorted(files)


def _downloaded(mlflow: Any, service: Any, run_id: str, path: str, folder: Path) -> Any:
    try:
        found = service.download_artifacts(run_id, path, str(folder))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise InvalidReference(f"run {run_id} has no artifact {path!r}: {error}") from None
    return _table(Path(found), f"artifact {path!r}")


def _loaded(mlflow: Any, dataset: Any) -> Any:
    """Return the rows of a logged dataset, from where they came from."""
    try:
        source = mlflow.data.get_source(dataset)
        path = source.load()
    except (NotImplementedError, AttributeError, OSError, mlflow.exceptions.MlflowException) as why:
        raise InvalidReference(
            f"dataset {dataset.name!r} cannot be loaded from its source "
            f"({dataset.source_type}): {why}"
        ) from None
    if not isinstance(path, (str, Path)):
        raise InvalidReference(
            f"dataset {dataset.name!r} comes from {dataset.source_type}, which is no file"
        )
    table = _table(Path(path), f"dataset {dataset.name!r}")
    known = _rows_of(dataset)
    if known is not None and known != table.num_rows:
        raise InvalidReference(
            f"dataset {dataset.name!r} had {known:,} rows when it was logged, and its source has "
            f"{table.num_rows:,} now: log the training frame itself as an artifact"
        )
    return table


def _rows_of(dataset: Any) -> int | None:
    try:
        found = json.loads(dataset.profile or "{}").get("num_rows")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _table(path: Path, what: str) -> Any:
    """Read a Parquet or CSV file, or a folder of Parquet files."""
    pa = pyarrow("driftline.mlflow")
    try:
        if path.suffix == ".csv":
            return import_module("pyarrow.csv").read_csv(path)
        if path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
            return import_module("pyarrow.parquet").read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidReference(f"{what} cannot be read: {error}") from None
    raise InvalidReference(
        f"{what} is no table that is read here ({path.name}): one of {', '.join(_TABLES)}"
    )


# -- drift, written back -----------------------------------------------------------------------


def _version(client: Client, model: str, version: str) -> answers.ModelVersion:
    versions = client.model(model).versions
    for one in versions:
        if one.version == version:
            return one
    listed = ", ".join(repr(one.version) for one in versions[:5]) or "none"
    raise ApiError(404, f"{model} has no version {version!r} here", f"it has {listed}")


def _last(
    client: Client, model: str, known: answers.ModelVersion, length: str
) -> tuple[answers.Window | None, list[answers.Finding]]:
    """Return the last judged window of a length over all rows, and its findings."""
    version = known.version
    if known.judged_to is None:
        return None, []
    back = timedelta(days=2 if length == "hour" else 60)
    end = known.judged_to
    found = list(
        client.windows(model, version=version, length=length, start=end - back, end=end + back)
    )
    if not found:
        return None, []
    last = found[-1]
    return last, list(
        client.findings(model, version=version, length=length, start=last.start, end=last.end)
    )


def _metrics(findings: Iterable[answers.Finding], is_open: int) -> dict[str, float]:
    """Return the figures of a window as MLflow's metrics: every key once, all of them finite."""
    figures: dict[str, float] = {}
    values: list[float] = []
    drifted = 0
    for finding in findings:
        drifted += finding.is_alarming
        psi = finding.psi
        if psi is None or not math.isfinite(psi):
            continue
        values.append(psi)
        figures[_unique(f"driftline/psi/{key_of(finding.feature)}", figures)] = psi
    if values:
        figures["driftline/psi_max"] = max(values)
    figures["driftline/features_drifted"] = float(drifted)
    figures["driftline/incidents_open"] = float(is_open)
    return figures


def _unique(key: str, taken: Mapping[str, float]) -> str:
    number, found = 1, key
    while found in taken:
        number += 1
        found = f"{key}-{number}"
    return found


def key_of(feature: str) -> str:
    """Return a feature's name as MLflow takes it in the key of a metric.

    Examples
    --------
    >>> key_of("dep_delay"), key_of("price (€/kWh)"), key_of("..")
    ('dep_delay', 'price _kWh_', '_')
    """
    said = _KEY.sub("_", feature.encode("ascii", "replace").decode())[:200]
    return said if said.strip(". ") else "_"


def _tags(
    client: Client,
    model: str,
    version: str,
    known: answers.ModelVersion,
    window: answers.Window | None,
    findings: Sequence[answers.Finding],
    is_open: int,
) -> dict[str, str]:
    tags = {
        "driftline.health": known.health,
        "driftline.incidents_open": str(is_open),
        "driftline.url": f"{client.url}/models/{quote(model, safe='')}?version={quote(version)}",
    }
    if window is not None:
        tags["driftline.window"] = f"{window.start.isoformat()}/{window.end.isoformat()}"
    measured = [(one.psi, one.feature) for one in findings if one.psi is not None]
    if measured:
        psi, worst = max(measured)
        tags |= {"driftline.psi_max": f"{psi:.4g}", "driftline.worst": worst[:500]}
    return tags


def _log(
    mlflow: Any, service: Any, run_id: str, window: answers.Window, metrics: Mapping[str, float]
) -> bool:
    """Write metrics of a window unless they stand there; return whether anything was written."""
    key = f"driftline.logged.{window.length}"
    mark = f"{window.end.isoformat()} {window.revision} {_digest(metrics)}"
    if service.get_run(run_id).data.tags.get(key) == mark:
        return False
    at_ms = int(window.end.timestamp() * 1000)
    step = at_ms // 3_600_000
    made = [
        mlflow.entities.Metric(name, value, at_ms, step) for name, value in sorted(metrics.items())
    ]
    for first in range(0, len(made), _AT_ONCE):
        service.log_batch(run_id, metrics=made[first : first + _AT_ONCE])
    # Last: who is cut short before writes the same metrics again, which MLflow keeps once.
    service.set_tag(run_id, key, mark)
    return True


def _digest(metrics: Mapping[str, float]) -> str:
    return blake2b(json.dumps(dict(metrics), sort_keys=True).encode(), digest_size=8).hexdigest()


def _mlflow() -> Any:
    try:
        with warnings.catch_warnings():
            # Its own imports warn of what it uses.
            warnings.simplefilter("ignore")
            import mlflow
            import mlflow.data
            import mlflow.entities
            import mlflow.exceptions
    except ImportError:
        raise MissingExtra("driftline.mlflow", "MLflow", "mlflow") from None
    return mlflow
