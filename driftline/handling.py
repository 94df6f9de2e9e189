"""What people do about incidents: the verbs of `driftline.Client` that say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec

from driftline import answers
from driftline.reading import Reading, When, _instant, _name, _typed

# What the server takes in one request.
_AT_ONCE: Final = 200


class Handling(Reading):
    """The half of `driftline.Client` that acknowledges, comments and silences.

    Everywhere: `by` is who says so, as others know them; what belongs to one problem is handled
    as one, unless `alone`. Asking for what is so already changes nothing.
    """

    def handling(self, number: int, *, alone: bool = False) -> answers.Handling:
        """Return what was done about an incident, or what is one problem with it."""
        asked = "true" if alone else None
        return self._one(answers.Handling, f"incidents/{int(number)}/handling", alone=asked)

    def handlings(self, numbers: Iterable[int]) -> dict[int, answers.Handling]:
        """Return what was done about several incidents, each with what is one problem with it.

        By the numbers that were given; asked for two hundred at a time.
        """
        asked = list(dict.fromkeys(int(number) for number in numbers))
        found: dict[int, answers.Handling] = {}
        for place in range(0, len(asked), _AT_ONCE):
            some = asked[place : place + _AT_ONCE]
            told = self._call("GET", "/api/v1/handling", params={"incident": some})
            items = _typed(told["items"], list[answers.Handling])
            found |= dict(zip(some, items, strict=True))
        return found

    def silences(
        self, state: str = "all", *, limit: int | None = None
    ) -> Iterator[answers.Silence]:
        """Yield silences, newest first; `state` is all, standing, scheduled, active or over."""
        return self._pages(answers.Silence, "silences", limit, state=state)

    def acknowledge(
        self, number: int, *, by: str = "", comment: str = "", alone: bool = False
    ) -> answers.Handling:
        """Say that somebody looks after an incident, until it turns worse or opens again.

        Raises
        ------
        ApiConflict
            It is over.
        """
        return self._handle(number, "acknowledge", by=by, comment=comment, alone=alone)

    def give_back(
        self, number: int, *, by: str = "", comment: str = "", alone: bool = False
    ) -> answers.Handling:
        """Say that nobody looks after an incident any more.

        Raises
        ------
        ApiConflict
            It is over.
        """
        return self._handle(number, "give-back", by=by, comment=comment, alone=alone)

    def assign(
        self, number: int, to: str, *, by: str = "", alone: bool = False
    ) -> answers.Handling:
        """Say who is to look after an incident; "" for nobody."""
        return self._handle(number, "assign", to=to, by=by, alone=alone)

    def comment(self, number: int, text: str, *, by: str = "") -> answers.Handling:
        """Write into the history of an incident what others should know."""
        return self._handle(number, "comment", text=text, by=by)

    def feedback(
        self,
        number: int,
        verdict: Literal["useful", "noise", "none"],
        *,
        by: str = "",
        comment: str = "",
        alone: bool = False,
    ) -> answers.Handling:
        """Say whether an incident was worth its message; "none" takes it back."""
        return self._handle(
            number, "feedback", verdict=verdict, by=by, comment=comment, alone=alone
        )

    def silence(
        self,
        *,
        model: str | None = None,
        version: str | int | None = None,
        segment: str | None = None,
        feature: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        everything: bool = False,
        start: When = None,
        until: When = None,
        lasting: timedelta | None = None,
        reason: str = "",
        by: str = "",
    ) -> answers.Silence:
        """Tell nobody of what matches all that is given, until it is over.

        What still stands then is told then. `until` or `lasting` must be given; `severity`
        "warning" lets through what turns critical; `everything` is needed where nothing else
        is given.

        Raises
        ------
        ApiConflict
            Another silence holds all of it back already, and as long.

        Examples
        --------
        ::

            client.silence(model="flight-delay", feature="temp", lasting=timedelta(hours=2),
                           reason="the station is moved", by="M. Keller")
        """
        asked = _silence_body(
            model, version, segment, feature, kind, severity, everything, start, until, lasting,
            reason, by,
        )  # fmt: skip
        found = self._call("POST", "/api/v1/silences", content=msgspec.json.encode(asked))
        return _typed(found, answers.Silence)

    def preview_silence(
        self,
        *,
        model: str | None = None,
        version: str | int | None = None,
        segment: str | None = None,
        feature: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        everything: bool = False,
        start: When = None,
        until: When = None,
        lasting: timedelta | None = None,
    ) -> answers.SilencePreview:
        """Return what a silence would hold back, and would have held back; make none."""
        asked = _silence_body(
            model, version, segment, feature, kind, severity, everything, start, until, lasting,
            "", "",
        )  # fmt: skip
        found = self._call("POST", "/api/v1/silences/preview", content=msgspec.json.encode(asked))
        return _typed(found, answers.SilencePreview)

    def end_silence(self, number: int, *, by: str = "") -> answers.Silence:
        """End a silence now; what still stands is told. Again changes nothing."""
        path = f"/api/v1/silences/{number}/end"
        found = self._call("POST", path, content=msgspec.json.encode({"by": by}))
        return _typed(found, answers.Silence)

    def set_silence_until(self, number: int, until: When, *, by: str = "") -> answers.Silence:
        """Let a silence last until another time.

        Raises
        ------
        ApiConflict
            It is over.
        """
        path = f"/api/v1/silences/{number}/until"
        body = {"until": _instant(until, "until"), "by": by}
        found = self._call("POST", path, content=msgspec.json.encode(body))
        return _typed(found, answers.Silence)

    def _handle(self, number: int, verb: str, **body: Any) -> answers.Handling:
        path = f"/api/v1/incidents/{number}/{verb}"
        found = self._call("POST", path, content=msgspec.json.encode(body))
        return _typed(found, answers.Handling)


def _silence_body(
    model: str | None,
    version: str | int | None,
    segment: str | None,
    feature: str | None,
    kind: str | None,
    severity: str | None,
    everything: bool,
    start: When,
    until: When,
    lasting: timedelta | None,
    reason: str,
    by: str,
) -> dict[str, Any]:
    """Return what a silence is asked with; what is not given is left out."""
    body: dict[str, Any] = {
        "model": model,
        "version": _name(version),
        "segment": segment,
        "feature": feature,
        "kind": kind,
        "severity": severity,
        "start": _instant(start, "start"),
        "until": _instant(until, "until"),
        "for_s": None if lasting is None else lasting // timedelta(seconds=1),
    }
    found = {name: value for name, value in body.items() if value is not None}
    return found | {"all": everything, "reason": reason, "by": by}
