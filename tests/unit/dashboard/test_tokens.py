"""Colours: the stylesheet and the figures share one table, and everything in it can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboard
from dashboard.tokens import TOKENS, Scheme

ASSETS = Path(dashboard.__file__).parent / "assets"
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
# The contrast that each token promises on a card; text needs 4.5, marks that stand alone 3.
PROMISED = {
    "light": {
        "line": 3.6, "text": 17.8, "text2": 8.3, "text3": 5.4, "accent": 6.3, "ok": 6.5,
        "ok-i": 5.2, "warn": 6.7, "warn-i": 3.5, "crit": 6.5, "crit-i": 4.9, "idle": 7.1,
        "cur": 5.2, "ref": 3.5,
    },
    "dark": {
        "line": 3.9, "text": 15.0, "text2": 9.2, "text3": 6.0, "accent": 8.2, "ok": 8.1,
        "ok-i": 7.2, "warn": 9.3, "warn-i": 7.9, "crit": 7.7, "crit-i": 6.9, "idle": 7.9,
        "cur": 7.7, "ref": 5.0,
    },
}  # fmt: skip
TEXT = ("text", "text2", "text3", "accent", "ok", "warn", "crit", "idle")
MARKS = ("line", "ok-i", "warn-i", "crit-i", "cur", "ref")
# What words in a status colour stand on.
TINTED = {"ok": "ok-tint", "warn": "warn-tint", "crit": "crit-tint", "accent": "accent-tint"}


def written(scheme: Scheme) -> dict[str, str]:
    """The colours of the stylesheet."""
    text = (ASSETS / "00-tokens.css").read_text()
    head = ":root {" if scheme == "light" else ':root[data-mantine-color-scheme="dark"] {'
    block = text.split(head, 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9A-F]{6})", block))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2), from 0 (black) to 1 (white)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2), from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_twenty_one() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_stylesheet_and_the_figures_have_the_same_colours(scheme: Scheme) -> None:
    assert written(scheme) == TOKENS[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_colour_keeps_its_contrast(scheme: Scheme) -> None:
    colours = TOKENS[scheme]
    found = {name: contrast(colours[name], colours["surface"]) for name in PROMISED[scheme]}
    assert found == pytest.approx(PROMISED[scheme], abs=0.1)
    assert set(found) == {*TEXT, *MARKS}
    for ground in ("surface", "subtle", "bg", "hover"):
        for name in TEXT:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in MARKS:
        assert found[name] >= 3, name
    for name, tint in TINTED.items():
        assert contrast(colours[name], colours[tint]) >= 4.5, (name, tint)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_more_drift_is_more_ink(scheme: Scheme) -> None:
    colours = TOKENS[scheme]
    inks = [contrast(colours[f"heat{n}"], colours["surface"]) for n in range(5)]
    assert inks == sorted(inks)
    # The lightest that tells of a limit passed has an outline as its second cue.
    assert contrast(colours["text"], colours["heat2"]) >= 4.5


def test_no_stylesheet_has_colours_of_its_own() -> None:
    for sheet in sorted(ASSETS.glob("*.css")):
        if sheet.name.startswith("00-") or sheet.name == "10-icons.css":
            continue
        found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*[;}])", sheet.read_text())
        assert found == [], sheet.name
