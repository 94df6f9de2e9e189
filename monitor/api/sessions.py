"""A login's proof and its limits: the token, the cookie that follows it, how often one may err.

Pure: what tells the time is an argument, nothing is stored. A session is a signed cookie, so any
number of web processes with one token know each other's; its key derives from the token, so
another token ends them all. The token itself is kept as a digest and never leaves this module.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

# Without a request for so long, a session is over; each request after a while renews it.
SESSION_S: Final = 12 * 3_600
RENEW_S: Final = 15 * 60
# An open page asks for ever: once a week somebody has to log in all the same.
LONGEST_S: Final = 7 * 86_400
# A cookie of ours has 90 characters.
MAX_COOKIE: Final = 200


# Who may do everything, and who may look and change nothing.
ADMIN: Final = "admin"
VIEWER: Final = "viewer"
# Where a request's scope says who asks; not there, everybody who reaches the server is trusted.
ROLE: Final = "driftline.role"


@dataclass(frozen=True)
class Session:
    """One login: when it happened and when it was last renewed, in seconds of the wall clock.

    `role` is that of the token that it began with.
    """

    began_s: int
    seen_s: int
    role: str = ADMIN


class Access:
    """What a token opens.

    Parameters
    ----------
    token
        Of those who may do everything.
    read_token
        Of those who may look and change nothing, if there is one.

    Examples
    --------
    >>> access = Access("a token of some length")
    >>> access.role("a token of some length"), access.role("another one")
    ('admin', None)
    >>> cookie = access.seal(Session(began_s=1_000, seen_s=1_000))
    >>> access.session(cookie, now_s=2_000)
    Session(began_s=1000, seen_s=1000, role='admin')
    >>> access.session(cookie, now_s=1_000 + SESSION_S) is None
    True
    >>> Access("another token, just as long").session(cookie, now_s=2_000) is None
    True
    """

    def __init__(self, token: str, read_token: str | None = None) -> None:
        tokens = {ADMIN: token} | ({} if read_token is None else {VIEWER: read_token})
        # Digests of one length: comparing them tells nothing of the token, not even that.
        self._digests = {role: sha256(each.encode()).digest() for role, each in tokens.items()}
        # A session of one token is none of the other's: each has a key of its own.
        self._keys = {
            role: hmac.new(each.encode(), b"driftline session 1", sha256).digest()
            for role, each in tokens.items()
        }

    def role(self, given: str) -> str | None:
        """Return whose token this is, None for nobody's; in the same time for every wrong one."""
        digest = sha256(given.encode("utf-8", "surrogatepass")).digest()
        found = [role for role, d in self._digests.items() if hmac.compare_digest(digest, d)]
        return found[0] if found else None

    def seal(self, session: Session) -> str:
        """Return the cookie of a session; two of the same second differ."""
        content = f"1.{session.began_s}.{session.seen_s}.{secrets.token_urlsafe(9)}"
        return f"{content}.{_sign(self._keys[session.role], content)}"

    def session(self, cookie: str, now_s: int) -> Session | None:
        """Return the session of a cookie, or None: forged, garbled or over."""
        content, _, signature = cookie.rpartition(".")
        if len(cookie) > MAX_COOKIE or not cookie.isascii():
            return None
        signed = [
            role
            for role, key in self._keys.items()
            if hmac.compare_digest(signature, _sign(key, content))
        ]
        if not signed:
            return None
        # Signed by us, so it has our form.
        _, began, seen, _ = content.split(".", 3)
        session = Session(int(began), int(seen), signed[0])
        is_over = now_s - session.seen_s >= SESSION_S or now_s - session.began_s >= LONGEST_S
        return None if is_over else session


def _sign(key: bytes, content: str) -> str:
    made = hmac.new(key, content.encode(), sha256).digest()
    return urlsafe_b64encode(made).decode().rstrip("=")


class FailureLimit:
    """Counts failures, by address and over all; says how long to wait when there were too many.

    Parameters
    ----------
    each
        How many one address may have in `window_s`.
    overall
        How many there may be from all addresses together: guessing from many is guessing, too.
        Who has the token is not held up by it, or strangers could lock everybody out.
    window_s
        A count begins with its first failure and is forgotten so much later.
    places
        How many addresses are remembered; the one whose count began first is forgotten.

    Examples
    --------
    >>> limit = FailureLimit(each=2, overall=100, window_s=60)
    >>> limit.note("192.0.2.1", 0.0), limit.wait_s("192.0.2.1", 1.0)
    (None, 0.0)
    >>> limit.note("192.0.2.1", 2.0), limit.wait_s("192.0.2.1", 10.0)
    (None, 50.0)
    >>> limit.wait_s("192.0.2.2", 10.0), limit.wait_s("192.0.2.1", 60.0)
    (0.0, 0.0)
    """

    def __init__(self, *, each: int, overall: int, window_s: float, places: int = 10_000) -> None:
        self._each, self._overall = each, overall
        self._window_s, self._places = window_s, places
        # In the order in which the counts began: address -> (began, count).
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._all: tuple[float, int] = (0.0, 0)

    def wait_s(self, address: str, now_s: float, *, is_right: bool = False) -> float:
        """Return how long what comes from this address is not heard; 0 = it is heard now."""
        counts = [(self._counts.get(network(address), (0.0, 0)), self._each)]
        if not is_right:
            counts.append((self._all, self._overall))
        waits = [
            began_s + self._window_s - now_s for (began_s, count), most in counts if count >= most
        ]
        return max([0.0, *waits])

    def note(self, address: str, now_s: float) -> None:
        """Count a failure of this address."""
        self._all = self._more(self._all, now_s)
        place = network(address)
        before = self._counts.get(place, (0.0, 0))
        found = self._more(before, now_s)
        if found[1] == 1:
            self._counts.pop(place, None)
        self._counts[place] = found
        while len(self._counts) > self._places:
            self._counts.popitem(last=False)

    def forget(self, address: str) -> None:
        """Begin anew with this address: it has proved itself."""
        self._counts.pop(network(address), None)

    def _more(self, before: tuple[float, int], now_s: float) -> tuple[float, int]:
        began_s, count = before
        if count == 0 or now_s - began_s >= self._window_s:
            return now_s, 1
        return began_s, count + 1


def network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, which one machine has to itself.

    Examples
    --------
    >>> network("192.0.2.1"), network("2001:db8::1:2"), network("::ffff:192.0.2.1"), network("?")
    ('192.0.2.1', '2001:db8::/64', '192.0.2.1', '?')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
