"""Dead letters that are sent again: the verbs of `driftline.Client` about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from driftline import answers
from driftline.calling import Calling
from driftline.reading import When, _range, _typed

# Of ids in one request.
_TOGETHER = 500


class Letters(Calling):
    """The half of `driftline.Client` that writes dead letters again."""

    def accept_dead_letters(self, topic: str | None = None) -> list[answers.Stopped]:
        """Let consumers go on that stopped since most could not be read; return which had.

        What cannot be read goes by as dead letters until most can be read again. A consumer that
        ended is started by whoever runs it (`driftline up` does).
        """
        params = {} if topic is None else {"topic": topic}
        found = self._call("POST", "/api/v1/dead-letters/accept", params=params)
        return _typed(found["items"], list[answers.Stopped])

    def replay_dead_letters(
        self,
        ids: Sequence[str] = (),
        *,
        reason: str | None = None,
        topic: str | None = None,
        model: str | None = None,
        start: When = None,
        end: When = None,
        everything: bool = False,
        in_doubt: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> answers.Replay:
        """Write dead letters to the topic again, as new records; each at most once.

        What is given must all hold. Only what was kept whole is sent, byte for byte; the others
        are counted by why not. What fails again becomes a new dead letter. This may be retried
        freely: what was sent is not sent again.

        Parameters
        ----------
        ids
            These; `id` of `dead_letters`.
        model
            Those that name this model, as far as they can be read.
        start, end
            When they were set aside, `[start, end)`.
        everything
            Every one; needed where nothing else is given.
        in_doubt
            Those, too, that were being sent when something broke: if one had arrived, it is in
            the topic twice then.
        dry_run
            Tell what would be sent, and send nothing.
        progress
            Called with how many were looked at since the last call.

        Raises
        ------
        ServerUnavailable
            The server or its broker cannot be reached. What was sent before is noted.

        Examples
        --------
        ::

            client.replay_dead_letters(reason="time_in_future")
        """
        asked: dict[str, Any] = {
            "reason": reason, "topic": topic, "model": model, **_range(start, end),
            "all": everything, "in_doubt": in_doubt, "dry_run": dry_run,
        }  # fmt: skip
        shares = [ids[n : n + _TOGETHER] for n in range(0, len(ids), _TOGETHER)] or [()]
        selected = sent = 0
        refused: Counter[str] = Counter()
        letters: list[answers.Resent] = []
        written_to = ""
        for share in shares:
            body = {k: v for k, v in asked.items() if v is not None and v is not False}
            if share:
                body["ids"] = list(share)
            while True:
                found = self._call(
                    "POST", "/api/v1/dead-letters/replay", content=msgspec.json.encode(body)
                )
                selected += found["selected"]
                sent += found["sent"]
                refused.update(found["refused"])
                letters += _typed(found["letters"], list[answers.Resent])
                written_to = found["topic"]
                if progress is not None:
                    progress(found["selected"])
                if found["next"] is None:
                    break
                body["cursor"] = found["next"]
        return answers.Replay(written_to, selected, sent, dict(refused), tuple(letters), dry_run)
