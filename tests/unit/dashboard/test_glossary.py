"""The glossary: a word that a page asks for is there, and says something short."""

from __future__ import annotations

import re
from pathlib import Path

import dashboard
from dashboard import parts
from dashboard.glossary import TERMS, explained

PAGES = Path(dashboard.__file__).parent
MAX_LENGTH = 220


def test_every_word_that_a_page_explains_is_in_the_table() -> None:
    text = "".join(file.read_text() for file in PAGES.rglob("*.py"))
    asked = re.findall(r'\bterm="([^"]+)"', text)
    asked += re.findall(r'\bterm\("[^"]+", "([^"]+)"', text)
    asked += re.findall(r'\bterm\("([^"]+)"\)', text)
    assert asked
    assert [word for word in asked if word.casefold() not in TERMS] == []


def test_an_explanation_is_short_and_a_sentence() -> None:
    assert list(TERMS) == sorted(TERMS)
    for word, said in TERMS.items():
        assert word == word.casefold()
        assert len(said) <= MAX_LENGTH, word
        assert said[0].isupper(), word
        assert said.endswith("."), word


def test_the_component_is_a_button_that_carries_its_explanation() -> None:
    found = parts.term("Natural wobble", "natural wobble").to_plotly_json()
    assert found["type"] == "Button"
    assert found["props"]["data-term"] == explained("natural wobble")
    assert found["props"]["aria-expanded"] == "false"
