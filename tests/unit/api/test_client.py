"""The SDK's client against the real server on a real socket."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.engine import Engine

import driftline
from driftline import ApiError, Client, Conflict, InvalidReference, ServerUnavailable


@pytest.fixture
def url(engine: Engine, serve: Callable[[Engine], AbstractContextManager[str]]) -> Iterator[str]:
    with serve(engine) as address:
        yield address


def frame(shift: float = 0.0) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    return pd.DataFrame({"x": draw.normal(shift, 1, 1_500), "s": draw.random(1_500)})


def test_a_reference_registered_twice_is_one_reference(url: str) -> None:
    with Client(url) as client:
        first = client.register_reference("m", "1", frame(), score="s")
        again = client.register_reference(
            "m", "1", frame().sample(frac=1, random_state=1), score="s"
        )
        assert first.created
        assert not again.created
        assert first.digest == again.digest
        assert client.models()[0].versions[0].bindings[0].reference_digest == first.digest
        assert list(client.incidents()) == []
        assert client.status().models[0].health == "collecting"


def test_a_conflict_names_the_way_out(url: str) -> None:
    with Client(url) as client:
        client.register_reference("m", "1", frame(), score="s")
        with pytest.raises(ApiError, match="effective_from") as caught:
            client.register_reference("m", "1", frame(shift=1), score="s")
        assert caught.value.status == 409
        assert isinstance(caught.value, Conflict)
        with pytest.warns(UserWarning, match="read as UTC"):
            client.register_reference(
                "m", "1", frame(shift=1), score="s", effective_from=datetime(2030, 1, 1)
            )


def test_a_version_may_be_a_number_and_the_answer_says_what_was_taken(url: str) -> None:
    with Client(url) as client:
        data = frame().assign(at=pd.date_range("2025-01-01", periods=1_500, freq="h", tz="UTC"))
        found = client.register_reference("m", 3, data, score="s", timestamp="at")
        assert client.models()[0].versions[0].version == "3"
        assert (found.features, found.rows) == (("x",), 1_500)
        assert found.first == datetime(2025, 1, 1, tzinfo=UTC)
        for wrong in (True, None, 3.0):
            with pytest.raises(ApiError):
                client.register_reference("m", wrong, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["127.0.0.1:8050", "localhost", "ftp://x", ""])
def test_an_address_without_http_says_what_to_write(address: str) -> None:
    with pytest.raises(ApiError, match="write http:// before it"):
        Client(address)


def test_data_that_cannot_be_a_reference_never_reaches_the_server(url: str) -> None:
    with Client(url) as client, pytest.raises(InvalidReference):
        client.register_reference("m", "1", frame().head(0))


def test_an_instant_before_the_first_year_is_refused() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(InvalidReference, match="years 1"):
        client.register_reference("m", "1", frame(), effective_from="0001-01-01T00:00:00+10:00")


def test_an_absent_server_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftline.asking.RETRY_WAITS_S", (0.0,))
    with Client("http://127.0.0.1:9", timeout_s=1) as client:
        with pytest.raises(ServerUnavailable, match="driftline up") as caught:
            client.models()
        assert "\n" not in str(caught.value)


def test_a_server_that_is_restarting_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftline.asking.RETRY_WAITS_S", (0.0, 0.0))
    answers = [(503, b"{}"), (200, b'{"items": [], "next": null}')]

    class Flaky(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Flaky)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            assert client.models() == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def test_a_long_answer_is_waited_for_and_never_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("driftline.asking.RETRY_WAITS_S", (0.0, 0.0))
    asked: list[str] = []
    is_over = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            is_over.wait(20)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        monkeypatch.setattr("driftline.setting.BACKTEST_S", 0.2)
        with (
            Client(f"http://127.0.0.1:{server.server_port}", timeout_s=5) as client,
            pytest.raises(ServerUnavailable, match=r"not answered within 0\.2 s: it is there"),
        ):
            client.backtest("m", profile="quiet")
        assert asked == ["/api/v1/models/m/monitor/backtest"]
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "httpx2", "sqlalchemy")
    script = f"import driftline, sys; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "[]"


def test_every_public_name_is_there_and_every_error_is_public() -> None:
    for name in driftline.__all__:
        assert getattr(driftline, name) is not None
    from driftline import errors

    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DriftlineError)
    }
    assert tree <= set(driftline.__all__)
