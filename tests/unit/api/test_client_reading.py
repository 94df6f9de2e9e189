"""What the client reads, over a real server and a database made by the real code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hostile import hostile_names
from sqlalchemy.engine import Engine

from driftline import ApiError, Client, answers
from driftline.reading import Reading, _typed
from monitor.api.answers import compared, incidents, judged, registered, streams, trials
from monitor.api.answers import overview as overview_answers
from monitor.api.answers import timeline as timeline_answers
from monitor.api.reading import groups as api_groups
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.views import episodes, overview
from monitor.views.distribution import distribution
from monitor.views.scope import resolve
from monitor.views.timeline import timeline

MODEL = "parcel-delay"


def instants(value: Any) -> Iterator[datetime]:
    """Every instant in an answer."""
    if isinstance(value, datetime):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from instants(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from instants(part)


def everything(client: Client, model: str, feature: str) -> dict[str, Any]:
    """One answer of every method."""
    letter = next(client.dead_letters())
    number = next(client.incidents()).id
    return {
        "models": client.models(),
        "model": client.model(model),
        "references": client.references(),
        "reference": client.reference(client.references()[0].digest),
        "reference_document": client.reference_document(client.references()[0].digest),
        "monitors": client.monitors(),
        "monitor": client.monitor(model),
        "features": client.features(model),
        "search": client.search(model[:5]),
        "overview": client.overview(),
        "segments": client.segments(model),
        "windows": list(client.windows(model, limit=50)),
        "findings": list(client.findings(model, limit=50)),
        "verdicts": list(client.verdicts(model, limit=50)),
        "series": client.series(model, feature),
        "timeline": client.timeline(model),
        "distribution": client.distribution(model, feature),
        "incidents": list(client.incidents()),
        "incident": client.incident(number),
        "incident_groups": list(client.incident_groups()),
        "incident_group": client.incident_group(number),
        "status": client.status(),
        "pipeline": client.pipeline(),
        "partitions": client.partitions(),
        "gaps": client.gaps(),
        "deficits": client.deficits(),
        "dead_letters": list(client.dead_letters(limit=20)),
        "dead_letter": client.dead_letter(letter.id),
    }


def test_every_method_reads_what_the_server_says(sdk: Client) -> None:
    found = everything(sdk, MODEL, "weight")
    public = {name for name in vars(Reading) if not name.startswith("_")}
    assert set(found) == public
    for name, value in found.items():
        assert value, name
        assert all(at.utcoffset() == timedelta(0) for at in instants(value)), name
    assert {m.model for m in found["models"]} >= {MODEL, "taxi-out", "gate-hold"}
    assert found["monitor"].lengths == ("hour", "day", "week")
    assert found["incident"].history[0].event == "opened"
    assert found["gaps"][0].kind == "retention"
    assert found["deficits"][0].model == "fare-estimate"
    assert found["dead_letter"].raw is not None


def test_hostile_names_are_read_as_they_are(hostile_sdk: Client, hostile: Engine) -> None:
    names = hostile_names()
    found = everything(hostile_sdk, names.model, names.weight)
    assert found["model"].model == names.model
    for name in (names.timeless, names.collecting):
        assert hostile_sdk.model(name).model == name
        assert hostile_sdk.monitor(name).model == name
    for feature in (f.feature for f in found["features"]):
        assert hostile_sdk.series(names.model, feature).feature == feature
        assert hostile_sdk.distribution(names.model, feature).feature == feature
        assert next(hostile_sdk.findings(names.model, feature=feature)).feature == feature
    for segment in found["segments"]:
        assert next(hostile_sdk.windows(names.model, segment=segment.segment)).rows >= 0
    with reading(hostile) as conn:
        kept = conn.execute(sa.select(sa.func.count()).select_from(t.dead_letter)).scalar_one()
    letters = list(hostile_sdk.dead_letters())
    assert len(letters) == kept
    assert hostile_sdk.dead_letter(letters[0].id).id == letters[0].id


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/../b", "%2F", "nul\0", "x" * 10_000, "?a=b#c", "\U0001f6e9", " "]
)
def test_a_name_that_nothing_has_is_said_whatever_it_is(sdk: Client, name: str) -> None:
    asked: list[Any] = [
        lambda: list(sdk.windows(name)),
        lambda: sdk.series(MODEL, name),
        lambda: sdk.distribution(MODEL, name, version=name or "x"),
        lambda: sdk.distribution(MODEL, "weight", segment=name),
        lambda: list(sdk.incidents(name)),
    ]
    if name:  # the address of no model is that of all of them
        asked += [lambda: sdk.model(name), lambda: sdk.reference(name)]
        asked += [lambda: sdk.dead_letter(name)]
    for ask in asked:
        with pytest.raises(ApiError) as caught:
            ask()
        assert caught.value.status in (404, 422)


def test_an_iterator_follows_the_pages_and_stops_at_its_limit(
    sdk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(sdk.findings(MODEL, version=1, segment="*"))
    monkeypatch.setattr("driftline.reading.PAGE", 7)
    paged = list(sdk.findings(MODEL, version=1, segment="*", limit=100))
    assert paged == whole[:100]
    assert len({(f.start, f.segment, f.feature) for f in whole}) == len(whole)
    assert len(list(sdk.dead_letters(limit=9))) == 9


def test_what_is_wrong_is_said_before_anything_is_iterated(sdk: Client) -> None:
    with pytest.raises(ApiError, match="did you mean parcel-delay"):
        sdk.findings("parcel-dellay")
    with pytest.raises(ValueError, match="no instant"):
        sdk.windows(MODEL, start=datetime(2026, 5, 1))
    with pytest.raises(ValueError, match="limit"):
        sdk.windows(MODEL, limit=0)


def test_a_list_is_a_table_with_a_column_for_each_number(sdk: Client) -> None:
    table = pd.DataFrame(sdk.findings(MODEL, version=1, feature="temperature"))
    assert (table["missing_excess"] > table["missing_limit"]).any()
    assert str(table["start"].dtype).startswith("datetime64")
    points = pd.DataFrame(sdk.series(MODEL, "temperature", version=1).items)
    assert points["value"].max() > points["usual"].max()
    levels = pd.DataFrame(sdk.distribution(MODEL, "carrier").levels)
    assert levels["current_share"].sum() == pytest.approx(1)


def test_the_readme_s_reading_runs(sdk: Client) -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(client = .*?)```", text, re.DOTALL)
    address = ("http://127.0.0.1:8050", sdk._http.url)
    for word, here in (("churn", MODEL), ("age", "weight"), address):
        assert word in snippet
        snippet = snippet.replace(word, here)
    names: dict[str, Any] = {"Client": Client, "pandas": pd}
    exec(snippet, names)
    names["client"].close()


def test_the_whole_model_has_a_verdict_by_the_features_that_stand_in_an_alarm(
    sdk: Client,
) -> None:
    found = list(sdk.verdicts(MODEL))
    windows = {window.start: window for window in sdk.windows(MODEL)}
    outputs = {f.feature for f in sdk.features(MODEL) if f.is_prediction}
    for each in found:
        assert each.end == windows[each.start].end
        assert each.share is None or each.share == pytest.approx(each.drifted / each.judged)
    last = found[-1]
    rows = [f for f in sdk.findings(MODEL, start=last.start, end=last.end) if f.is_alarming]
    assert last.drifted == len({f.feature for f in rows} - outputs) > 0
    assert last.weighted is not None
    assert 0 < last.weighted <= 1


def test_a_distribution_of_any_two_ranges_is_the_page_s(sdk: Client, still: Engine) -> None:
    one = (datetime(2026, 5, 1, 22, tzinfo=UTC), datetime(2026, 5, 4, 22, tzinfo=UTC))
    two = (datetime(2026, 5, 4, 22, tzinfo=UTC), datetime(2026, 5, 6, 22, tzinfo=UTC))
    found = sdk.distribution(MODEL, "temperature", version=1, start=two[0], end=two[1], vs=one)

    def ms(span: tuple[datetime, datetime]) -> tuple[int, int]:
        return int(span[0].timestamp() * 1_000), int(span[1].timestamp() * 1_000)

    with reading(still) as conn:
        version = reads.find_version(conn, MODEL, "1")
        assert version is not None
        view: Any = distribution(conn, version, "temperature", "all", ms(two), ms(one))
    assert found.psi == view.psi
    assert found.current.rows == view.current.rows > 0
    assert found.reference.missing == view.reference.missing
    assert [g.psi for g in found.groups] == [g.psi for g in view.groups]
    assert found.bins is not None
    assert found.bins.current == view.bins.current
    assert found.bins.upper == (*view.bins.upper[:-1], None)


def test_the_timeline_has_the_squares_of_the_page(sdk: Client, still: Engine) -> None:
    found = sdk.timeline(MODEL, version=1, sort="name")
    with reading(still) as conn:
        scope, notes = resolve(conn, MODEL, version="1")
        page = timeline(conn, scope)
    assert not notes
    assert found.health == page.health
    assert [column.rows for column in found.columns] == page.columns.rows.tolist()
    assert [column.drifted for column in found.columns] == page.drifted.tolist()
    assert {row.feature for row in found.items} == set(page.squares.features)
    for row in found.items:
        squares = page.squares.ratio[page.squares.features.index(row.feature)]
        assert [-1.0 if ratio is None else ratio for ratio in row.ratio] == pytest.approx(
            np.nan_to_num(squares, nan=-1.0).tolist(), rel=1e-5
        )
    assert [i.id for i in found.incidents] == [i.number for i in page.incidents]
    worst = max(f.ratio or 0.0 for f in found.latest)
    assert worst == max(float(row["ratio"] or 0.0) for row in page.latest.values())


def test_the_overview_and_the_groups_have_the_numbers_of_the_pages(
    sdk: Client, still: Engine
) -> None:
    with reading(still) as conn:
        page, groups = overview.overview(conn), episodes.listed(conn).groups
    found = sdk.overview()
    assert [line.health for line in found.models] == [line.health for line in page.lines]
    assert [line.volume for line in found.models] == [line.volume for line in page.lines]
    assert [line.moved for line in found.models] == [line.moved for line in page.lines]
    judged = [line for line in found.models if line.share is not None]
    for line in judged:
        last = list(sdk.verdicts(line.model))[-1]
        assert (line.share, line.weighted) == (last.share, last.weighted)
    assert len(judged) == 2
    assert any(line.weighted for line in judged)
    assert [news.event for news in found.news] == [news.event for news in page.news]
    listed = list(sdk.incident_groups())
    assert [g.id for g in listed] == [g.number for g in groups]
    assert [g.features for g in listed] == [g.features for g in groups]
    detail = sdk.incident_group(groups[0].members[-1].number)
    assert detail.chosen == groups[0].members[-1].number
    assert detail.incidents == tuple(m.number for m in groups[0].ranked)
    assert (detail.n_members, detail.n_history) == (len(detail.members), len(detail.history))


def test_a_large_group_is_told_in_part_and_says_of_how_many(
    sdk: Client, still: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(still) as conn:
        largest = max(episodes.listed(conn).groups, key=lambda group: len(group.members))
        happened = episodes.opened(conn, largest.number).happened
    monkeypatch.setattr(api_groups, "MOST_MEMBERS", 1)
    monkeypatch.setattr(api_groups, "MOST_LINES", 1)
    found = sdk.incident_group(largest.number)
    assert [member.id for member in found.members] == [largest.worst.number]
    assert (found.n_members, len(found.incidents)) == (len(largest.members), len(largest.members))
    assert found.n_members > 1
    assert [line.detail for line in found.history] == [happened[-1].event.detail]
    assert found.n_history == len(happened)


def test_an_answer_of_a_newer_server_is_read_and_one_of_an_older_is_said() -> None:
    gap = {
        "topic": "t", "partition": 0, "kind": "retention", "from_offset": 1, "to_offset": 2,
        "first": None, "last": None, "recorded": "2026-05-01T00:00:00Z",
    }  # fmt: skip
    assert _typed({**gap, "cause": "unknown today"}, answers.Gap).to_offset == 2
    gap.pop("kind")
    with pytest.raises(ApiError, match="is the server older"):
        _typed(gap, answers.Gap)


def test_answers_go_through_json_and_back() -> None:
    letter = answers.DeadReason("bad_json", 2, 1)
    assert msgspec.json.decode(msgspec.json.encode(letter), type=answers.DeadReason) == letter
    assert {name for name in answers.__all__ if not hasattr(answers, name)} == set()


def test_the_client_knows_every_field_that_the_api_has() -> None:
    pairs = [
        (registered.ModelAnswer, answers.Model), (registered.VersionAnswer, answers.ModelVersion),
        (registered.ReferenceAnswer, answers.ReferenceSummary),
        (registered.ReferenceDetail, answers.ReferenceDetail),
        (registered.ProfiledAnswer, answers.ProfiledFeature),
        (registered.MonitorAnswer, answers.Monitor), (registered.FeatureAnswer, answers.Feature),
        (judged.WindowAnswer, answers.Window), (judged.FindingAnswer, answers.Finding),
        (judged.SegmentAnswer, answers.Segment), (judged.VerdictAnswer, answers.Verdict),
        (trials.BacktestAnswer, answers.Backtest), (trials.TriedAnswer, answers.Tried),
        (trials.TriedSegmentAnswer, answers.TriedSegment),
        (trials.LearntAnswer, answers.Learnt), (registered.LimitAnswer, answers.FixedLimit),
        (compared.PointAnswer, answers.Point),
        (compared.DistributionAnswer, answers.Distribution), (compared.SideAnswer, answers.Side),
        (incidents.IncidentDetail, answers.IncidentDetail),
        (incidents.GroupDetail, answers.IncidentGroupDetail),
        (incidents.MemberAnswer, answers.GroupMember),
        (overview_answers.OverviewAnswer, answers.Overview),
        (overview_answers.LineAnswer, answers.OverviewLine),
        (overview_answers.HitAnswer, answers.Hit),
        (streams.DoingAnswer, answers.PartitionDoing), (streams.GapAnswer, answers.Gap),
        (streams.DeficitAnswer, answers.Deficit), (streams.StatusAnswer, answers.Status),
        (streams.DeadLetterDetail, answers.DeadLetterDetail),
        (streams.PipelineAnswer, answers.Pipeline), (streams.UnderWayAnswer, answers.UnderWay),
    ]  # fmt: skip
    for told, read in pairs:
        assert {field.name for field in dataclasses.fields(read)} == set(told.model_fields)
    for paged, whole in (
        (compared.SeriesAnswer, answers.Series),
        (timeline_answers.TimelineAnswer, answers.Timeline),
    ):
        fields = {field.name for field in dataclasses.fields(whole)}
        assert fields == set(paged.model_fields) - {"next"}
