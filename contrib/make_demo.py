"""Writes contrib/demo.pcap, which `contrib/run` mounts: a mail on its way, and a web page over IPv6.

What is always true: the same script gives the same file, byte for byte. Addresses, names and texts are
ours; the addresses are those set aside for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from craft import Conversation, merge, mss, write_pcap, wscale  # noqa: E402 (found by the line above)

MAIL = [
    (False, "220 mx.example.net ESMTP\r\n"),
    (True, "EHLO desk.example.org\r\n"),
    (False, "250-mx.example.net greets desk.example.org\r\n250-8BITMIME\r\n250 SIZE 10240000\r\n"),
    (True, "MAIL FROM:<ada@example.org>\r\n"),
    (False, "250 2.1.0 Ok\r\n"),
    (True, "RCPT TO:<grace@example.net>\r\n"),
    (False, "250 2.1.5 Ok\r\n"),
    (True, "DATA\r\n"),
    (False, "354 End data with <CR><LF>.<CR><LF>\r\n"),
    (
        True,
        "From: Ada <ada@example.org>\r\n"
        "To: Grace <grace@example.net>\r\n"
        "Subject: Flows are files\r\n"
        "Date: Tue, 05 Mar 2024 09:30:00 +0000\r\n"
        "\r\n"
        "Dear Grace,\r\n"
        "\r\n"
        "this mail went over the wire a moment ago, and here it is as a file. You can\r\n"
        "grep it, page through it, or follow it with tail -f while it is still coming in.\r\n"
        "\r\n"
        "Ada\r\n"
        ".\r\n",
    ),
    (False, "250 2.0.0 Ok: queued\r\n"),
    (True, "QUIT\r\n"),
    (False, "221 2.0.0 Bye\r\n"),
]

TIDES = "".join(
    f"<tr><td>day {day:02}<td>high {6 + day % 12:02}:{day * 50 % 60:02}<td>{3 + day % 5 / 10:.1f} m\n"
    for day in range(1, 31)
)
PAGE = f"<!doctype html>\n<title>Tide table</title>\n<table>\n{TIDES}</table>\n"
WEB = [
    (True, "GET /tides HTTP/1.1\r\nHost: harbour.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n"),
    (False, f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n\r\n{PAGE}"),
]

SEGMENT_BYTES = 536  # small, so that there is something to put together
START_NS = 1_709_631_000 * 10**9  # 2024-03-05 09:30 UTC


def spoken(conversation: Conversation, lines: list[tuple[bool, str]]) -> Conversation:
    """The whole connection: opened, said by client (True) and server in turn, acknowledged, closed."""
    conversation.handshake(options=mss(SEGMENT_BYTES) + wscale(7))
    for by_client, text in lines:
        for begin in range(0, len(text), SEGMENT_BYTES):
            say(conversation, by_client, text[begin : begin + SEGMENT_BYTES].encode())
        conversation.wait(0.02)
    return conversation.close()


def say(conversation: Conversation, by_client: bool, payload: bytes) -> None:
    """One segment and the other side's acknowledgement."""
    if by_client:
        conversation.client(conversation.client_next, payload)
        conversation.server_ack(conversation.client_next)
    else:
        conversation.server(conversation.server_next, payload)
        conversation.client_ack(conversation.server_next)


def main() -> None:
    """Writes the file to the path given, or beside this script."""
    mail = Conversation("192.0.2.10", "192.0.2.25", 49152, 25, clock_ns=START_NS)
    web = Conversation("2001:db8::10", "2001:db8::80", 51000, 80, clock_ns=START_NS + 10**8)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "demo.pcap"
    write_pcap(target, merge(spoken(mail, MAIL).packets, spoken(web, WEB).packets))


if __name__ == "__main__":
    main()
