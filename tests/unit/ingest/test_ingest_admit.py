"""What may be counted, and why the rest may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_source import KAFKA_MS, START_MS, Entry, prediction

from consumers.admit import KEPT_DETAIL, Rules, admit
from consumers.settings import IngestSettings
from driftline.errors import ConfigError


def _reasons(*values: bytes, kafka_ms: int = KAFKA_MS) -> list[str]:
    log = [Entry(i, kafka_ms, value) for i, value in enumerate(values)]
    return [letter.reason for letter in admit(log, Rules()).letters]


def test_what_is_good_is_admitted_in_the_order_of_the_log() -> None:
    log = [Entry(i, KAFKA_MS, prediction(9 - i)) for i in range(5)]
    admitted = admit(log, Rules())
    assert admitted.offsets.tolist() == [0, 1, 2, 3, 4]
    assert admitted.times_ms.tolist() == [START_MS + (9 - i) * 600_000 for i in range(5)]
    assert [admitted.names[i] for i in admitted.name_of] == [("m", "1", "prediction")] * 5
    assert admitted.letters == []
    assert admitted.n_bytes == sum(len(e.value or b"") for e in log)


def test_no_records_are_no_events() -> None:
    assert len(admit([], Rules())) == 0


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (946_684_799_999, "time_out_of_range"),
        (4_102_444_800_000, "time_out_of_range"),
        (10**40, "time_out_of_range"),
        (-1, "time_out_of_range"),
        (KAFKA_MS + 300_001, "time_in_future"),
    ],
)
def test_a_time_that_cannot_be_right_is_refused(time: int, reason: str) -> None:
    assert _reasons(prediction(0, time=time)) == [reason]


@pytest.mark.parametrize("turn", range(4))
def test_a_time_is_held_against_its_own_record_s_among_records_of_other_times(turn: int) -> None:
    """Kafka's oldest records have no time (-1), and nothing is in the future of those."""
    ahead, end = KAFKA_MS + 600_000, 4_102_444_800_000
    log = [(KAFKA_MS, ahead, "time_in_future"), (ahead, ahead, ""), (-1, ahead, "")]
    log += [(-1, end - 1, ""), (-1, end, "time_out_of_range")]
    log = log[turn:] + log[:turn]
    admitted = admit(
        [Entry(i, stamp, prediction(0, time=time)) for i, (stamp, time, _) in enumerate(log)],
        Rules(),
    )
    assert [x.reason for x in admitted.letters] == [said for *_, said in log if said]
    assert len(admitted) == 3


@pytest.mark.parametrize(
    ("stamps", "time", "reasons"),
    [
        ((-1, KAFKA_MS), KAFKA_MS + 600_000, ["time_in_future"]),
        ((KAFKA_MS, KAFKA_MS + 600_000), KAFKA_MS + 600_000, ["time_in_future"]),
        ((-1, -1), 4_102_444_800_000, ["time_out_of_range"] * 2),
        ((-1, -1), 4_102_444_799_999, []),
    ],
)
def test_two_records_of_which_one_may_be_refused(
    stamps: tuple[int, int], time: int, reasons: list[str]
) -> None:
    log = [Entry(i, stamp, prediction(0, time=time)) for i, stamp in enumerate(stamps)]
    assert [x.reason for x in admit(log, Rules()).letters] == reasons


def test_five_minutes_ahead_of_the_record_are_allowed() -> None:
    assert _reasons(prediction(0, time=KAFKA_MS + 300_000)) == []


def test_without_a_kafka_timestamp_nothing_is_in_the_future() -> None:
    assert _reasons(prediction(0, time=KAFKA_MS + 300_001), kafka_ms=-1) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "x" * 201}, "model_invalid"),
        ({"model": "a\u0000b"}, "model_invalid"),
        ({"version": "1\n2"}, "version_invalid"),
        ({"version": 10**40}, "version_invalid"),
    ],
)
def test_names_are_printable_and_short(changes: dict[str, Any], reason: str) -> None:
    assert _reasons(prediction(0, **changes)) == [reason]


def test_an_integer_version_is_the_text_of_it() -> None:
    assert admit([Entry(0, -1, prediction(0, version=3))], Rules()).names == [
        ("m", "3", "prediction")
    ]


def test_bad_lines_are_letters_of_their_own() -> None:
    value = b"\n".join(
        [prediction(0), b"{", prediction(1, time=10**15), prediction(2), b"[" * 100_000, b""]
    )
    admitted = admit([Entry(4, KAFKA_MS, value)], Rules())
    assert len(admitted) == 2
    assert [(x.offset, x.line, x.reason) for x in admitted.letters] == [
        (4, 2, "bad_json"),
        (4, 3, "time_out_of_range"),
        (4, 5, "too_deep"),
    ]
    assert admitted.letters[1].payload == prediction(1, time=10**15)


def test_a_broken_object_over_several_lines_is_one_letter() -> None:
    pretty = json.dumps(json.loads(prediction(0)), indent=1).encode()
    assert _reasons(pretty, pretty[:-1]) == ["bad_json"]


def test_details_are_short_printable_ascii() -> None:
    value = prediction(0, type="\u202e<a href>\u0007" * 100)
    (letter,) = admit([Entry(0, KAFKA_MS, value)], Rules()).letters
    assert letter.reason == "type_unknown"
    assert letter.detail.isascii()
    assert letter.detail.isprintable()
    assert len(letter.detail) <= KEPT_DETAIL


def test_payloads_are_capped_or_left_out() -> None:
    log = [Entry(0, KAFKA_MS, b"x" * 5_000)]
    assert len(admit(log, Rules()).letters[0].payload or b"") == 2_048
    kept_out = admit(log, Rules(keep_payload=False)).letters[0]
    assert kept_out.payload is None
    assert kept_out.payload_sha256 == admit(log, Rules()).letters[0].payload_sha256


@pytest.mark.parametrize("wrong", [{"start_policy": "middle"}, {"checkpoint_interval_s": 0.0}])
def test_settings_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        IngestSettings("", "", **wrong)
