"""IEEE 802.11, and what monitors put before its frames: radiotap, Prism's and AVS's headers.

Always true: a frame that is protected, a fragment, or damaged according to who received it gives NOTHING. LLC
belongs to the frame, which is passed as one.
"""

import struct

from .kinds import A_MSDU, NOTHING, Layer
from .shims import llc

# The frame control field (IEEE 802.11, 9.2.4.1), its two bytes apart.
_VERSION_AND_TYPE, _DATA = 0x0F, 0x08
_NO_DATA, _QOS = 0x40, 0x80  # of the subtype
_BOTH_DS, _MORE_FRAGMENTS, _PROTECTED, _ORDER = 0x03, 0x04, 0x40, 0x80

_AGGREGATED = 0x80  # in the QoS control field: A-MSDU present
_SUBFRAME_BYTES = 14  # of an A-MSDU: addresses and length
MAX_SUBFRAMES = 64  # as many as a receiver can ask for at the most is 63 (9.4.2.26, 9.4.2.248)
_DATA_HEADER = bytes([_DATA]) + bytes(23)
IEEE802_11 = 105  # the link type of such frames

_RADIOTAP = struct.Struct("<BxHI")
_TSFT, _FLAGS, _MORE_PRESENT = 1 << 0, 1 << 1, 1 << 31
_MAX_PRESENT_WORDS = 32  # one for each antenna
_FCS_AT_END, _DATA_PADDED, _BAD_FCS = 0x10, 0x20, 0x40
_FCS_BYTES = 4

_MONITOR_HEADER = struct.Struct(">II")
_AVS_MAGIC = 0x80211  # and the version in the lowest 12 bits


def ieee80211(frame: bytes, padded: bool = False) -> Layer:
    """A data frame; `padded`: the header takes a multiple of four bytes."""
    control, flags = frame[0], frame[1]
    if control & _VERSION_AND_TYPE != _DATA or control & _NO_DATA or flags & (_MORE_FRAGMENTS | _PROTECTED):
        return NOTHING
    if frame[22] & 0x0F:  # the fragment's number
        return NOTHING
    header_bytes = 30 if flags & _BOTH_DS == _BOTH_DS else 24
    if not control & _QOS:
        return llc(frame[_aligned(header_bytes, 4) if padded else header_bytes :])
    aggregated = frame[header_bytes] & _AGGREGATED
    header_bytes += 6 if flags & _ORDER else 2  # with HT control, or without it
    body = frame[_aligned(header_bytes, 4) if padded else header_bytes :]
    if not aggregated:
        return llc(body)
    _, end = _subframe(body, 0)
    return (A_MSDU, body) if _is_another(body, end) else llc(body[_SUBFRAME_BYTES:end])


def frames_of(body: bytes) -> list[bytes]:
    """What is in an A-MSDU (IEEE 802.11, 9.3.2.2.2), each as a data frame of its own.

    Beyond MAX_SUBFRAMES there is one that holds nothing, which stands for all the rest.
    """
    frames: list[bytes] = []
    end = -_SUBFRAME_BYTES
    while not frames or _is_another(body, end):
        if len(frames) == MAX_SUBFRAMES:
            frames.append(b"")
            break
        start, end = _subframe(body, _aligned(end, 4) if frames else 0)
        frames.append(_DATA_HEADER + body[start:end])
    return frames


def _subframe(body: bytes, at: int) -> tuple[int, int]:
    """Where the data of the subframe at `at` begin and end; the next one is at a multiple of four."""
    start = at + _SUBFRAME_BYTES
    return start, start + (body[start - 2] << 8 | body[start - 1])


def _is_another(body: bytes, end: int) -> bool:
    """Whether a subframe follows one that ends at `end`; less is a check sequence."""
    return len(body) >= _aligned(end, 4) + _SUBFRAME_BYTES


def radiotap(frame: bytes) -> Layer:
    """A header of radiotap.org; of its fields the flags alone tell how to read the frame."""
    version, length, present = _RADIOTAP.unpack_from(frame)
    if version != 0:
        return NOTHING
    flags = _radiotap_flags(frame[:length], present) if present & _FLAGS else 0
    if flags & _BAD_FCS:
        return NOTHING
    end = len(frame) - _FCS_BYTES if flags & _FCS_AT_END else None
    return ieee80211(frame[length:end], bool(flags & _DATA_PADDED))


def _radiotap_flags(header: bytes, present: int) -> int:
    """Flags come second, behind the time, which is aligned to its eight bytes."""
    at = 8
    for _ in range(_MAX_PRESENT_WORDS):
        if not present & _MORE_PRESENT:
            break
        present = int.from_bytes(header[at : at + 4], "little") | present & _TSFT
        at += 4
    return header[_aligned(at, 8) + 8 if present & _TSFT else at]


def prism(frame: bytes) -> Layer:
    """Prism's header, or AVS's, which drivers send under the same number; the length is at the same place."""
    _, length = _MONITOR_HEADER.unpack_from(frame)
    # In the byte order of whoever captured: read the wrong way round, such a length is beyond 2**24.
    swapped = int.from_bytes(frame[4:8], "little")
    return _behind(frame, min(length, swapped))


def avs(frame: bytes) -> Layer:
    """The header of AbsoluteValue Systems."""
    message, length = _MONITOR_HEADER.unpack_from(frame)
    return _behind(frame, length) if message >> 12 == _AVS_MAGIC else NOTHING


def _behind(frame: bytes, length: int) -> Layer:
    return ieee80211(frame[length:]) if length >= _MONITOR_HEADER.size else NOTHING


def _aligned(position: int, size: int) -> int:
    return position + size - 1 & -size
