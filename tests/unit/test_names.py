from __future__ import annotations

import re
import time
from socket import AF_INET6, inet_pton

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from craft import Conversation, Tag
from flowfs.tree.names import name_of, parse

KNOWN = [
    ("128.129.130.131", 2345, "10.11.12.13", 45103, 0, 0, "128.129.130.131.02345-010.011.012.013.45103"),
    ("128.129.130.131", 2345, "10.11.12.13", 45103, 0, 1, "128.129.130.131.02345-010.011.012.013.45103c1"),
    ("10.0.0.1", 9999, "10.0.0.2", 36559, 42, 0, "010.000.000.001.09999-010.000.000.002.36559--42"),
    ("10.0.0.1", 9999, "10.0.0.2", 36559, 42, 1, "010.000.000.001.09999-010.000.000.002.36559--42c1"),
    ("10.0.0.1", 9999, "10.0.0.2", 36559, 4095, 12, "010.000.000.001.09999-010.000.000.002.36559--4095c12"),
    ("0.0.0.0", 0, "255.255.255.255", 65535, 0, 0, "000.000.000.000.00000-255.255.255.255.65535"),
    ("2001:db8::1", 80, "2001:db8::2", 51000, 0, 0, "2001:db8::1.00080-2001:db8::2.51000"),
    ("2001:db8::1", 80, "2001:db8::2", 51000, 7, 3, "2001:db8::1.00080-2001:db8::2.51000--7c3"),
    ("::", 80, "::1", 1, 0, 0, "::.00080-::1.00001"),
    ("::ffff:192.0.2.1", 80, "fe80::1", 1, 0, 0, "::ffff:192.0.2.1.00080-fe80::1.00001"),
]

NOT_NAMES = [
    "",
    ".",
    "..",
    ".flowfs",
    "10.11.12.13.00080-010.011.012.014.00080",  # octets have three digits
    "010.011.012.013.80-010.011.012.014.00080",
    "010.011.012.256.00080-010.011.012.014.00080",
    "010.011.012.00080-010.011.012.014.00080",
    "010.011.012.013.014.00080-010.011.012.014.00080",
    "010.011.012.013.65536-010.011.012.014.00080",
    "010.011.012.013.00080-010.011.012.014.99999",
    "010.011.012.013.00080-010.011.012.014.00080 ",
    "010.011.012.013.00080-010.011.012.014.00080\n",
    " 010.011.012.013.00080-010.011.012.014.00080",
    "010.011.012.013.00080-010.011.012.014.00080c0",
    "010.011.012.013.00080-010.011.012.014.00080c01",
    "010.011.012.013.00080-010.011.012.014.00080c1000000000",
    "010.011.012.013.00080-010.011.012.014.00080c",
    "010.011.012.013.00080-010.011.012.014.00080--0",
    "010.011.012.013.00080-010.011.012.014.00080--042",
    "010.011.012.013.00080-010.011.012.014.00080--4096",
    "010.011.012.013.00080-010.011.012.014.00080--",
    "010.011.012.013.00080-010.011.012.014.00080c1--42",  # the VLAN comes first
    "010.011.012.013.00080-2001:db8::1.00080",
    "2001:db8::1.00080-010.011.012.013.00080",
    "2001:DB8::1.00080-2001:db8::2.51000",  # lower case
    "2001:db8:0::1.00080-2001:db8::2.51000",  # compressed as far as it goes
    "2001:0db8::1.00080-2001:db8::2.51000",
    "2001:db8:0:0:0:0:0:1.00080-2001:db8::2.51000",
    "::ffff:c000:201.00080-fe80::1.00001",
    "::ffff:192.0.2.001.00080-fe80::1.00001",
    "2001:db8::1%eth0.00080-2001:db8::2.51000",
    ":::.00080-::1.00001",
    "2001:db8::1.00080",
]


def key_of(src: str, sport: int, dst: str, dport: int, vlan: int) -> bytes:
    conversation = Conversation(src, dst, sport, dport, tags=[Tag(vlan)] if vlan else [])
    return conversation.client_key()


@pytest.mark.parametrize(("src", "sport", "dst", "dport", "vlan", "generation", "name"), KNOWN)
def test_known_names(
    src: str, sport: int, dst: str, dport: int, vlan: int, generation: int, name: str
) -> None:
    key = key_of(src, sport, dst, dport, vlan)
    assert name_of(key, generation) == name.encode()
    assert parse(name.encode()) == (key, generation)


@pytest.mark.parametrize("name", NOT_NAMES)
def test_anything_but_the_canonical_name_is_no_name(name: str) -> None:
    assert parse(name.encode()) is None


def test_digits_of_other_scripts_are_no_digits() -> None:
    assert parse("٠١٠.٠١١.٠١٢.٠١٣.00080-010.011.012.014.00080".encode()) is None


octets4, octets16 = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
zeroed16 = st.lists(
    st.sampled_from([b"\0\0", b"\0\1", b"\xff\xff", b"\x0a\xbc"]), min_size=8, max_size=8
).map(b"".join)
ipv6 = (
    octets16
    | zeroed16
    | octets4.map(lambda end: bytes(10) + b"\xff\xff" + end)
    | octets4.map(lambda end: bytes(12) + end)
)
pairs = st.tuples(octets4, octets4) | st.tuples(ipv6, ipv6)
ports = st.binary(min_size=4, max_size=4)
vlans = st.just(b"") | st.integers(1, 4095).map(lambda vlan: vlan.to_bytes(2, "big"))
keys = st.builds(lambda pair, port, vlan: b"".join(pair) + port + vlan, pairs, ports, vlans)
generations = st.just(0) | st.integers(0, 999_999_999)


@given(keys, generations)
def test_a_name_finds_its_flow(key: bytes, generation: int) -> None:
    name = name_of(key, generation)
    assert parse(name) == (key, generation)
    assert len(name) <= 255
    assert b"/" not in name
    assert not name.startswith(b".")


@given(keys, generations)
def test_a_name_has_the_documented_shape(key: bytes, generation: int) -> None:
    name = name_of(key, generation).decode("ascii")
    address = r"(\d{3}(\.\d{3}){3}|[0-9a-f:]*:[0-9a-f.:]*)"
    assert re.fullmatch(rf"{address}\.\d{{5}}-{address}\.\d{{5}}(--[1-9]\d*)?(c[1-9]\d*)?", name)


@given(st.binary(max_size=80))
@example(b"\xff" * 255)
@example(b"\0")
def test_any_bytes_parse_to_nothing_or_to_their_flow(name: bytes) -> None:
    found = parse(name)
    assert found is None or name_of(*found) == name


@given(keys, generations, st.data())
def test_a_name_with_one_byte_changed_is_another_flow_or_none(
    key: bytes, generation: int, data: st.DataObject
) -> None:
    name = name_of(key, generation)
    at = data.draw(st.integers(0, len(name) - 1))
    other = (
        name[:at] + data.draw(st.sampled_from([bytes([byte]) for byte in b"0159acfF.:-%"])) + name[at + 1 :]
    )
    found = parse(other)
    assert found is None or (found != (key, generation)) == (other != name)
    assert found is None or name_of(*found) == other


def test_mapped_addresses_are_ipv6() -> None:
    mapped = inet_pton(AF_INET6, "::ffff:192.0.2.1")
    found = parse(b"::ffff:192.0.2.1.00080-::ffff:192.0.2.1.00081")
    assert found == (mapped * 2 + bytes.fromhex("00500051"), 0)


def test_names_are_written_fast() -> None:
    key = key_of("128.129.130.131", 2345, "10.11.12.13", 45103, 0)
    began = time.perf_counter()
    for _ in range(20_000):
        name_of(key, 0)
    assert (
        time.perf_counter() - began < 0.4
    )  # 50,000 a second even where the machine is busy; idle: 1.2 million
