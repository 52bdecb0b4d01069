"""The verbs that make: init, plan, materialize, observe."""

from __future__ import annotations

from pathlib import Path

import click

from lineal.assets.errors import UsageError
from lineal.assets.run import Run
from lineal.cli import outcomes, render
from lineal.cli.documents import dumps, plan_document, run_document
from lineal.cli.environment import announce, asked, opened
from lineal.cli.planned import plan_lines, retired_lines
from lineal.cli.progress import Teller

_SELECT = """
    \b
    SELECT: a name, `raw/` (all below), a glob, `+name` (with all it needs), `name+`
    (with all it feeds), `tag:x`, `stale`, `kind:source|python|sql|gate|action|model`.
"""
EXCLUDE = click.option("--exclude", multiple=True, metavar="S", help="Leave these as they are.")
FORCE = click.option("--force", is_flag=True, help="Make the selected whatever their verdict.")
PARAMETERS = click.option(
    "-p", "parameters", multiple=True, metavar="ASSET.NAME=V", help="A parameter, for this run."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


PARTITIONS = click.option(
    "--partition",
    "partitions",
    multiple=True,
    metavar="P",
    help="Only this partition of those that have it, or a range: 2024-01..2024-06.",
)


def finish(run: Run, teller: Teller, first: bool = False) -> int:
    rows = outcomes.skipped(teller.style, run.steps)
    if run.outcome == "cancelled":
        rows += outcomes.cancelled(teller.style, run.steps)
    for row in (*retired_lines(teller.style, run.retired), *rows):
        click.echo(row)
    if run.id is not None or run.outcome != "done":
        click.echo()
    for row in outcomes.run_summary(teller.style, run):
        click.echo(row)
    if first and run.outcome == "done":
        click.echo(f"Try it again:  lineal materialize{asked()}")
    return outcomes.exit_code(run)


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a runnable project into FOLDER.

    \b
    Example:  lineal init wine && cd wine && lineal materialize
    """
    from lineal.cli.templates import PIPELINE, SETTINGS

    files = {"pipeline.py": PIPELINE, "lineal.toml": SETTINGS}
    for name in files:
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name} exists already: nothing was written",
                advice="choose another folder: lineal init NAME",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} can't be written: {error.strerror}",
            advice="choose another folder: lineal init NAME",
        ) from error
    lines = len(PIPELINE.splitlines())
    style = render.Style.of_terminal()
    wide = len(str(folder / "pipeline.py"))
    told = (
        f"Wrote {folder / 'pipeline.py'}   raw data → clean → split → model → gate, {lines} lines",
        f"      {folder / 'lineal.toml'!s:<{wide}}   settings; every line is optional",
        "",
        "  lineal materialize" if folder == Path() else f"  cd {folder} && lineal materialize",
    )
    for row in told:
        click.echo(style.text(row))


@click.command(epilog=_SELECT)
@click.argument("select", nargs=-1)
@EXCLUDE
@FORCE
@PARTITIONS
@PARAMETERS
@JSON
def plan(
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    force: bool,
    partitions: tuple[str, ...],
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is stale, why, and what a run would do. Nothing runs.

    \b
    Examples:
      lineal plan +delay_model
      lineal plan flights --partition 2024-01..2024-06
    """
    project = opened()
    found = project.plan(
        *select, exclude=exclude, force=force, parameters=parameters, partitions=partitions
    )
    render.warn(project.warnings)
    if as_json:
        click.echo(dumps(plan_document(found)))
        return
    announce(project)
    for row in plan_lines(render.Style.of_terminal(), found):
        click.echo(row)


@click.command(epilog=_SELECT)
@click.argument("select", nargs=-1)
@EXCLUDE
@FORCE
@PARTITIONS
@PARAMETERS
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="How many steps run at once, each in a process; else as the setting run.jobs says.",
)
@click.option("--dry-run", is_flag=True, help="The same as `lineal plan`.")
@click.option("--pdb", is_flag=True, help="Open the debugger where a step fails.")
@click.option("-q", "--quiet", is_flag=True, help="Hide what steps print (the logs keep it).")
@JSON
@click.pass_context
def materialize(
    ctx: click.Context,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    force: bool,
    partitions: tuple[str, ...],
    parameters: tuple[str, ...],
    jobs: int | None,
    dry_run: bool,
    pdb: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make what is selected and stale, with all it needs; everything if nothing is selected.

    Exit codes: 0 done or nothing to do, 1 a step failed or was blocked, 2 usage or definitions,
    3 the store is damaged, 130 interrupted. The first Ctrl-C lets running steps end, the second
    stops them.

    \b
    Examples:
      lineal materialize
      lineal materialize delay_model --exclude raw/
      lineal materialize --jobs 4
      lineal materialize flights --partition 2024-01..2024-06
      lineal materialize -p baseline.strength=0.5
    """
    if dry_run:
        ctx.invoke(
            plan,
            select=select,
            exclude=exclude,
            force=force,
            partitions=partitions,
            parameters=parameters,
            as_json=as_json,
        )
        return 0
    if pdb and jobs is not None and jobs > 1:
        raise UsageError(
            f"--pdb needs steps that run in this process; --jobs {jobs} asks for others",
            advice="leave one of them out, or give --jobs 1",
        )
    project = opened()
    plainly = not (select or exclude or force or parameters or partitions)
    first = plainly and project.journal.head() == 0
    if not as_json:
        announce(project)
    with Teller(quiet or as_json, still=pdb) as teller:
        run = project.materialize(
            *select,
            exclude=exclude,
            force=force,
            parameters=parameters,
            announcer=None if as_json else teller,
            planned=teller.planned,
            echo=None if quiet or as_json else teller.echo,
            debugger=pdb,
            jobs=1 if pdb else jobs,
            partitions=partitions,
        )
    render.warn(project.warnings)
    if as_json:
        click.echo(dumps(run_document(run)))
        return outcomes.exit_code(run)
    return finish(run, teller, first)


@click.command()
@click.argument("source")
@click.option("-q", "--quiet", is_flag=True, help="Hide what the source prints.")
@JSON
def observe(source: str, quiet: bool, as_json: bool) -> int:
    """Look at SOURCE again: fetch it, or read its files. Earlier observations are kept.

    \b
    Example:  lineal observe raw/orders
    """
    project = opened()
    if not as_json:
        announce(project)
    with Teller(quiet or as_json) as teller:
        run = project.observe(
            source,
            announcer=None if as_json else teller,
            echo=None if quiet or as_json else teller.echo,
        )
    if as_json:
        click.echo(dumps(run_document(run)))
        return outcomes.exit_code(run)
    return finish(run, teller)
