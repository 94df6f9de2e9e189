"""History that was counted elsewhere, uploaded: the verbs of `driftline.Client` for it.

Chunks go in order, and each answer says what is there: whoever is cut short goes on where it was,
and nothing counts before all of it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from driftline import answers
from driftline.calling import Calling
from driftline.errors import ApiConflict, InvalidFrame
from driftline.history import Profiles, digest_after
from driftline.reading import _escaped, _typed

# Of one chunk; the server reads 4 MB and 2,000 panes.
CHUNK_BYTES: Final = 1_500_000
CHUNK_PANES: Final = 1_000
OCTETS: Final = "application/octet-stream"
# A year of hours in twenty segments is put in its place within a minute.
COUNT_S: Final = 600.0


class Uploading(Calling):
    """The half of `driftline.Client` that uploads history."""

    def upload_history(
        self,
        model: str,
        version: str | int,
        history: Profiles,
        *,
        upload: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> answers.Upload:
        """Put history that was counted elsewhere beside what the stream counts, and have it judged.

        It counts from the moment on at which all of it is there, all at once. This may be called
        again freely: what is there is not sent again, and never counts twice.

        Parameters
        ----------
        history
            What `driftline.spark.profile` counted, by time and on the version's reference.
        upload
            Its name; made of the content by default, so that the same history has the same.
        progress
            Told after each chunk how many are there, and of how many.

        Raises
        ------
        InvalidFrame
            There is nothing to upload, or it was counted without times.
        ApiConflict
            A stream or another upload has counted a part of that time (the message says which:
            `Profiles.between` leaves it out), the version is not counted on this reference, or
            other content was begun under this name.
        ApiError
            Panes of another length than the model's, or counts that do not add up.
        """
        if not len(history.panes):
            raise InvalidFrame("there is no history: nothing was counted")
        if any(start_ms is None for start_ms, _ in history.panes):
            raise InvalidFrame(
                "this history was counted without times: name the column of event times"
            )
        digests = [""]
        for chunk in _chunks(history):
            digests.append(digest_after(digests[-1], chunk))
        n = len(digests) - 1
        if upload is None:
            said = "\0".join((model, str(version), digests[-1]))
            upload = f"h-{hashlib.sha256(said.encode()).hexdigest()[:32]}"
        path = f"/api/v1/uploads/{_escaped(upload)}"
        asked = {
            "model": model, "version": str(version), "gridset": history.gridset,
            "pane_ms": history.pane_ms,
        }  # fmt: skip
        found = self._upload("PUT", path, content=msgspec.json.encode(asked))
        for number, chunk in enumerate(_chunks(history)):
            if number >= found.chunks and found.state == "open":
                _refuse_other(found, digests)
                found = self._upload(
                    "PUT", f"{path}/chunks/{number}", content=chunk, content_type=OCTETS
                )
            if progress is not None:
                progress(number + 1, n)
        _refuse_other(found, digests)
        meant = msgspec.json.encode({"chunks": n, "digest": digests[-1]})
        counted = self._call("POST", f"{path}/count", content=meant, patience_s=COUNT_S)
        return _typed(counted, answers.Upload)

    def uploads(self, model: str | None = None) -> list[answers.Upload]:
        """Return all uploads, or a model's, in the order in which they were begun."""
        found: list[answers.Upload] = []
        cursor = None
        while True:
            asked = {"model": model, "cursor": cursor}
            page = self._call(
                "GET", "/api/v1/uploads",
                params={name: value for name, value in asked.items() if value is not None},
            )  # fmt: skip
            found += _typed(page["items"], list[answers.Upload])
            cursor = page["next"]
            if cursor is None:
                return found

    def upload(self, upload: str) -> answers.Upload:
        """Return one upload, and of how many of its panes a stream has counted since, too."""
        return self._upload("GET", f"/api/v1/uploads/{_escaped(upload)}")

    def remove_upload(self, upload: str) -> answers.Upload:
        """Give an upload up, or take what it counted out again; that time is judged anew."""
        return self._upload("DELETE", f"/api/v1/uploads/{_escaped(upload)}", patience_s=COUNT_S)

    def _upload(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        content_type: str = "application/json",
        patience_s: float | None = None,
    ) -> answers.Upload:
        found = self._call(
            method, path, content=content, content_type=content_type, patience_s=patience_s
        )
        return _typed(found, answers.Upload)


def _chunks(history: Profiles) -> Iterator[bytes]:
    """Yield the panes in order of time and segment, some at a time; the same ones each time."""
    some: list[tuple[int, str, bytes]] = []
    size = 0
    packed = history.panes.packed()
    for key in sorted(packed, key=lambda key: (key[0] or 0, key[1])):
        start_ms, segment = key
        body = packed[key].body
        if some and (len(some) >= CHUNK_PANES or size + len(body) > CHUNK_BYTES):
            yield msgspec.msgpack.encode(some)
            some, size = [], 0
        some.append((start_ms or 0, segment, body))
        size += len(body) + len(segment)
    if some:
        yield msgspec.msgpack.encode(some)


def _refuse_other(found: answers.Upload, digests: list[str]) -> None:
    """Refuse to go on with what somebody else's content began."""
    if found.chunks >= len(digests) or found.digest != digests[found.chunks]:
        raise ApiConflict(
            409, f"upload {found.upload} was begun with other content",
            "remove_upload gives it up; or give this one another name",
        )  # fmt: skip
