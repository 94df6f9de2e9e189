"""The JSON Schema that ships in the wheel is the one that the code speaks of."""

from __future__ import annotations

import json
from pathlib import Path

import driftline
from driftline.events import JSON_SCHEMA

FILE = Path(driftline.__file__).parent / "schemas" / "event.json"


def test_the_file_is_the_schema_as_the_code_has_it() -> None:
    written = json.dumps(JSON_SCHEMA, indent=2, ensure_ascii=False) + "\n"
    assert FILE.read_text(encoding="utf-8") == written, f"write this to {FILE}"
