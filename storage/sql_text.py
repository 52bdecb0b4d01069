"""The text of a query: its tokens, and the places in it that errors speak of."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from lineal.assets.asset import Macro, Query
from lineal.assets.errors import QueryError


def locate(query: Query, offset: int | None) -> tuple[str, str | None]:
    """(file:line, that line with a caret below) of a byte offset in the query's text."""
    if offset is None:
        return str(query.where), None
    data = query.text.encode()
    offset = min(offset, len(data))
    start = data.rfind(b"\n", 0, offset) + 1
    end = data.find(b"\n", offset)
    line = data[start : end if end >= 0 else len(data)].decode(errors="replace").rstrip("\r")
    column = len(data[start:offset].decode(errors="replace"))
    lead = "".join("\t" if c == "\t" else " " for c in line[:column])
    number = query.where.line + data.count(b"\n", 0, start)
    return f"{query.where.file}:{number}", f"{line}\n{lead}^"


_BEFORE_TABLE = frozenset({"from", "join", "pivot", "unpivot", "pivot_wider"})


def place_of_table(query: Query, parts: Sequence[str]) -> tuple[str, str | None]:
    """Where a query names a table, as `locate` tells it; without a line where it can't be seen."""
    found = list(marks(query.text))
    words = [mark.word.strip('"').replace('""', '"').casefold() for mark in found]
    wanted = ".".join(parts).casefold()
    length = 2 * len(parts) - 1
    named = [i for i in range(len(found)) if "".join(words[i : i + length]) == wanted]
    read = [i for i in named if i and words[i - 1] in _BEFORE_TABLE]
    return locate(query, found[(read or named)[0]].start if named else None)


def reads_as(query: Query, table: str, alias: str) -> bool:
    """Does a query read a table, spelt so, by this name?"""
    words = [mark.word.replace('"', "").casefold() for mark in marks(query.text)]
    path, alias = table.replace('"', "").casefold().split("."), alias.casefold()
    length = 2 * len(path) - 1
    for at in range(1, len(words)):
        before, after = words[at - 1], words[at + length : at + length + 2]
        if words[at : at + length : 2] == path and before in (*_BEFORE_TABLE, ","):
            after = after[1:] if after[:1] == ["as"] else after
            if alias == path[-1] or after[:1] == [alias]:
                return True
    return False


_PLACE = re.compile(r"\n\nLINE (\d+): (.*)\n( *)(\^+)", re.DOTALL)


def query_error(query: Query, error: BaseException, *, advice: str | None = None) -> QueryError:
    """A DuckDB error as a QueryError at the query's own line, with a caret.

    DuckDB shows a shortened copy of the line; the caret is carried over to the whole one.
    """
    text = str(error)
    place = _PLACE.search(text)
    said = text[: place.start()] if place else text
    said = re.sub(r' at or near "[^\n]*\n.*"', "", said, flags=re.DOTALL)  # it quotes the rest
    first, _, rest = said.partition("\n")
    message = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", first.strip())
    message = re.sub(r",? or SET [^.]*", "", message)  # the settings are locked
    offset = _offset(query.text, place) if place else None
    advice = advice or _hints(rest) or None
    if query.macros:
        return _among_macros(query, message, advice, offset, len(place[4]) if place else 0)
    if offset is None:
        offset = _only_place(query.text, message)
    where, excerpt = locate(query, offset)
    return QueryError(message, where=where, advice=advice, excerpt=excerpt)


def _hints(text: str) -> str:
    """What DuckDB advises, as far as it helps here: the first of many candidates, no settings."""
    lines = [line.strip() for line in text.splitlines()]
    useful = [line for line in lines if line and not re.search(r"\bSET \w+", line)]
    more = len(useful) - 5
    return " ".join(useful[:5]) + (f" … and {more} more" if more > 0 else "")


def _only_place(text: str, message: str) -> int | None:
    """The place of the one word of a text that a message quotes, where DuckDB does not say it."""
    quoted = {word.casefold() for word in re.findall(r'"+([^"]+)"+', message)}
    places = [mark.start for mark in marks(text) if mark.word.strip('"').casefold() in quoted]
    return places[0] if len(places) == 1 else None


def begin_of(text: str, statement: int) -> int | None:
    """Where the n-th statement of a text begins."""
    found = [Mark(0, 0, ";", False), *marks(text)]
    begins = [
        mark.start for last, mark in itertools.pairwise(found) if last.word == ";" != mark.word
    ]
    return begins[statement] if statement < len(begins) else None


def place_of_parameter(query: Query, name: str) -> tuple[str, str | None]:
    """Where a query first says `$name`, as `locate` tells it."""
    data = query.text.encode()
    sign = f"${name}".encode()
    places = (m.start for m in marks(query.text) if data[m.start : m.start + len(sign)] == sign)
    return locate(query, next(places, None))


def _among_macros(
    query: Query, message: str, advice: str | None, offset: int | None, width: int
) -> QueryError:
    """The error of a query that calls macros: DuckDB counts places in the body of a macro from the
    macro's own beginning, but shows them in the query.
    """
    texts = {"": query} | {macro.name: named(macro) for macro in query.macros}
    words = {
        name: mark.word.casefold()
        for name, text in texts.items()
        for mark in marks(text.text)
        if mark.start == offset and _ends_at(text.text, mark.start + width)
    }
    told = [name for name, word in words.items() if word in message.casefold()]
    name = next(iter([*told, *words]), None)
    use = _first_call(query, {macro.name.casefold() for macro in query.macros})
    if name:
        where, excerpt = locate(texts[name], offset)
        message, hint = f"in the macro `{name}`: {message}", f"called at {locate(query, use)[0]}"
    else:
        where, excerpt = locate(query, use if name is None else offset)
        called = [m for m in query.macros if name is None or m.name.casefold() == words[name]]
        hint = ", ".join(f"`{m.name}` is the macro at {m.where}" for m in called)
    return QueryError(
        message, where=where, advice="; ".join(filter(None, (advice, hint))), excerpt=excerpt
    )


def named(macro: Macro) -> Query:
    """A macro as a text in which errors have places."""
    return Query(macro.text, macro.where)


def _ends_at(text: str, end: int) -> bool:
    return any(mark.start + len(mark.word.encode()) == end for mark in marks(text))


def place_of_call(query: Query, function: str) -> tuple[str, str | None]:
    """Where a query first calls a function, as `locate` tells it."""
    return locate(query, _first_call(query, {function}))


def _first_call(query: Query, names: Collection[str]) -> int | None:
    found = list(marks(query.text))
    for mark, after in itertools.pairwise(found):
        if after.word == "(" and mark.word.strip('"').casefold() in names:
            return mark.start
    return None


def _offset(text: str, place: re.Match[str]) -> int | None:
    """The byte in a text that DuckDB's caret is under."""
    number, shown = int(place[1]), place[2]
    lines = text.split("\n")
    if number > len(lines):
        return None
    core = shown.removeprefix("...")
    begin = lines[number - 1].find(core.removesuffix("..."))
    before = len(shown) - len(core)
    caret = _characters(shown, len(place[3]) - len(f"LINE {number}: ")) - before
    if begin < 0 or caret < 0:
        return None
    above = "".join(line + "\n" for line in lines[: number - 1])
    return len((above + lines[number - 1][: begin + caret]).encode())


def _characters(text: str, width: int) -> int:
    """How many characters take up a width, as DuckDB reckons it: a tab none, a wide one two."""
    taken = 0
    for count, character in enumerate(text):
        if taken >= width and character != "\t":
            return count
        wide = unicodedata.east_asian_width(character) in ("W", "F")
        taken += 0 if character == "\t" or unicodedata.combining(character) else 1 + wide
    return len(text)


class Mark(NamedTuple):
    """A token of DuckDB's: its place in bytes, and what it is."""

    start: int
    end: int
    word: str
    keyword: bool


def marks(text: str) -> Iterator[Mark]:
    """DuckDB's tokens without comments and white space."""
    import duckdb

    data = text.encode()
    found = duckdb.tokenize(text)
    ends = [*(start for start, _ in found[1:]), len(data)]
    for (start, kind), end in zip(found, ends, strict=False):  # an empty text has an end only
        word = data[start:end].strip()
        if kind.name != "comment" and word:
            yield Mark(start, start + len(word), word.decode(), kind.name == "keyword")


def without_comments(text: str) -> str:
    """A query as it is written, but for its comments and the final `;`."""
    import duckdb

    data = text.encode()
    found = duckdb.tokenize(text)
    ends = [start for start, _ in found[1:]] + [len(data)]
    kept = [data[: found[0][0]] if found else data]
    for (start, kind), end in zip(found, ends, strict=True):
        kept.append(b" " if kind.name == "comment" else data[start:end])
    return b"".join(kept).decode().strip().rstrip(";").rstrip()


def tokens(text: str, names: Collection[str] | None) -> Iterator[str]:
    """DuckDB's tokens without comments, white space and the final `;`, keywords in small letters.

    A keyword that is also a name somewhere in the statement (`select a as Date`) stays as written:
    there its letters are the name of a column.

    Args:
        names: the texts in the statement's tree; without a tree, every keyword is kept as written.
    """
    found = [
        mark.word.lower()
        if mark.keyword and names is not None and mark.word not in names
        else mark.word
        for mark in marks(text)
    ]
    while found and found[-1] == ";":
        found.pop()
    yield from found
