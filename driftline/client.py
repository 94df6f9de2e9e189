"""The HTTP side of the SDK: register references and endpoints, read what Driftline found.

A reference is built here, in the user's process: rows never leave it, counts do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from driftline import answers
from driftline.asking import Http
from driftline.errors import InvalidReference
from driftline.handling import Handling
from driftline.letters import Letters
from driftline.promoting import Promoting
from driftline.reading import Reading, _escaped, _typed
from driftline.retraining import Retraining
from driftline.setting import Setting
from driftline.uploading import Uploading

# Of events in one request; the server reads 5 MB.
EVENTS_BYTES = 4_000_000


@dataclass(frozen=True)
class Reference:
    """A registered reference.

    Attributes
    ----------
    digest
        Names its content: the same data give the same digest.
    warnings
        What the data lack, one sentence each.
    created
        False where exactly this was registered already.
    features
        The columns that are watched as features.
    segments
        Column -> its values that are watched on their own, where there are any.
    rows
        How many were counted.
    first, last
        Time of the first and the last row; None without times.
    """

    digest: str
    warnings: tuple[str, ...]
    created: bool = True
    features: tuple[str, ...] = ()
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None


class Client(Setting, Handling, Retraining, Letters, Promoting, Uploading, Reading):
    """A connection to one Driftline server.

    Parameters
    ----------
    url
        Where the server is, such as ``http://127.0.0.1:8050``.
    token
        The token that the server asks for; that of the environment (``DRIFTLINE_TOKEN``) by
        default. "" sends none.
    timeout_s
        How long one request may take.

    Raises
    ------
    ApiError
        `url` does not begin with http:// or https://, or no header can carry the token.
    ServerUnavailable
        By every call: the server cannot be reached, or is not ready, after some tries.
    AuthenticationError
        By every call: the server asks for its token.
    ApiError
        By every call: the server answered that it will not do this.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:8050")
    >>> client.close()

    What was found is a table away::

        import pandas

        pandas.DataFrame(client.findings("flight-delay", feature="temp"))
        pandas.DataFrame(client.incidents(state="open"))
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 10.0) -> None:
        self._http = Http(url, token, timeout_s)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._http.url

    def register_reference(
        self,
        model: str,
        version: str | int,
        data: Any,
        *,
        prediction: str | None = None,
        score: str | None = None,
        scores: Mapping[str, str] | None = None,
        label: str | None = None,
        timestamp: str | None = None,
        timezone: str = "UTC",
        features: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        categorical: Sequence[str] = (),
        segments: Sequence[str] = (),
        importance: Mapping[str, float] | None = None,
        exclude_slices: Sequence[Any] = (),
        effective_from: datetime | str | None = None,
        replaces: str | int | None = None,
        owner: str | None = None,
        description: str | None = None,
    ) -> Reference:
        """Count `data` here, send the counts, and bind them to a model version.

        Registering the same data again changes nothing, so this may be retried freely.

        Parameters
        ----------
        model, version
            Names, 1 to 200 characters; both are created when they are new. The version 3 is "3".
        data
            What the model was trained on: a pandas, polars or pyarrow table. Or a reference that
            is made already (`driftline.spark.reference`), which says all that follows up to
            `exclude_slices` itself.
        prediction, score, label, timestamp
            Columns that hold the model's output, its score, the outcome, and event time.
        scores
            Class -> column with its score, where the model has several: ``{"late": "p_late"}``.
        timezone
            IANA zone in which the model's days and weeks begin; naive times are read in it.
        features, exclude, categorical
            Profile only these; leave these out; these are categories though they are numbers.
        segments
            Columns whose values are watched on their own as well.
        importance
            How much the model hangs on each feature.
        exclude_slices
            Stretches of time whose rows are not counted, because they were no usual ones: local
            dates ("2013-02-08") and intervals ("2013-02-08/2013-02-10" with both days,
            "2013-02-08T17:00/2013-02-08T21:00"). Needs `timestamp`.
        effective_from
            From when on this reference replaces the version's earlier one.
        replaces
            The version that this one takes over from: it is promoted, from `effective_from` on,
            or else from the last event that was counted (see `promote`).
        owner, description
            For people.

        Raises
        ------
        InvalidReference
            The data cannot become a reference; says why.
        Conflict
            Other data are the version's reference already (`ApiConflict`, with what to do).
        """
        from driftline.stats.reference import Reference as Made
        from driftline.stats.reference import build_reference

        said: dict[str, Any] = {
            "prediction": prediction, "score": score, "scores": scores, "label": label,
            "timestamp": timestamp, "timezone": timezone, "features": features,
            "exclude": exclude, "categorical": categorical, "segments": segments,
            "importance": importance, "exclude_slices": exclude_slices,
        }  # fmt: skip
        if isinstance(data, Made):
            also = [name for name, value in said.items() if value and name != "timezone"]
            if timezone not in ("UTC", data.timezone):
                also.append("timezone")
            if also:
                raise InvalidReference(
                    f"this reference is made already: give {also[0]} to what made it"
                )
            reference, timezone = data, data.timezone
        else:
            reference = build_reference(data, **said)
        body = {
            "model": model,
            "version": _name(version),
            "reference": msgspec.Raw(reference.to_document()),
            "effective_from": _instant(effective_from, timezone),
            "replaces": _name(replaces),
            "owner": owner,
            "description": description,
        }
        answer = self._call("POST", "/api/v1/references", content=msgspec.json.encode(body))
        return Reference(
            digest=answer["digest"],
            warnings=tuple(answer["warnings"]),
            created=bool(answer["created"]),
            features=tuple(
                name for name in reference.gridset.names() if name not in reference.prediction
            ),
            segments=reference.dimensions,
            rows=reference.rows,
            first=_moment(reference.first_ms),
            last=_moment(reference.last_ms),
        )

    # -- models ----------------------------------------------------------------------------

    def archive_model(self, name: str) -> answers.Model:
        """Count and judge a model no longer, and leave it out of lists; all of it stays.

        Its events are counted as unmonitored from then on. Again changes nothing.
        """
        found = self._call("POST", f"/api/v1/models/{_escaped(name)}/archive")
        return _typed(found, answers.Model)

    def unarchive_model(self, name: str) -> answers.Model:
        """Count and judge an archived model again, from now on."""
        found = self._call("POST", f"/api/v1/models/{_escaped(name)}/unarchive")
        return _typed(found, answers.Model)

    def delete_model(self, name: str) -> dict[str, int]:
        """Delete an archived model with all that was counted and found of it, for good.

        Returns
        -------
        dict of int
            Deleted rows, by table.

        Raises
        ------
        ApiConflict
            The model is not archived.
        """
        found = self._call("DELETE", f"/api/v1/models/{_escaped(name)}")
        return {str(table): int(rows) for table, rows in found["rows"].items()}

    # -- events ----------------------------------------------------------------------------

    def log(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Write events to Kafka through the server, and return how many; for who has no Kafka.

        A service logs with `EventLogger`, which waits for nobody. Events are sent in requests of
        a few megabytes, each taken whole or not at all. A request whose answer is lost is not
        made again, since what was written would be counted twice.

        Parameters
        ----------
        events
            As in the event contract; times may be datetimes with an offset, values numpy's.

        Raises
        ------
        ApiError
            An event cannot be counted: names the first, by its place in its request. Those of
            earlier requests are written.
        ServerUnavailable
            The server, or its broker, cannot be reached now.

        Examples
        --------
        ::

            client.log([{"type": "label", "id": "7f3a", "model": "churn",
                         "time": "2025-03-08T00:00:00Z", "label": 0}])
        """
        from driftline.plain import plain_values

        n_logged, size, lines = 0, 0, list[bytes]()
        for event in events:
            line = msgspec.json.encode(plain_values(event)[0])
            if lines and size + len(line) + 1 > EVENTS_BYTES:
                n_logged += self._write(lines)
                size, lines = 0, []
            lines.append(line)
            size += len(line) + 1
        return n_logged + (self._write(lines) if lines else 0)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, Any] | None = None,
        patience_s: float | None = None,
    ) -> Any:
        return self._http.call(
            method, path, content=content, content_type=content_type, params=params,
            patience_s=patience_s,
        )  # fmt: skip

    def _write(self, lines: Sequence[bytes]) -> int:
        found = self._http.write(
            "/api/v1/events", b"\n".join(lines), content_type="application/x-ndjson"
        )
        return int(found["accepted"])


def _name(version: str | int | None) -> str | int | None:
    """The version 3 is named "3"; whether anything else is a name, the server says."""
    return str(version) if type(version) is int else version


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC)


def _instant(at: datetime | str | None, timezone: str) -> str | None:
    """Return RFC 3339 in UTC; a naive time is read in the model's zone, and says so."""
    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        raise InvalidReference(f"effective_from {at!r} is no RFC 3339 time") from None
    if moment.tzinfo is None:
        warnings.warn(
            f"effective_from has no offset: it is read as {timezone}", UserWarning, stacklevel=3
        )
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise InvalidReference(
            f"effective_from {at} is outside the years 1 to 9999 in UTC: name a later time"
        ) from None
