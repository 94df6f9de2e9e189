"""Incidents in words, as bars over time, in the list and on a page of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import gantt
from dashboard import sentences_incidents as say
from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incident, incidents
from dashboard.words import NBSP
from driftline.stats.words import Evidence
from monitor.storage.engine import reading
from monitor.storage.rows import Incident
from monitor.views.episodes import Group, group, listed, opened, speaker_of
from monitor.views.handled import NOTHING
from monitor.views.scope import NoSuch
from monitor.views.standing import Hold, Seen, Standing
from tests.slots import text

UTC = ZoneInfo("UTC")
HOUR, DAY = 3_600_000, 86_400_000
START = 1_360_000_000_000


def one(number: int, opened_day: float, last_day: float | None = None, **more: Any) -> Incident:
    opened_ms = START + int(opened_day * DAY)
    ended = None if last_day is None else START + int(last_day * DAY)
    given: dict[str, Any] = {
        "model": "m", "version": "1", "version_id": 1, "segment": "all", "feature": "temp",
        "kind": "distribution", "severity": "warning",
        "state": "firing" if last_day is None else "resolved", "muted": False,
        "first_window_ms": opened_ms - DAY, "told_ms": opened_ms,
        "summary": "temp: PSI 0.88, limit 0.64.", "evidence": {},
        "episodes": [[opened_ms, opened_ms - DAY, opened_ms, ended]], **more,
    }  # fmt: skip
    return Incident(number=number, opened_ms=opened_ms, resolved_ms=ended, **given)


def evidence(feature: str, statistic: str = "psi", value: float = 0.88, **more: Any) -> Any:
    body = {
        "feature": feature, "statistic": statistic, "length": "day", "start_ms": START,
        "end_ms": START + DAY, "rows": 900, "value": value, "limit": 0.64, "part": None,
        "values": [], **more,
    }  # fmt: skip
    return {"opened": body, "worst": body}


def made(*members: Incident) -> Group:
    (found,) = group(members)
    return found


def filled(
    page: Page, engine: Engine, search: str = "", path: tuple[str, ...] = (), **screen: Any
) -> dict[str, Any]:
    """The page's slots, as they are sent."""
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=("incidents", *path), asked=Asked(search),
            screen=Screen(**screen), now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = page.fill(look)
    assert set(values) <= set(page.slots)
    found: dict[str, Any] = json.loads(to_json_plotly(dict(values)))
    found["notes"] = look.asked.notes
    return found


def terms(value: Any) -> list[str]:
    """The words that have an explanation."""
    if isinstance(value, list):
        return [word for each in value for word in terms(each)]
    if isinstance(value, Mapping):
        props = value.get("props", {})
        own = [text(value)] if props.get("data-term") else []
        return own + terms(props.get("children"))
    return []


def links(value: Any) -> list[str]:
    if isinstance(value, list):
        return [href for each in value for href in links(each)]
    if isinstance(value, Mapping):
        props = value.get("props", {})
        own = [props["href"]] if "href" in props else []
        return own + links(props.get("children"))
    return []


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([one(1, 0)], "temp drifted"),
        ([one(1, 0, feature="a"), one(2, 0, feature="b")], "2 of 15 features drifted, worst a"),
        (
            [one(1, 0, feature="a", kind="missing"), one(2, 0, feature="b", kind="missing")],
            "2 of 15 features lack values, worst a",
        ),
        (
            [one(1, 0, 3, feature="a", kind="missing"), one(2, 0, 3, feature="b", kind="unseen")],
            "2 of 15 features were affected, worst a",
        ),
        ([one(1, 0, kind="unseen", feature="dest")], "dest has new values"),
        ([one(1, 0, 2, kind="unseen", feature="dest")], "dest had new values"),
        ([one(1, 0, segment="origin=JFK")], "temp drifted in origin=JFK"),
        ([one(1, 0, feature="prediction.score")], "prediction.score drifted"),
        (
            [one(1, 0, feature="prediction"), one(2, 0, feature="prediction.score")],
            "The prediction drifted",
        ),
        (
            [one(1, 0, feature="a", severity="critical"), one(2, 0, feature="prediction.score")],
            "1 of 15 features and the prediction drifted, worst a",
        ),
        ([one(1, 0, feature="", kind="volume")], "No predictions"),
        (
            [one(1, 0, kind="missing", evidence=evidence("temp", "missing", 0.61))],
            f"temp 61{NBSP}% missing",
        ),
    ],
)
def test_a_group_is_titled_by_what_happened(members: list[Incident], said: str) -> None:
    assert say.title(made(*members), 15) == said


def test_the_evidence_line_tells_each_feature_once_and_counts_segments() -> None:
    found = made(
        one(1, 0, feature="a", evidence=evidence("a", value=0.9)),
        one(2, 0, feature="a", segment="s=1", evidence=evidence("a", value=2.0), muted=True),
        one(3, 0, feature="b", evidence=evidence("b", value=0.7)),
    )
    assert say.evidence_line(found) == (
        f"a PSI 0.90, limit 0.64; b PSI 0.70, limit 0.64; seen in 1{NBSP}segment too"
    )


def test_99_9_percent_sure_is_said_only_where_the_bound_is_honest() -> None:
    honest = evidence("a", lower=0.31, is_honest=True)
    doubtful = evidence("a", lower=0.31, is_honest=False)
    said = say.row(one(1, 0, evidence=honest), None, UTC, 2013)
    assert said.beside == f"99.9{NBSP}% sure above 0.31"
    assert say.row(one(1, 0, evidence=doubtful), None, UTC, 2013).beside == ""


def test_a_row_names_its_limit_in_the_unit_of_what_is_held_against_it() -> None:
    psi = say.row(one(1, 0, evidence=evidence("a", value=2.5, limit=0.5)), None, UTC, 2013)
    assert (psi.statistic, psi.limit, psi.level, psi.ratio) == (
        "PSI 2.5",
        "0.50",
        "warning",
        "5.0×",
    )
    critical = evidence("a", value=2.5, limit=0.83, critical=True)
    assert say.row(one(1, 0, evidence=critical), None, UTC, 2013).level == "critical"
    # 100 % is not held against 4.7 %: what is surely more than in the reference is.
    rate = evidence("a", "missing", 1.0, limit=0.047, excess=0.94, reference=0.002)
    said = say.row(one(1, 0, evidence=rate), None, UTC, 2013)
    assert said.beside == f"99.9{NBSP}% sure of 94 points more"
    assert (said.limit, said.ratio) == ("4.7 points more", "20×")
    fell = evidence("a", "missing", 0.0, limit=0.05, excess=-0.1, reference=0.2)
    assert say.row(one(1, 0, evidence=fell), None, UTC, 2013).limit == "5 points less"


def hold(incident: Incident, **more: Any) -> Hold:
    given: dict[str, Any] = {
        "statistic": "psi", "length": "week", "is_critical": True, "clear": 0, "limit": 4.36,
        "clears_below": 1.36,
        "windows": tuple(
            Seen(START + n * 7 * DAY, START + (n + 1) * 7 * DAY, held, mark)
            for n, (held, mark) in enumerate(
                [(2.87, "between"), (1.24, "clear"), (0.34, "clear"), (1.94, "between")]
            )
        ),
        **more,
    }  # fmt: skip
    return Hold(incident, **given)


def test_what_keeps_an_incident_open_is_told_with_its_windows_and_what_ends_it(
    living: Engine,
) -> None:
    temp, dewp = one(1, 0), one(2, 0, feature="dewp")
    with reading(living) as conn:
        page = opened(conn, 1)
    page = replace(page, group=Group((temp, dewp)), chosen=temp, judged_to_ms=START + 30 * DAY)
    page = replace(page, why=Standing((hold(temp), hold(dewp)), {}))
    (told,) = say.holding(page, UTC)
    assert told.names == ("temp", "dewp")
    assert told.by == "PSI by the week"
    assert told.calm == "0 of 3 calm weeks"
    assert [(value, mark) for _, value, mark in told.windows] == [
        ("2.9", "not calm"), ("1.2", "calm"), ("0.34", "calm"), ("1.9", "not calm"),
    ]  # fmt: skip
    assert "Over is above 4.4, calm is below 1.4" in told.rule
    sentence = "What keeps it open: temp and dewp, PSI by the week, 0 of 3 calm weeks."
    assert ("", sentence) in say.verdict(page, UTC).notes


def test_a_rate_that_keeps_it_open_is_told_in_points() -> None:
    windows = (Seen(START, START + DAY, 0.71, "over"), Seen(START + DAY, START + 2 * DAY, None, ""))
    rate = hold(one(1, 0, kind="missing"), statistic="missing", length="day", clear=1,
                limit=0.047, clears_below=None, windows=windows)  # fmt: skip
    told = say._held(rate, UTC, 2013)
    assert [(value, mark) for _, value, mark in told.windows] == [
        ("71 points", "over"), ("–", "not judged"),
    ]  # fmt: skip
    assert told.rule.startswith("Held against 4.7 points more missing than in the reference")


def test_a_fixed_limit_is_told_as_one_of_the_statistic_itself() -> None:
    ks = evidence("a", "ks", 0.12, limit=0.05, is_fixed=True)
    told = say.row(one(1, 0, evidence=ks), None, UTC, 2013)
    assert (told.statistic, told.limit, told.beside, told.ratio) == ("KS 0.12", "0.05", "", "2.4×")
    rate = evidence("a", "missing", 0.22, limit=0.05, excess=0.22, reference=0.0, is_fixed=True)
    told = say.row(one(1, 0, evidence=rate), None, UTC, 2013)
    assert (told.statistic.replace(NBSP, " "), told.beside) == ("22 % missing", "")
    assert (told.limit.replace(NBSP, " "), told.ratio) == ("5.0 %", "4.4×")
    absent = evidence("a", "absent", 1.0, limit=0.95)
    assert say.against_limit(Evidence(**absent["worst"])).replace(NBSP, " ") == (
        "not sent in 100 % of rows"
    )


def test_what_a_fixed_limit_keeps_open_is_told_in_its_own_unit() -> None:
    windows = (Seen(START, START + DAY, 0.079, "over"),)
    more: dict[str, Any] = {"length": "day", "clears_below": None, "windows": windows}
    ks = hold(one(1, 0), statistic="ks", limit=None, is_fixed=True, **more)
    told = say._held(ks, UTC, 2013)
    assert [value for _, value, _ in told.windows] == ["0.08"]
    assert told.rule == "Held against a fixed limit. Up to that is calm."
    rate = hold(one(1, 0), statistic="missing", limit=0.05, is_fixed=True, **more)
    told = say._held(rate, UTC, 2013)
    assert [value.replace(NBSP, " ") for _, value, _ in told.windows] == ["7.9 %"]
    assert "fixed limit of 5.0" in told.rule


def test_the_page_says_what_keeps_it_open_and_what_ended_it(living: Engine) -> None:
    stands = filled(incident.PAGE, living, path=("8",))
    assert stands["kept_hidden"] is False
    assert "of 3 calm days" in text(stands["kept"])
    assert "It ends when" in text(stands["kept"])
    over = filled(incident.PAGE, living, path=("1",))
    assert (over["kept_hidden"], over["kept"]) == (True, None)
    assert "Resolved: three calm days in a row ended it" in text(over["verdict"])
    assert "ended: three calm days by missing" in text(over["happened"])


def test_a_group_that_nobody_was_told_of_says_so(living: Engine) -> None:
    muted, told = one(1, 0, segment="s=1", muted=True), one(2, 0, 3, segment="s=1")
    assert (say.muted_word(made(muted)), say.muted_word(made(told))) == ("muted", "")
    with reading(living) as conn:
        view, page = listed(conn), opened(conn, 1)
        look = Look(
            conn=conn, engine=living, path=("incidents",), asked=Asked(""), screen=Screen(),
            now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        assert incidents.row(made(muted), view, NOTHING, look)["state"]["sub"] == "muted"
    page = replace(page, group=made(muted), chosen=muted)
    assert ("", "It is muted: no message tells of it.") in say.verdict(page, UTC).notes


def test_words_that_only_we_use_explain_themselves(living: Engine) -> None:
    page = filled(incident.PAGE, living, path=("8",))
    assert terms(page["kept"]) == ["calm"]
    assert terms(page["happened"]) == ["pending"]
    assert terms(page["aside"]) == ["muted"]
    assert terms(filled(incidents.PAGE, living)["unit"]) == ["members"]


def test_windows_say_their_zone_only_where_it_is_not_that_of_the_times_beside_them() -> None:
    new_york = ZoneInfo("America/New_York")
    assert say.windows_zone(new_york, UTC) == "windows in New York time"
    assert say.windows_zone(UTC, UTC) == say.windows_zone(new_york, new_york) == ""


def test_an_incident_without_evidence_is_told_by_its_sentence() -> None:
    found = say.row(one(1, 0), None, UTC, 2013)
    assert (found.statistic, found.moved) == ("–", "PSI 0.88, limit 0.64.")
    assert say.evidence_line(made(one(1, 0))) == "PSI 0.88, limit 0.64."


@pytest.mark.parametrize(
    ("firing", "every", "muted", "nobodys", "said"),
    [(3, 9, 0, 0, "3 incidents are firing"), (1, 1, 2, 0, "1 incident is firing, 2 more are muted"),
     (3, 9, 0, 1, "3 are firing, 1 has no owner"),
     (3, 9, 1, 2, "3 are firing, 2 have no owner, 1 more is muted"),
     (3, 9, 0, 3, "3 are firing, none has an owner"),
     (1, 9, 0, 1, "1 is firing, none has an owner"),
     (0, 4, 0, 0, "Nothing is firing"), (0, 0, 0, 0, "There was no incident so far")],
)  # fmt: skip
def test_the_list_is_titled_by_what_fires(
    firing: int, every: int, muted: int, nobodys: int, said: str
) -> None:
    assert say.list_title(firing, every, muted, nobodys) == said


@pytest.mark.parametrize(
    ("state", "tone", "said"),
    [
        ("firing", "warn", "Firing: 5"),
        ("recovering", "warn", "Recovering: the last windows were calm"),
        ("resolved", "ok", "Resolved: three calm windows in a row ended it"),
        ("expired", "idle", "Expired after"),
        ("superseded", "ok", "Superseded after"),
        ("withdrawn", "idle", "Withdrawn: late events changed its windows"),
    ],
)
def test_the_verdict_says_what_ended_it(living: Engine, state: str, tone: str, said: str) -> None:
    with reading(living) as conn:
        page = opened(conn, 1)
    last = None if state in ("firing", "recovering") else 5.0
    member = one(1, 0, last, state=state)
    told = say.verdict(
        replace(page, group=Group((member,)), chosen=member, judged_to_ms=START + 5 * DAY), UTC
    )
    assert told.headline.startswith(said)
    assert told.tone == tone


# --- bars over time -------------------------------------------------------------------------


def bars(groups: list[Group], days: int = 100, px: int = 1000) -> gantt.Chart:
    return gantt.chart(groups, START, START + days * DAY, UTC, px)


def test_a_bar_lies_where_its_incident_stood_and_an_open_one_reaches_the_end() -> None:
    drawn = bars([made(one(1, 20, 30)), made(one(2, 80))])
    (row,) = drawn.rows
    past = next(bar for bar in row.bars if not bar.is_open)
    stands = next(bar for bar in row.bars if bar.is_open)
    assert past.spans == ((pytest.approx(20), pytest.approx(10)),)
    assert stands.right == pytest.approx(100)


def test_bars_and_their_numbers_never_lie_on_each_other() -> None:
    groups = [made(one(n, (n * 7) % 90, (n * 7) % 90 + 9)) for n in range(1, 40)]
    (row,) = bars(groups).rows
    assert row.left_out + len(row.bars) == 39
    assert row.lanes <= gantt.MOST_LANES
    for lane in range(row.lanes):
        inside = sorted((b for b in row.bars if b.lane == lane), key=lambda b: b.left)
        for before, after in pairwise(inside):
            room = 100 * (len(f"#{after.group.number}") * gantt.CHARACTER_PX) / 1000
            assert before.right + room <= after.left


def test_what_stands_is_never_left_out_for_want_of_lanes() -> None:
    past = [made(one(n, 10, 90)) for n in range(1, 60)]
    drawn = bars([*past, made(one(99, 11))])
    (row,) = drawn.rows
    assert 99 in [bar.group.number for bar in row.bars]
    assert row.left_out == 60 - len(row.bars) > 0


def test_an_hour_in_a_year_is_still_a_bar() -> None:
    (row,) = bars([made(one(1, 50, 50.04))], days=365).rows
    assert row.bars[0].spans[0][1] == pytest.approx(100 * gantt.MIN_PX / 1000)


@pytest.mark.parametrize("days", [3, 14, 30, 100, 365, 2000])
def test_the_axis_has_room_for_its_labels(days: int) -> None:
    marks = gantt.ticks(START, START + days * DAY, UTC, 1000)
    assert 1 <= len(marks) <= 1000 // gantt.TICK_PX
    places = [left for left, _ in marks]
    assert places == sorted(places)
    assert all(0 < left < 100 for left in places)


# --- pages ----------------------------------------------------------------------------------


def test_the_list_shows_groups_and_counts_them_by_state(living: Engine) -> None:
    values = filled(incidents.PAGE, living)
    assert values["title"] == "4 are firing, 2 have no owner"
    assert [row["href"] for row in values["rows"]] == [
        "/incidents/8", "/incidents/6", "/incidents/1",
    ]  # fmt: skip
    assert values["rows"][0]["kind"] == "Unseen +1"
    assert values["rows"][2]["incident"]["title"] == f"temperature 32{NBSP}% missing"
    controls = json.dumps(values["controls"])
    for word in ("Firing 4", "All 5", "Resolved 1", "Withdrawn 0"):
        assert word in controls
    # Every bar is a link with its words; its shape alone says nothing.
    bars = {bar["href"]: bar["said"] for line in values["chart"]["rows"] for bar in line["bars"]}
    assert set(bars) == {"/incidents/8", "/incidents/6", "/incidents/1"}
    assert bars["/incidents/8"] == "#8 Firing: 2 of 11 features are affected, worst carrier"


def test_a_long_list_is_shown_by_the_page_and_its_bars_cost_no_component(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [made(one(n, 3 * n, 3 * n + 2)) for n in range(1, 121)]
    with reading(engine) as conn:
        view = replace(listed(conn), groups=tuple(reversed(found)), last_ms=START + 370 * DAY,
                       first_ms=START)  # fmt: skip
    monkeypatch.setattr(incidents, "listed", lambda *_a, **_k: view)
    first = filled(incidents.PAGE, engine)
    assert [row["id"] for row in first["rows"]] == [str(n) for n in range(120, 95, -1)]
    assert text(first["pages"]) == "Page 1 of 5Older"
    last = filled(incidents.PAGE, engine, "?page=5")
    assert [row["id"] for row in last["rows"]] == [str(n) for n in range(20, 0, -1)]
    assert text(last["pages"]) == "Page 5 of 5Newer"
    assert filled(incidents.PAGE, engine, "?page=9")["rows"] == last["rows"]
    assert len(filled(incidents.PAGE, engine, "?page=2", is_narrow=True)["cards"]) == 25
    # Hundreds of bars are plain data, drawn by the browser in one go.
    assert "props" not in json.dumps(first["chart"])


def test_filters_are_in_the_address_and_wrong_ones_are_said(living: Engine) -> None:
    def told(search: str) -> list[str]:
        return [row["id"] for row in filled(incidents.PAGE, living, search)["rows"]]

    assert told("?state=firing") == ["8", "6"]
    assert told("?model=taxi-out") == ["6"]
    assert told("?kind=missing") == ["1"]
    assert told("?to=2026-05-11") == ["1"]
    assert told("?from=2026-05-12") == ["8", "6"]
    assert told("?state=resolved&model=taxi-out") == []
    wrong = filled(incidents.PAGE, living, "?state=mine&model=nobody&from=yesterday")
    assert len(wrong["notes"]) == 3
    nothing = filled(incidents.PAGE, living, "?state=withdrawn")
    assert links(nothing["none"]) == ["/incidents"]
    assert nothing["rows_hidden"] is True


def test_the_range_is_the_shared_control_and_its_presets_stay_in_the_link(living: Engine) -> None:
    every = filled(incidents.PAGE, living)
    assert '"label":"Everything"' in json.dumps(every["controls"], separators=(",", ":"))
    everything = filled(incidents.PAGE, living, "?from=all")
    assert [row["id"] for row in everything["rows"]] == [row["id"] for row in every["rows"]]
    assert everything["notes"] == []
    lately = filled(incidents.PAGE, living, "?from=-2d")
    assert lately["notes"] == []
    assert [row["id"] for row in lately["rows"]] == ["8", "6"]


def test_a_link_to_csv_carries_the_filters(living: Engine) -> None:
    values = filled(incidents.PAGE, living, "?state=firing&model=taxi-out")
    (href,) = links([values["tools"]])
    # Its rows are those of the list: what moved together is one.
    assert urlsplit(href).path == "/api/v1/incident-groups"
    assert parse_qs(urlsplit(href).query) == {
        "state": ["firing"], "model": ["taxi-out"], "format": ["csv"],
    }  # fmt: skip


def test_an_empty_database_says_that_quiet_is_good(engine: Engine) -> None:
    values = filled(incidents.PAGE, engine)
    assert values["title"] == "There was no incident so far"
    assert values["chart_hidden"] is True
    assert "Quiet is good" in text(values["none"])


def test_a_phone_lists_the_same_incidents_as_cards(living: Engine) -> None:
    wide = filled(incidents.PAGE, living)
    narrow = filled(incidents.PAGE, living, is_narrow=True)
    assert narrow["rows"] == []
    assert links(narrow["cards"]) == [row["href"] for row in wide["rows"]]


def test_an_incidents_page_has_a_row_for_every_member(living: Engine) -> None:
    values = filled(incident.PAGE, living, path=("8",))
    said = text(values["evidence"])
    with reading(living) as conn:
        members = opened(conn, 8).group.members
    for member in members:
        assert f"#{member.number}" in said
    assert "parcel-delay v2: 2 of 11 features are affected" in text(values["title"])
    assert values["chart_hidden"] is False
    assert values["chart_label"].startswith("carrier, unseen a day")


def test_a_members_number_chooses_what_is_drawn(living: Engine) -> None:
    with reading(living) as conn:
        weight = next(i for i in opened(conn, 8).group.told if i.feature == "weight")
    values = filled(incident.PAGE, living, path=(str(weight.number),))
    assert "#8" in text(values["title"])
    assert values["chart_head"].startswith("weight, PSI a day")
    assert '"on"' in json.dumps(values["evidence"])
    assert '"on"' not in json.dumps(filled(incident.PAGE, living, path=("8",))["evidence"])


def test_the_worst_window_is_linked_so_that_it_shows_the_same_for_ever(living: Engine) -> None:
    hrefs = [
        href
        for href in links(filled(incident.PAGE, living, path=("8",))["evidence"])
        if "/features/" in href
    ]
    assert hrefs
    for href in hrefs:
        asked = parse_qs(urlsplit(href).query)
        assert asked["version"] == ["2"]
        assert asked["stat"]
        assert asked["from"][0] <= asked["at"][0] < asked["to"][0]
        assert all(asked[key][0].endswith("Z") for key in ("from", "at", "to"))


def test_a_muted_incident_is_said_to_be_spoken_for(living: Engine) -> None:
    with reading(living) as conn:
        muted = next(i for i in opened(conn, 8).group.members if i.muted)
    said = text(filled(incident.PAGE, living, path=(str(muted.number),))["note"])
    assert said.startswith(f"#{muted.number} ({muted.feature} in {muted.segment}) is muted")
    assert "spoken for by #" in said
    assert filled(incident.PAGE, living, path=("8",))["note"] is None


@pytest.mark.parametrize(
    ("speakers", "said"),
    [
        (
            [one(1, 0, feature="", kind="volume", severity="critical"), one(2, 0, kind="schema")],
            "#9 (temp) is muted while the model is silent, which #1 tells.",
        ),
        (
            [one(1, 0, feature="", kind="volume", severity="critical", last_day=1),
             one(2, 0, kind="schema"), one(3, 0, feature="wind", kind="schema")],
            "#9 (temp) is muted while the feature is not sent, which #2 tells.",
        ),
        (
            [one(1, 0, feature="", kind="volume", state="withdrawn")],
            "#9 (temp) is muted: it is spoken for.",
        ),
    ],
)  # fmt: skip
def test_a_muted_incident_says_what_speaks_for_it(
    speakers: list[Incident], said: str, monkeypatch: pytest.MonkeyPatch, living: Engine
) -> None:
    muted = one(9, 2, muted=True, told_ms=None)
    with reading(living) as conn:
        page = opened(conn, 1)
    found = speaker_of(muted, [*speakers, muted])
    assert say.muted_note(replace(page, chosen=muted, speaker=found)) == said


def test_what_happened_is_told_in_order_and_begins_with_the_first_bad_window(
    living: Engine,
) -> None:
    said = text(filled(incident.PAGE, living, path=("1",))["happened"])
    places = [said.index(word) for word in ("pending, not told", "opened", "ended: three calm")]
    assert places == sorted(places)


@pytest.mark.parametrize("number", ["777", "0", "x", "1e3", "-1", "9" * 30])
def test_an_unknown_number_is_not_here(living: Engine, number: str) -> None:
    with pytest.raises(NoSuch) as caught:
        filled(incident.PAGE, living, path=(number,))
    assert caught.value.kind == "incident"


@pytest.mark.parametrize("is_narrow", [False, True])
def test_hostile_names_are_text_in_every_slot(
    copy_of: Callable[[Path], Engine], hostile_file: Path, is_narrow: bool
) -> None:
    engine = copy_of(hostile_file)
    with reading(engine) as conn:
        numbers = [str(found.number) for found in listed(conn).groups]
    assert numbers
    pages = [filled(incidents.PAGE, engine, is_narrow=is_narrow)]
    pages += [filled(incident.PAGE, engine, path=(n,), is_narrow=is_narrow) for n in numbers]
    for values in pages:
        for slot, value in values.items():
            if slot == "figure":
                continue
            assert "dangerously" not in json.dumps(value)
            for href in links(value):
                # A run has a page at its trainer, whatever things are called.
                assert href.startswith(("/", "https://train.example/runs/"))
                assert not set(href) & set("<>\"' \u202e")
        # Plotly makes links and bold of what looks like HTML.
        assert "<a" not in json.dumps(values.get("figure", {}))
