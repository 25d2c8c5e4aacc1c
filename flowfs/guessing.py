"""What somebody who mistyped a word may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean THIS?`, to be put behind what is wrong; nothing if no known word is like it."""
    from difflib import get_close_matches  # for mistakes alone

    lower = {one.lower(): one for one in known}
    found = get_close_matches(word.lower(), lower, 1, 0.7)
    return f"did you mean {lower[found[0]]}?" if found else ""
