"""The list of models as a browser draws it: its words fit where they stand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Visit
from sqlalchemy.engine import Engine

pytestmark = pytest.mark.browser

# Whether an element is in sight and no letter of it is cut off.
FITS = """node => node.getClientRects().length > 0
    && node.scrollWidth <= node.clientWidth && node.scrollHeight <= node.clientHeight + 1"""


@pytest.mark.parametrize("width", [1440, 1280, 768, 390])
def test_the_share_by_importance_is_read_at_every_width(
    visit: Callable[..., Visit], living_site: tuple[str, Engine], width: int
) -> None:
    one = visit(living_site[0], "light", width)
    assert one.look("/", "overview", axe=False) == []
    if width < 768:
        said = one.page.locator(".model-card .sub", has_text="by importance")
    else:
        said = one.page.locator('.ag-cell[col-id="drifted"] .sub', has_text="weighted")
    said.first.wait_for()
    assert said.count() == 2
    for n in range(2):
        assert said.nth(n).evaluate(FITS), said.nth(n).inner_text()
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
