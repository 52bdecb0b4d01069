"""For any graph of helpers and any edit, what reaches the edited piece changes, nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.definitions import load

MODULES = ("pipeline", "helpers", "tools")


class Use(NamedTuple):
    """How one piece uses another: by which spelling."""

    target: int
    spelling: int


class Piece(NamedTuple):
    """A function, class or constant of a module."""

    module: str
    kind: str
    uses: tuple[Use, ...]


def mention(piece: Piece, use: Use, pieces: list[Piece]) -> str:
    """An expression (or statement before it) by which one piece uses another."""
    target = pieces[use.target]
    name = f"p{use.target}"
    if target.module == piece.module and use.spelling % 2 == 0:
        return name
    spellings = [
        f"{target.module}.{name}",
        f"getattr({target.module}, {name!r})",
        f"__import__({target.module!r}).{name}",
        f"alias_{target.module}.{name}",
    ]
    return spellings[use.spelling]


def text_of(pieces: list[Piece], values: list[int], noise: int) -> dict[str, str]:
    lines: dict[str, list[str]] = {m: [] for m in MODULES}
    for found in lines.values():
        found += [f"import {m}\nimport {m} as alias_{m}" for m in MODULES]
        found.append(f"# {noise}" + "\n" * (noise % 3))
    for number, piece in enumerate(pieces):
        uses = [mention(piece, use, pieces) for use in piece.uses]
        shown = ", ".join(uses)
        out = lines[piece.module]
        if piece.kind == "constant":
            out.append(f"p{number} = {values[number]}")
        elif piece.kind == "class":
            out.append(f"class p{number}:\n    def go(self):\n        '{noise}'")
            out.append(f"        return {values[number]}, [{shown}]")
        elif piece.kind == "late":
            out.append(f"def p{number}(x):")
            for use in piece.uses:
                target = pieces[use.target]
                out.append(f"    from {target.module} import p{use.target} as q{use.target}")
            called = ", ".join(f"q{use.target}" for use in piece.uses)
            out.append(f"    return {values[number]}, [{called}]")
        else:
            out.append(f"def p{number}(x: 'T{noise}'):\n    return {values[number]}, [{shown}]")
    return {module: "\n".join(found) + "\n" for module, found in lines.items()}


@st.composite
def projects(draw: st.DrawFn) -> tuple[list[Piece], int]:
    count = draw(st.integers(2, 9))
    uses = st.lists(
        st.builds(Use, st.integers(0, count - 1), st.integers(0, 3)),
        max_size=3,
        unique_by=lambda u: u.target,
    )
    kinds = st.sampled_from(["function", "class", "constant", "late"])
    pieces = []
    for _ in range(count):
        kind = draw(kinds)
        found = () if kind == "constant" else tuple(draw(uses))
        pieces.append(Piece(draw(st.sampled_from(MODULES)), kind, found))
    return pieces, draw(st.integers(0, count - 1))


def reaching(pieces: list[Piece], edited: int) -> set[int]:
    """The pieces from which an edited one is reached, itself among them."""
    found = {edited}
    while True:
        more = {i for i, p in enumerate(pieces) if any(u.target in found for u in p.uses)} - found
        if not more:
            return found
        found |= more


def recipes(root: Path, pieces: list[Piece], cache: Path | None) -> dict[int, str]:
    definitions = load(root, ["pipeline.py", "helpers.py", "tools.py"], cache)
    try:
        found = {}
        for number, piece in enumerate(pieces):
            value = getattr(definitions.module(piece.module), f"p{number}")
            if piece.kind != "constant":
                found[number] = definitions.walker.recipe(value).digest
        return found
    finally:
        definitions.close()


@settings(max_examples=80, deadline=None)
@given(projects(), st.booleans(), st.integers(0, 5))
def test_an_edit_changes_exactly_what_reaches_it(
    project: tuple[list[Piece], int], keep: bool, noise: int
) -> None:
    pieces, edited = project
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        cache = root / ".lineal" if keep else None
        values = [100 + i for i in range(len(pieces))]
        for module, text in text_of(pieces, values, 0).items():
            (root / f"{module}.py").write_text(text)
        before = recipes(root, pieces, cache)
        values[edited] = 500
        for module, text in text_of(pieces, values, noise).items():
            (root / f"{module}.py").write_text(text)
        after = recipes(root, pieces, cache)
        changed = {n for n in before if before[n] != after[n]}
        assert changed == reaching(pieces, edited) & before.keys()
