"""The process in which Apprise runs: one message from standard input, one answer to its output.

Started by `monitor.alerts.apprise` and by nothing else. Every connection of this process is
checked at the socket, below whatever library makes it.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import sys
from typing import Any

from monitor.alerts.guard import SETTING, networks, refusal

refused: list[str] = []


def install(allow: str) -> None:
    """Let this process reach no address that is not open or allowed."""
    allowed = networks(allow)

    def check(family: int, address: Any) -> None:
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError("only the network is dialled")
        # Names are resolved before: a socket that resolves for itself would escape the check.
        why = refusal(ipaddress.ip_address(str(address[0])), allowed)
        if why is not None:
            refused.append(
                f"{address[0]} is {why}: nothing is sent there unless {SETTING} holds it"
            )
            raise OSError(refused[-1])

    plain = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto

    def connect(self: socket.socket, address: Any, /) -> None:
        check(self.family, address)
        plain[0](self, address)

    def connect_ex(self: socket.socket, address: Any, /) -> int:
        check(self.family, address)
        return plain[1](self, address)

    def sendto(self: socket.socket, *given: Any) -> int:
        check(self.family, given[-1])
        return int(plain[2](self, *given))

    def sendmsg(self: socket.socket, *given: Any) -> int:
        raise OSError("nothing is sent past the check")

    # On the class itself: those that encrypt are made of it.
    for name, checking in (
        ("connect", connect), ("connect_ex", connect_ex), ("sendto", sendto), ("sendmsg", sendmsg)
    ):  # fmt: skip
        setattr(socket.socket, name, checking)


def main() -> None:
    """Read what to send, send it, and say whether it was."""
    asked = json.loads(sys.stdin.read())
    install(",".join(asked["allow"]))
    logging.disable(logging.CRITICAL)
    import apprise

    out, sys.stdout = sys.stdout, sys.stderr
    # No address of it may name a file, or a configuration with more addresses in it.
    found = apprise.Apprise.instantiate(asked["url"], suppress_exceptions=True)
    if found is None:
        answer = {"sent": False, "why": "Apprise knows no service of such an address"}
    elif asked.get("check"):
        answer = {"sent": True, "why": ""}
    else:
        is_sent = found.notify(
            body=asked["body"], title=asked["title"], notify_type=asked["type"],
            body_format=apprise.NotifyFormat.TEXT,
        )  # fmt: skip
        why = refused[-1] if refused else "the service did not take it"
        answer = {"sent": bool(is_sent), "why": why}
    out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
