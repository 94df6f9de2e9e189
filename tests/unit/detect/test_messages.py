"""A message's body: what the design says, in one sentence for a person, valid for any name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.stats.words import NBSP
from monitor.detect.alerts import Notice
from monitor.detect.knowledge import Alert
from monitor.detect.message_types import (
    DETECTED,
    ENDED,
    RECOVERED,
    RESOLVED,
    SILENCE_WITHDRAWN,
    SILENT,
    UPDATED,
    WITHDRAWN,
)
from monitor.detect.messages import NAMED_AT_MOST, body_of, webhook_id_of

HOUR, DAY = 3_600_000, 86_400_000
# 30 December 2013, 00:00 in New York.
START = 1_388_379_600_000


@dataclass(frozen=True)
class Row:
    """An incident as it is stored."""

    number: int
    feature: str = "temp"
    segment: str = "all"
    kind: str = "missing"
    severity: str = "warning"
    state: str = "firing"
    first_window_ms: int = START + HOUR
    opened_ms: int = START + 3 * HOUR
    resolved_ms: int | None = None
    summary: str = "temp: missing, said at length."
    evidence: Any = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.state == "firing"


def evidence(**more: Any) -> dict[str, Any]:
    """Values that went missing in an hour."""
    found = {
        "feature": "temp",
        "statistic": "missing",
        "length": "hour",
        "start_ms": START + 17 * HOUR,
        "end_ms": START + 18 * HOUR,
        "rows": 60,
        "value": 0.77,
        "limit": 0.02,
        "reference": 0.004,
        "excess": 0.6,
        **more,
    }
    return {"opened": found, "worst": found}


ALERT = Alert(
    "00ff" * 8,
    number=12,
    state="open",
    severity="critical",
    worst="critical",
    sequence=3,
    opened_ms=START,
    told_ms=START + 19 * HOUR,
    recorded_ms=1_700_000_000_123,
)


def body(kind: str, *rows: Row, why: str = "", others: tuple[Row, ...] = ()) -> dict[str, Any]:
    notice = Notice(
        kind,
        ALERT,
        why,
        tuple(r.number for r in rows),
        START + 3 * HOUR,
        tuple(r.number for r in others),
    )
    text = body_of(
        notice,
        {row.number: row for row in (*rows, *others)},
        model="flight-delay",
        version="3",
        timezone="America/New_York",
        web_url="https://drift.example/",
    )
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_body_is_the_design_s() -> None:
    found = body(DETECTED, Row(12, evidence=evidence()))
    assert list(found) == ["type", "timestamp", "data"]
    assert found["type"] == "drift.detected"
    assert found["timestamp"] == "2023-11-14T22:13:20.123Z"
    data = found["data"]
    summary = data.pop("summary").replace(NBSP, " ")
    assert summary == (
        "flight-delay 3: temp: missing 0.4 % \u2192 77 % of 60 rows at 17h on 30 December 2013, "
        "limit 2 points, in 2 of the last 3 hours."
    )
    assert data == {
        "alert_id": "00ff" * 8,
        "sequence": 3,
        "model": "flight-delay",
        "version": "3",
        "severity": "critical",
        "url": "https://drift.example/incidents/12",
        "incidents": [
            {
                "id": 12,
                "feature": "temp",
                "segment": "all",
                "kind": "missing",
                "severity": "warning",
                "state": "firing",
                "statistic": "missing",
                "value": 0.77,
                "limit": 0.02,
                "window": {"start": "2013-12-30T22:00:00Z", "end": "2013-12-30T23:00:00Z"},
                "summary": "temp: missing, said at length.",
            }
        ],
    }


def test_incidents_come_worst_first_and_those_that_ended_last() -> None:
    mild = Row(1, evidence=evidence(excess=0.5))
    worse = Row(2, feature="wind", evidence=evidence(feature="wind", excess=0.7))
    critical = Row(3, severity="critical", evidence=evidence(excess=0.1))
    closer = Row(4, segment="origin=JFK", severity="critical", evidence=evidence(excess=0.9))
    ended = Row(5, severity="critical", state="resolved", evidence=evidence())
    found = body(UPDATED, closer, mild, worse, critical, others=(ended,))
    assert [incident["id"] for incident in found["data"]["incidents"]] == [3, 2, 1, 4, 5]
    assert found["data"]["summary"].endswith(", and 3 more.")
    assert "more" not in found["data"]


def test_a_message_names_fifty_and_counts_the_others() -> None:
    rows = [Row(n, evidence=evidence()) for n in range(1, 61)]
    data = body(DETECTED, *rows, others=(Row(99, state="resolved"),))["data"]
    assert len(data["incidents"]) == NAMED_AT_MOST
    assert data["more"] == 11
    assert data["summary"].endswith("and 59 more.")


@pytest.mark.parametrize(
    ("why", "lead"),
    [
        ("", "temp: "),
        ("again", "again since 30 December 2013: temp: "),
        ("also", "also: temp: "),
        ("critical", "now critical: temp: "),
    ],
)
def test_a_summary_leads_with_what_is_new(why: str, lead: str) -> None:
    said = body(UPDATED, Row(1, evidence=evidence()), why=why)["data"]["summary"]
    assert said.startswith(f"flight-delay 3: {lead}")


def test_a_summary_says_which_rows_it_speaks_of() -> None:
    row = Row(1, segment="origin=JFK", evidence=evidence())
    assert body(DETECTED, row)["data"]["summary"].startswith("flight-delay 3: origin=JFK: temp: ")
    ended = replace(row, state="resolved", resolved_ms=START + 9 * HOUR)
    assert body(RESOLVED, ended)["data"]["summary"] == (
        "flight-delay 3: temp (missing, origin=JFK) is over after 9 hours."
    )


def test_an_end_says_how_long_it_stood() -> None:
    one = Row(1, kind="type_error", state="resolved", resolved_ms=START + 30 * HOUR)
    two = Row(2, feature="wind", state="resolved", resolved_ms=START + 6 * DAY)
    never = Row(3, feature="dest", state="withdrawn", resolved_ms=START + 90 * DAY)
    assert body(RESOLVED, one)["data"]["summary"].endswith(
        "temp (type error) is over after 30 hours."
    )
    found = body(RESOLVED, never, two, one)["data"]
    assert found["summary"].endswith("temp (type error) and 2 more are over after 6 days.")
    assert found["incidents"][-1]["state"] == "withdrawn"
    assert body(WITHDRAWN, never)["data"]["summary"].endswith(
        "dest (missing) is withdrawn: late events changed the windows."
    )


def test_a_silence_says_in_its_own_words_how_it_ended() -> None:
    silence = Row(7, feature="", kind="volume", severity="critical", summary="No predictions.")
    found = body(SILENT, silence)["data"]
    assert found["summary"] == "flight-delay 3: No predictions."
    (told,) = found["incidents"]
    # Since when there are none, and until when that is known.
    assert told["window"] == {"start": "2013-12-30T06:00:00Z", "end": "2013-12-30T08:00:00Z"}
    assert told["feature"] == ""
    ended = replace(silence, state="resolved", resolved_ms=START + 13 * HOUR)
    data = body(RECOVERED, ended)["data"]
    assert data["summary"] == "flight-delay 3: predictions came again after 12 hours."
    assert data["incidents"][0]["window"]["end"] == "2013-12-30T18:00:00Z"
    expired = replace(silence, state="expired", resolved_ms=START + HOUR + 28 * DAY)
    assert body(ENDED, expired)["data"]["summary"] == (
        "flight-delay 3: no predictions for 28 days: nobody waits for them any longer."
    )
    filled = replace(silence, state="withdrawn", resolved_ms=silence.opened_ms)
    assert body(SILENCE_WITHDRAWN, filled)["data"]["summary"] == (
        "flight-delay 3: silence is withdrawn: late events filled it."
    )
    assert body(ENDED, silence, why="archived")["data"]["summary"] == (
        "flight-delay 3: silence is watched no longer: the model was archived."
    )


@pytest.mark.parametrize("why", ["archived", "deleted"])
def test_an_end_that_is_none_says_why_nobody_watches_any_longer(why: str) -> None:
    over = Row(13, feature="wind", state="resolved", resolved_ms=START + 9 * HOUR)
    data = body(RESOLVED, Row(12), over, why=why)["data"]
    assert data["summary"] == (
        f"flight-delay 3: temp (missing) and 1 more are watched no longer: the model was {why}."
    )
    assert [(i["id"], i["state"]) for i in data["incidents"]] == [(12, why), (13, "resolved")]


def test_an_incident_without_evidence_is_told_by_its_sentence() -> None:
    found = body(DETECTED, Row(1))["data"]
    assert found["summary"] == "flight-delay 3: temp: missing, said at length."
    (incident,) = found["incidents"]
    assert [incident[name] for name in ("statistic", "value", "limit", "window")] == [None] * 4
    assert body(DETECTED, Row(1, summary=""))["data"]["summary"] == "flight-delay 3: temp: missing."


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_is_null(value: float) -> None:
    row = Row(1, kind="distribution", evidence=evidence(statistic="psi", value=value))
    assert body(DETECTED, row)["data"]["incidents"][0]["value"] is None


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from([DETECTED, RESOLVED]))
def test_names_are_data(feature: str, segment: str, kind: str) -> None:
    row = Row(1, feature=feature, segment=segment, evidence=evidence(feature=feature))
    (incident,) = body(kind, row)["data"]["incidents"]
    assert (incident["feature"], incident["segment"]) == (feature, segment)


def test_a_message_s_id_hangs_on_alert_type_and_sequence_alone() -> None:
    notice = Notice(DETECTED, ALERT, "", (1,), START)
    others = [
        replace(notice, type=UPDATED),
        replace(notice, alert=replace(ALERT, sequence=4)),
        replace(notice, alert=replace(ALERT, alert_id="ff" * 16)),
    ]
    assert len({webhook_id_of(found) for found in (notice, *others)}) == 4
    told_later = replace(ALERT, recorded_ms=1, told_ms=2, severity="warning")
    assert webhook_id_of(replace(notice, alert=told_later, numbers=(2,))) == webhook_id_of(notice)
