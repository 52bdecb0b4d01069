"""The verb `report`: what is known of an asset, as one page for a browser."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lineal.assets.errors import UsageError
from lineal.cli.ask import PARTITION
from lineal.cli.environment import opened


@click.command()
@click.argument("asset")
@PARTITION
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write there; `-` prints the page. Default: ASSET.html in this folder.",
)
def report(asset: str, partition: str | None, output: str | None) -> None:
    """Write one HTML page about ASSET, or a version of it: versions, metrics, figures, lineage.

    Of a model also what gates decided, and every promotion. The page needs nothing but itself: no
    network and no scripts; the figures are in it.

    \b
    Examples:
      lineal report delay_model
      lineal report delays@v3 -o audit.html
    """
    text = opened().report(asset, partition)
    if output == "-":
        click.echo(text, nl=False)
        return
    file = _default(asset, partition) if output is None else Path(output)
    _write(file, text)
    click.echo(f"Wrote {file}.")


def _default(asset: str, partition: str | None) -> Path:
    """`raw-flights-2013-01.html`; what is there already must be a report.

    Raises:
        UsageError: it is something else.
    """
    from lineal.report_page import GENERATOR

    told = "-".join(filter(None, (asset, partition)))
    name = "".join(c if c.isalnum() or c in "@_.=-" else "-" for c in told)
    file = Path(f"{name}.html")
    if file.exists() and f'content="{GENERATOR}"'.encode() not in _beginning(file):
        raise UsageError(
            f"`{file}` is there already, and no report",
            advice="say where to write: `lineal report … -o FILE`",
        )
    return file


def _beginning(file: Path) -> bytes:
    with file.open("rb") as there:
        return there.read(1000)


def _write(file: Path, text: str) -> None:
    """Whole or not at all: what was there stays until the page is written."""
    place = file.resolve()  # a link stays a link
    aside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        aside.replace(place)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UsageError(
            f"`{file}` can't be written: {error.strerror or error}",
            advice="give `-o` a file in a folder that you may write to",
        ) from error
