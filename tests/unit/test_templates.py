"""Templates of names: what tcpflow's letters become, and what is refused before there is a flow."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowfs.core.desk import Origin
from flowfs.templates import DEFAULT, LETTERS, MAX_PARTS, NAME_MAX, Template, TemplateError, letters_help
from flowfs.tree.letters import Spelling
from flowfs.tree.names import name_of, reversed_key

SECOND_NS = 10**9


class Owner(NamedTuple):
    link: bytes | None
    session: int


class Flow(NamedTuple):
    key: bytes
    generation: int = 0
    serial: int = 1
    first_ns: int = 1_709_631_000 * SECOND_NS + 7
    owner: Any = None


def key_of(source: str, sport: int, destination: str, dport: int, vlan: int = 0) -> bytes:
    family = AF_INET6 if ":" in source else AF_INET
    ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    key = inet_pton(family, source) + inet_pton(family, destination) + ports
    return key + (vlan.to_bytes(2, "big") if vlan else b"")


LINK = b"\x02\0\0\0\0\x01\xfe\xdc\xba\x98\x76\x54"  # of who has the lower key, and of the other
FLOW = Flow(key_of("10.1.2.3", 2345, "192.168.0.1", 80), owner=Owner(LINK, 41))
BACK = FLOW._replace(key=reversed_key(FLOW.key))
ON_VLAN = Flow(
    key_of("2001:db8::1", 1, "::ffff:192.0.2.1", 65535, 42), 7, 12_003_004_005_006, owner=Owner(None, 7)
)


def origin(flow: Flow) -> Origin:
    return Origin(None, None) if flow.owner is None else Origin(flow.owner.link, flow.owner.session)


def path(template: str, flow: Flow = FLOW) -> str:
    return b"/".join(Spelling(Template(template), origin)(flow)).decode()


# As `man tcpflow` has it; the forms of %T and %N are what tcpflow 1.6.1 writes.
@pytest.mark.parametrize(
    ("letter", "usual", "other"),
    [
        ("A", "010.001.002.003", "2001:db8::1"),
        ("a", "02345", "00001"),
        ("B", "192.168.000.001", "::ffff:192.0.2.1"),
        ("b", "00080", "65535"),
        ("T", "2024-03-05T09:30:00Z", "2024-03-05T09:30:00Z"),
        ("t", "1709631000", "1709631000"),
        ("V", "_", "--"),
        ("v", "_", "42"),
        ("C", "_", "c"),
        ("c", "_", "7"),
        ("#", "0", "7"),
        ("N", "000", "005"),
        ("K", "000", "005"),
        ("M", "000", "004"),
        ("G", "000", "003"),
        ("S", f"{41:020}", f"{7:020}"),
        ("E", "02:00:00:00:00:01", "00:00:00:00:00:00"),
        ("e", "fe:dc:ba:98:76:54", "00:00:00:00:00:00"),
        ("%", "%", "%"),
    ],
)
def test_each_letter(letter: str, usual: str, other: str) -> None:
    assert path(f"%{letter}") == usual
    assert path(f"%{letter}", ON_VLAN) == other
    assert letter in LETTERS
    assert f"%{letter} " in letters_help()


def test_both_directions_share_a_connection() -> None:
    assert path("%E %e %S", BACK) == f"fe:dc:ba:98:76:54 02:00:00:00:00:01 {41:020}"
    assert path("%E %S", FLOW._replace(owner=None)) == "00:00:00:00:00:00 "


def test_there_is_no_other_letter() -> None:
    assert set(LETTERS) == set("AaBbVvTtCc#NKMGSEe%")


@pytest.mark.parametrize("flow", [FLOW, ON_VLAN])
def test_the_usual_names_come_from_their_template(flow: Flow) -> None:
    assert path(DEFAULT, flow).encode() == name_of(flow.key, flow.generation)


def test_what_is_no_letter_stays() -> None:
    assert path("x%%y/é %a.txt") == "x%y/é 02345.txt"
    assert path("100%%/%%d%%s/{0}") == "100%/%d%s/{0}"


def test_slashes_make_directories() -> None:
    assert path("%A/%a/%B/%b/%c%N.flow") == "010.001.002.003/02345/192.168.000.001/00080/000.flow"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("%C%c/x", "_/x"),
        ("x/%V%v", "x/_"),
        ("%c./%c.", "._/._"),
        (".%c./x", ".._/x"),
        ("%c.flowfs/x", "_.flowfs/x"),
        ("%C.flowfs-%A/x", "_.flowfs-010.001.002.003/x"),
        ("x/%c.flowfs", "x/.flowfs"),
    ],
)
def test_what_would_be_no_name_gets_an_underscore(template: str, shown: str) -> None:
    """However deep a flow is, all are: no file is where another flow has a directory."""
    assert path(template) == shown


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "it is empty"),
        ("%", "nothing behind the last %"),
        ("%A/%", "nothing behind the last %"),
        ("%A%%%", "nothing behind the last %"),
        ("%Q", "%Q is no letter of it; there are"),
        ("%n", "%n is no letter of it (%N is); there are"),
        ("%A-%é", "%é is no letter"),
        ("% A", "%  is no letter"),
        ("%/x", "nothing behind the last %"),
        ("/tmp/%A", "no / at the beginning"),
        ("/", "no / at the beginning"),
        ("%A//%B", "nothing between two slashes"),
        ("%A/", "nothing between two slashes"),
        ("../%A", ".. is no name"),
        ("%A/../%B", ".. is no name"),
        ("./%A", ". is no name"),
        ("%A/.", ". is no name"),
        (".flowfs", "is taken"),
        (".flowfs/%A", "is taken"),
        (".flowfs-%A/x", "is taken"),
        ("%A\n%B", "can be printed"),
        ("%A\0", "can be printed"),
        ("%A\udcff", "can be printed"),
        ("%A" * 6, "234 bytes"),
        ("x" * (NAME_MAX + 1) + "/x", "256 bytes"),
        ("é" * 128 + "/x", "256 bytes"),
        ("/".join("x" * (MAX_PARTS + 1)), "parts"),
        ("/".join(["x" * 200] * 6), "parts"),
    ],
)
def test_hostile_templates(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as error:
        Template(template)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_just_allowed() -> None:
    Template("x" * (NAME_MAX - 1) + "/" + "x" * (NAME_MAX - 32))
    Template("/".join("x" * MAX_PARTS))
    Template("%A%B%A%B%A")


keys = st.one_of(
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=36, max_size=36),
    st.tuples(st.sampled_from([12, 36]), st.integers(1, 4095)).flatmap(
        lambda of: st.binary(min_size=of[0], max_size=of[0]).map(lambda key: key + of[1].to_bytes(2, "big"))
    ),
)
owners = st.none() | st.builds(
    Owner, st.binary(min_size=12, max_size=12) | st.none(), st.integers(0, 1 << 62)
)
numbers = st.integers(0, 1 << 62), st.integers(1, 1 << 48), st.integers(0, (1 << 63) - 1)
flows = st.builds(Flow, keys, *numbers, owners)
templates = st.lists(
    st.one_of(st.sampled_from([f"%{letter}" for letter in LETTERS]), st.sampled_from([*"/.-c~_", ".flowfs"])),
    min_size=1,
    max_size=12,
).map("".join)


@given(templates, flows)
def test_whatever_it_is_a_file_system_can_have_it(text: str, flow: Flow) -> None:
    try:
        template = Template(text)
    except TemplateError:
        return
    names = Spelling(template, origin)(flow)
    assert len(names) == text.count("/") + 1
    assert all(0 < len(name) <= NAME_MAX for name in names)
    assert len(names[-1]) <= NAME_MAX - 32
    assert not {b".", b".."} & set(names)
    assert not names[0].startswith(b".flowfs")
    assert not any(b"/" in name or b"\0" in name for name in names)


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_is_refused_in_a_line(text: str) -> None:
    why = ""
    try:
        Template(text)
    except TemplateError as error:
        why = str(error)
    assert why.isprintable()
