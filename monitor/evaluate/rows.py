"""From judged windows to rows: findings, and the verdict on the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import RATES
from driftline.stats.evidence import round_significant
from driftline.stats.explain import PART_DIGITS
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.measures import MEASURES
from driftline.stats.reference import Reference
from monitor.detect.fold import States, marks_to_text
from monitor.evaluate.judging import Judged
from monitor.storage.many import Column

Columns = dict[str, Column]


def finding_columns(
    judged: Judged,
    reference: Reference,
    version_id: int,
    places: Sequence[int],
    alarming: Sequence[set[str]],
) -> Columns:
    """Return the finding rows of the windows at `places` by column.

    `alarming[i]` holds the features with a closed latch after window `places[i]`.
    """
    j = judged.judgement
    chosen = np.asarray(places, dtype=np.intp)

    def flat(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(values[chosen]).ravel()

    columns = _keys(judged, version_id, places)
    columns |= {
        "rows": np.repeat(j.rows[chosen], len(judged.names)),
        "n": flat(j.values),
        "psi": flat(j.psi),
        "psi_limit": flat(j.psi_limit),
        "psi_critical": flat(j.psi_critical),
        "psi_lower": flat(j.psi_lower),
        "ks_low": flat(j.ks_low),
        "ks_high": flat(j.ks_high),
    }
    for rate in RATES:
        columns[rate] = flat(j.rates[rate].value)
        columns[f"{rate}_excess"] = flat(j.rates[rate].excess)
        columns[f"{rate}_limit"] = flat(j.rates[rate].limit)
    marks, exceeds = _mark_texts(j, chosen)
    columns |= {
        "ratio": flat(j.ratio),
        "evidence": flat(j.evidence).tolist(),
        "visible": flat(judged.visible),
        "verdict": flat(j.verdict).tolist(),
        "marks": marks,
        "exceeds": exceeds,
        "is_alarming": np.array(
            [name in alarms for alarms in alarming for name in judged.names], np.bool_
        ),
    }
    return columns | _measure_columns(j, reference, chosen)


def _keys(judged: Judged, version_id: int, places: Sequence[int]) -> Columns:
    """Return what names each row: every feature of one window after the other."""
    windows, n = [judged.due[place] for place in places], len(judged.names)
    return {
        "version_id": np.full(len(windows) * n, version_id, np.int64),
        "length": [judged.length] * (len(windows) * n),
        "start_ms": np.repeat(np.array([window.start_ms for window in windows], np.int64), n),
        "segment": [window.segment for window in windows for _ in judged.names],
        "feature": [*judged.names] * len(windows),
    }


def _mark_texts(judgement: Judgement, chosen: NDArray[np.intp]) -> tuple[list[str], list[str]]:
    """Return the stored form of the marks and the names of what exceeds, a window and feature each.

    There are few different combinations, so each is put into words once.
    """
    names = tuple(judgement.marks)
    marks = np.stack([judgement.marks[name][chosen] for name in names], axis=-2)
    flat = np.ascontiguousarray(marks.reshape(-1, 2 * len(names)))
    whole = flat.view(np.dtype((np.void, flat.shape[1]))).ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    texts, over = [], []
    for at in first:
        pairs = {
            name: (int(flat[at, 2 * place]), int(flat[at, 2 * place + 1]))
            for place, name in enumerate(names)
        }
        texts.append(marks_to_text(pairs))
        over.append(",".join(name for name, pair in pairs.items() if Mark.EXCEEDS in pair))
    places = inverse.ravel().tolist()
    return [texts[place] for place in places], [over[place] for place in places]


def _measure_columns(
    judgement: Judgement, reference: Reference, chosen: NDArray[np.intp]
) -> Columns:
    """Return what else is known of each distance, where values were there.

    No column where nothing was measured.
    """
    measures = judgement.measures
    if measures is None:
        return {}
    has_values = judgement.values[chosen] > 0
    made: Columns = {
        name: np.where(has_values, getattr(measures, name)[chosen], np.nan).ravel()
        for name in MEASURES
    }
    return made | {"parts": _parts(judgement, reference, chosen)}


def _parts(
    judgement: Judgement, reference: Reference, chosen: NDArray[np.intp]
) -> list[str | None]:
    """Return what each group adds to PSI as JSON, every feature of one window after the other.

    None where there is no PSI: a feature never has one, or the window has too few values for it.
    """
    spans = reference.gridset.groups
    out: list[str | None] = []
    all_parts = round_significant(judgement.parts[chosen], PART_DIGITS).tolist()
    all_there = (~np.isnan(judgement.psi[chosen])).tolist()
    for parts, there in zip(all_parts, all_there, strict=True):
        # All features at once, "[[1,2],[3]]", which is taken apart where one ends.
        text = msgspec.json.encode([parts[span] for span in spans]).decode()
        texts = text[2:-2].split("],[")
        out += [
            f"[{part}]" if has_psi else None for part, has_psi in zip(texts, there, strict=True)
        ]
    return out


def model_row(
    reference: Reference,
    states: States,
    alarming: Collection[str],
    judged: Collection[str],
    verdicts: Collection[str],
) -> tuple[int, int, float | None, float | None, str]:
    """Return judged, drifted, share, weighted share and verdict of all features together.

    Parameters
    ----------
    states, alarming
        The fold's after the window, and the features with an open latch.
    judged
        Features of which any statistic was evaluated in the window.
    verdicts
        Those of its findings.
    """
    own = set(reference.gridset.names()).difference(reference.prediction)
    drifted = own.intersection(alarming)
    concerned = own.intersection(judged) | drifted
    share = len(drifted) / len(concerned) if concerned else None
    return (
        len(concerned),
        len(drifted),
        None if share is None else _rounded(share),
        _weighted(reference.importance, drifted, concerned),
        _verdict(states, drifted, verdicts, is_judged=bool(concerned)),
    )


def _weighted(
    importance: Mapping[str, float], drifted: Collection[str], judged: Collection[str]
) -> float | None:
    total = sum(importance.get(name, 0.0) for name in sorted(judged)) if importance else 0.0
    if total <= 0:
        return None
    return _rounded(sum(importance.get(name, 0.0) for name in sorted(drifted)) / total)


def _rounded(value: float) -> float:
    return float(round_significant(np.array(value)))


def _verdict(
    states: States, drifted: Collection[str], verdicts: Collection[str], *, is_judged: bool
) -> str:
    """Return the worst that stands of a feature; where nothing does, what kept it from it."""
    levels = {
        key.level
        for key, state in states.items()
        if state.latch is not None and key.feature in drifted
    }
    if levels:
        return "critical" if "critical" in levels else "warning"
    if is_judged:
        return "uncalibrated" if "uncalibrated" in verdicts else "ok"
    return next((v for v in ("collecting", "blind") if v in verdicts), "insufficient_data")
