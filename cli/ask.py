"""The verbs that ask: status, why, show, diff, path, lineage, sql, runs, logs. Nothing runs."""

from __future__ import annotations

import sys

import click

from lineal.cli import render
from lineal.cli.documents import dumps, rows_document
from lineal.cli.environment import opened
from lineal.cli.make import JSON

PARTITION = click.option("--partition", metavar="P", help="Of this partition of it.")


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="One line an asset.")
@JSON
def status(verbose: bool, as_json: bool) -> None:
    """Say how the whole project stands: what is fresh, stale, blocked or failed.

    \b
    Example:  lineal status -v
    """
    from lineal.cli.standing import status_document, status_lines

    project = opened()
    found = project.status()
    if as_json:
        click.echo(dumps(status_document(found)))
        return
    for row in status_lines(render.Style.of_terminal(), project, found, verbose):
        click.echo(row)


@click.command()
@click.argument("step")
@PARTITION
@JSON
def why(step: str, partition: str | None, as_json: bool) -> None:
    """Explain why STEP is stale or fresh: code, parameters, packages, inputs, down to the columns.

    Of an asset with partitions: how they stand, and why.

    \b
    Examples:
      lineal why features
      lineal why features --partition 2024-01
    """
    from lineal.answers import Standing
    from lineal.cli.describe import why_document, why_lines
    from lineal.cli.overview import standing_document, standing_lines

    found = opened().why(step, partition)
    style = render.Style.of_terminal()
    if isinstance(found, Standing):
        document, rows = standing_document(found), standing_lines(style, found)
    else:
        document, rows = why_document(found), why_lines(style, found)
    click.echo(dumps(document) if as_json else "\n".join(rows))


@click.command()
@click.argument("asset")
@PARTITION
@click.option("-v", "--verbose", is_flag=True, help="All columns, versions and partitions.")
@JSON
def show(asset: str, partition: str | None, verbose: bool, as_json: bool) -> None:
    """Describe ASSET, or a version of it (ASSET@DIGEST): columns, checks, versions.

    Of an asset with partitions: an overview of them.

    \b
    Examples:
      lineal show flights
      lineal show flights --partition 2024-01
    """
    from lineal.answers import Overview
    from lineal.cli.describe import show_document, show_lines
    from lineal.cli.overview import overview_document, overview_lines

    found = opened().show(asset, partition, whole=as_json or verbose)
    style = render.Style.of_terminal()
    if isinstance(found, Overview):
        document, rows = overview_document(found), overview_lines(style, found, verbose)
    else:
        document, rows = show_document(found), show_lines(style, found, verbose)
    click.echo(dumps(document) if as_json else "\n".join(rows))


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@PARTITION
@click.option("--key", multiple=True, metavar="COLUMN", help="Tells rows apart (may be repeated).")
@click.option(
    "--rows", type=click.IntRange(0), default=5, metavar="N", help="Rows of each kind to show (5)."
)
@click.option("-v", "--verbose", is_flag=True, help="All columns, partitions and reasons.")
@JSON
def diff(
    before: str,
    after: str | None,
    partition: str | None,
    key: tuple[str, ...],
    rows: int,
    verbose: bool,
    as_json: bool,
) -> None:
    """Compare two versions (ASSET@DIGEST, ASSET@DATE, ASSET), or two runs.

    Tables: columns, then rows added, removed and changed, by the primary key that the asset
    declares, or by --key. Without B: a version with what is current now; what is current with what
    was before the last change; a run with the one before. The exit code is 0 whether they differ
    or not.

    \b
    Examples:
      lineal diff flights
      lineal diff flights@2026-11-01 flights
      lineal diff orders@9f3a2c orders@e41c77 --key id
      lineal diff r12 r15
    """
    from lineal.cli.difference_documents import diff_document
    from lineal.cli.differences import diff_lines
    from lineal.cli.run_differences import run_diff_lines
    from lineal.lineage.compare import RunsDifference

    found = opened().diff(before, after, partition, key=key, rows=rows)
    style = render.Style.of_terminal()
    if as_json:
        click.echo(dumps(diff_document(found)))
    elif isinstance(found, RunsDifference):
        click.echo("\n".join(run_diff_lines(style, found, verbose)))
    else:
        click.echo("\n".join(diff_lines(style, found, verbose)))


@click.command()
@click.argument("asset")
@PARTITION
def path(asset: str, partition: str | None) -> None:
    """Print the absolute paths of the current objects of ASSET, one a line, nothing else.

    \b
    Examples:
      python -c "import pandas; print(pandas.read_parquet('$(lineal path flights)'))"
      lineal path flights --partition 2024-01
    """
    for found in opened().path(asset, partition):
        click.echo(str(found))


@click.command()
@click.argument("asset", required=False)
@PARTITION
@click.option("--up", "direction", flag_value="up", default="up", help="What it was made from.")
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option("--columns", is_flag=True, help="Of each column of it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "mermaid", "dot", "json"]),
    default="tree",
    help="How to draw it.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def lineage(
    asset: str | None,
    partition: str | None,
    direction: str,
    columns: bool,
    form: str,
    as_json: bool,
) -> None:
    """Draw the lineage of the current version of ASSET (or of ASSET@DIGEST, or ASSET.COLUMN).

    Of an asset with partitions: of all of them together. Without ASSET: all that the project
    declares, made or not.

    \b
    Examples:
      lineal lineage delay_model
      lineal lineage busiest --columns
      lineal lineage flights.dep_delay --down
      lineal lineage --format dot | dot -Tsvg > project.svg
      lineal lineage raw/weather --down
      lineal lineage delay_model --format mermaid
    """
    chosen = "json" if as_json else form
    project = opened()
    if asset is None:
        from lineal.cli.graphs import graph_text

        if partition is not None or direction == "down" or columns:
            raise click.UsageError(
                "which asset? `--partition`, `--down` and `--columns` are of one"
            )
        click.echo(graph_text(render.Style.of_terminal(), project, chosen))
        return
    drawn = project.lineage(
        asset, partition, down=direction == "down", columns=columns, form=chosen
    )
    style = render.Style.of_terminal()
    click.echo(style.text(drawn) if chosen == "tree" else drawn)


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    help="Default: a table on a terminal, CSV when piped.",
)
@click.option("--at", metavar="WHEN", help="Tables as they were current at a date or time (UTC).")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def sql(query: str | None, form: str | None, at: str | None, as_json: bool) -> None:
    """Ask tables and lineage in SQL, read-only; a shell without QUERY.

    Every table asset is a view: raw/orders is raw.orders, raw_orders or "raw/orders"; an old or
    refused version is "orders@e41c77", or "orders@2026-11-01": as it was at the end of that day.
    `lineage.*` has the history (docs/lineage-schema.md).

    \b
    Examples:
      lineal sql --at 2026-11-01 "select count(*) from flights"
      lineal sql "select origin, count(*) from flights group by all"
      lineal sql "select asset, outcome, seconds from lineage.materialization" --format csv
    """
    from lineal.cli.shell import answer_text, shell

    project = opened()
    chosen = "json" if as_json else form or ("table" if sys.stdout.isatty() else "csv")
    if query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    if query is None:
        shell(project, at)
        return
    answer = project.sql(query, at)
    if answer.note:
        click.echo(answer.note, err=True)
    if chosen == "json":
        click.echo(dumps(rows_document(answer.columns, answer.rows)))
        return
    click.echo(answer_text(render.Style.of_terminal(), answer, chosen), nl=False)


@click.command()
@click.argument("run", required=False)
@click.option("-n", "most", type=click.IntRange(1), default=20, help="How many to list.")
@click.option("--code", metavar="DIR", help="Write the code that RUN ran into an empty folder.")
@JSON
def runs(run: str | None, most: int, code: str | None, as_json: bool) -> None:
    """List the latest runs, or tell the story of RUN: when, what it made and why, what failed.

    \b
    Examples:
      lineal runs -n 5
      lineal runs r12
      lineal runs r12 --code ../as-of-r12
    """
    from lineal.cli.story import run_lines, runs_document, runs_lines

    project = opened()
    style = render.Style.of_terminal()
    if code is not None:
        if run is None:
            raise click.UsageError("whose code? `--code` is of one run: lineal runs RUN --code DIR")
        click.echo(str(project.code(run, code)))
        return
    if run is not None:
        told = project.run(run)
        if as_json:
            click.echo(dumps(runs_document([told])[0]))
            return
        for row in run_lines(style, told):
            click.echo(row)
        return
    found = project.runs()[-most:]
    if as_json:
        click.echo(dumps(runs_document(found)))
        return
    for row in runs_lines(style, found):
        click.echo(row)


@click.command()
@click.argument("step")
@click.option("--run", "run", metavar="RUN", help="Of that run, not the last attempt.")
@click.option("--partition", metavar="KEY", help="Of that partition, not the one made last.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the step has ended.")
def logs(step: str, run: str | None, partition: str | None, follow: bool) -> None:
    """Show what STEP printed and raised, whole traceback included.

    A step that another process makes just now is shown as far as it is.

    \b
    Examples:
      lineal logs train
      lineal logs train --follow
    """
    import threading

    project = opened()
    if partition is None:
        found = project.attempt(step, run)
        if found.step.partition is not None:  # of several the last
            run, partition = found.run, found.step.partition
            click.echo(f"{found.step}, attempted last, in {run}:", err=True)
    if follow:
        news = project.follow_log(step, threading.Event().wait, run, partition)
    else:
        news = iter([project.log(step, run, partition)])
    text = ""
    for text in filter(None, news):
        click.echo(text, nl=False)
    if not text:
        click.echo(f"`{step}` printed nothing.", err=True)
    elif not text.endswith("\n"):
        click.echo()
