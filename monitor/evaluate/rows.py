"""From judged windows to rows: findings, the distances beside them, the verdict on the model."""

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
    judged: Judged, version_id: int, places: Sequence[int], alarming: Sequence[set[str]]
) -> Columns:
    """Return the finding rows of the windows at `places` by column, without the measures.

    `alarming[i]` holds the features with a closed latch after window `places[i]`.
    """
    j = judged.judgement
    chosen = np.asarray(places, dtype=np.intp)
    features = np.tile(np.arange(len(judged.names)), len(chosen))

    def flat(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(values[chosen]).ravel()

    columns = _keys(judged, version_id, np.repeat(chosen, len(judged.names)), features)
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
    return columns | {
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


def _keys(
    judged: Judged, version_id: int, windows: NDArray[np.intp], features: NDArray[np.intp]
) -> Columns:
    """Return what names each row, a window and a feature."""
    starts = np.array([window.start_ms for window in judged.due], np.int64)
    segments = [window.segment for window in judged.due]
    return {
        "version_id": np.full(len(windows), version_id, np.int64),
        "length": [judged.length] * len(windows),
        "start_ms": starts[windows],
        "segment": [segments[place] for place in windows.tolist()],
        "feature": [judged.names[place] for place in features.tolist()],
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


def measure_columns(
    judged: Judged, reference: Reference, version_id: int, places: Sequence[int]
) -> Columns:
    """Return what stands beside the findings of the windows at `places`, where values were there.

    By column; none where nothing was measured.
    """
    j = judged.judgement
    if j.measures is None:
        return {}
    chosen = np.asarray(places, dtype=np.intp)
    which, features = np.nonzero(j.values[chosen] > 0)
    windows = chosen[which]
    columns = _keys(judged, version_id, windows, features)
    columns |= {name: getattr(j.measures, name)[windows, features] for name in MEASURES}
    return columns | {"parts": _parts(j, reference, windows, features)}


def _parts(
    judgement: Judgement,
    reference: Reference,
    windows: NDArray[np.intp],
    features: NDArray[np.intp],
) -> list[str | None]:
    """Return what each group adds to PSI as JSON, for pairs of a window and a feature.

    None where there is no PSI: a feature never has one, or the window has too few values for it.
    """
    spans = reference.gridset.groups
    texts = {}
    for place in np.unique(windows).tolist():
        parts = round_significant(judgement.parts[place], PART_DIGITS).tolist()
        # All features at once, "[[1,2],[3]]", which is taken apart where one ends.
        text = msgspec.json.encode([parts[span] for span in spans]).decode()
        texts[place] = [f"[{part}]" for part in text[2:-2].split("],[")]
    has_psi = ~np.isnan(judgement.psi[windows, features])
    return [
        texts[place][feature] if there else None
        for place, feature, there in zip(
            windows.tolist(), features.tolist(), has_psi.tolist(), strict=True
        )
    ]


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
    own = [name for name in reference.gridset.names() if name not in reference.prediction]
    drifted = {name for name in own if name in alarming}
    concerned = {name for name in own if name in judged} | drifted
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
    total = sum(importance.get(name, 0.0) for name in sorted(judged))
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
