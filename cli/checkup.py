"""How `lineal fsck` speaks: what is damaged, by whole paths; what was repaired; the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from lineal.cli.render import Style
from lineal.fsck import TRASH
from lineal.fsck_report import Action, Finding, FsckReport, Held, Note, sentence

_AREAS = {"format": "journal", "catalog.duckdb": "catalog"}  # else: the folder
_FEW = 6  # versions told of one file
_MANY = 20  # files told of one note
_WARNINGS = ("unknown", "lost", "wrong", "runs", "unchecked")
_WITHOUT_PATHS = ("trash", "behind")
_GLYPHS = {
    "failed": "failed", "lost": "warning", "forgotten": "warning", "changed": "warning"
}  # fmt: skip
_EVERY = 0.1  # seconds between two lines of progress


class Progress:
    """One line on a terminal that says what is being looked at."""

    def __init__(self, quiet: bool) -> None:
        self._style = Style.of_terminal()
        self._live = sys.stderr.isatty() and not quiet and not self._style.ascii
        self._last = 0.0

    def heard(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if not self._live or (of and now - self._last < _EVERY):
            return
        self._last = now
        told = f"{what} {done:,} of {of:,}" if of else what
        click.echo(f"\r\x1b[2K  ▸ {told}", err=True, nl=False)

    def end(self) -> None:
        if self._live:
            click.echo("\r\x1b[2K", err=True, nl=False)


def fsck_lines(style: Style, report: FsckReport, folder: str) -> list[str]:
    """What `fsck` prints. `folder`: that of the store, where paths begin."""
    lines: list[str] = []
    lines.extend(_actions(style, report.actions))
    groups: dict[str, list[Finding]] = {}
    for found in report.damages:
        groups.setdefault(_area(found, folder), []).append(found)
    for area, findings in groups.items():
        if len(groups) > 1 and not style.piped:
            lines.extend([*_apart(lines), f"{area} ({len(findings):,})"])
        for found in findings:
            lines.extend(_finding(style, found))
    if groups and report.notes:
        lines.append("")
    for note in report.notes:
        lines.extend(_note(style, note))
    if lines:
        lines.append("")
    lines.extend(style.folded(sentence(report), ""))
    for row in _advice(report):
        lines.extend(style.folded(row, "  ", "      "))
    return lines


def _apart(lines: Sequence[str]) -> list[str]:
    return [""] if lines and lines[-1] else []


def _area(found: Finding, folder: str) -> str:
    first = str(found.path).removeprefix(folder).lstrip("/\\").replace("\\", "/").split("/")[0]
    return _AREAS.get(first, first)


def _finding(style: Style, found: Finding) -> list[str]:
    """The whole path is never cut, folded or shortened: on a line of its own where people read."""
    glyph = style.glyph("failed")
    if style.piped:
        return [f"  {glyph} {found.path}   {found.what}{_holds(found, 64)}"]
    pad = "        "
    rows = [f"  {glyph} {found.path}", *style.folded(found.what, pad)]
    if found.held:
        rows.extend(style.folded(_holds(found, 6).strip(), pad))
    return rows


def _holds(found: Finding, digits: int) -> str:
    """`   it holds features@9f3a2c (current), train@0c77e1`."""
    held = found.held
    if not held:
        return ""
    verb = "held" if found.is_missing else "holds"
    shown = held if digits == 64 else held[:_FEW]
    more = f" and {len(held) - len(shown):,} more" if len(held) > len(shown) else ""
    return f"   it {verb} {', '.join(h.text(digits) for h in shown)}{more}"


def _note(style: Style, note: Note) -> list[str]:
    """With the whole path of every file, where they are not too many for people."""
    glyph = style.glyph("warning" if note.kind in _WARNINGS else "skipped")
    rows = style.folded(note.what, f"  {glyph} ")
    if note.kind not in _WITHOUT_PATHS:
        shown = note.paths if style.piped else note.paths[:_MANY]
        rows.extend(f"        {path}" for path in shown)
        if len(note.paths) > len(shown):
            more = f"… and {len(note.paths) - len(shown):,} more: lineal fsck --json"
            rows.append(style.text(f"        {more}"))
    return rows


def _actions(style: Style, actions: Sequence[Action]) -> list[str]:
    rows: list[str] = []
    for action in actions:
        glyph = style.glyph(_GLYPHS.get(action.kind, "made"))
        if action.path is None:
            rows.extend(style.folded(action.what, f"  {glyph} "))
        elif style.piped:
            rows.append(f"  {glyph} {action.path}   {action.what}")
        else:
            rows.extend([f"  {glyph} {action.path}", *style.folded(action.what, "        ")])
    return [*rows, ""] if rows else []


def _advice(report: FsckReport) -> Iterator[str]:
    if report.ok:
        if any(action.kind == "forgotten" for action in report.actions):
            yield "lineal materialize    makes again what only lost entries told of"
        return
    if not report.actions:
        yield f"lineal fsck --repair    {', '.join(_would_do(report.damages))}"
        return
    for action in report.actions:
        if action.kind == "failed":
            yield "lineal fsck --repair    once more, when that is mended"
            return
    yield "what is left can't be repaired from here: restore those files from a backup"


def _would_do(damages: Sequence[Finding]) -> Iterator[str]:
    """What a repair of these does."""
    indexes = [found for found in damages if found.path.suffix in (".duckdb", ".sqlite")]
    there = [found for found in damages if not found.is_missing and found.level != "content"]
    if any(found not in indexes for found in there):
        yield f"moves what is damaged to {TRASH}/"
    if any(found.level == "journal" for found in damages):
        yield "mends the journal"
    if any(held.current for found in damages for held in found.held):
        yield "makes what is current again"
    elif any(found.is_missing and found.level in ("objects", "bytes") for found in damages):
        yield "notes what is lost"
    if indexes:
        yield "makes the indexes of the journal anew"


# -------------------------------------------------------------------------------------------- JSON


def fsck_document(report: FsckReport) -> dict[str, Any]:
    counts = report.counts
    return {
        "level": report.level,
        "ok": report.ok,
        "damages": [
            {
                "level": found.level,
                "path": str(found.path),
                "what": found.what,
                "held": [_held(held) for held in found.held],
            }
            for found in report.damages
        ],
        "notes": [
            {"kind": n.kind, "what": n.what, "paths": [str(p) for p in n.paths], "bytes": n.bytes}
            for n in report.notes
        ],
        "checked": {
            "entries": counts.entries,
            "objects": counts.objects,
            "bytes": counts.bytes,
            "versions": counts.versions,
            "unproved": counts.unproved,
            "sealed": counts.sealed,
            "catalog": counts.catalog,
        },
        "actions": [
            {"kind": a.kind, "what": a.what, "path": str(a.path) if a.path else None}
            for a in report.actions
        ],
    }


def _held(held: Held) -> dict[str, Any]:
    return {
        "asset": held.version.asset,
        "partition": held.version.partition,
        "version": held.version.digest,
        "registered": list(held.registered),
        "current": held.current,
        "materialization": held.making.materialization,
        "run": held.making.run,
        "recipe": held.making.recipe,
    }
