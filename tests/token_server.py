"""An identity provider of the tests' own: client credentials in, a signed token out.

Its keys are made, and its tokens signed, by the `openssl` program. `GET /jwks` is what a broker
checks the tokens with.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote

ISSUER, AUDIENCE = "https://issuer.test", "kafka"


def encoded(raw: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TokenServer:
    """Listens on loopback; `clients` are ids and secrets.

    Attributes
    ----------
    life_s
        For how long a token holds.
    audience
        Whom tokens are for.
    asked
        The forms of the requests so far.
    """

    def __init__(self, folder: Path, clients: dict[str, str]) -> None:
        self.clients, self.life_s, self.audience = clients, 300.0, AUDIENCE
        self.asked: list[dict[str, str]] = []
        self._key = folder / "token.key"
        self._run("genrsa", "-out", str(self._key), "2048")
        said = self._run("rsa", "-in", str(self._key), "-noout", "-modulus").decode()
        self._modulus = bytes.fromhex(said.strip().partition("=")[2])
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                key = {
                    "kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256",
                    "n": encoded(outer._modulus), "e": encoded(b"\x01\x00\x01"),
                }  # fmt: skip
                self._answer(200, {"keys": [key]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                outer.asked.append(form)
                basic = base64.b64decode(self.headers["authorization"].split()[1]).decode()
                client, secret = map(unquote, basic.split(":", 1))
                if outer.clients.get(client) != secret:
                    words = f"wrong secret {secret}"  # a careless server
                    self._answer(401, {"error": "invalid_client", "error_description": words})
                    return
                token = outer.signed(client, form.get("scope", ""))
                self._answer(200, {"access_token": token, "expires_in": outer.life_s})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def signed(self, subject: str, scope: str) -> str:
        """A token of this issuer."""
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        body = {
            "iss": ISSUER, "aud": self.audience, "sub": subject, "scope": scope, "iat": now,
            "exp": now + int(self.life_s),
        }  # fmt: skip
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, body))
        mark = self._run("dgst", "-sha256", "-sign", str(self._key), "-binary", given=text.encode())
        return f"{text}.{encoded(mark)}"

    @staticmethod
    def _run(*words: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["openssl", *words], check=True, capture_output=True, timeout=60, input=given
        ).stdout

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
