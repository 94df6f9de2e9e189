"""The pipeline's page answers in its title, and shows what was refused without obeying it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import cards_letters, payload
from dashboard import sentences_pipeline as say
from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import pipeline as page
from dashboard.words import NBSP
from driftline.errors import DataError
from driftline.events import REASONS
from driftline.program import command
from driftline.wire import decode
from monitor.storage import lanes, reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.models import note
from monitor.storage.reads import uploaded
from monitor.storage.rows import Gap, Late, Position
from monitor.views import pipeline as view
from monitor.views.pipeline import Pipeline, State
from tests.slots import text

INTERVAL_S = 30.0
POSITION = Position(
    stream_id=1, topic="events", partition=0, next_offset=100, end_offset=100, owner="ingest-1",
    claim_epoch=1, fenced=0, checkpoints=3, max_event_time_ms=NOW_MS, caught_up_for_ms=1_000,
    fetched_ms=NOW_MS - 1_000, checkpointed_ms=NOW_MS - 1_000, last_counted_kafka_ms=NOW_MS - 1_000,
)  # fmt: skip
BEHIND = {"end_offset": 200, "last_counted_kafka_ms": NOW_MS - 1_000 - 2_580_000}
GONE = {"fetched_ms": NOW_MS - 2_580_000, "checkpointed_ms": NOW_MS - 2_580_000}


def found(*changes: dict[str, Any]) -> Pipeline:
    """A pipeline of one partition for each of `changes`, with nothing else in it."""
    return Pipeline(
        topics=("events",), topic=None,
        partitions=tuple(
            view.partition(
                replace(POSITION, partition=n, **change),
                now_ms=NOW_MS, interval_ms=INTERVAL_S * 1_000,
            )
            for n, change in enumerate(changes)
        ),
        outcomes={}, reasons=(), reason=None, letters=(), older=None, letter=None,
        gaps=(), lost=(0, 0), deficits=(), n_deficits=0,
    )  # fmt: skip


def filled(engine: Engine, search: str = "", **screen: Any) -> dict[str, Any]:
    """The page's slots, as they are sent."""
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=("pipeline",), asked=Asked(search),
            screen=Screen(**screen), now_ms=NOW_MS, checkpoint_interval_s=INTERVAL_S,
        )  # fmt: skip
        values = page.fill(look)
    assert set(values) <= set(page.SLOTS)
    sent: dict[str, Any] = json.loads(to_json_plotly(dict(values)))
    sent["notes"] = look.asked.notes
    return sent


def kinds(value: Any) -> set[str]:
    """The types of all components."""
    if isinstance(value, list):
        return set().union(*(kinds(each) for each in value))
    if isinstance(value, dict) and "props" in value:
        return {value["type"]} | kinds(value["props"].get("children"))
    return set()


@pytest.mark.parametrize(
    ("changes", "title", "tone"),
    [
        ([], "Nothing is being counted: no consumer has read a partition yet.", "idle"),
        ([{}, {}], "Everything is counted", "ok"),
        ([{"end_offset": 102, "last_counted_kafka_ms": NOW_MS - 5_000}, {}],
         "Everything is counted, 4 seconds behind", "ok"),
        ([{"caught_up_for_ms": 900_000}, {"caught_up_for_ms": 1_200_000}],
         "Everything is counted; nothing new for 15 minutes", "ok"),
        ([BEHIND, {}, {}, BEHIND], "Counting is 43 minutes behind on 2 of 4 partitions", "warn"),
        ([BEHIND], "Counting is 43 minutes behind on its partition", "warn"),
        ([BEHIND, BEHIND], "Counting is 43 minutes behind on all 2 partitions", "warn"),
        ([{**BEHIND, "last_counted_kafka_ms": None}, {}],
         "Counting is behind on 1 of 2 partitions", "warn"),
        ([GONE, {}], "1 of 2 partitions is stalled for 43 minutes", "crit"),
        ([GONE, GONE], "Nothing is being counted: no sign of life for 43 minutes", "crit"),
    ],
)  # fmt: skip
def test_the_title_says_whether_everything_is_counted(
    changes: list[dict[str, Any]], title: str, tone: str
) -> None:
    said = say.title(found(*changes))
    assert (said.words.replace(NBSP, " "), said.tone) == (title, tone)


def test_what_a_stalled_partition_is_behind_by_is_not_invented() -> None:
    stalled = found({**BEHIND, **GONE}, {}).partitions[0]
    assert stalled.state is State.STALLED
    assert say.behind(stalled) == "unknown"


def test_the_figures_do_not_call_a_stalled_partition_caught_up() -> None:
    def behind(*changes: dict[str, Any]) -> tuple[str, str]:
        kpi = next(kpi for kpi in say.kpis(found(*changes)) if kpi.label == "Behind")
        return kpi.value.replace(NBSP, " "), kpi.note

    assert behind({}) == ("0 s", "caught up")
    assert behind(GONE, GONE) == ("unknown", "nobody looks")
    assert behind(BEHIND, GONE) == ("43 min", "and 1 unknown")
    assert behind() == ("unknown", "nothing is read yet")


def test_every_reason_has_words_and_what_mends_it() -> None:
    assert set(say.MENDS) == set(REASONS)
    assert say.mend("of a later release") == ""


def test_every_kind_of_gap_is_told_with_its_range() -> None:
    for kind in ("retention", "truncation", "recreated"):
        gap = Gap("events", 2, kind, 1_204_331, 1_209_870, NOW_MS, NOW_MS + 1, NOW_MS)
        assert say.gap_title(gap).replace(NBSP, " ") == (
            "5,539 records of events 2, offsets 1,204,331–1,209,869"
        )
        said = say.gap_sentence(gap, say.Told())
        # What was counted before the log was cut makes no window incomplete.
        assert ("incomplete" in said) == (kind != "truncation")
        assert say.gap_mend(gap)


def refused(record: bytes) -> tuple[str, str]:
    with pytest.raises(DataError) as error:
        decode(record)
    return error.value.reason, error.value.detail


@pytest.mark.parametrize(
    ("record", "marked"),
    [
        (b'{"type":"prediction","features":{"temp":54.1 "dewp":41.0}}', '"dewp":41.0'),
        ('{"type":"préd" x}'.encode(), "x"),
        (b'{"a":\xff\xfe}', "\\xff"),
        (b'\xef\xbb\xbf{"a" 1}', "1"),
        (b'{"a":1', "end of record"),
        (b'{"a\x00b":1}', "\\x00"),
        (b'{"a":"\\ud800"}', "\\ud800"),
        (b'{"type":"label","model":"m","time":"2025-02-08T10:15:00"}', '"2025-02-08T10:15:00"'),
        (b'{"type":"guess","model":"m","time":1360318500000}', '"guess"'),
        # Two keys of one name: nobody can say which.
        (b'{"type":"guess","features":{"type":1}}', None),
        (b"[1, 2]", None),
    ],
)
def test_the_fault_is_marked_where_somebody_knows_it(record: bytes, marked: str | None) -> None:
    shown = payload.show(record, len(record), *refused(record))
    assert [run.text for run in shown.runs if run.kind == "fault"] == [marked] * (
        marked is not None
    )
    assert shown.is_marked == (marked is not None)


def test_a_long_record_is_cut_at_a_character_and_its_later_fault_is_told() -> None:
    record = ("é" * 40_000).encode()
    shown = payload.show(record, 65_536, "bad_json", "expected a comma or } at byte 60000")
    assert shown.is_cut
    assert shown.shown_bytes <= payload.SHOWN_BYTES
    assert set(shown.copied) == {"é"}
    assert (shown.fault, shown.is_marked) == (60_000, False)
    kept = payload.show(record[:2_047], 65_536, "bad_json", "")
    assert set(kept.copied) == {"é"}


def test_nothing_that_moves_a_terminal_or_turns_writing_is_shown_as_it_is() -> None:
    every = "".join(chr(c) for c in (*range(32), 127, 0x85, 0x200B, 0x202E, 0x2066, 0xFEFF, 0x2028))
    shown = payload.show(every.encode() + b"\x80\xff", 99, "bad_json", "")
    for written in ("".join(run.text for run in shown.runs), shown.copied):
        assert set(written) <= {"\n", *map(chr, range(32, 127))}
    assert "\\u{202e}" in shown.copied
    assert "\\x1b" in shown.copied


def test_bytes_of_any_kind_are_told_apart_from_the_text_of_their_escape() -> None:
    shown = payload.show(b"\\x00\x00", 2, "bad_json", "")
    assert [(run.kind, run.text) for run in shown.runs] == [
        ("text", "\\x00"),
        ("escape", "\\x00"),
    ]


def test_the_page_tells_the_letters_the_gap_and_the_deficit(living: Engine) -> None:
    sent = filled(living)
    assert "in all; each moved the position and is kept" in text(sent["dead_summary"])
    missing = text(sent["missing"])
    assert "fare-estimate 3" in missing
    assert "driftline reference register" in missing
    assert "deleted them before they were read" in missing
    assert "Caught up" in text(sent["positions"])


def test_bars_of_reasons_add_up_whatever_is_folded_away(living: Engine) -> None:
    with reading(living) as conn:
        dead = sum(reads.dead_reasons(reads.outcomes(conn)).values())
    rows = filled(living)["reasons"]["props"]["children"]
    counts = []
    for row in rows[1:]:
        inside = row["props"]["children"]
        head = inside["props"]["children"]
        head = head[0]["props"]["children"] if inside["type"] == "Details" else head
        counts.append(int(text(head[1]).replace(",", "")))
    assert sum(counts) == dead == int(text(rows[0]["props"]["children"]["props"]["children"][1]))


def test_hostile_records_are_text_on_the_page(
    copy_of: Callable[[Path], Engine], hostile_file: Path
) -> None:
    engine = copy_of(hostile_file)
    with reading(engine) as conn:
        opened = view.read(conn, now_ms=NOW_MS, checkpoint_interval_s=INTERVAL_S)
        letters = reads.dead_letters(conn, limit=1_000)
    assert len(letters) > 50
    for letter in letters:
        made = cards_letters.letter(replace(opened, letter=letter), say.Told(), is_asked=True)
        sent = json.loads(to_json_plotly(made))
        shown = text(sent)
        assert not any(ord(c) < 32 and c != "\n" for c in shown)
        assert not set("\u202e\u2066\u200b\ufeff\x7f") & set(shown)
        assert kinds(sent) <= {
            "Div", "A", "H4", "P", "B", "Code", "Pre", "Span", "Table", "Tbody", "Tr", "Th", "Td",
            "Button", "CopyButton",
        }  # fmt: skip


def test_a_record_that_was_not_kept_says_so(living: Engine) -> None:
    with transaction(living) as conn:
        conn.execute(sa.update(t.dead_letter).values(payload=None, size_bytes=10))
    said = text(filled(living)["letter"])
    assert "Not kept: ingest.keep_payload is off" in said
    assert "sha256" in said


@pytest.mark.parametrize(
    ("changes", "said", "words"),
    [
        ({}, "Once its cause is mended, this sends it again as it came.", ""),
        ({"size_bytes": 3_000}, "It cannot be sent again: only its beginning was kept.", None),
        ({"payload": None}, "It cannot be sent again: its bytes were not kept", None),
        ({"form": "row"}, "It cannot be sent again: a row of an Arrow stream", None),
        ({"replay_ms": NOW_MS}, "it may be in the topic twice then.", " --in-doubt"),
        (
            {"replay_ms": NOW_MS, "replayed_partition": 1, "replayed_offset": 7},
            "partition 1, offset 7",
            None,
        ),
    ],
)
def test_a_letter_shows_the_command_that_sends_it_again_or_why_nothing_can(
    changes: dict[str, Any], said: str, words: str | None, living: Engine
) -> None:
    record = b"{"
    whole = {
        "payload": record, "size_bytes": len(record), "form": "json",
        "payload_sha256": hashlib.sha256(record).hexdigest(),
    }  # fmt: skip
    with transaction(living) as conn:
        conn.execute(sa.update(t.dead_letter).values({**whole, **changes}))
        (newest,) = reads.dead_letters(conn, limit=1)
    letter = filled(living)["letter"]
    assert said in text(letter)
    copied = {value for kind, value in _copied(letter) if kind == "CopyButton"}
    name = "-".join(map(str, newest.key))
    wanted = None if words is None else command(f"dead-letter replay {name}{words}")
    assert {each for each in copied if "dead-letter" in each} == ({wanted} - {None})


def _copied(value: Any) -> list[tuple[str, str]]:
    """Every component that has a value, and it."""
    if isinstance(value, list):
        return [one for each in value for one in _copied(each)]
    if isinstance(value, dict) and "props" in value:
        props = value["props"]
        own = [(value["type"], props["value"])] if isinstance(props.get("value"), str) else []
        return own + _copied(props.get("children"))
    return []


def test_64_kb_of_a_record_do_not_make_a_long_page(living: Engine) -> None:
    record = b'{"a": "' + b"\x00\xff" * 32_768
    with transaction(living) as conn:
        conn.execute(
            sa.update(t.dead_letter).values(payload=record, size_bytes=len(record), detail="")
        )
    sent = filled(living)
    assert len(json.dumps(sent["letter"])) < 120_000
    assert "4,096 bytes of 65,543" in text(sent["letter"]).replace(NBSP, " ")


@pytest.mark.parametrize(
    ("search", "note"),
    [
        ("?topic=nowhere", "topic 'nowhere'"),
        ("?reason=%3Cb%3E", "reason '<b>'"),
        ("?letter=1:2", "dead letter that cannot be"),
        ("?letter=9999999999999999999:0:0:0", "dead letter that cannot be"),
        ("?before=x", None),
    ],
)
def test_what_a_link_cannot_have_is_said_and_the_rest_is_shown(
    search: str, note: str | None, living: Engine
) -> None:
    sent = filled(living, search)
    assert sent["title"].startswith("Everything is counted")
    assert len(sent["notes"]) == (note is not None)
    assert note is None or note in sent["notes"][0]


@pytest.mark.parametrize("separator", [":", "-", "."])
def test_a_letter_is_named_as_the_api_names_it_too(separator: str, living: Engine) -> None:
    with reading(living) as conn:
        last = reads.dead_letters(conn, limit=100)[-1]
    sent = filled(living, "?letter=" + cards_letters.key_of(last).replace(":", separator))
    assert say.where(last) in text(sent["letter"])


def test_a_letter_of_another_database_is_said_to_be_not_here(living: Engine) -> None:
    assert "is not here" in text(filled(living, "?letter=7:7:7:7")["letter"])


def test_times_are_told_in_the_zone_that_was_chosen(living: Engine) -> None:
    berlin = {"is_local": True, "browser_zone": ZoneInfo("Europe/Berlin")}
    assert "Refused (Berlin)" in text(filled(living, **berlin)["letters"])
    assert "Refused (UTC)" in text(filled(living)["letters"])


def test_many_partitions_show_those_that_need_somebody(living: Engine) -> None:
    with transaction(living) as conn:
        row = dict(conn.execute(sa.select(t.stream_position)).first()._mapping)  # type: ignore[union-attr]
        for n in range(2, 300):
            conn.execute(sa.insert(t.stream_position).values(**{**row, "partition": n}))
        conn.execute(
            sa.update(t.stream_position)
            .where(t.stream_position.c.partition == 299)
            .values(checkpointed_ms=1, fetched_ms=1)
        )
    sent = filled(living)
    assert "1 of 300" in sent["title"].replace(NBSP, " ")
    said = text(sent["positions"])
    assert "Stalled" in said
    assert "236" in said


def test_nothing_yet_is_no_fault(engine: Engine) -> None:
    sent = filled(engine)
    assert sent["title"].startswith("Nothing is being counted")
    assert "No partition was read yet" in text(sent["positions"])
    assert sent["letter"] is None


def test_who_counts_is_said_as_it_is_and_another_consumer_only_where_it_would_help() -> None:
    def note(*changes: dict[str, Any]) -> str:
        return say.title(found(*changes)).note.replace(NBSP, " ")

    assert note(BEHIND, BEHIND) == (
        "200 records to count. One consumer counts both partitions; if it does not catch up, "
        f"start another: {command('ingest')}."
    )
    other = {**BEHIND, "owner": "ingest-2"}
    assert "2 consumers count all 3 partitions" in note(BEHIND, BEHIND, other)
    assert "Every partition has a consumer of its own" in note(BEHIND, other)
    assert "start another" not in note(BEHIND, other) + note(BEHIND)
    for said in (note(BEHIND), note(BEHIND, BEHIND), note(BEHIND, other)):
        assert "Another driftline ingest shares" not in said


def test_late_events_say_what_late_means_whose_they_are_and_where_they_went(
    living: Engine,
) -> None:
    sent = filled(living)
    said = text(sent["late"]).replace(NBSP, " ")
    assert "over an hour older than the newest one of its partition" in said
    assert "counted in its window" in said
    assert "parcel-delay 1 40 of 2,874 events (1.4 %)" in said
    assert "none was dropped" in text(sent["kpis"])
    backfill = say.late_sentence(Late("b", "1", 3_597, 3_600)).replace(NBSP, " ")
    assert backfill.startswith("3,597 of 3,600 events: its log was sent after newer events")
    assert "Nothing to do" in backfill


def test_no_late_event_no_card(engine: Engine) -> None:
    assert filled(engine)["late"] is None


def test_words_of_the_trade_are_explained(living: Engine) -> None:
    sent = filled(living)
    terms = to_json_plotly([sent["kpis"], sent["positions"]]).count('"data-term"')
    assert terms == 6 + 3


def test_predictions_are_drawn_by_hour_of_event_time_with_what_was_lost(living: Engine) -> None:
    sent = filled(living, "?range=30d")
    assert sent["notes"] == []
    assert sent["rate_hidden"] is False
    area, lost = sent["rate"]["data"]
    assert area["line"]["shape"] == "hv"
    assert lost["name"] == "lost"
    assert "720 hours" in sent["rate_said"].replace(NBSP, " ")
    assert "records of 1 span were lost" in sent["rate_said"].replace(NBSP, " ")
    # The words, the chart's label and its table say the same.
    assert sent["rate_label"] == sent["rate_said"]
    assert "Hours without any" in text(sent["rate_days"])
    # The gap is older than the last day.
    assert len(filled(living, "?range=24h")["rate"]["data"]) == 1


def test_a_range_that_is_none_is_said_and_a_week_is_shown(living: Engine) -> None:
    sent = filled(living, "?range=1y")
    assert len(sent["notes"]) == 1
    assert "168 hours" in sent["rate_said"].replace(NBSP, " ")


def test_before_an_hour_was_judged_there_is_no_chart(engine: Engine) -> None:
    assert filled(engine)["rate_hidden"] is True


def test_a_replay_that_is_not_done_is_a_line_and_one_that_stands_still_says_what_ends_it(
    living: Engine,
) -> None:
    assert filled(living)["replays"] is None
    with transaction(living) as conn:
        stream = conn.execute(
            sa.select(t.stream.c.id).where(t.stream.c.ended_ms.is_(None)).limit(1)
        ).scalar_one()
        live = lanes.counted(conn, stream)
        starts = {p: at.start_offset for p, at in live.items()}
        lanes.begin(
            conn, stream_id=stream, owner="ops-1:47:0a1b", asked={"model": "<b>m", "version": "4"},
            versions={1: NOW_MS - 864_000_000}, starts=starts, registry_revision=1, now_ms=NOW_MS,
        )  # fmt: skip
        (one,) = lanes.under_way(conn)
        conn.execute(
            sa.update(t.lane_position)
            .where(t.lane_position.c.partition == min(live))
            .values(next_offset=live[min(live)].next_offset)
        )
        (some,) = lanes.under_way(conn)
    total = sum(at.next_offset - at.start_offset for at in live.values())
    assert (one.read, one.total) == (0, total)
    first = live[min(live)]
    assert (some.read, some.total) == (first.next_offset - first.start_offset, total)
    sent = filled(living)
    said = text(sent["replays"])
    assert f"Replay of <b>m 4 from {say.Told().instant(NOW_MS - 864_000_000)}" in said
    assert f"{100 * some.share:.1f}{NBSP}% counted again" in said
    assert "by ops-1:47." in said
    assert "replay --abandon" not in said
    assert "Copy" not in json.dumps(sent["replays"])
    with transaction(living) as conn:
        conn.execute(sa.update(t.lane).values(touched_ms=NOW_MS - lanes.STALE_MS))
    said = text(filled(living)["replays"])
    assert f"It has stood still for 60{NBSP}seconds" in said
    assert command("replay --abandon") in said


def test_uploaded_history_is_listed_with_what_takes_it_out_again(living: Engine) -> None:
    empty = text(filled(living)["uploads"])
    assert "Nothing was uploaded" in empty
    assert command("history upload scored.parquet") in empty
    first, told = NOW_MS - 864_000_000, say.Told()
    with transaction(living) as conn:
        version = conn.execute(sa.select(t.model_version.c.id).limit(1)).scalar_one()
        for place in range(view.UPLOADS + 2):
            is_last = place == view.UPLOADS + 1
            conn.execute(
                sa.insert(t.upload).values(
                    name=f"h-{place}", version_id=version, gridset="9" * 64, chunks=3, digest="",
                    panes=9, rows=1_234, first_ms=first, end_ms=first + 3_600_000,
                    created_ms=NOW_MS, touched_ms=NOW_MS, counted_ms=None if is_last else NOW_MS,
                )
            )  # fmt: skip
            if not is_last:
                model = uploaded.newest(conn, 1)[0][0].model
                note(
                    conn, actor=f"cli:user{place}", action="upload.count", subject=model,
                    now_ms=NOW_MS, upload=f"h-{place}",
                )  # fmt: skip
    said = text(filled(living)["uploads"])
    when = f"1,234{NBSP}rows, {told.instant(first)} to {told.instant(first + 3_600_000)}"
    assert f"{when}{NBSP}{told.word}: does not count yet" in said
    counts = f"{when}{NBSP}{told.word}: counts since {told.instant(NOW_MS)}{NBSP}{told.word}"
    assert f"{counts} by cli:user{view.UPLOADS}." in said
    assert command("history remove h-2") in said
    assert command("history remove h-1") not in said.split("history remove h-2")[1]
    assert "and 2 older uploads" in said


def test_a_replay_that_has_read_all_is_not_called_done() -> None:
    done = lanes.UnderWay(1, "events", None, None, None, NOW_MS, NOW_MS, "a:1:2", 10, 10)
    assert say.replay_title(done, say.Told()) == (
        f"Replay of all models: 99.9{NBSP}% counted again."
    )
