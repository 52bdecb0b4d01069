"""The macros of a project: `macros.sql` cut into them, and which of them a query reaches.

DuckDB's tokenizer says where a macro's parameters and bodies are; its parser is then asked about a
body as about any query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from lineal.assets.asset import Macro, Query, Where
from lineal.assets.errors import DefinitionError, QueryError, did_you_mean
from lineal.storage.sql_text import Mark, locate, marks, named

_FORM = "write `create macro name(a, b := 5) as …` or `create macro name(a) as table select …`"


class Part(NamedTuple):
    """A piece of a macro that DuckDB can parse by itself: its bytes, or more of them."""

    start: int
    end: int
    query: bool  # a query; else an expression

    def padded(self, data: bytes) -> str:
        """The piece as a statement, in which everything stands where it stands in the macro."""
        lead = b"" if self.query else b"select "
        return (b" " * (self.start - len(lead)) + lead + data[self.start : self.end]).decode()


class Shape(NamedTuple):
    """How a `create macro` is made."""

    name: str
    parameters: tuple[str, ...]  # of all overloads
    parts: tuple[Part, ...]  # bodies, and the defaults of parameters
    table: bool


def _begins_macro(found: list[Mark]) -> bool:
    """Is this a `create macro`, as far as its first words say?"""
    words = [token.word.casefold() for token in found[:4]]
    if words[:1] != ["create"]:
        return False
    words = words[3:] if words[1:3] == ["or", "replace"] else words[1:]
    return words[:1] in (["macro"], ["function"])


def _verb(found: list[Mark]) -> str:
    words = [mark.word.upper() for mark in found]
    return " ".join(words[:2] if words[0] == "CREATE" else words[:1])


def at_its_name(macro: Macro) -> tuple[str, str | None]:
    """(file:line, the line with a caret) of a macro's name."""
    found = list(marks(macro.text))
    opening = next(i for i, mark in enumerate(found) if mark.word == "(")
    return locate(named(macro), found[opening - 1].start)


def shape_of(query: Query) -> Shape:
    """The parts of one `create macro`, which DuckDB's parser has accepted.

    Raises:
        QueryError: it is more than its name, parameters and bodies.
    """
    found = list(marks(query.text))
    low = [token.word.casefold() for token in found]
    at = 3 if low[1:3] == ["or", "replace"] else 1
    if low[at + 2 : at + 3] != ["("]:
        where, excerpt = locate(query, found[at + 1].start)
        raise QueryError(
            "a macro has a name and nothing else before its `(`",
            where=where,
            advice=_FORM,
            excerpt=excerpt,
        )
    name, at = _unquoted(found[at + 1].word), at + 2
    parameters: dict[str, None] = {}
    parts: list[Part] = []
    table = False
    while at < len(found):
        close = _closing(low, at)
        names, defaults = _parameters(found[at + 1 : close])
        parameters |= dict.fromkeys(names)
        parts += defaults
        table = low[close + 2] == "table"
        first = close + (3 if table else 2)
        at = _next_overload(low, first, table)
        parts.append(Part(found[first].start, found[at - 1].end, table))
        at += 1
    return Shape(name, tuple(parameters), tuple(parts), table)


def _closing(low: list[str], at: int) -> int:
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    for place in range(at, len(low)):
        depth += (low[place] in ("(", "[", "{")) - (low[place] in (")", "]", "}"))
        if depth == 0:
            return place
    return len(low)


def _parameters(found: list[Mark]) -> tuple[list[str], list[Part]]:
    """The names of parameters, and their defaults."""
    names: list[str] = []
    defaults: list[Part] = []
    for piece in _pieces(found):
        names.append(_unquoted(piece[0].word))
        begin = next((i for i, t in enumerate(piece) if t.word in (":=", "=>", "=")), None)
        if begin is not None:
            defaults.append(Part(piece[begin + 1].start, piece[-1].end, False))
    return names, defaults


def _pieces(found: list[Mark]) -> Iterator[list[Mark]]:
    """Tokens parted by the commas that no bracket holds."""
    low, piece, at = [token.word for token in found], 0, 0
    while at < len(found):
        if low[at] in ("(", "[", "{"):
            at = _closing(low, at)
        elif low[at] == ",":
            yield found[piece:at]
            piece = at + 1
        at += 1
    if found[piece:]:
        yield found[piece:]


def _next_overload(low: list[str], at: int, table: bool) -> int:
    """The place of the comma before the next `(…) as`, or the end."""
    wanted = ["as", "table"] if table else ["as"]
    while at < len(low):
        if low[at] == "," and low[at + 1 : at + 2] == ["("]:
            close = _closing(low, at + 1)
            if low[close + 1 : close + 1 + len(wanted)] == wanted:
                return at
        at = _closing(low, at) + 1 if low[at] in ("(", "[", "{") else at + 1
    return at


def _unquoted(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def cut(file: Query, statements: Iterable[str]) -> Iterator[Macro]:
    """The macros of a file, from its statements as DuckDB parts them.

    Raises:
        QueryError: a statement is no `create macro`, with its line.
    """
    data, place = file.text.encode(), 0
    for statement in statements:
        found = list(marks(statement))
        place = data.index(statement.encode(), place)
        start = place + found[0].start
        while found[-1].word == ";":
            found.pop()
        text = statement.encode()[found[0].start : found[-1].end].decode()
        place += len(statement.encode())
        if not _begins_macro(found):
            where, excerpt = locate(file, start)
            raise QueryError(
                f"`{_verb(found)}` can't be among the macros of a project",
                where=where,
                advice=f"{_FORM}; a query is an asset in a file of its own",
                excerpt=excerpt,
            )
        where_it_is = Where(file.where.file, file.where.line + data.count(b"\n", 0, start))
        made = shape_of(Query(text, where_it_is))
        yield Macro(made.name, text, where_it_is, made.table)


class Library:
    """The macros of a project, by name; a query reaches those it calls, and those that they call.

    Args:
        macros: of all files.
        calls: the functions that a macro calls and DuckDB does not have, in small letters.

    Raises:
        DefinitionError: two of one name, or macros that call each other in a circle.
    """

    def __init__(self, macros: Iterable[Macro], calls: Callable[[Macro], Iterable[str]]):
        self._macros: dict[str, Macro] = {}
        for macro in macros:
            other = self._macros.setdefault(macro.name.casefold(), macro)
            if other is not macro:
                where, excerpt = at_its_name(macro)
                raise DefinitionError(
                    f"two macros are called `{macro.name}`: the other is at {other.where}",
                    where=where,
                    advice="rename one; `create macro f(a) as …, (a, b) as …` takes either",
                    excerpt=excerpt,
                )
        self._calls: Mapping[str, tuple[str, ...]] = {
            name: tuple(calls(macro)) for name, macro in self._macros.items()
        }
        for name in self._macros:
            self._walk(name, {}, ())

    def __iter__(self) -> Iterator[Macro]:
        return iter(self._macros.values())

    def __contains__(self, name: str) -> bool:
        return name in self._macros

    def reached(self, names: Iterable[str]) -> tuple[Macro, ...]:
        """The macros behind these names, each after those that it calls."""
        found: dict[str, Macro] = {}
        for name in names:
            self._walk(name, found, ())
        return tuple(found.values())

    def near(self, name: str) -> str:
        """A question whether another macro was meant."""
        return did_you_mean(name, [macro.name for macro in self])

    def _walk(self, name: str, found: dict[str, Macro], path: tuple[str, ...]) -> None:
        macro = self._macros.get(name)
        if macro is None or name in found:
            return
        if name in path:
            told = " → ".join((*path[path.index(name) :], name))
            where, excerpt = at_its_name(macro)
            raise DefinitionError(f"macros in a circle: {told}", where=where, excerpt=excerpt)
        for called in self._calls[name]:
            self._walk(called, found, (*path, name))
        found[name] = macro
