r"""A rejected record's beginning, made visible: what its bytes are, and where the fault is.

What arrives here was written by anybody. Nothing of it is markup, nothing of it is
obeyed: control characters, bytes that are no UTF-8 and characters that turn writing
around are shown as escapes, and the reader can tell an escape from text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from dashboard.words import UNSEEN, ZWJ

# As much as anybody reads; a server may keep more of a record.
SHOWN_BYTES: Final = 4_096
# A fault is marked to the end of its word, and no further than this.
FAULT_CHARACTERS: Final = 24
BOM: Final = b"\xef\xbb\xbf"
# Where Python's decoders say that a fault is.
_BYTE: Final = re.compile(r"at byte (\d+)")
_DECODE: Final = re.compile(r"can't decode bytes? .*?in position (\d+)")
_CHAR: Final = re.compile(r"\(char (\d+)\)")
_KEYS: Final = {
    "type_unknown": b"type",
    "model_invalid": b"model",
    "version_invalid": b"version",
    "time_no_offset": b"time",
    "time_invalid": b"time",
    "time_out_of_range": b"time",
    "time_in_future": b"time",
    "features_invalid": b"features",
}
_VALUE: Final = rb'\s*:\s*("(?:[^"\\]|\\.)*+"?|[^,}\s]+)'
_NEWLINE: Final = "\\n\n"
_SURROGATE: Final = re.compile(r"can't encode characters? '\\+u(d[89a-f][0-9a-f]{2})")
_END_OF_WORD: Final = re.compile(r"[\s,{}\[\]]")


@dataclass(frozen=True)
class Run:
    """Some characters of one look: text, an escape, or the fault."""

    kind: str  # text | escape | fault
    text: str


@dataclass(frozen=True)
class Shown:
    """A payload ready to draw.

    Attributes
    ----------
    runs
        What to draw, in order.
    copied
        The same as text, escapes included: safe to paste anywhere.
    is_cut
        Whether the record goes on.
    fault
        Byte of the fault, None where nobody said; it may lie beyond what is shown.
    is_marked
        Whether the fault is among the runs.
    """

    runs: tuple[Run, ...]
    copied: str
    shown_bytes: int
    is_cut: bool
    fault: int | None
    is_marked: bool


def show(payload: bytes, size_bytes: int, reason: str, detail: str) -> Shown:
    """Return what of a payload is shown, and how."""
    head = _whole_characters(payload[:SHOWN_BYTES], is_end=len(payload) >= size_bytes)
    span = fault_span(payload, reason, detail)
    fault = None if span is None else span[0]
    pieces = _pieces(head)
    runs, is_marked = _marked(pieces, span)
    if span is not None and fault is not None and not is_marked and fault >= size_bytes:
        # The decoder wanted more than there is.
        runs.append(Run("fault", "end of record"))
        is_marked = True
    return Shown(
        runs=tuple(runs),
        copied="".join("\n" if text == _NEWLINE else text for _, _, text in pieces),
        shown_bytes=len(head),
        is_cut=len(head) < size_bytes,
        fault=fault,
        is_marked=is_marked,
    )


def fault_span(payload: bytes, reason: str, detail: str) -> tuple[int, int | None] | None:
    """Return the bytes at fault: where they begin, and where they end if that is known.

    Either the detail names a place, or the reason names a key that stands there once.
    """
    skipped = len(BOM) if payload.startswith(BOM) else 0
    if found := _BYTE.search(detail):
        return int(found[1]), None
    if found := _DECODE.search(detail):
        return int(found[1]) + skipped, None
    if found := _CHAR.search(detail):
        return _byte_of(payload[skipped:], int(found[1])) + skipped, None
    if found := _SURROGATE.search(detail):
        escape = re.search(rb"\\u" + found[1].encode(), payload, re.IGNORECASE)
        return None if escape is None else escape.span()
    key = _KEYS.get(reason)
    if key is None:
        return None
    places = list(re.finditer(rb'"' + key + rb'"' + _VALUE, payload[:SHOWN_BYTES]))
    # Among features there may be one of that name, too: then nobody can say.
    return places[0].span(1) if len(places) == 1 else None


def _byte_of(payload: bytes, characters: int) -> int:
    """Return the byte at which a character begins, counted as Python's decoder counts."""
    text = payload.decode("utf-8", "replace")
    return len(text[:characters].encode("utf-8", "replace")) + max(0, characters - len(text))


def _whole_characters(head: bytes, *, is_end: bool) -> bytes:
    """Leave out the beginning of a character that was cut through."""
    if is_end:
        return head
    for back in range(1, min(4, len(head)) + 1):
        byte = head[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return head[:-back] if needed > back else head
    return head


def _pieces(head: bytes) -> list[tuple[int, str, str]]:
    """Return (first byte, kind, text) of each character or byte."""
    found = []
    at = 0
    while at < len(head):
        try:
            text = head[at:].decode()
            rest = b""
        except UnicodeDecodeError as error:
            text = head[at : at + error.start].decode()
            rest = head[at + error.start : at + error.end]
        for character in text:
            kind, shown = _visible(character)
            found.append((at, kind, shown))
            at += len(character.encode())
        for byte in rest:
            found.append((at, "escape", f"\\x{byte:02x}"))
            at += 1
    return found


def _visible(character: str) -> tuple[str, str]:
    if character == "\n":
        return "escape", _NEWLINE
    if character == "\t":
        return "escape", "\\t"
    if character == "\r":
        return "escape", "\\r"
    if unicodedata.category(character) in (*UNSEEN, "Zl", "Zp", "Co") and character != ZWJ:
        code = ord(character)
        return "escape", f"\\x{code:02x}" if code < 256 else f"\\u{{{code:x}}}"
    return "text", character


def _marked(
    pieces: list[tuple[int, str, str]], span: tuple[int, int | None] | None
) -> tuple[list[Run], bool]:
    runs: list[Run] = []
    is_marked = False
    left = 0
    for at, kind, text in pieces:
        if span is not None:
            first, last = span
            if last is not None:
                is_fault = first <= at < last
            elif at >= first and (left or not is_marked):
                if not is_marked:
                    # Of something that is no text only itself is at fault.
                    left = FAULT_CHARACTERS if kind == "text" else 1
                elif _END_OF_WORD.match(text) or kind == "escape":
                    left = 0
                is_fault = left > 0
                left = max(0, left - 1)
            else:
                is_fault = False
            if is_fault:
                kind, is_marked = "fault", True
        if runs and runs[-1].kind == kind:
            runs[-1] = Run(kind, runs[-1].text + text)
        else:
            runs.append(Run(kind, text))
    return runs, is_marked
