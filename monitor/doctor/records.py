"""Whether what producers write can be counted: the last records, by the rules of the consumer.

Pure: records and a registry in, lines out. Each reason is counted and told with its mend, and a
feature that the reference knows and no event has is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from consumers.admit import Admitted, Rules, admit
from consumers.source import Record
from driftline.program import command
from driftline.rows import EventRows, columns
from driftline.stats.profile import State as Cell
from monitor.doctor.check import Check, fail, ok, skipped, warn
from monitor.storage.registry import BoundVersion, Registry
from monitor.words import counted

# Names in one line.
SHOWN: Final = 6
# A feature that is absent from every event is a fault; from a few, that is how data are.
NONE_AT_ALL: Final = 1.0
CONTRACT: Final = "the event contract says what a record must be: GET /api/v1/schemas/event.json"


def parsing(records: Sequence[Record], rules: Rules) -> tuple[list[Check], Admitted]:
    """Return the line about how many of the records are events, and these."""
    admitted = admit(records, rules)
    name, refused = "records parse", sum(admitted.refused.values())
    n = len(records)
    if refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in admitted.refused.most_common())
        first = admitted.letters[0]
        detail = f"; the first: {first.detail}" if first.detail else ""
        said = f"of the last {counted(n, 'record')}: {reasons}{detail}"
        tell = warn if len(admitted) else fail
        return [tell(name, said, f"correct the producer; {CONTRACT}")], admitted
    hold = "record holds" if n == 1 else f"{n:,} records hold"
    return [ok(name, f"the last {hold} {counted(len(admitted), 'event')}")], admitted


def matching(admitted: Admitted, registry: Registry) -> Iterator[Check]:
    """Yield a line about each model version of the events: its reference, features, types."""
    name = "records match a reference"
    of_version: Counter[tuple[str, str]] = Counter()
    for code, (model, version, kind) in enumerate(admitted.names):
        if kind == "prediction":
            of_version[model, version] += int(np.count_nonzero(admitted.name_of == code))
    if not of_version:
        yield skipped(name, "there is no prediction among them")
        return
    for (model, version), count in of_version.most_common():
        bound = registry.versions.get((model, version))
        if bound is None or not bound.bindings:
            known = sorted(v for m, v in registry.versions if m == model)
            said = f"{counted(count, 'prediction')} of {model} {version}, which has no reference"
            if known:
                said += f"; {model} has {_some(known)}"
            yield fail(
                name, said,
                f"`{command('reference register')} FILE --model {model} --version {version}`, or "
                "correct the names in the producer",
            )  # fmt: skip
        else:
            yield _judged(name, admitted, registry, bound, count)


def _judged(
    name: str, admitted: Admitted, registry: Registry, bound: BoundVersion, count: int
) -> Check:
    codes = [
        code
        for code, found in enumerate(admitted.names)
        if found == (bound.model, bound.version, "prediction")
    ]
    places = np.flatnonzero(np.isin(admitted.name_of, codes))
    digest = bound.binding_at(int(admitted.times_ms[places].max()))
    assert digest is not None, "a version with a binding counts every time"
    features = registry.references[digest].gridset.features
    parts = admitted.rows(places)
    found, n_unknown = columns(parts, [(f.name, f.kind) for f in features])
    absent, wrong = [], []
    for feature in features:
        state = found[feature.name].state
        if state is None:
            continue
        if np.mean(state == Cell.ABSENT) >= NONE_AT_ALL:
            absent.append(feature.name)
        n_wrong = int(np.count_nonzero(state == Cell.TYPE_ERROR))
        if n_wrong:
            wrong.append(f"{feature.name} ({n_wrong:,} of {len(places):,} are not {feature.kind})")
    wanted = {feature.name for feature in features}
    unknown = sorted(
        {
            key
            for part in parts
            if isinstance(part, EventRows)
            for event in part.events
            for key in (event.features or {})
            if key not in wanted
        }
    )
    said = f"{counted(count, 'prediction')} of {bound.model} {bound.version}"
    faults = [
        f"{what}: {_some(names)}"
        for what, names in (("in no event", absent), ("of the wrong type", wrong))
        if names
    ]
    if n_unknown:
        faults.append(f"not in the reference: {_some(unknown) or counted(n_unknown, 'value')}")
    if not faults:
        return ok(name, f"{said}, {_all(len(features))} as in the reference")
    tell = fail if len(absent) == len(features) else warn
    return tell(
        name, f"{said}; " + "; ".join(faults),
        "write every feature under the reference's name and with its type, or register a reference "
        "of what is written now as a new version",
    )  # fmt: skip


def _all(n: int) -> str:
    return "its one feature" if n == 1 else f"all {counted(n, 'feature')}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    shown = [name[:80] for name in names[:SHOWN]]
    return ", ".join([*shown, *([f"{more:,} more"] if more > 0 else [])])
