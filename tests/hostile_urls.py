"""URLs by which somebody who may name an endpoint would reach into the network of the server.

`LITERALS` name an address that must not be reached, in every form that some program reads as
one; `MALFORMED` are read differently by different programs, so nobody may go by them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

# One of each family that leads inside: loopback, private, carrier, link-local with the clouds'
# credentials, what clouds put beside, multicast, unspecified.
INSIDE: Final = (
    "127.0.0.1", "127.8.9.10", "10.1.2.3", "172.20.0.1", "192.168.0.254", "100.64.0.1",
    "100.100.100.200", "169.254.169.254", "169.254.170.2", "168.63.129.16", "224.0.0.1",
    "255.255.255.255", "0.0.0.0",
)  # fmt: skip
INSIDE_6: Final = (
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "2001:0:7f00:1::", "2001:db8::1", "4000::1",
)  # fmt: skip
MALFORMED: Final = (
    "http://127.0.0.1@hooks.example/", "http://hooks.example@127.0.0.1/",
    "http://hooks.example:80@127.0.0.1:80/", "http://127.0.0.1:80\\@hooks.example/",
    "http://hooks.example#@127.0.0.1/", "http://127.0.0.1%2f@hooks.example/",
    "http://127.0.0.1%00.hooks.example/", "http://%31%32%37.0.0.1/", "http://①②⑦.0.0.1/",
    "http://127。0。0。1/", "http://[::1", "http://::1/", "http://[::1%25lo]/", "http://[::1%lo]/",
    "http://[127.0.0.1]/", "http://[v1.x]/", "http://1.2.3.4.5/", "http://256.0.0.1/",
    "http://0x100000000/", "http://4294967296/", "http://08.0.0.1/", "http://1..2/",
    "http://.127.0.0.1/", "http://127.0.0.1../", "http://\t127.0.0.1/", " http://127.0.0.1/",
    "http:127.0.0.1/", "http:/127.0.0.1/", "http:////127.0.0.1/", "//127.0.0.1/",
    "gopher://127.0.0.1:25/_HELO", "file://127.0.0.1/etc/passwd", "dict://127.0.0.1:11211/stat",
    "ftp://127.0.0.1/", "ldap://127.0.0.1/", "data:text/plain,x", "jar:http://127.0.0.1!/",
    "http://hooks.example:22/", "http://hooks.example:25/", "http://hooks.example:0/",
    "http://hooks.example:65536/", "http://hooks.example:-1/", "http://hooks.example:٨٠/",
    "http://hooks.example/\r\nHost: 127.0.0.1", "http://hooks.example\r\n.127.0.0.1/",
    "http://" + "a" * 64 + ".example/", "http://" + "a." * 127 + "example/",
)  # fmt: skip


def _forms(text: str) -> Iterator[str]:
    """Yield the ways in which an IPv4 address is written as a URL's host."""
    address = ipaddress.IPv4Address(text)
    a, b, c, d = address.packed
    whole = int(address)
    yield text
    yield f"{text}."
    yield str(whole)  # 2130706433
    yield hex(whole)
    yield hex(whole).upper()
    yield f"0{whole:o}"
    yield f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:04d}.{b}.{c}.{d}"
    yield f"{a}.{b}.{(c << 8) + d}"
    yield f"{a}.{(b << 16) + (c << 8) + d}"
    yield f"0x{a:x}.{b}.0{c:o}.{d}"


def _wrapped(text: str) -> Iterator[str]:
    """Yield the IPv6 addresses by which an IPv4 address may be reached."""
    four = int(ipaddress.IPv4Address(text))
    wrapped = {
        "mapped": (0xFFFF << 32) + four,
        "compatible": four,
        "translated": (0xFFFF << 48) + four,
        "NAT64": (0x64FF9B << 96) + four,
        "local NAT64": (0x64FF9B0001 << 80) + four,
        "6to4": (0x2002 << 112) + (four << 80),
        "Teredo": (0x20010000 << 96) + (four ^ 0xFFFFFFFF),
    }
    for number in wrapped.values():
        yield f"[{ipaddress.IPv6Address(number)}]"


def literals() -> Iterator[str]:
    """Yield URLs whose host is an address that must not be reached."""
    for text in INSIDE:
        for host in (*_forms(text), *_wrapped(text)):
            yield f"http://{host}:8080/hook"
            yield f"HTTPS://{host}/"
    for text in INSIDE_6:
        yield f"http://[{text}]:8080/hook"
        yield f"http://[{ipaddress.IPv6Address(text).exploded.upper()}]/"
    for host in ("localhost", "LocalHost", "localhost.", "x.localhost", "x.y.LOCALHOST."):
        yield f"http://{host}:8080/"


LITERALS: Final = tuple(literals())
