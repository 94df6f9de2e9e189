"""The words of a message: one notice and its incidents in, a frozen JSON body out.

Names are data and may hold anything; the body is valid JSON for every one of them, and
holds no number that JSON has not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol

from driftline.stats.words import sentence, window_words
from monitor.detect.alerts import GONE, Notice
from monitor.detect.evidence import evidence_in, ratio_of
from monitor.detect.groups import ALL
from monitor.detect.message_types import ENDED, RECOVERED, STANDING, WITHDRAWALS
from monitor.detect.silence import VOLUME
from monitor.detect.succession import SUPERSEDED
from monitor.windows.panes import HOUR_MS

# A body stays small enough for what receivers take: 50 incidents are some 40 kB.
NAMED_AT_MOST = 50
_LEADS = {"": "", "also": "also: ", "critical": "now critical: ", "reminder": "still: "}


class Described(Protocol):
    """An incident as far as a message tells of it."""

    @property
    def number(self) -> int:
        """What it goes by."""

    @property
    def segment(self) -> str:
        """`all`, or the rows with one value of a dimension."""

    @property
    def feature(self) -> str:
        """What moved."""

    @property
    def kind(self) -> str:
        """Distribution, missing, ..."""

    @property
    def severity(self) -> str:
        """warning or critical."""

    @property
    def state(self) -> str:
        """firing, resolved, ..."""

    @property
    def first_window_ms(self) -> int:
        """Start of its first bad window; of a silence, its beginning."""

    @property
    def opened_ms(self) -> int:
        """End of the window that made it sure."""

    @property
    def resolved_ms(self) -> int | None:
        """When it ended, None while it stands."""

    @property
    def is_open(self) -> bool:
        """Whether it stands."""

    @property
    def summary(self) -> str:
        """What happened, in a sentence."""

    @property
    def evidence(self) -> Any:
        """The windows that show it, as stored."""


def webhook_id_of(notice: Notice) -> str:
    """Return the id by which receivers know a message again: the same for the same message."""
    told = f"{notice.alert.alert_id} {notice.type} {notice.alert.sequence}"
    if notice.repeat is not None:
        told += f" reminder {notice.repeat.hours} {notice.repeat.nth}"
    return "msg_" + blake2b(told.encode(), digest_size=16).hexdigest()


def body_of(
    notice: Notice,
    incidents: Mapping[int, Described],
    *,
    model: str,
    version: str,
    timezone: str,
    web_url: str,
    successor: str | None = None,
    retrains: Sequence[int] = (),
) -> str:
    """Return the body of a message as JSON, in the form of the design.

    Parameters
    ----------
    incidents
        By number: at least those that the notice names.
    timezone
        The model's, for the days and hours of the summary.
    web_url
        Where the pages are, for the link.
    successor
        Which version took over, where that is why the alert ended.
    retrains
        Requests for a retraining that stood on what is withdrawn.
    """
    alert = notice.alert
    concerned = _worst_first(notice.numbers, incidents)
    named = [*concerned, *_worst_first(notice.others, incidents)]
    data: dict[str, Any] = {
        "alert_id": alert.alert_id,
        "sequence": alert.sequence,
        "model": model,
        "version": version,
        "severity": alert.severity,
        "summary": f"{model} {version}: {_summary(notice, concerned, timezone, successor)}",
        "url": f"{web_url.rstrip('/')}/incidents/{alert.number}",
        "incidents": [_described(incident, notice.why) for incident in named[:NAMED_AT_MOST]],
    }
    if notice.why == SUPERSEDED:
        data |= {"ended": SUPERSEDED, "successor": successor}
    if len(named) > NAMED_AT_MOST:
        data["more"] = len(named) - NAMED_AT_MOST
    at_ms = alert.recorded_ms
    if notice.repeat is not None:
        at_ms, data["reminder"] = notice.repeat.at_ms, True
    if retrains:
        data["retrains"] = list(retrains)
    body = {"type": notice.type, "timestamp": instant(at_ms), "data": data}
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _worst_first(numbers: Sequence[int], incidents: Mapping[int, Described]) -> list[Described]:
    return sorted(
        (incidents[number] for number in numbers),
        key=lambda i: (
            not i.is_open,
            i.state == "withdrawn",
            i.segment != ALL,
            i.severity != "critical",
            -ratio_of(evidence_in(i.evidence)),
            i.number,
        ),
    )


def _summary(
    notice: Notice, concerned: Sequence[Described], timezone: str, successor: str | None
) -> str:
    first, others = concerned[0], len(concerned) - 1
    if notice.type in STANDING:
        evidence = evidence_in(first.evidence)
        said = sentence(evidence, timezone) if evidence is not None else first.summary
        where = "" if first.segment == ALL else f"{first.segment}: "
        more = f", and {others} more" if others else ""
        said = (said or f"{first.feature}: {first.kind}").removesuffix(".")
        return f"{_lead(notice, timezone)}{where}{said}{more}."
    where = "" if first.segment == ALL else f", {first.segment}"
    who = f"{first.feature} ({first.kind.replace('_', ' ')}{where})" if first.feature else "silence"
    if others:
        who += f" and {others} more"
    are = "are" if others else "is"
    if notice.type in WITHDRAWALS:
        did = "changed the windows" if first.feature else "filled it"
        return f"{who} {are} withdrawn: late events {did}."
    if notice.why in GONE:
        return f"{who} {are} watched no longer: the model was {notice.why}."
    if notice.type == RECOVERED:
        return f"predictions came again after {_lasting(_silent_ms(concerned))}."
    if notice.type == ENDED:
        lasted = _lasting(_silent_ms(concerned))
        return f"no predictions for {lasted}: nobody waits for them any longer."
    ends = [i.resolved_ms for i in concerned if i.state != "withdrawn" and i.resolved_ms]
    stood_ms = max(ends, default=notice.alert.opened_ms) - notice.alert.opened_ms
    why = f": version {successor} took over" if notice.why == SUPERSEDED else ""
    return f"{who} {are} over after {_lasting(stood_ms)}{why}."


def _silent_ms(concerned: Sequence[Described]) -> int:
    """Return how long the silence was that ended last, from its beginning on."""
    over = [(i.resolved_ms, i.first_window_ms) for i in concerned if i.resolved_ms is not None]
    end_ms, since_ms = max(over)
    return end_ms - since_ms


def _lead(notice: Notice, timezone: str) -> str:
    if notice.why != "again":
        return _LEADS[notice.why]
    # What shows it best may be of the first time.
    day = window_words(notice.since_ms, "day", timezone).removeprefix("on ")
    return f"again since {day}: "


def _lasting(ms: int) -> str:
    hours = max(1, round(ms / HOUR_MS))
    if hours < 48:
        return f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{round(hours / 24)} days"


def _described(incident: Described, why: str) -> dict[str, Any]:
    evidence = evidence_in(incident.evidence)
    window = _window(evidence.start_ms, evidence.end_ms) if evidence else None
    if incident.kind == VOLUME:
        # The time without predictions, as far as it is known.
        window = _window(incident.first_window_ms, incident.resolved_ms or incident.opened_ms)
    return {
        "id": incident.number,
        "feature": incident.feature,
        "segment": incident.segment,
        "kind": incident.kind,
        "severity": incident.severity,
        "state": why if why in GONE and incident.is_open else incident.state,
        "statistic": evidence.statistic if evidence else None,
        "value": finite(evidence.value) if evidence else None,
        "limit": finite(evidence.limit) if evidence else None,
        "window": window,
        "summary": incident.summary,
    }


def _window(start_ms: int, end_ms: int) -> dict[str, str]:
    return {"start": instant(start_ms), "end": instant(end_ms)}


def finite(value: float) -> float | None:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else None


def instant(ms: int) -> str:
    """Return an instant as messages write it, in UTC."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    precision = "milliseconds" if ms % 1000 else "seconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")
