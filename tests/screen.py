"""A terminal in memory: what a person would see of what a program wrote."""

from __future__ import annotations

import re
import unicodedata

_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    """Takes in text with the controls that lineal uses; refuses any other."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.scrolled: list[str] = []  # what went out at the top
        self.cells = [[" "] * width for _ in range(height)]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            control = _CONTROL.match(text, at)
            if control is not None:
                self._control(control[1], control[2])
                at = control.end()
            else:
                self._character(text[at])
                at += 1

    @property
    def lines(self) -> list[str]:
        """What is on the screen, to the last line that is not empty."""
        rows = [_text(row) for row in self.cells]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def whole(self) -> list[str]:
        return self.scrolled + self.lines

    def _control(self, argument: str, letter: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - int(argument or 1))
        elif letter in "JK" and argument in ("", "0"):
            self.cells[self.row][self.column :] = [" "] * (self.width - self.column)
            if letter == "J":
                self.cells[self.row + 1 :] = self._blank(self.height - self.row - 1)
        else:
            assert letter == "m", f"an unknown control {argument}{letter}"

    def _blank(self, count: int) -> list[list[str]]:
        return [[" "] * self.width for _ in range(count)]

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        else:
            wide = unicodedata.east_asian_width(character) in "WF"
            if self.column + 1 + wide > self.width:
                self.column = 0
                self._down()
            self.cells[self.row][self.column] = character
            if wide:
                self.cells[self.row][self.column + 1] = ""
            self.column += 1 + wide

    def _down(self) -> None:
        if self.row + 1 < self.height:
            self.row += 1
            return
        self.scrolled.append(_text(self.cells.pop(0)))
        self.cells += self._blank(1)


def _text(row: list[str]) -> str:
    return "".join(row).rstrip()
