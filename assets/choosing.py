"""Which partitions the words of `--partition` mean.  PURE"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from lineal.assets.errors import UsageError
from lineal.assets.keys import Keys, Listed, unknown


def choose(words: Sequence[str], keys: Keys, who: str = "it") -> Keys:
    """The keys that the words mean, in their own order.

    A word is a key, a range `2024-01..2024-06` with both ends (`..2024-06`, `2024-06..`), a glob
    `eu*`, or a longer time that stands for all in it: `2024` and `2024-01` for days.

    Raises:
        UsageError: a word that means none of them, or a range that runs backwards.
    """
    places: set[int] = set()
    for word in words:
        found = _places(word, keys, who)
        if len(words) == 1 and isinstance(found, range):
            return keys[found.start : found.stop]
        places.update(found)
    if not places:
        raise UsageError("no partition is named", advice="say which: --partition 2024-01")
    return Listed((keys[place] for place in sorted(places)), keys.period)


def _places(word: str, keys: Keys, who: str) -> Sequence[int]:
    if not word.strip(". "):
        raise UsageError(
            f"`--partition {word}` names no partition", advice="a key, a range or a glob"
        )
    if ".." not in word:
        return _one(word, keys, who)
    first, _, final = word.partition("..")
    start = _one(first, keys, who, end=True)[0] if first else 0
    beyond = _one(final, keys, who, end=True)[-1] + 1 if final else len(keys)
    if beyond <= start:
        raise UsageError(f"the range `{word}` runs backwards", advice=f"write {final}..{first}")
    return range(start, beyond)


def _one(word: str, keys: Keys, who: str, *, end: bool = False) -> Sequence[int]:
    """The places of what a word means, at least one; `end`: of a range, so no glob."""
    place = keys.place(word)
    if place is not None:
        return range(place, place + 1)
    inside = keys.inside(word)
    if inside:
        first = keys.index(inside[0])
        return range(first, first + len(inside))
    if not end and any(each in word for each in "*?["):
        found = [place for place, key in enumerate(keys) if fnmatch.fnmatchcase(key, word)]
        if found:
            return found
    raise unknown(word, keys, who)
