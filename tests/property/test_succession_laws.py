"""Who took over from whom hangs on the log and on promotions, never on when it is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.stats.episodes import KEPT, Latch
from monitor.detect.incidents import IncidentState, Member, derive
from monitor.detect.succession import Successor, Takeover, relieved, successors_of, takeovers
from monitor.windows.panes import HOUR_MS

HOURS = 24 * 12


@dataclass(frozen=True)
class Promotion:
    id: int
    version_id: int
    replaces_version_id: int | None
    effective_ms: int


@st.composite
def spells(draw: st.DrawFn) -> np.ndarray:
    """Hours in which a version had predictions: some stretches, with pauses between them."""
    lengths = draw(st.lists(st.integers(1, 90), min_size=1, max_size=9))
    is_on = np.resize([True, False], len(lengths))
    hours = np.repeat(is_on if draw(st.booleans()) else ~is_on, lengths)[:HOURS]
    return np.flatnonzero(hours).astype(np.int64) * HOUR_MS


heirs = st.lists(
    st.tuples(
        st.builds(
            lambda version, first, lasts: Successor(
                version, first * HOUR_MS, None if lasts is None else (first + lasts) * HOUR_MS
            ),
            st.integers(2, 4),
            st.integers(0, HOURS),
            st.none() | st.integers(1, 100),
        ),
        spells(),
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(spells(), heirs, st.integers(0, HOURS + 50), st.integers(0, 100))
def test_what_is_known_stays_true_when_more_is_known(
    own: np.ndarray, others: list, clock: int, later: int
) -> None:
    before = takeovers(own, others, HOUR_MS, clock * HOUR_MS)
    after = takeovers(own, others, HOUR_MS, (clock + later) * HOUR_MS)
    assert len(before) <= len(after)
    for known, then in zip(before, after, strict=False):
        assert replace(then, until_ms=None) == replace(known, until_ms=None)
        # One that lasted may have ended meanwhile; no end moves.
        assert known.until_ms in (None, then.until_ms)


@settings(max_examples=300, deadline=None)
@given(spells(), heirs, st.integers(0, HOURS + 50))
def test_a_version_is_relieved_only_while_it_has_nothing_and_its_successor_has(
    own: np.ndarray, others: list, clock: int
) -> None:
    for found in takeovers(own, others, HOUR_MS, clock * HOUR_MS):
        until_ms = clock * HOUR_MS if found.until_ms is None else found.until_ms
        assert found.since_ms < found.sure_ms <= until_ms
        assert not ((own >= found.since_ms) & (own < until_ms)).any()
        assert any(
            heir.version_id == found.by_version_id
            and heir.from_ms <= found.since_ms
            and (heir.until_ms is None or found.since_ms < heir.until_ms)
            and found.since_ms in starts
            for heir, starts in others
        )


@st.composite
def latches(draw: st.DrawFn) -> Member:
    starts = sorted(
        draw(st.lists(st.integers(0, HOURS), min_size=2, max_size=KEPT + 10, unique=True))
    )
    windows = tuple((at * HOUR_MS, (at + 1) * HOUR_MS) for at in starts)
    last_ms = windows[-1][1]
    closed_ms = None if draw(st.booleans()) else last_ms + 3 * HOUR_MS
    latch = Latch(
        windows[1][1], windows[:KEPT], last_ms, closed_ms, None if closed_ms is None else "cleared"
    )
    return Member("psi", "hour", draw(st.sampled_from(["warning", "critical"])), latch)


@st.composite
def stretches(draw: st.DrawFn) -> list[Takeover]:
    edges = sorted(draw(st.lists(st.integers(0, HOURS + 20), max_size=6, unique=True)))
    found = []
    for first, last in zip(edges[::2], edges[1::2], strict=False):
        sure = draw(st.integers(first + 1, max(first + 1, last)))
        found.append(Takeover(first * HOUR_MS, sure * HOUR_MS, max(last, sure) * HOUR_MS, 2))
    if len(edges) % 2:
        found.append(Takeover(edges[-1] * HOUR_MS, (edges[-1] + 2) * HOUR_MS, None, 2))
    return [
        one for at, one in enumerate(found) if all(_apart(one, then) for then in found[at + 1 :])
    ]


def _apart(one: Takeover, after: Takeover) -> bool:
    return one.until_ms is not None and one.until_ms < after.since_ms


@settings(max_examples=400, deadline=None)
@given(st.lists(latches(), max_size=4), stretches())
def test_nothing_stands_of_a_version_that_is_relieved(
    members: list[Member], found: list[Takeover]
) -> None:
    left = relieved(members, found)
    known = {window for member in members for window in member.latch.exceeding}
    for member in left:
        # What shows it are windows that were judged, and before it was told.
        assert known.issuperset(member.latch.exceeding)
        assert any(end <= member.latch.opened_ms for _, end in member.latch.exceeding)
        for takeover in found:
            opened_ms, closed_ms = member.latch.opened_ms, member.latch.closed_ms
            end_ms = np.inf if takeover.until_ms is None else takeover.until_ms
            assert not takeover.sure_ms <= opened_ms < end_ms
            if opened_ms < takeover.since_ms:
                assert closed_ms is not None and closed_ms <= takeover.since_ms
    for incident in derive(left):
        if found and found[-1].until_ms is None:
            assert incident.resolved_ms is not None
            assert incident.state in (IncidentState.RESOLVED, IncidentState.SUPERSEDED)
    # What was over before anybody took over is what it was.
    first_ms = min((one.since_ms for one in found), default=None)
    for member in members:
        if first_ms is None or (member.latch.closed_ms or np.inf) <= first_ms:
            assert member in left


promotions = st.lists(
    st.builds(
        Promotion,
        st.integers(1, 1_000_000),
        st.integers(1, 4),
        st.none() | st.integers(1, 4),
        st.integers(0, 50),
    ),
    max_size=7,
    unique_by=(lambda p: p.effective_ms, lambda p: p.id),
)


@settings(max_examples=300, deadline=None)
@given(promotions, st.randoms())
def test_successors_do_not_depend_on_the_order_of_promotions(made: list, random) -> None:  # type: ignore[no-untyped-def]
    found = successors_of(1, made)
    mixed = list(made)
    random.shuffle(mixed)
    assert set(successors_of(1, mixed)) == set(found)
    for heir in found:
        assert heir.version_id != 1
        assert heir.until_ms is None or heir.from_ms < heir.until_ms
        # Somebody replaced it at all, and not later than from then on.
        assert any(p.replaces_version_id == 1 and p.effective_ms <= heir.from_ms for p in made)


def test_a_long_line_of_versions_is_followed_to_its_end() -> None:
    line = [Promotion(n, n + 1, n, n * 10) for n in range(1, 5_000)]
    found = successors_of(1, line)
    assert [heir.version_id for heir in found] == list(range(2, 5_001))
    assert found[-1] == Successor(5_000, 49_990, None)
    # Two that relieve each other again and again relieve a third one once.
    turns = [Promotion(n, 2 + n % 2, 3 - n % 2, n * 10) for n in range(2, 3_000)]
    assert len(successors_of(1, [Promotion(1, 3, 1, 10), *turns])) == 2_999
    # One that follows a version which was promoted twice is reached twice, and at one time.
    twice = [Promotion(1, 2, 1, 0), Promotion(2, 2, 1, 5), Promotion(3, 4, 2, 10)]
    assert successors_of(1, twice)[-1] == Successor(4, 10, None)
