"""No webhook reaches an address that only this machine or its network can."""

from __future__ import annotations

import doctest
import ipaddress

import pytest

from driftline.errors import ConfigError, InvalidEndpoint
from monitor.alerts import guard
from monitor.alerts.guard import Refused, Target, checked, networks, refusal, target_of

DENIED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.1.2.3",
    "::ffff:0:127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "8000::1",
]  # fmt: skip
ALLOWED = [
    "8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255",
    "100.128.0.1", "168.63.129.17", "169.253.255.255", "223.255.255.255", "::ffff:8.8.8.8",
    "2606:4700:4700::1111", "2a00:1450:4001:830::200e", "2003::1",
]  # fmt: skip


@pytest.mark.parametrize("text", DENIED)
def test_what_is_not_the_open_internet_is_refused(text: str) -> None:
    assert refusal(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ALLOWED)
def test_the_open_internet_may_be_reached(text: str) -> None:
    assert refusal(ipaddress.ip_address(text), ()) is None


@pytest.mark.parametrize("text", DENIED)
def test_a_network_that_is_allowed_may_be_reached_and_its_neighbours_not(text: str) -> None:
    address = ipaddress.ip_address(text)
    dialled = getattr(address, "ipv4_mapped", None) or address
    alone = networks(str(dialled).partition("%")[0])
    assert refusal(address, alone) is None
    neighbour = ipaddress.ip_address(int(dialled) ^ 1)
    if str(neighbour) not in ALLOWED:
        assert refusal(type(dialled)(int(neighbour)), alone)


def test_one_bad_address_of_a_name_is_enough_and_the_setting_is_named() -> None:
    target = Target("https", "rebind.example", 443, "/")
    mixed = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.1.2.3")]
    with pytest.raises(Refused) as caught:
        checked(target, mixed, ())
    assert str(caught.value) == (
        "rebind.example (10.1.2.3) is private: nothing is sent there unless alerts.allow holds "
        'its network, such as "10.1.2.3/32"'
    )
    checked(target, mixed, networks("10.0.0.0/8"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "a.localhost"])
def test_the_name_of_this_machine_is_its_address(host: str) -> None:
    address = guard.literal(target_of(f"http://{host}:8080/").host)
    assert address is not None and refusal(address, ()) == "loopback"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example", Target("https", "hooks.example", 443, "/")),
        ("HTTPS://Hooks.Example/A?b=c&d", Target("https", "hooks.example", 443, "/A?b=c&d")),
        ("http://hooks.example:8080/", Target("http", "hooks.example", 8080, "/")),
        ("http://[2606:4700::1]:80/x", Target("http", "2606:4700::1", 80, "/x")),
        ("https://hooks.example?x", Target("https", "hooks.example", 443, "/?x")),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target) -> None:
    assert target_of(url) == target


def test_the_host_header_names_the_port_only_where_it_is_not_the_usual_one() -> None:
    urls = ("https://a.example", "https://a.example:8443", "http://[::1]:8080", "http://a:443")
    said = [target_of(url).authority for url in urls]
    assert said == ["a.example", "a.example:8443", "[::1]:8080", "a:443"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "neither http"),
        ("hooks.example/drift", "neither http"),
        ("ftp://hooks.example/", "neither http"),
        ("file:///etc/passwd", "neither http"),
        ("javascript:alert(1)", "neither http"),
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("https://user:pw@hooks.example/", "credentials"),
        ("https://token@hooks.example/", "credentials"),
        ("https://hooks.example/#top", "fragment"),
        ("https://hooks.example:99999/", "no URL"),
        ("https://hooks.example:x/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://hooks.example:0/", "port 0"),
        ("https://hooks.example:25/", "port 25"),
        ("https://hooks.example:22/", "port 22"),
        ("https://hooks.example/a b", "characters"),
        ("https://hooks.example/\r\nX: y", "characters"),
        ("https://hooks.example\\@evil.example/", "characters"),
        ("https://bücher.example/", "xn--"),
        ("https://hooks.example/" + "a" * 2_000, "longer"),
    ],
)
def test_what_is_no_url_is_refused_with_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(InvalidEndpoint, match=words) as caught:
        target_of(url)
    assert "pw" not in str(caught.value)


def test_networks_that_are_none_are_refused_by_the_setting_s_name() -> None:
    assert networks(" ") == ()
    for text in ("10.0.0.1/8", "private", "127.0.0.1/33"):
        with pytest.raises(ConfigError, match=r"alerts\.allow"):
            networks(text)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(guard).failed == 0
