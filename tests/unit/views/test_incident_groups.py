"""Incidents are grouped as one would tell them, and every member's number opens its group."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.detect.evidence import ratio_of
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.rows import Incident
from monitor.views.episodes import (
    Group,
    evidence_of,
    group,
    listed,
    opened,
    page_of_groups,
    standing_groups,
)
from monitor.views.models import models
from monitor.views.scope import NoSuch, resolve
from monitor.views.timeline import timeline

HOUR, DAY = 3_600_000, 86_400_000
START = 1_360_000_000_000


def incident(
    number: int, opened_day: float, last_day: float | None = None, **more: Any
) -> Incident:
    """An incident that opened on a day and ended on another (None = it stands)."""
    opened_ms = START + int(opened_day * DAY)
    first_ms = START + int(more.pop("first", opened_day - 1) * DAY)
    ended = None if last_day is None else START + int(last_day * DAY)
    given: dict[str, Any] = {
        "model": "m",
        "version": "1",
        "version_id": 1,
        "segment": "all",
        "feature": "temp",
        "kind": "distribution",
        "severity": "warning",
        "state": "firing" if last_day is None else "resolved",
        "muted": False,
        "told_ms": opened_ms,
        "summary": "",
        "evidence": {},
        "episodes": [[opened_ms, first_ms, opened_ms, ended]],
        **more,
    }
    return Incident(
        number=number,
        first_window_ms=first_ms,
        opened_ms=opened_ms,
        resolved_ms=ended,
        **given,
    )


def numbers(incidents: list[Incident]) -> list[list[int]]:
    return [[i.number for i in found.members] for found in group(incidents)]


def test_what_one_night_did_to_several_features_is_one_group() -> None:
    by_hour = incident(1, 0.0, 0.5, feature="a", kind="missing")
    by_hour_too = incident(2, 0.1, 0.5, feature="b", kind="missing")
    by_day = incident(3, 1.9, 6, feature="score", first=0)
    assert numbers([by_hour, by_hour_too]) == [[1, 2]]
    # The day tells what the hour told, two days later at the most.
    assert numbers([incident(1, 0.0, 4, feature="a"), by_day]) == [[1, 3]]


def test_a_year_of_overlapping_incidents_is_no_chain() -> None:
    year = [incident(n, 1.5 * n, 1.5 * n + 30, feature=f"f{n}") for n in range(1, 40)]
    groups = numbers(year)
    assert len(groups) == 20
    assert max(map(len, groups)) == 2


def test_what_opens_in_the_midst_of_another_is_a_group_of_its_own() -> None:
    assert numbers([incident(1, 0), incident(2, 20, feature="other")]) == [[2], [1]]


def test_what_began_long_before_it_was_told_does_not_join_what_began_now() -> None:
    slow = incident(1, 0, first=-20, feature="slow")
    sudden = incident(2, 1, first=0, feature="sudden")
    assert numbers([slow, sudden]) == [[2], [1]]


def test_a_segment_belongs_to_the_incident_over_all_rows_however_late_it_opens() -> None:
    whole = incident(1, 0)
    closer = incident(2, 19, segment="origin=JFK", muted=True)
    assert numbers([whole, closer]) == [[1, 2]]


def test_a_segment_that_was_told_long_before_is_its_own_group() -> None:
    closer = incident(1, 0, segment="origin=JFK")
    whole = incident(2, 30)
    assert numbers([closer, whole]) == [[2], [1]]


def test_a_segment_of_another_feature_or_kind_does_not_join() -> None:
    whole = incident(1, 0)
    others = [
        incident(2, 10, segment="s", feature="other"),
        incident(3, 20, segment="s", kind="missing"),
    ]
    assert numbers([whole, *others]) == [[3], [2], [1]]


def test_versions_never_share_a_group() -> None:
    assert len(numbers([incident(1, 0), incident(2, 0, version_id=2, version="2")])) == 2


def test_a_group_has_the_state_of_its_worst_member_and_muted_ones_do_not_count() -> None:
    over = incident(1, 0, 3, severity="critical")
    stands = incident(2, 0, feature="b")
    (found,) = group([over, stands])
    assert (found.state, found.severity, found.resolved_ms) == ("firing", "warning", None)
    muted = incident(3, 0, segment="s", muted=True, severity="critical")
    (found,) = group([over, muted])
    assert (found.state, found.is_open) == ("resolved", False)


def test_a_withdrawn_member_leaves_the_state_to_the_others() -> None:
    gone = incident(1, 0, 0, state="withdrawn")
    (found,) = group([gone, incident(2, 0, 3, feature="b", first=-1)])
    assert found.state == "resolved"
    (alone,) = group([gone])
    assert alone.state == "withdrawn"


def test_spans_that_overlap_are_one() -> None:
    def at(*days: float | None) -> list[int | None]:
        return [None if day is None else START + int(day * DAY) for day in days]

    twice = incident(1, 0, episodes=[at(0, -1, 1, 4), at(10, 9, 11, None)])
    once = incident(2, 1, 6, feature="b", first=0)
    (found,) = group([twice, once])
    assert [tuple(span) for span in found.spans] == [tuple(at(0, 6)), tuple(at(10, None))]


def evidence(ratio: float, statistic: str = "psi", **more: Any) -> dict[str, Any]:
    return {
        "worst": {
            "feature": "x",
            "statistic": statistic,
            "length": "day",
            "start_ms": START,
            "end_ms": START + DAY,
            "rows": 900,
            "value": ratio * 0.1,
            "limit": 0.1,
            "part": None,
            "values": [],
            **more,
        }
    }


def test_the_worst_member_is_the_one_furthest_over_its_limit() -> None:
    far = incident(2, 0, feature="far", evidence=evidence(4.0))
    near = incident(1, 0, feature="near", evidence=evidence(1.1))
    (found,) = group([near, far])
    assert found.worst.feature == "far"
    assert found.features == ("far", "near")
    # A critical one is worse than a far one, a segment is not.
    critical = incident(3, 0, feature="critical", severity="critical", evidence=evidence(2.0))
    segment = incident(4, 0, feature="s", segment="s", severity="critical", evidence=evidence(9))
    (found,) = group([near, far, critical, segment])
    assert found.features == ("critical", "far", "near", "s")


def test_a_rate_is_ranked_by_the_bound_of_its_excess() -> None:
    rate = incident(1, 0, evidence=evidence(9.0, "missing", excess=-0.2, reference=0.5))
    assert ratio_of(evidence_of(rate)) == pytest.approx(2.0)
    assert ratio_of(None) == 0.0


def test_any_members_number_opens_its_group(living: Engine) -> None:
    with reading(living) as conn:
        view = listed(conn)
        assert view.groups
        for found in view.groups:
            for member in found.members:
                page = opened(conn, member.number)
                assert page.group.number == found.number
                assert page.chosen.number == member.number


def test_the_group_of_a_living_database_tells_windows_features_and_history(living: Engine) -> None:
    with reading(living) as conn:
        page = opened(conn, 8)
    assert page.group.model == "parcel-delay"
    assert set(page.group.features) == {"carrier", "weight"}
    assert page.features == 11
    over = page.over[page.group.worst.number]
    assert 2 <= over.over <= over.windows
    events = [happened.event.event for happened in page.happened]
    assert events.count("opened") == len(page.group.members)
    times = [happened.event.at_ms for happened in page.happened]
    assert times == sorted(times)


@pytest.mark.parametrize("number", [0, -3, 777, 2**63, 10**30])
def test_an_unknown_number_names_the_nearest(living: Engine, number: int) -> None:
    with reading(living) as conn, pytest.raises(NoSuch) as caught:
        opened(conn, number)
    assert caught.value.kind == "incident"
    assert len(caught.value.nearest) == 3
    assert "1" in caught.value.nearest or number > 100


def test_an_incident_that_waits_for_its_second_window_is_not_there(engine: Engine) -> None:
    _write(engine, incident(5, 0, state="pending"))
    with reading(engine) as conn:
        with pytest.raises(NoSuch) as caught:
            opened(conn, 5)
        assert caught.value.nearest == ()
        assert listed(conn).groups == ()


def _write(engine: Engine, *incidents: Incident) -> None:
    with transaction(engine) as conn:
        conn.execute(sa.insert(t.model).values(id=1, name="m", timezone="UTC", created_ms=0))
        conn.execute(sa.insert(t.model_version).values(id=1, model_id=1, name="1", created_ms=0))
        for i in incidents:
            values = {name: getattr(i, name) for name in Incident.__slots__}
            del values["model"], values["version"]
            values["episodes"] = json.dumps(i.episodes)
            values["evidence"] = json.dumps(i.evidence)
            conn.execute(sa.insert(t.incident).values(**values))


def test_filters_count_what_the_other_filters_leave(engine: Engine) -> None:
    _write(
        engine,
        incident(1, 0, 4, kind="missing"),
        incident(2, 30, 33),
        incident(3, 60, 60, state="withdrawn"),
        incident(4, 90),
    )

    def told(**wishes: Any) -> list[int]:
        with reading(engine) as conn:
            return [found.number for found in listed(conn, **wishes).groups]

    assert told() == [4, 3, 2, 1]
    assert told(state="firing") == [4]
    assert told(state="resolved") == [2, 1]
    assert told(state="withdrawn") == [3]
    assert told(kind="missing") == [1]
    assert told(model="another") == []
    assert told(from_ms=START + 31 * DAY, to_ms=START + 61 * DAY) == [3, 2]
    with reading(engine) as conn:
        view = listed(conn, state="firing", kind="missing")
    assert dict(view.counts) == {"firing": 0, "all": 1, "resolved": 1, "withdrawn": 0}
    assert (view.firing, view.kinds, view.models) == (1, ("distribution", "missing"), ("m",))


def test_a_page_of_groups_reads_whole_rows_of_its_own_members_alone(engine: Engine) -> None:
    _write(engine, *(
        incident(n, 3 * n, 3 * n + 2, feature=f, evidence=evidence(2.0), summary="s" * 900)
        for n, f in enumerate("abcdefghi", 1)
    ))  # fmt: skip
    read: list[Any] = []

    def note(_c: Any, _cur: Any, statement: str, values: Any, *_rest: Any) -> None:
        read.append((statement, values))

    sa.event.listen(engine, "before_cursor_execute", note)
    with reading(engine) as conn:
        first = page_of_groups(conn, limit=3)
        last = first[-1]
        second = page_of_groups(conn, after=(last.opened_ms, last.number), limit=3)
        every = listed(conn).groups
    sa.event.remove(engine, "before_cursor_execute", note)
    assert [found.number for found in first] == [9, 8, 7]
    assert [found.number for found in second] == [6, 5, 4]
    assert (*first, *second) == every[:6]
    whole = [values for statement, values in read if "incident.evidence" in statement][:2]
    assert [set(values) & set(range(1, 10)) for values in whole] == [{7, 8, 9}, {4, 5, 6}]


def test_every_place_counts_the_same_incidents(engine: Engine) -> None:
    """The first one is over: what joined it is still one, although both began far apart."""
    _write(
        engine,
        incident(1, 0, 1.5, feature="a"),
        incident(2, 1, feature="b", first=-5),
        incident(3, 1.2, feature="c", first=5),
        incident(4, 1.3, feature="c", first=5, segment="s", muted=True),
    )
    with reading(engine) as conn:
        view = listed(conn)
        assert [found.number for found in view.groups if found.is_open] == [3, 1]
        assert (view.firing, view.members) == (2, 4)
        assert models(conn).firing == view.firing
        assert [found.number for found in standing_groups(conn)] == [3, 1]
        one = timeline(conn, resolve(conn, "m")[0])
    assert one.number_of == {1: 1, 2: 1, 3: 3, 4: 3}
    # A button, a lane and a list name it alike.
    assert {one.number_of[i.number] for i in one.firing} == {1, 3}


def test_the_list_takes_the_same_statements_for_one_incident_and_for_many(engine: Engine) -> None:
    def statements() -> int:
        seen: list[str] = []

        def note(_c: Any, _cur: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        sa.event.listen(engine, "before_cursor_execute", note)
        with reading(engine) as conn:
            listed(conn)
        sa.event.remove(engine, "before_cursor_execute", note)
        return len(seen)

    _write(engine, incident(1, 0))
    before = statements()
    with transaction(engine) as conn:
        row = dict(conn.execute(sa.select(t.incident)).one()._mapping)
        for number in range(2, 300):
            conn.execute(sa.insert(t.incident).values(**{**row, "number": number}))
    assert statements() == before


def test_a_group_is_never_empty() -> None:
    assert group([]) == []
    only = Group((incident(1, 0, muted=True),))
    assert only.told == only.members
