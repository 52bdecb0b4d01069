"""The verb `reproduce`: a version is computed again, and compared."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from lineal.cli import render
from lineal.cli.documents import dumps
from lineal.cli.environment import opened
from lineal.cli.make import JSON
from lineal.reproduced import Remade, Reproduction

_MOST = 40  # lines of steps


@click.command()
@click.argument("version")
@click.option("--all", "whole", is_flag=True, help="Also every step that it was computed from.")
@click.option("--keep", metavar="DIR", help="Do it in this empty folder, which stays.")
@JSON
def reproduce(version: str, whole: bool, keep: str | None, as_json: bool) -> None:
    """Compute VERSION again and compare it with what is recorded.

    From its recorded inputs, with the code and settings of the run that computed it, in a folder
    and a process of its own. Bytes are compared; then rows of tables, and what models predict on
    the data that they were judged on. The exit code is 1 if anything came out otherwise.

    \b
    Examples:
      lineal reproduce delays@v3
      lineal reproduce delays@production --all
      lineal reproduce features@9f3a2c --keep again
    """
    found = opened().reproduce(version, whole=whole, keep=keep)
    if as_json:
        click.echo(dumps(reproduction_document(found)))
    else:
        click.echo("\n".join(reproduction_lines(render.Style.of_terminal(), found)))
    if not found.ok:
        sys.exit(1)


def reproduction_lines(style: render.Style, found: Reproduction) -> list[str]:
    rows = style.folded(f"{found.sentence()} ({render.duration(found.seconds)})", "", "  ")
    if len(found.steps) == 1:
        (step,) = found.steps
        rows += style.folded(f"{step.name}, computed in {step.run}", "  ")
        rows += _notes(style, step)
    else:
        rows += _steps(style, found.steps)
    if found.kept is not None:
        rows.append(f"  kept in {found.kept}")
    return rows


def _steps(style: render.Style, steps: Sequence[Remade]) -> list[str]:
    """One line each; of very many, those that are otherwise, and the last."""
    shown = list(steps)
    if len(steps) > _MOST:
        shown = [step for step in steps if step is steps[-1] or step.notes or not step.ok]
    rows = []
    width = render.name_column(step.name for step in shown)
    for step in shown:
        glyph = style.glyph("made" if step.ok else "failed")
        right = render.duration(step.seconds)
        rows += render.item(style, glyph, step.name, width, step.told(), right)
        rows += _notes(style, step)
    if len(shown) < len(steps):
        rows.append(f"  and {len(steps) - len(shown):,} more came out as they were")
    return rows


def _notes(style: render.Style, step: Remade) -> list[str]:
    warning = style.glyph("warning")
    return [row for note in step.notes for row in style.folded(note, f"    {warning} ")]


def reproduction_document(found: Reproduction) -> dict[str, Any]:
    return {
        "name": found.name,
        "reproduced": found.ok,
        "seconds": round(found.seconds, 6),
        "kept": None if found.kept is None else str(found.kept),
        "steps": [
            {
                "asset": step.step.asset,
                "partition": step.step.partition,
                "materialization": step.materialization,
                "run": step.run,
                "version": step.version,
                "outcome": step.alike.likeness,
                "detail": step.told(),
                "seconds": round(step.seconds, 6),
                "notes": list(step.notes),
            }
            for step in found.steps
        ],
    }
