"""The verbs that keep: accept, settings, fsck, rebuild."""

from __future__ import annotations

import click

from lineal.cli import render
from lineal.cli.documents import dumps
from lineal.cli.environment import asked, opened
from lineal.cli.make import JSON


@click.command()
@click.argument("asset")
@click.option("--reason", required=True, help="Why the change is equivalent; it is recorded.")
def accept(asset: str, reason: str) -> None:
    """Record that the code of ASSET changed without changing its result: it becomes fresh.

    lineal takes your word for it and keeps it in the lineage. Undo it by editing the code.

    \b
    Example:  lineal accept features --reason "renamed a variable"
    """
    told = opened().accept(asset, reason)
    style = render.Style.of_terminal()
    click.echo(
        style.text(
            f"{told.asset}: code {told.new_recipe[:6]} counts as {told.old_recipe[:6]} from now "
            f"on, said {told.who}.\n  lineal plan{asked()}"
        )
    )


@click.command()
@JSON
def settings(as_json: bool) -> None:
    """Show every setting, its value, and where it comes from.

    \b
    Example:  lineal settings
    """
    rows = opened().settings.as_rows()
    if as_json:
        keys = ("setting", "value", "source")
        click.echo(dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return
    widths = [max(len(str(row[i])) for row in rows) for i in (0, 1)]
    for name, value, source in rows:
        click.echo(f"{name!s:<{widths[0]}}   {value!s:<{min(widths[1], 40)}}   {source}".rstrip())


@click.command()
@click.option(
    "--level",
    type=click.Choice(["journal", "objects", "bytes", "content", "catalog"]),
    default="catalog",
    help="How far to look; each level includes those before it. Default: all.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Move what is damaged to trash/, and make what is current again.",
)
@JSON
def fsck(level: str, repair: bool, as_json: bool) -> int:
    """Look the whole store over: is every file what was written, and all there?

    \b
    journal   every entry, and that it follows the one before it
    objects   every file that an entry names is there, with its size
    bytes     the digest of every object, cache and log
    content   the digest of each version, computed again from its values
    catalog   the catalog is what the journal says

    Exit codes: 0 all well, 3 something is damaged or missing.

    \b
    Examples:
      lineal fsck
      lineal fsck --level objects
      lineal fsck --repair
    """
    from lineal.cli.checkup import Progress, fsck_document, fsck_lines

    project = opened()
    progress = Progress(as_json)
    try:
        report = project.fsck(level, repair, progress.heard)
    finally:
        progress.end()
    if as_json:
        click.echo(dumps(fsck_document(report)))
    else:
        for row in fsck_lines(render.Style.of_terminal(), report, str(project.store)):
            click.echo(row)
    return 0 if report.ok else 3


@click.command()
def rebuild() -> None:
    """Make catalog.duckdb anew from the journal. Nothing else is touched; nothing can be lost.

    \b
    Example:  lineal rebuild
    """
    through = opened().rebuild()
    click.echo(
        f"catalog.duckdb is rebuilt from {render.plural(through, 'journal entry')}.".replace(
            "entrys", "entries"
        )
    )
