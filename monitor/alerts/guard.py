"""Where a webhook may go: an address that a user names must not reach what only this machine can.

Pure but for `resolve`: the URL's form is checked when it is registered, and every address of its
name each time something is sent, just before that very address is dialled. Python's `is_global`
is not asked: it lets NAT64, 6to4 and `::127.0.0.1` through, each of which ends at an IPv4 address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from driftline.errors import ConfigError, InvalidEndpoint
from monitor.masking import masked

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SETTING: Final = "alerts.allow"
MAX_URL: Final = 2_000
# Below 1024 stand mail, name and login services, which a body of a webhook could be made to speak
# to; above it are the ports that unprivileged services choose.
PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
# Of mail servers: with STARTTLS, and encrypted from the first byte.
MAIL_PORTS: Final[Mapping[str, int]] = {"smtp": 587, "smtps": 465}
_LOW_PORTS: Final = {80: PORTS, 443: PORTS, 25: MAIL_PORTS, 465: MAIL_PORTS, 587: MAIL_PORTS}
# Labels of a name, as resolvers take them; containers have underscores in theirs.
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
# No name ends in a number. C libraries read 127.1, 0x7f000001 and 2130706433 as an address.
_NUMBER_LAST: Final = re.compile(r"(.*\.)?(0[xX][0-9a-fA-F]*|[0-9]+)\.?")

# The special-purpose registries of IANA (RFC 6890 and its successors), and what clouds put beside.
_DENIED: Final = {
    ipaddress.ip_network(network): words
    for network, words in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a carrier (CGNAT)",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "a cloud's own service",
        "169.254.0.0/16": "link-local, where clouds keep credentials",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "documentation",
        "192.31.196.0/24": "reserved (AS112)",
        "192.52.193.0/24": "reserved (AMT)",
        "192.88.99.0/24": "a 6to4 relay",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "reserved (AS112)",
        "198.18.0.0/15": "for benchmarks",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/128": "unspecified",
        "::1/128": "loopback",
        "::/96": "an IPv4 address inside IPv6",
        "::ffff:0:0/96": "an IPv4 address inside IPv6",
        "::ffff:0:0:0/96": "an IPv4 address inside IPv6",
        "64:ff9b::/96": "an IPv4 address behind NAT64",
        "64:ff9b:1::/48": "an IPv4 address behind NAT64",
        "100::/64": "discarded",
        "2001::/32": "an IPv4 address behind Teredo",
        "2001::/23": "reserved",
        "2001:db8::/32": "documentation",
        "2002::/16": "an IPv4 address behind 6to4",
        "2620:4f:8000::/48": "reserved (AS112)",
        "3fff::/20": "documentation",
        "5f00::/16": "segment routing",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}
# Every other IPv6 address is not given to anybody yet.
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")


class Refused(Exception):
    """An address that nothing may be sent to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts; `path` with its query, as it is sent."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {**PORTS, **MAIL_PORTS}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def target_of(url: str, ports: Mapping[str, int] = PORTS) -> Target:
    """Return the parts of a URL that webhooks can be sent to; with `MAIL_PORTS`, mail.

    Raises
    ------
    InvalidEndpoint
        It is no such URL.

    Examples
    --------
    >>> target_of("https://hooks.example/drift?team=ml")
    Target(scheme='https', host='hooks.example', port=443, path='/drift?team=ml')
    >>> target_of("ftp://hooks.example/")
    Traceback (most recent call last):
    driftline.errors.InvalidEndpoint: 'ftp://hooks.example/' begins with neither http:// nor https://
    """
    shown = repr(masked(url)[:80])
    if len(url) > MAX_URL:
        raise InvalidEndpoint(f"{shown}... is longer than {MAX_URL:,} characters")
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise InvalidEndpoint(
            f"{shown} holds characters that no URL has: percent-encode them, and write a name in "
            "another script as xn--..."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidEndpoint(f"{shown} is no URL: {error}") from None
    if parts.scheme not in ports:
        raise InvalidEndpoint(
            f"{shown} begins with neither {' nor '.join(f'{scheme}://' for scheme in ports)}"
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidEndpoint(
            "the URL holds credentials, and would be shown with them: webhooks are signed instead"
        )
    if parts.fragment:
        raise InvalidEndpoint(f"{shown} has a #fragment, which no server ever sees: leave it out")
    if not parts.hostname:
        raise InvalidEndpoint(f"{shown} names no host")
    host = _host(parts.hostname, parts.netloc, shown)
    if port is None:
        port = ports[parts.scheme]
    elif port < 1024 and _LOW_PORTS.get(port) is not ports:
        low = ", ".join(str(low) for low, whose in _LOW_PORTS.items() if whose is ports)
        raise InvalidEndpoint(
            f"port {port} belongs to another kind of service: use {low}, or one from 1024 on"
        )
    path = parts.path or "/"
    return Target(parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path)


def _host(host: str, netloc: str, shown: str) -> str:
    """Return a host that every resolver reads alike: a name, or an address in its usual form.

    Raises
    ------
    InvalidEndpoint
        It is neither, or an address that only some read as one.
    """
    if "[" in netloc:
        try:
            # A zone (fe80::1%eth0) is of this machine alone, and no URL's.
            return str(ipaddress.IPv6Address("" if "%" in host else host))
        except ValueError:
            raise InvalidEndpoint(f"{shown} has no IPv6 address in its brackets") from None
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if _NUMBER_LAST.fullmatch(host):
        meant = _meant(host)
        raise InvalidEndpoint(
            f"{shown} has an address in a form that programs read differently: "
            + (f"write {meant}" if meant else "write it as four decimal numbers")
        )
    if _NAME.fullmatch(host) is None:
        raise InvalidEndpoint(f"{shown} has a host that no name server knows")
    return host


def _meant(host: str) -> str | None:
    """Return the address that a C library reads in an odd form."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def networks(text: str, source: str = "default") -> tuple[Network, ...]:
    """Return the networks of `alerts.allow`, separated by commas.

    Raises
    ------
    ConfigError
        One is none.

    Examples
    --------
    >>> networks("127.0.0.1/32, fd00::/8")
    (IPv4Network('127.0.0.1/32'), IPv6Network('fd00::/8'))
    """
    found: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ConfigError(
                SETTING, source, part, f"networks such as 10.1.0.0/16, 127.0.0.1/32 ({error})"
            ) from None
    return tuple(found)


def refusal(address: Address, allow: Sequence[Network]) -> str | None:
    """Return why nothing may be sent to an address; None where it may.

    Examples
    --------
    >>> import ipaddress
    >>> refusal(ipaddress.ip_address("169.254.169.254"), ())
    'link-local, where clouds keep credentials'
    >>> refusal(ipaddress.ip_address("::ffff:127.0.0.1"), networks("127.0.0.1/32")) is None
    True
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # The system dials the IPv4 address itself.
        address = address.ipv4_mapped
    if any(address in network for network in allow):
        return None
    for network, words in _DENIED.items():
        if address in network:
            return words
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_6:
        return "reserved"
    return None


def checked(target: Target, addresses: Sequence[Address], allow: Sequence[Network]) -> None:
    """Refuse a host when any of its addresses is refused: the next answer may begin with that one.

    Raises
    ------
    Refused
        With the setting that would allow it.
    """
    for address in addresses:
        why = refusal(address, allow)
        if why is not None:
            named = str(address) if str(address) == target.host else f"{target.host} ({address})"
            raise Refused(
                f"{named} is {why}: nothing is sent there unless {SETTING} holds its network, "
                f'such as "{ipaddress.ip_network(address)}"'
            )


def literal(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: always this machine
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in the order in which they should be dialled.

    Raises
    ------
    OSError
        It has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A name may have one twice; the order is the system's preference.
    return list(dict.fromkeys(ipaddress.ip_address(info[4][0]) for info in found))
