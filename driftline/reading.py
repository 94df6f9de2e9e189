"""Reading what Driftline found: every answer of the API as a typed value.

Lists that can grow come as iterators: the first page is asked for at once, so that what is
wrong is said at once, and the others while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from driftline import answers
from driftline.calling import Calling
from driftline.errors import ApiError

if TYPE_CHECKING:
    from driftline.stats.reference import Reference

T = TypeVar("T")
When = datetime | str | None
# Large enough that a year of days is one page, small enough to begin at once.
PAGE = 1_000


class Reading(Calling):
    """The reading half of `driftline.Client`.

    Everywhere: `version` is the newest unless it is given, `segment` is "all", `start` and `end`
    are aware datetimes (or RFC 3339 texts) of a range `[start, end)`, and `limit` is how many
    items are wanted at most.

    Raises
    ------
    ApiError
        The server will not answer: says what is wrong and what mends it (404: the nearest name).
    """

    # -- what was registered ---------------------------------------------------------------

    def models(self, *, archived: bool = False) -> list[answers.Model]:
        """Return the models by name, with their versions and health; `archived` ones too."""
        asked = "true" if archived else None
        return list(self._pages(answers.Model, "models", archived=asked))

    def model(self, name: str) -> answers.Model:
        """Return one model."""
        return self._one(answers.Model, f"models/{_escaped(name)}")

    def references(self) -> list[answers.ReferenceSummary]:
        """Return the references, newest first."""
        return list(self._pages(answers.ReferenceSummary, "references"))

    def reference(self, digest: str) -> answers.ReferenceDetail:
        """Return one reference by its digest, or by six or more of its first characters."""
        return self._one(answers.ReferenceDetail, f"references/{_escaped(digest)}")

    def reference_document(self, digest: str) -> Reference:
        """Return one reference with its bins and counts, to count with; found as `reference` is."""
        from driftline.stats.reference import Reference

        return Reference.from_document(
            msgspec.json.encode(self._get(f"references/{_escaped(digest)}/document"))
        )

    def monitors(self, model: str | None = None) -> list[answers.Monitor]:
        """Return every revision of how models are judged, the one in force first."""
        return list(self._pages(answers.Monitor, "monitors", model=model))

    def monitor(self, model: str) -> answers.Monitor:
        """Return how a model is judged now."""
        found = self.monitors(model)
        if not found:
            raise ApiError(404, f"{model!r} has no monitor", "register a reference for it")
        return found[0]

    def features(self, model: str, *, version: str | int | None = None) -> list[answers.Feature]:
        """Return the features of a version in the order of its reference."""
        return list(self._pages(answers.Feature, "features", model=model, version=_name(version)))

    def search(self, text: str, *, limit: int = 20) -> list[answers.Hit]:
        """Return models, features and incidents that are called like `text`, the best first."""
        found = self._get("search", q=text, limit=limit)
        return _typed(found["items"], list[answers.Hit])

    # -- what was judged -------------------------------------------------------------------

    def overview(self, since: When = None) -> answers.Overview:
        """Return whether anything is wrong, and where; and what changed `since` (wall clock)."""
        return self._one(answers.Overview, "overview", since=_instant(since, "since"))

    def segments(
        self, model: str, *, version: str | int | None = None, length: str = "day"
    ) -> list[answers.Segment]:
        """Return the segments with judged windows of a length, "all" first."""
        return list(
            self._pages(
                answers.Segment, "segments", model=model, version=_name(version), length=length
            )
        )

    def windows(
        self,
        model: str,
        *,
        version: str | int | None = None,
        length: str = "day",
        segment: str = "all",
        start: When = None,
        end: When = None,
        limit: int | None = None,
    ) -> Iterator[answers.Window]:
        """Yield judged windows by start."""
        return self._pages(
            answers.Window, "windows", limit, model=model, version=_name(version), length=length,
            segment=segment, **_range(start, end),
        )  # fmt: skip

    def findings(
        self,
        model: str,
        *,
        version: str | int | None = None,
        length: str = "day",
        segment: str = "all",
        feature: str | None = None,
        start: When = None,
        end: When = None,
        limit: int | None = None,
    ) -> Iterator[answers.Finding]:
        """Yield one finding for each feature of each window; segment "*" is all of them.

        Examples
        --------
        A table of a month, with one column for each number::

            pandas.DataFrame(client.findings("flight-delay", start="2013-04-01T00:00:00-04:00"))
        """
        return self._pages(
            answers.Finding, "findings", limit, model=model, version=_name(version), length=length,
            segment=segment, feature=feature, **_range(start, end),
        )  # fmt: skip

    def verdicts(
        self,
        model: str,
        *,
        version: str | int | None = None,
        length: str = "day",
        segment: str = "all",
        start: When = None,
        end: When = None,
        limit: int | None = None,
    ) -> Iterator[answers.Verdict]:
        """Yield by start which share of a model's features had drifted, also by importance."""
        return self._pages(
            answers.Verdict, "verdicts", limit, model=model, version=_name(version),
            length=length, segment=segment, **_range(start, end),
        )  # fmt: skip

    def series(
        self,
        model: str,
        feature: str,
        *,
        statistic: str | None = None,
        version: str | int | None = None,
        segment: str = "all",
        length: str = "day",
        start: When = None,
        end: When = None,
    ) -> answers.Series:
        """Return a statistic of a feature through its windows, against its limit.

        Without `statistic` the one that says most; without a range the last 90 days, 7 days of
        hours, or every week.

        Examples
        --------
        ::

            pandas.DataFrame(client.series("flight-delay", "temp").items).plot("start", "value")
        """
        asked = {
            "model": model, "feature": feature, "statistic": statistic,
            "version": _name(version), "segment": segment, "length": length,
            **_range(start, end),
        }  # fmt: skip
        return self._whole(answers.Series, "series", **asked)

    def timeline(
        self,
        model: str,
        *,
        version: str | int | None = None,
        segment: str = "all",
        length: str = "day",
        start: When = None,
        end: When = None,
        evidence: str = "worst",
        sort: str = "worst",
    ) -> answers.Timeline:
        """Return what moved in a version of a model, and when: features by time.

        Examples
        --------
        ::

            found = client.timeline("flight-delay")
            pandas.DataFrame(
                {row.feature: row.ratio for row in found.items},
                index=[column.start for column in found.columns],
            )
        """
        return self._whole(
            answers.Timeline, "timeline", model=model, version=_name(version), segment=segment,
            length=length, evidence=evidence, sort=sort, **_range(start, end),
        )  # fmt: skip

    def distribution(
        self,
        model: str,
        feature: str,
        *,
        version: str | int | None = None,
        segment: str = "all",
        length: str = "day",
        start: When = None,
        end: When = None,
        vs: tuple[When, When] | str | int | None = None,
    ) -> answers.Distribution:
        """Return a feature in a range, beside its reference or beside something else.

        Without a range, the newest judged window of `length`. `vs` is another range
        ``(start, end)``, or the name of a version whose reference is meant.

        Examples
        --------
        ::

            made = client.distribution("flight-delay", "carrier")
            pandas.DataFrame(made.levels)
        """
        against: dict[str, Any] = {}
        if isinstance(vs, tuple):
            against = {
                "vs_from": _instant(vs[0], "vs[0]"),
                "vs_to": _instant(vs[1], "vs[1]"),
            }
        elif vs is not None:
            against = {"vs_version": _name(vs)}
        return self._one(
            answers.Distribution, "distributions", model=model, feature=feature,
            version=_name(version), segment=segment, length=length,
            **_range(start, end), **against,
        )  # fmt: skip

    # -- incidents -------------------------------------------------------------------------

    def incidents(
        self,
        model: str | None = None,
        *,
        version: str | int | None = None,
        state: str | Sequence[str] | None = None,
        segment: str | None = None,
        feature: str | None = None,
        kind: str | None = None,
        start: When = None,
        end: When = None,
        limit: int | None = None,
    ) -> Iterator[answers.Incident]:
        """Yield incidents, newest first; `state="open"` asks for those that stand.

        A range asks for those that stood in it.
        """
        return self._pages(
            answers.Incident, "incidents", limit, model=model, version=_name(version),
            state=state, segment=segment, feature=feature, kind=kind, **_range(start, end),
        )  # fmt: skip

    def incident(self, number: int) -> answers.IncidentDetail:
        """Return one incident with its history."""
        return self._one(answers.IncidentDetail, f"incidents/{int(number)}")

    def incident_groups(
        self,
        model: str | None = None,
        *,
        state: str = "all",
        kind: str | None = None,
        start: When = None,
        end: When = None,
        limit: int | None = None,
    ) -> Iterator[answers.IncidentGroup]:
        """Yield groups, newest first: incidents of one version that are one problem.

        `state` is all, firing, resolved or withdrawn.
        """
        return self._pages(
            answers.IncidentGroup, "incident-groups", limit, model=model, state=state, kind=kind,
            **_range(start, end),
        )  # fmt: skip

    def incident_group(self, number: int) -> answers.IncidentGroupDetail:
        """Return the group of an incident, by the number of any of its members."""
        return self._one(answers.IncidentGroupDetail, f"incident-groups/{int(number)}")

    # -- what became of every record -------------------------------------------------------

    def status(self) -> answers.Status:
        """Return in one look what is counted, what is not, and what is wrong."""
        return self._one(answers.Status, "status")

    def pipeline(self, topic: str | None = None) -> answers.Pipeline:
        """Return whether everything is counted, and how late."""
        return self._one(answers.Pipeline, "pipeline", topic=topic)

    def partitions(self, topic: str | None = None) -> list[answers.Partition]:
        """Return how far each partition is counted."""
        return list(self._pages(answers.Partition, "partitions", topic=topic))

    def gaps(self, topic: str | None = None) -> list[answers.Gap]:
        """Return what was lost before it could be read, newest first."""
        return list(self._pages(answers.Gap, "gaps", topic=topic))

    def deficits(self, topic: str | None = None) -> list[answers.Deficit]:
        """Return the versions whose records came before their reference."""
        return list(self._pages(answers.Deficit, "deficits", topic=topic))

    def dead_letters(
        self, reason: str | None = None, *, topic: str | None = None, limit: int | None = None
    ) -> Iterator[answers.DeadLetter]:
        """Yield the records that could not be counted and were kept, newest first."""
        return self._pages(answers.DeadLetter, "dead-letters", limit, reason=reason, topic=topic)

    def dead_letter(self, id: str) -> answers.DeadLetterDetail:
        """Return one dead letter with all that was kept of its record."""
        return self._one(answers.DeadLetterDetail, f"dead-letters/{_escaped(id)}")

    # -- asking ----------------------------------------------------------------------------

    def _get(self, path: str, /, **asked: Any) -> Any:
        params = {name: value for name, value in asked.items() if value is not None}
        return self._call("GET", f"/api/v1/{path}", params=params)

    def _one(self, kind: type[T], path: str, /, **asked: Any) -> T:
        return _typed(self._get(path, **asked), kind)

    def _whole(self, kind: type[T], path: str, /, **asked: Any) -> T:
        """Return an answer that comes in pages as one."""
        whole = page = self._get(path, **asked)
        while page["next"] is not None:
            page = self._get(path, cursor=page["next"], **asked)
            whole["items"] += page["items"]
        return _typed(whole, kind)

    def _pages(
        self, item: type[T], path: str, limit: int | None = None, /, **asked: Any
    ) -> Iterator[T]:
        """Yield the items of a list, page by page; the first is asked for at once."""
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        asked["limit"] = PAGE if limit is None else min(PAGE, limit)
        first = self._get(path, **asked)

        def items() -> Iterator[T]:
            page = first
            while True:
                yield from _typed(page["items"], list[item])  # type: ignore[valid-type]
                if page["next"] is None:
                    return
                page = self._get(path, cursor=page["next"], **asked)

        return islice(items(), limit)


def _typed(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ApiError(
            200, "the answer is not what this client knows", f"{error}; is the server older?"
        ) from None


def _escaped(name: str) -> str:
    """Return a name as one part of a path.

    >>> _escaped("a/b 100 %"), _escaped("..")
    ('a%2Fb%20100%20%25', '%2E%2E')
    """
    # A part of dots only would be taken for a step up.
    return "%2E" * len(name) if name in (".", "..") else quote(name, safe="")


def _name(version: str | int | None) -> str | None:
    """The version 3 is named "3"."""
    return None if version is None else str(version)


def _range(start: When, end: When) -> dict[str, str | None]:
    return {"from": _instant(start, "start"), "to": _instant(end, "end")}


def _instant(at: When, what: str) -> str | None:
    if at is None or isinstance(at, str):
        return at
    if getattr(at, "tzinfo", None) is None:
        raise ValueError(
            f"{what}={at!r} is no instant: give a datetime with tzinfo, "
            'or a text such as "2013-02-08T10:15:00Z"'
        )
    return at.isoformat()
