"""The document of a reference comes back as it was registered."""

from __future__ import annotations

import pytest

from driftline import Client
from driftline.errors import ApiError


def test_a_reference_comes_back_to_be_counted_with(sdk: Client) -> None:
    for listed in sdk.references():
        found = sdk.reference_document(listed.digest[:10])
        assert (found.digest, found.rows) == (listed.digest, listed.rows)
    with pytest.raises(ApiError, match="reference"):
        sdk.reference_document("c0ffee00")
