"""Certificates of the tests' own, made by the `openssl` program: nobody else trusts them."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority in a folder; `file` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test-ca",
            "-keyout", str(self._key), "-out", str(self.file),
        )  # fmt: skip

    def certificate(self, name: str, alternative: str = "IP:127.0.0.1", days: int = 2) -> Path:
        """Return one PEM file with a key and a certificate that bears the alternative name."""
        key, request = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        signed, both = self._folder / f"{name}.crt", self._folder / f"{name}.pem"
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={alternative}", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.file), "-CAkey", str(self._key),
            "-CAcreateserial", "-days", str(days), "-copy_extensions", "copy", "-out", str(signed),
        )  # fmt: skip
        both.write_bytes(key.read_bytes() + signed.read_bytes())
        return both


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
