"""Links in messages lead to where people open the pages."""

from __future__ import annotations

import pytest

from driftline.errors import ConfigError
from monitor.cli.links import public_url
from monitor.config import load


@pytest.mark.parametrize(
    ("options", "link"),
    [
        ({}, "http://127.0.0.1:8050"),
        ({"web.host": "::1", "web.port": 9000}, "http://[::1]:9000"),
        # Where it listens everywhere, this machine can open it at least.
        ({"web.host": "0.0.0.0"}, "http://127.0.0.1:8050"),
        ({"web.host": "::"}, "http://[::1]:8050"),
        ({"web.url": "https://drift.example:8443/"}, "https://drift.example:8443"),
        ({"web.url": "https://example.org/drift", "web.port": 1}, "https://example.org/drift"),
    ],
)
def test_a_link_begins_as_set_or_as_host_and_port_say(
    options: dict[str, object], link: str
) -> None:
    assert public_url(load({}, options=options)) == link


def test_the_port_that_was_taken_counts_where_any_was_asked_for() -> None:
    settings = load({}, options={"web.port": 0})
    assert public_url(settings, port=45_123) == "http://127.0.0.1:45123"


@pytest.mark.parametrize(
    "url",
    [
        "drift.example",
        "ftp://drift.example",
        "https://",
        "http://a:99999",
        "http://[::1",
        "http://a b",
        "https://u:p@a",
        "https://a/?x=1",
        "https://a/#x",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_no_browser_opens_is_refused_with_its_source(url: str) -> None:
    with pytest.raises(ConfigError, match="an address such as https://") as caught:
        public_url(load({"DRIFTLINE_WEB__URL": url}))
    assert caught.value.source == "DRIFTLINE_WEB__URL"
