"""Selections: the words that name assets on the command line, turned into a set of names."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from lineal.assets.errors import SelectionError, did_you_mean
from lineal.assets.graph import Graph

# `kind:` words and the kinds of declaration they mean.
KINDS: Mapping[str, tuple[str, ...]] = {
    "source": ("files", "fetch"),
    "python": ("python",),
    "sql": ("sql",),
    "gate": ("gate",),
    "action": ("action",),
}


def select(
    graph: Graph,
    words: Sequence[str],
    *,
    stale: Callable[[], Iterable[str]],
    models: Callable[[], Iterable[str]],
) -> set[str]:
    """The assets that the words name; all of them for no words.

    Words: `name`, `raw/` (all below), globs, `+name` (with all it needs), `name+` (with all it
    feeds), `tag:x`, `kind:source|python|sql|gate|action|model`, `stale`.

    Raises:
        SelectionError: a word that names nothing.
    """
    if not words:
        return set(graph.assets)
    found: set[str] = set()
    for word in words:
        found |= _one(graph, word, stale, models)
    return found


def _one(
    graph: Graph,
    word: str,
    stale: Callable[[], Iterable[str]],
    models: Callable[[], Iterable[str]],
) -> set[str]:
    up, down = word.startswith("+"), word.endswith("+")
    core = word[up : len(word) - down]
    names = _core(graph, core, stale, models)
    if not names and core not in ("stale", "kind:model"):
        known = [*graph.maker, *graph.assets]
        raise SelectionError(
            f"nothing is called `{core}`{did_you_mean(core, known)}",
            advice="`lineal status -v` lists every asset",
        )
    found = set(names)
    if up:
        found |= graph.needed_by(names)
    if down:
        found |= graph.fed_by(names)
    return found


def _core(
    graph: Graph,
    core: str,
    stale: Callable[[], Iterable[str]],
    models: Callable[[], Iterable[str]],
) -> set[str]:
    if core == "stale":
        return set(stale())
    prefix, colon, value = core.partition(":")
    if colon and prefix == "tag":
        return {name for name, asset in graph.assets.items() if value in asset.tags}
    if colon and prefix == "kind":
        if value == "model":
            return set(models())
        if value not in KINDS:
            known = ", ".join([*KINDS, "model"])
            raise SelectionError(f"no kind `{value}`", advice=f"kinds are {known}")
        return {name for name, asset in graph.assets.items() if asset.kind in KINDS[value]}
    by_fold = {name.casefold(): name for name in (*graph.assets, *graph.maker)}
    exact = by_fold.get(core.casefold())
    if exact is not None:
        return {graph.maker.get(exact, exact)}
    if core.endswith("/"):
        return {maker for output, maker in graph.maker.items() if output.startswith(core)}
    if any(c in core for c in "*?["):
        return {m for output, m in graph.maker.items() if fnmatch.fnmatchcase(output, core)}
    return set()
