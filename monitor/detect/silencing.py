"""Silences: for some time nobody is told of incidents that match.

Not to be mixed up with a silent model (`monitor.detect.silence`), which is an incident itself.
A silence goes by the wall clock of whoever wants quiet, so what it holds back is no property of
the log: incidents, their episodes and findings are the same with it and without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final, Protocol

from monitor.detect.knowledge import IncidentNow

# What a silence can ask of an incident; None asks nothing.
MATCHED: Final = ("model", "version", "segment", "feature", "kind", "severity")


class Meant(Protocol):
    """What of an incident a silence goes by."""

    @property
    def segment(self) -> str: ...
    @property
    def feature(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def severity(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which incidents are meant: those that are all that is given.

    `severity` is the worst that is meant: a silence of warnings lets through what turns critical.
    """

    model: str | None = None
    version: str | None = None
    segment: str | None = None
    feature: str | None = None
    kind: str | None = None
    severity: str | None = None

    def means(self, incident: Meant, model: str, version: str) -> bool:
        """Whether an incident of that model and version is meant.

        Examples
        --------
        >>> from dataclasses import replace
        >>> found = IncidentNow(1, 1, "all", "temp", "missing", "warning", "firing", False, 0, 1,
        ...                     None, (1,))
        >>> warnings = Matcher(model="flights", feature="temp", severity="warning")
        >>> warnings.means(found, "flights", "1"), warnings.means(found, "trains", "1")
        (True, False)
        >>> warnings.means(replace(found, severity="critical"), "flights", "1")
        False
        """
        here = {
            "model": model,
            "version": version,
            "segment": incident.segment,
            "feature": incident.feature,
            "kind": incident.kind,
        }
        asked = {name: getattr(self, name) for name in here}
        is_meant = all(value is None or value == here[name] for name, value in asked.items())
        return is_meant and (self.severity in (None, "critical") or incident.severity == "warning")

    def given(self) -> dict[str, str]:
        """Return what is asked, by its name."""
        found = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def covers(self, other: Matcher) -> bool:
        """Whether every incident that `other` means is meant by this one, too.

        >>> Matcher(model="a").covers(Matcher(model="a", feature="x"))
        True
        >>> Matcher(model="a", severity="warning").covers(Matcher(model="a"))
        False
        """
        mine, others = self.given(), other.given()
        worst = mine.pop("severity", "critical")
        return mine.items() <= others.items() and worst in ("critical", others.get("severity"))


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody's wish not to be told; times by the wall clock.

    `ended_ms` is when it was ended by hand, before `until_ms`.
    """

    number: int
    matcher: Matcher
    from_ms: int
    until_ms: int
    reason: str
    by: str
    created_ms: int
    ended_ms: int | None = None
    ended_by: str | None = None

    @property
    def end_ms(self) -> int:
        """When it is over."""
        return self.until_ms if self.ended_ms is None else min(self.until_ms, self.ended_ms)

    def state(self, now_ms: int) -> str:
        """Return scheduled, active or over."""
        if now_ms >= self.end_ms:
            return "over"
        return "active" if now_ms >= self.from_ms else "scheduled"


def silenced(
    incidents: Iterable[IncidentNow], silences: Iterable[Silence], model: str, version: str
) -> Mapping[int, int]:
    """Return by incident's number the silence that lasts longest of those that mean it."""
    lasting = sorted(silences, key=lambda silence: (-silence.end_ms, silence.number))
    found = {}
    for incident in incidents:
        for silence in lasting:
            if silence.matcher.means(incident, model, version):
                found[incident.number] = silence.number
                break
    return found
