"""PSI of all features at once, and the most that rows can make of it."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.stats import distance
from driftline.stats.groups import largest_psi, per_feature, psi_by_feature
from driftline.stats.reference import Reference, build_reference


@pytest.fixture(scope="module")
def reference() -> Reference:
    """A number, a skewed category (nothing unseen), and a column that is watched alone."""
    draw = np.random.default_rng(1)
    n = 3_000
    return build_reference(
        {
            "x": draw.normal(size=n),
            "c": draw.choice(list("abcd"), n, p=[0.9, 0.06, 0.03, 0.01]),
            "id": np.arange(n),
        }
    )


def test_each_feature_s_psi_is_that_of_its_groups_alone(reference: Reference) -> None:
    grids = reference.gridset
    r = grids.sum_groups(reference.profiles["all"].counts)[None, :]
    c = np.random.default_rng(2).integers(0, 50, (7, grids.n_groups))
    found, parts = psi_by_feature(grids, r, c)
    assert found.shape == (7, 3) and (per_feature(grids, c)[:, 2] == 0).all()
    for f, span in enumerate(grids.groups[:2]):
        np.testing.assert_allclose(found[:, f], distance.psi(r[0, span], c[:, span]), rtol=1e-12)
        np.testing.assert_allclose(parts[:, span].sum(axis=1), found[:, f], rtol=1e-12)
    assert (found[:, 2] == 0).all()


@pytest.mark.parametrize("n", [1, 30, 1_000, 100_000])
def test_the_largest_psi_is_that_of_all_rows_in_the_worst_known_group(
    reference: Reference, n: int
) -> None:
    """All of them unseen would be larger: that is what the unseen rate is for."""
    grids, draw = reference.gridset, np.random.default_rng(3)
    r = grids.sum_groups(reference.profiles["all"].counts)[None, :]
    found = largest_psi(grids, r, np.full((1, 3), n))[0]
    for f, span in enumerate(grids.groups[:2]):
        own = r[0, span]
        alone = distance.psi(own, n * np.eye(len(own), dtype=np.int64))
        assert found[f] == pytest.approx(alone[own > 0].max(), rel=1e-9)
        if f:
            assert own[-1] == 0 and alone[-1] > found[f]
        known = draw.dirichlet(np.full(int((own > 0).sum()), 0.2), 200)
        mixed = np.zeros((200, len(own)), np.int64)
        mixed[:, own > 0] = draw.multinomial(n, known)
        assert (distance.psi(own, mixed) <= found[f] * (1 + 1e-9)).all()
    assert found[2] == 0
