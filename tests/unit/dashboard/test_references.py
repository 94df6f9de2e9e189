"""References in words: who is judged by one, and what it cannot see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import sentences_reference as say
from dashboard.address import Asked
from dashboard.figures.reference import outline
from dashboard.look import Look, Screen
from dashboard.pages import Page, reference, references
from dashboard.words import NBSP
from driftline.stats.rule import FixedLimit, Rule
from monitor.storage.engine import reading, transaction
from monitor.storage.models import set_monitor
from monitor.views import reference as view
from monitor.views.profiled import Limit, Sees
from monitor.views.reference import ReferenceView
from tests.slots import text


def filled(
    engine: Engine, page: Page, path: tuple[str, ...], search: str = "", **screen: Any
) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=path, asked=Asked(search), screen=Screen(**screen),
            now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = page.fill(look)
    assert set(values) == set(page.slots)
    sent: dict[str, Any] = json.loads(to_json_plotly(dict(values)))
    sent["notes"] = look.asked.notes
    return sent


def digest_of(engine: Engine, model: str, version: str = "1") -> str:
    with reading(engine) as conn:
        return next(
            line.row.digest
            for line in view.read_list(conn, model=model)
            if line.binding is not None and line.binding.use.version == version
        )


def one(engine: Engine, model: str = "parcel-delay", version: str = "1") -> ReferenceView:
    digest = digest_of(engine, model, version)
    with reading(engine) as conn:
        return view.read(conn, digest)


def page_of(engine: Engine, model: str = "parcel-delay", search: str = "") -> dict[str, Any]:
    return filled(engine, reference.PAGE, ("references", digest_of(engine, model)[:12]), search)


def test_the_list_counts_references_and_models(living: Engine) -> None:
    sent = filled(living, references.PAGE, ("references",))
    assert sent["title"].replace(NBSP, " ") == "4 references judge 3 models"
    assert len(sent["rows"]) == len({row["id"] for row in sent["rows"]}) == 4
    assert all(row["href"].startswith("/references/") for row in sent["rows"])
    successor = next(row for row in sent["rows"] if "version 2" in row["model"]["sub"])
    assert "replaces 1" in successor["since"]["sub"]


def test_on_a_phone_the_same_rows_are_cards(living: Engine) -> None:
    sent = filled(living, references.PAGE, ("references",), is_narrow=True)
    assert sent["rows"] == []
    assert sent["card"] is True
    assert len(sent["cards"]) == 4
    assert "parcel-delay" in text(sent["cards"])


def test_one_model_s_references_and_a_model_that_has_none(living: Engine) -> None:
    sent = filled(living, references.PAGE, ("references",), "?model=taxi-out")
    assert len(sent["rows"]) == 1
    sent = filled(living, references.PAGE, ("references",), "?model=nobody")
    assert len(sent["rows"]) == 4
    assert "nobody" in sent["notes"][0]


def test_an_empty_list_says_what_to_type(engine: Engine) -> None:
    sent = filled(engine, references.PAGE, ("references",))
    assert sent["title"] == "No reference is registered yet"
    assert "driftline reference register" in text(sent["note"])


def test_the_verdict_names_what_is_blind_and_what_waits(living: Engine) -> None:
    said = say.verdict(one(living))
    assert "Calibrated for hours and days" in said.headline
    notes = " ".join(sentence for _, sentence in said.notes).replace(NBSP, " ")
    assert "Blind at 1 day: reading" in notes
    assert "1 week:" in notes
    assert "of 8 live weeks are collected" in notes


def test_without_times_the_verdict_is_uncalibrated(living: Engine) -> None:
    found = one(living, "taxi-out")
    assert say.verdict(found).headline.startswith(("Uncalibrated", "Calibrated"))
    uncalibrated = replace(
        found, lengths=tuple(replace(length, source="none") for length in found.lengths)
    )
    assert say.verdict(uncalibrated).headline.startswith("Uncalibrated")


def test_a_document_that_cannot_be_read_is_said_and_breaks_nothing(living: Engine) -> None:
    found = replace(one(living), lengths=(), features=(), segments=())
    assert "cannot be read" in say.verdict(found).headline
    assert "cannot be read" in text(json.loads(to_json_plotly(reference.lengths(found))))


@pytest.mark.parametrize(
    ("sees", "word", "said"),
    [
        (Sees.JUDGES, "0.19", "Limit of PSI 0.19, critical 0.41 at 900 values, a shift of 0.45 σ."),
        (Sees.BLIND, "blind", "above the largest PSI possible"),
        (Sees.TOO_FEW, "too few", "100 are needed"),
        (Sees.WAITS, "waits", "not judged"),
        (Sees.NOTHING, "no PSI", "One group"),
    ],
)
def test_a_limit_is_a_number_or_a_word(sees: Sees, word: str, said: str) -> None:
    limit = Limit("day", sees, 0.19, 0.41, 900, {"ok": 50, "warning": 10}, False, 0.446, 0.021)
    found, sentence = say.limit_words(limit, "reference")
    assert found == word
    assert said in sentence.replace(NBSP, " ")
    assert "2.1 points more missing values would be told. Of the last 60" in sentence
    assert "10 were over a limit" in sentence


def test_a_fixed_limit_is_called_so_and_needs_no_wobble() -> None:
    limit = Limit("day", Sees.JUDGES, 0.2, None, 900, {}, True)
    assert say.limit_words(limit, "none")[1].startswith("Fixed limit of PSI 0.2")
    assert "Warnings only" not in say.limit_words(limit, "none")[1]


def test_a_cell_says_what_a_usual_window_would_show(living: Engine) -> None:
    found = one(living)
    rows = page_of(living)["features"]
    shown = 0
    for row, line in zip(rows, found.features, strict=True):
        for cell, limit in zip(row["limits"], line.limits, strict=True):
            said = cell["shows"].replace(NBSP, " ")
            assert (" σ" in said) == (limit.sees is Sees.JUDGES and line.kind == "numeric")
            assert ("pts" in said) == (limit.sees in (Sees.JUDGES, Sees.BLIND))
            shown += " σ" in said
    assert shown >= 5


def test_the_page_says_under_which_monitor_its_limits_are(living: Engine) -> None:
    assert page_of(living)["rule"] == (
        "; limits are those of the monitor of parcel-delay: profile standard"
    )
    limits = (FixedLimit("weight", "ks", 0.15), FixedLimit("*", "missing", 0.05))
    with transaction(living) as conn:
        changes = {"profile": "quiet", "limits": limits}
        set_monitor(conn, "parcel-delay", changes, actor="test", now_ms=NOW_MS)
    sent = page_of(living)
    assert sent["rule"].endswith(f"parcel-delay: profile quiet and 2{NBSP}fixed limits")
    subs = {row["name"]: row["sub"] for row in sent["features"]}
    assert subs["weight"].endswith(f"; fixed: KS 0.15, missing 5.0{NBSP}%")
    assert subs["distance"].endswith(f"; fixed: missing 5.0{NBSP}%")
    unbound = replace(one(living), judged=None, bindings=(), rule=Rule())
    assert say.rule_words(unbound) == (
        "no model is bound to it: limits are those of the profile standard"
    )
    shared = one(living)
    other = replace(shared.bindings[0], use=replace(shared.bindings[0].use, model="letters"))
    shared = replace(shared, bindings=(*shared.bindings, other))
    assert say.rule_words(shared).endswith("; letters has a monitor of its own")


def test_what_was_left_out_is_told_in_the_references_own_days(living: Engine) -> None:
    found = one(living)
    assert "left out" not in text(page_of(living)["lineage"])
    day, hour = 86_400_000, 3_600_000
    midnight = 1_768_258_800_000  # 13 January 2026 in Berlin
    stretches = (
        (midnight, midnight + day),
        (midnight + 2 * day, midnight + 4 * day),
        (midnight + 6 * day + 8 * hour, midnight + 6 * day + 10 * hour),
    )
    left = replace(found, excluded=stretches)
    assert say.excluded_words(left).replace(NBSP, " ") == (
        "13 Jan 2026, 15 Jan – 16 Jan 2026, 19 Jan 2026 08:00 – 10:00"
    )
    sent = json.loads(to_json_plotly(reference.lineage(left, 2026)))
    assert "left out13 Jan 2026" in text(sent).replace(NBSP, " ")


def test_the_page_shows_every_feature_with_its_limits(living: Engine) -> None:
    found, sent = one(living), page_of(living)
    rows = sent["features"]
    assert [row["name"] for row in rows] == [feature.name for feature in found.features]
    assert f"{len(found.features)}{NBSP}features" in sent["features_aside"]
    assert "blind" in {limit["word"] for row in rows for limit in row["limits"]}
    labels = [limit["label"] for limit in rows[0]["limits"]]
    assert "Limit, 1 day" in labels
    assert text(sent["features_head"]).endswith("".join(labels))


def test_a_search_narrows_and_says_how_to_come_back(living: Engine) -> None:
    sent = page_of(living, search="?q=WEIGHT")
    names = [row["name"] for row in sent["features"]]
    assert "weight" in names
    assert "distance" not in names
    sent = page_of(living, search="?q=%3Cb%3Enothing")
    assert (sent["features"], sent["features_head"]) == ([], [])
    assert "No feature is called “<b>nothing”. Clear the search" in text(sent["features_note"])


def test_blind_features_can_come_first(living: Engine) -> None:
    found = reference.chosen(one(living), "", "blind")
    blind = [any(limit.sees is Sees.BLIND for limit in line.limits) for line in found]
    assert blind == sorted(blind, reverse=True)


def test_hundreds_of_features_come_in_pages(living: Engine) -> None:
    found = one(living)
    line = found.features[0]
    many = [replace(line, name=f"f{n:03}") for n in range(150)]
    for page, first, last in ((1, "f000", "f059"), (3, "f120", "f149")):
        rows = reference.features(found, many, page)
        assert (rows[0]["name"], rows[-1]["name"]) == (first, last)
        note = reference.features_note(found, many, page, 3, text="", sort="document")
        assert text(json.loads(to_json_plotly(note))) == "123"


def test_a_page_that_is_not_there_is_said(living: Engine) -> None:
    sent = page_of(living, search="?page=7&sort=size")
    assert len(sent["notes"]) == 2


def test_hostile_names_are_text(copy_of: Callable[[Path], Engine], hostile_file: Path) -> None:
    engine = copy_of(hostile_file)
    with reading(engine) as conn:
        lines = view.read_list(conn)
    sent = filled(engine, references.PAGE, ("references",))
    assert "evil.example" not in {row["href"] for row in sent["rows"]}
    for line in lines:
        sent = filled(engine, reference.PAGE, ("references", line.row.digest))
        assert not set("\u202e\u2066\x00") & set(json.dumps(sent, ensure_ascii=False))
        addresses = [part.split('"')[0] for part in json.dumps(sent).split('"href": "')[1:]]
        assert addresses
        assert all(href.startswith(("/models/", "/references/")) for href in addresses)


def test_a_picture_s_corners_stay_in_its_box() -> None:
    assert outline(()) == {}
    corners = outline([1.0, 0.0, 0.0001, 0.5])["clipPath"].removeprefix("polygon(").rstrip(")")
    for corner in corners.split(", "):
        assert all(0 <= float(part.rstrip("%")) <= 100 for part in corner.split())


def verdicts(found: ReferenceView, length: str, counts: dict[str, int]) -> ReferenceView:
    """The reference after windows of a length were judged so, each feature alike."""
    judged = sum(counts.values())
    return replace(
        found,
        lengths=tuple(
            replace(each, judged=judged) if each.name == length else each for each in found.lengths
        ),
        features=tuple(
            replace(
                feature,
                limits=tuple(
                    replace(limit, verdicts=counts) if limit.length == length else limit
                    for limit in feature.limits
                ),
            )
            for feature in found.features
        ),
    )


def judged(found: ReferenceView, name: str) -> str:
    length = next(each for each in found.lengths if each.name == name)
    return say.judged_words(found, length).replace(NBSP, " ")


def test_a_length_that_waits_has_shown_its_windows_and_judged_none(living: Engine) -> None:
    found = verdicts(one(living), "week", {"collecting": 3})
    assert judged(found, "week") == "3 windows shown, none judged yet"


def test_what_was_shown_while_it_learnt_is_no_verdict(living: Engine) -> None:
    found = verdicts(one(living), "day", {"collecting": 9, "ok": 36, "warning": 4})
    assert judged(found, "day").startswith("40 windows: 10.0 % of verdicts over a limit")


def test_where_values_are_too_few_the_rates_alone_are_judged(living: Engine) -> None:
    found = verdicts(one(living), "hour", {"ok": 10})
    few = replace(
        found,
        features=tuple(
            replace(
                feature,
                limits=tuple(replace(limit, sees=Sees.TOO_FEW) for limit in feature.limits),
            )
            for feature in found.features
        ),
    )
    assert judged(few, "hour").endswith("all by rates only")
    row = next(row for row in say.length_rows(few) if row[0] == "1 hour")
    assert "so rates alone are judged" in row[4].replace(NBSP, " ")


def test_categories_are_counted_once_and_the_rare_ones_are_said(living: Engine) -> None:
    feature = next(f for f in one(living).features if f.name == "carrier")
    levels = tuple((f"A{n}", 0.02) for n in range(31))
    many = replace(feature, levels=levels, n_categories=94)
    said = say.range_words(many).replace(NBSP, " ")
    assert said.startswith("94 values: A0 2.0 %, A1 2.0 %, …")
    assert said.endswith("63 of them rare and counted together")
