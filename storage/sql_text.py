"""The text of a query: its tokens, and the places in it that errors speak of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator

from lineal.assets.asset import Query
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


_PLACE = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^", re.DOTALL)


def query_error(query: Query, error: BaseException, *, advice: str | None = None) -> QueryError:
    """A DuckDB error as a QueryError at the query's own line, with a caret.

    DuckDB shows a shortened copy of the line; the caret is carried over to the whole one.
    """
    text = str(error)
    place = _PLACE.search(text)
    said = text[: place.start()] if place else text
    first, _, rest = said.partition("\n")
    message = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", first.strip())
    offset = _offset(query.text, place) if place else None
    where, excerpt = locate(query, offset)
    hints = " ".join(line.strip() for line in rest.splitlines() if line.strip())
    return QueryError(message, where=where, advice=advice or hints or None, excerpt=excerpt)


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


def without_comments(text: str) -> str:
    """A query as it is written, but for its comments and the final `;`."""
    import duckdb

    data = text.encode()
    marks = duckdb.tokenize(text)
    ends = [start for start, _ in marks[1:]] + [len(data)]
    kept = [data[: marks[0][0]] if marks else data]
    for (start, kind), end in zip(marks, ends, strict=True):
        kept.append(b" " if kind.name == "comment" else data[start:end])
    return b"".join(kept).decode().strip().rstrip(";").rstrip()


def tokens(text: str, names: Collection[str] | None) -> Iterator[str]:
    """DuckDB's tokens without comments, white space and the final `;`, keywords in small letters.

    A keyword that is also a name somewhere in the statement (`select a as Date`) stays as written:
    there its letters are the name of a column.

    Args:
        names: the texts in the statement's tree; without a tree, every keyword is kept as written.
    """
    import duckdb

    data = text.encode()
    marks = duckdb.tokenize(text)
    ends = [start for start, _ in marks[1:]] + [len(data)]
    found = []
    for (start, kind), end in zip(marks, ends, strict=True):
        token = data[start:end].decode().strip()
        if kind.name == "comment" or not token:
            continue
        if kind.name == "keyword" and names is not None and token not in names:
            token = token.lower()
        found.append(token)
    while found and found[-1] == ";":
        found.pop()
    yield from found
