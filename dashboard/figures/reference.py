"""A small picture of a distribution as one box and a path: a hundred of them cost no chart."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.figures.factory import Figure

# Rare values stay visible: heights are drawn as square roots, as on the feature's page.
LEAST = 0.06


def outline(heights: Sequence[float]) -> Figure:
    """Return the style of a box in the shape of columns, the largest 1.

    >>> outline([1.0, 0.25])["clipPath"]
    'polygon(0% 100%, 0% 0.0%, 46% 0.0%, 46% 100%, 50% 100%, 50% 50.0%, 96% 50.0%, 96% 100%)'
    """
    if not heights:
        return {}
    width = 100 / len(heights)
    gap = 0.08 * width if len(heights) < 16 else 0.0
    points = []
    for at, height in enumerate(heights):
        left, right = at * width, (at + 1) * width - gap
        top = 100 * (1 - max(LEAST, height**0.5)) if height > 0 else 100.0
        points += [(left, "100%"), (left, f"{top:.1f}%"), (right, f"{top:.1f}%"), (right, "100%")]
    corners = ", ".join(f"{x:.4g}% {y}" for x, y in points)
    return {"clipPath": f"polygon({corners})"}
