"""How lineal speaks on a terminal: the only place with colour, glyphs and tables."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from lineal.assets.errors import DefinitionErrors, LinealError
from lineal.assets.names import Step

NAME_WIDTH = 24  # the widest a column of names gets; longer ones shorten in the middle
GLYPHS: Mapping[str, tuple[str, str, str]] = {
    # outcome: (glyph, its ASCII twin, colour)
    "made": ("✓", "ok", "green"),
    "fresh": ("=", "=", "bright_black"),
    "reused": ("=", "=", "cyan"),
    "failed": ("✗", "x", "red"),
    "blocked": ("■", "#", "red"),
    "opened": ("◆", "*", "green"),
    "closed": ("◇", "o", "yellow"),
    "skipped": ("·", "-", "bright_black"),
    "cancelled": ("·", "-", "bright_black"),
    "retired": ("·", "-", "bright_black"),
    "pending": ("?", "?", "yellow"),
    "stale": (" ", " ", "yellow"),
    "due": (" ", " ", "yellow"),
    "again": ("↻", "~", "yellow"),
    "warning": ("!", "!", "yellow"),
}


class Style(NamedTuple):
    """What the terminal can show. Piped: another program reads, so nothing is cut or folded."""

    width: int  # of lines of text
    ascii: bool
    piped: bool = False
    whole: int | None = None  # of the terminal, for tables; None: that of text

    @staticmethod
    def of_terminal() -> Style:
        encoding = (getattr(sys.stdout, "encoding", "") or "").lower()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        width = shutil.get_terminal_size((80, 24)).columns
        piped = not sys.stdout.isatty()
        return Style(max(40, min(width, 100)), plain or "utf" not in encoding, piped, width)

    def glyph(self, outcome: str) -> str:
        shape, twin, colour = GLYPHS[outcome]
        return self.coloured(f"{twin:<2}" if self.ascii else shape, colour)

    def coloured(self, text: str, colour: str) -> str:
        return text if self.ascii else click.style(text, fg=colour)

    def name(self, name: str, width: int = NAME_WIDTH) -> str:
        """A name in a column of names: shortened where people read, whole for programs."""
        fitting = self._column(width)
        return padded(name if self.piped else shorten(name, fitting, self.mark), fitting)

    @property
    def mark(self) -> str:
        """What stands for what is left out."""
        return "..." if self.ascii else "…"

    def pad(self, width: int) -> str:
        """The blanks below a glyph and a name."""
        return " " * (self._column(width) + (8 if self.ascii else 7))

    def _column(self, width: int) -> int:
        return min(width, self.width // 3)

    def text(self, text: str) -> str:
        """The text with the typography this terminal can show, places relative to this folder."""
        text = text.replace(str(Path.cwd()) + os.sep, "")
        if not self.ascii:
            return text
        for shape, twin in (("→", "->"), ("←", "<-"), ("×", "x"), ("…", "..."), ("·", "-"),
                            ("│", "|"), ("├─", "|-"), ("└─", "`-"), ("≤", "<="), ("≥", ">="),
                            ("●", "*"),
                            ("▸", ">"), ("≈", "~"), ("↻", "~")):  # fmt: skip
            text = text.replace(shape, twin)
        return text

    def folded(self, text: str, first: str, rest: str | None = None) -> list[str]:
        """A text on as many lines as it needs, the first after `first`, the others after `rest`."""
        text, first = self.text(text), self.text(first)
        start = span(first)
        below = " " * start if rest is None else rest
        if self.piped:
            return [first + text]
        rows = fold(text, max(16, self.width - len(below)), max(16, self.width - start))
        return [first + rows[0], *(below + row for row in rows[1:])]


def span(text: str) -> int:
    """The columns that a text takes on a terminal: wide characters take two."""
    text = click.unstyle(text)
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    return text + " " * (width - span(text))


def clipped(text: str, width: int) -> str:
    """As many of the first characters as fit."""
    if text.isascii():
        return text[:width]
    taken = 0
    for i, character in enumerate(text):
        taken += _columns(character)
        if taken > width:
            return text[:i]
    return text


def shorten(name: str, width: int, mark: str = "…") -> str:
    """A name that fits: shortened in the middle."""
    if span(name) <= width:
        return name
    room = max(2, width - len(mark))
    head = room // 2
    return clipped(name, head) + mark + clipped(name[::-1], room - head)[::-1]


def fold(text: str, room: int, first_room: int | None = None) -> list[str]:
    """Lines that fit: parts (two blanks between them) stay whole if they can, then words."""
    at_first = room if first_room is None else first_room
    if len(text) <= at_first:
        return [text]
    lead = text[: len(text) - len(text.lstrip(" "))]
    if lead and text.strip():
        rows = fold(text.lstrip(" "), room - len(lead), at_first - len(lead))
        return [lead + row for row in rows]
    import textwrap

    def wrapped(words: str, used: int) -> list[str]:
        """Words on lines; `used` blanks stand for what the first line holds already."""
        each = [len(word) for word in words.split()] or [0]
        cut = textwrap.wrap(
            words,
            room,
            initial_indent=" " * used,
            break_on_hyphens=False,
            break_long_words=max(each) > room or each[0] > room - used,
        )
        return [row.lstrip() for row in cut] or [""]

    first, *others = re.split(r"( {2,})", text)
    rows = wrapped(first, max(0, room - at_first))
    for blanks, part in zip(others[::2], others[1::2], strict=True):
        left = (at_first if len(rows) == 1 else room) - len(rows[-1])
        if len(blanks) + len(part) <= left:
            rows[-1] += blanks + part
        else:
            rows.extend(wrapped(part, 0))
    return rows


def duration(seconds: float) -> str:
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def about(seconds: float) -> str:
    """A duration as exact as a guess is: `30 s`, `3 min`, `2 h 5 min`."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600 - 30:
        return f"{round(seconds / 60)} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def moment(seconds: float) -> str:
    """A time of recording in local time: `21 Nov 18:02`, with the year when it is another one."""
    then = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).astimezone()
    now = dt.datetime.now(tz=dt.UTC).astimezone()
    form = "%d %b %H:%M" if then.year == now.year else "%d %b %Y %H:%M"
    return then.strftime(form).lstrip("0")


def plural(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    consonant = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{count:,} {noun[:-1] + 'ies' if consonant else noun + 's'}"


def name_column(names: Iterable[str]) -> int:
    return min(NAME_WIDTH, max(map(span, names), default=4))


def whole_names(style: Style, names: Iterable[str], room: int) -> int:
    """The width of a column of names that take the room there is; all of it where cut ones would
    look alike, or where a program reads.
    """
    known = list(names)
    widest = max(map(span, known), default=4)
    width = min(widest, max(NAME_WIDTH, room))
    cut = {shorten(name, width, style.mark) for name in known}
    return widest if style.piped or len(cut) < len(set(known)) else width


def item(style: Style, glyph: str, name: str, width: int, what: str, right: str = "") -> list[str]:
    """One step: glyph, name, what came out, time at the right; what doesn't fit goes below."""
    left = style.text(f"  {glyph} {style.name(name, width)}   ")
    what = style.text(what)
    taken = len(style.pad(width)) + (len(right) + 2 if right else 0)
    if style.piped:
        rows = [what]
    else:
        if right and style.width - taken < 20:  # too narrow for a column of times
            what, right, taken = f"{what}   {right}".strip(), "", len(style.pad(width))
        rows = fold(what, max(16, style.width - taken)) or [""]
    gap = style.width - span(left) - span(rows[0]) - len(right)
    end = f"{' ' * max(2, gap)}{right}" if right else ""
    return [f"{left}{rows[0]}{end}".rstrip(), *(style.pad(width) + row for row in rows[1:])]


def warn(warnings: Sequence[str]) -> None:
    """Tell what may surprise, on standard error."""
    style = Style.of_terminal()
    for text in warnings:
        for row in style.folded(style.text(text), f"  {style.glyph('warning')} "):
            click.echo(row, err=True)


def listed(style: Style, names: Sequence[str], most: int) -> str:
    """Some of the names, long ones shortened, and `…` for the others."""
    shown = [name if style.piped else _fitting(style, name) for name in names[:most]]
    return ", ".join([*shown, "…"] if len(names) > most else shown)


def _fitting(style: Style, name: str) -> str:
    """The name of a step, or of an asset and how many partitions, which is not shortened."""
    asset, bracket, count = name.partition(" [")
    room = max(NAME_WIDTH, style.width // 2 - len(bracket + count))
    return shorten(asset, room, style.mark) + bracket + count


def step_names(steps: Iterable[Step], most: int = 3) -> list[str]:
    """The names of steps, more than a few partitions of one asset together."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.asset, []).append(step)
    names: list[str] = []
    for asset, group in groups.items():
        if len(group) > most:
            names.append(f"{asset} [{len(group):,} partitions]")
        else:
            names.extend(map(str, group))
    return names


def joint_name(steps: Sequence[Step]) -> str:
    """The name of steps that are made together: `train, test 2013-01`."""
    if len({step.partition for step in steps}) > 1:
        return ", ".join(step_names(steps))
    return str(Step(", ".join(step.asset for step in steps), steps[0].partition))


def excerpt(style: Style, text: str, pad: str) -> list[str]:
    """Lines of code, never folded: where they don't fit they begin further to the left."""
    rows = text.splitlines()
    widest = max((len(row) for row in rows), default=0)
    fitting = pad[: max(4, min(len(pad), style.width - widest))]
    return [fitting + row for row in rows]


# ---------------------------------------------------------------------------------------- errors


def error_lines(style: Style, error: LinealError) -> list[str]:
    """An error as a person reads it: what, which, where, how to mend."""
    if isinstance(error, DefinitionErrors):
        told = f"{error.message}, nothing was run"
        lines = [*style.folded(told, f"{style.coloured('error', 'red')}: ", "  "), ""]
        for one in error.errors:
            lines.extend(_one_error(style, one, "  "))
        return [style.text(row) for row in lines]
    lines = style.folded(error.message, f"{style.coloured('error', 'red')}: ", "  ")
    if error.where and error.where not in error.message:
        lines.append(f"  {error.where}")
    if error.excerpt:
        lines.extend(excerpt(style, error.excerpt, "    "))
    if error.advice:
        lines.extend(style.folded(error.advice, "  "))
    return [style.text(row) for row in lines]


def _one_error(style: Style, error: LinealError, pad: str) -> list[str]:
    first = f"{pad}{error.where}  " if error.where else pad
    rows = style.folded(error.message, first, pad + "    ")
    if error.excerpt:
        rows.extend(excerpt(style, error.excerpt, pad + "    "))
    if error.advice:
        rows.extend(style.folded(error.advice, pad + "    "))
    return rows


# ---------------------------------------------------------------------------------------- tables


def table(style: Style, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A framed table for a terminal; wide ones fold columns, and say how many."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = max(40, style.whole or style.width)
    shown = _columns_that_fit(columns, rows, width)
    grid = Table(box=box.ASCII if style.ascii else box.SQUARE, show_edge=True)
    for i in shown:
        number = any(isinstance(row[i], int | float) for row in rows)
        grid.add_column(columns[i], justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(row[i]) for i in shown))
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, markup=False, highlight=False).print(grid)
    hidden = len(columns) - len(shown)
    more = f"… {plural(hidden, 'more column')}; --format csv shows all\n" if hidden else ""
    return out.getvalue() + more


def _columns_that_fit(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int
) -> list[int]:
    shown: list[int] = []
    used = 1
    for i, name in enumerate(columns):
        widest = max([len(name), *(min(30, len(cell(row[i]))) for row in rows[:50])])
        used += widest + 3
        if shown and used > width:
            break
        shown.append(i)
    return shown


def cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and math.isfinite(value) and 1e-4 <= abs(value) < 1e15:
        digits = max(2, 6 - len(str(int(abs(value)))))  # an amount is read, not its exponent
        return f"{value:.{digits}f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.6g}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
