"""The fold of verdicts: marks of consecutive windows in, states and latches out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from driftline.stats.episodes import QUIET, Latch, State, step
from driftline.stats.judgement import Mark
from monitor.windows.calendar import NOMINAL_MS

LEVELS = ("warning", "critical")


class Key(NamedTuple):
    """What has a ring and a latch of its own within one segment and length."""

    feature: str
    statistic: str
    level: str


States = dict[Key, State]


class Marked(NamedTuple):
    """A window as the fold sees it.

    `exceeding` lists (feature, statistic) above a limit; `of` gives the marks
    (warning, critical) of any other. A statistic that is quiet so far and does
    not exceed changes nothing, so most are never asked for.
    """

    start_ms: int
    end_ms: int
    exceeding: Sequence[tuple[str, str]]
    of: Callable[[str, str], tuple[int, int]]


@dataclass(frozen=True)
class Folded:
    """What the fold gives: the states after each window, the latches that ended, the alarms."""

    states: list[States]  # one a window
    ended: list[tuple[Key, Latch]]

    def alarming(self, place: int) -> set[str]:
        """Return the features with an open latch after window `place`."""
        return {key.feature for key, state in self.states[place].items() if state.latch is not None}


def fold(before: States, windows: Sequence[Marked], length: str) -> Folded:
    """Fold `windows`, in the order of their starts, onto the states before the first of them.

    A state that would be quiet is not kept: most features have none.
    """
    nominal_ms = NOMINAL_MS[length]
    states: list[States] = []
    ended: list[tuple[Key, Latch]] = []
    current = before
    for window in windows:
        after: States = {}
        concerned = {(key.feature, key.statistic) for key in current}
        for feature, statistic in sorted(concerned.union(window.exceeding)):
            marks = window.of(feature, statistic)
            for level, mark in zip(LEVELS, marks, strict=True):
                key = Key(feature, statistic, level)
                state, over = step(
                    current.get(key, QUIET), window.start_ms, window.end_ms, mark, nominal_ms
                )
                if over is not None:
                    ended.append((key, over))
                if not state.is_quiet:
                    after[key] = state
        states.append(after)
        current = after
    return Folded(states, ended)


def states_to_json(states: States) -> dict[str, Any]:
    """Return a form JSON can hold."""
    return {"\x1f".join(key): state.to_json() for key, state in sorted(states.items())}


def states_from_json(body: Mapping[str, Any]) -> States:
    """Read `states_to_json`'s form back."""
    out: States = {}
    for name, state in body.items():
        feature, statistic, level = name.rsplit("\x1f", 2)
        out[Key(feature, statistic, level)] = State.from_json(state)
    return out


def marks_to_text(marks: Mapping[str, tuple[int, int]]) -> str:
    """Return the stored form of one feature's marks.

    Examples
    --------
    >>> marks_to_text({"psi": (Mark.EXCEEDS, Mark.CLEAR), "unseen": (0, 0)})
    'psi=ec'
    """
    return " ".join(
        f"{statistic}={Mark.LETTERS[warning]}{Mark.LETTERS[critical]}"
        for statistic, (warning, critical) in marks.items()
        if warning or critical
    )


def marks_from_text(text: str) -> dict[str, tuple[int, int]]:
    """Read `marks_to_text`'s form back.

    Examples
    --------
    >>> marks_from_text("psi=ec")
    {'psi': (3, 1)}
    """
    out = {}
    for part in text.split():
        statistic, letters = part.split("=")
        out[statistic] = (Mark.LETTERS.index(letters[0]), Mark.LETTERS.index(letters[1]))
    return out
