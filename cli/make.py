"""The verbs that make: init, plan, materialize, observe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lineal.assets.asset import Asset
from lineal.assets.errors import LinealError, UsageError
from lineal.assets.names import Step
from lineal.assets.plan import Plan
from lineal.assets.run import Announcer, Run, StepReport
from lineal.assets.verdicts import Decision
from lineal.cli import render
from lineal.cli.documents import dumps, plan_document, run_document

_SELECT = """
    \b
    SELECT: a name, `raw/` (all below), a glob, `+name` (with all it needs), `name+`
    (with all it feeds), `tag:x`, `kind:source|python|sql|model`, `stale`.
"""
EXCLUDE = click.option("--exclude", multiple=True, metavar="S", help="Leave these as they are.")
FORCE = click.option("--force", is_flag=True, help="Make the selected whatever their verdict.")
PARAMETERS = click.option(
    "-p", "parameters", multiple=True, metavar="ASSET.NAME=V", help="A parameter, for this run."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


class Teller(Announcer):
    """Prints each step as it settles, and what steps print as they run."""

    def __init__(self, quiet: bool) -> None:
        self.style = render.Style.of_terminal()
        self.quiet = quiet
        self.width = 4
        self._unfinished = False
        # Kept: while a step runs, what it prints goes to its log, and ours must not.
        self._out, self._err = sys.stdout, sys.stderr
        self._live = sys.stderr.isatty() and not quiet and not self.style.ascii

    def planned(self, plan: Plan) -> None:
        groups: dict[str, list[str]] = {}
        for step in plan.steps:
            if step.verdict.name != "fresh":
                groups.setdefault(step.maker, []).append(str(step.step))
        self.width = render.name_column(", ".join(names) for names in groups.values())

    def started(
        self, step: Step, asset: Asset, decision: Decision, attempt: int, expected: float | None
    ) -> None:
        if self._live:
            name = render.shorten(", ".join(asset.outputs), self.style.width - 5)
            click.echo(f"\r\x1b[2K  ▸ {name}", file=self._err, nl=False)

    def retrying(self, step: Step, error: LinealError, attempt: int, of: int, pause: float) -> None:
        told = f"{step}  {error}; again in {pause:.0f} s (attempt {attempt} of {of})"
        self._aside(render.shorten(told, self.style.width - 4))

    def stopping(self) -> None:
        self._aside("what runs goes on to its end; again to stop it at once")

    def tick(self) -> None:
        """The line of a step stays as it is."""

    def waiting(self, asset: Asset) -> None:
        name = render.shorten(", ".join(asset.outputs), self.style.width - 40)
        self._aside(f"{name}  another process makes it now; waiting")

    def moved(self, sources: Sequence[str]) -> None:
        name = render.shorten(", ".join(sources), self.style.width - 56)
        self._aside(f"{name}  its files changed meanwhile: again, with all it feeds")

    def _aside(self, text: str) -> None:
        if not self.quiet:
            start = "\r\x1b[2K" if self._live else ""
            click.echo(
                start + self.style.text(click.style(f"  ↻ {text}", dim=True)), file=self._err
            )

    def settled(self, reports: Sequence[StepReport]) -> None:
        if self._unfinished:  # a last line that the step did not end
            click.echo(file=self._err)
            self._unfinished = False
        if self._live:
            click.echo("\r\x1b[2K", file=self._err, nl=False)
        if reports[0].outcome in ("fresh", "skipped", "cancelled"):
            return
        for row in render.settled(self.style, reports, self.width):
            click.echo(row, file=self._out)

    def echo(self, step: str, text: str) -> None:
        """What a step prints: at once, with its name, on standard error."""
        if self.quiet:
            return
        if self._live and not self._unfinished:
            click.echo("\r\x1b[2K", file=self._err, nl=False)
        prefix = click.style(f"{step} │ ", dim=True)
        for part in text.splitlines(keepends=True):
            start = "" if self._unfinished else self.style.text(prefix)
            click.echo(start + click.style(part, dim=True), file=self._err, nl=False)
            self._unfinished = not part.endswith("\n")


def finish(run: Run, teller: Teller, first: bool = False) -> int:
    for row in render.skipped(teller.style, run.steps, teller.width):
        click.echo(row)
    if run.id is not None or run.outcome != "done":
        click.echo()
    for row in render.run_summary(teller.style, run):
        click.echo(row)
    if first and run.outcome == "done":
        click.echo("Try it again:  lineal materialize")
    return render.exit_code(run)


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
        f"Wrote {folder / 'pipeline.py'}   raw data → clean → split → model, {lines} lines",
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
@PARAMETERS
@JSON
def plan(
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    force: bool,
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is stale, why, and what a run would do. Nothing runs.

    \b
    Example:  lineal plan +delay_model
    """
    import lineal.project

    project = lineal.project.open()
    found = project.plan(*select, exclude=exclude, force=force, parameters=parameters)
    render.warn(project.warnings)
    if as_json:
        click.echo(dumps(plan_document(found)))
        return
    for row in render.plan_lines(render.Style.of_terminal(), found):
        click.echo(row)


@click.command(epilog=_SELECT)
@click.argument("select", nargs=-1)
@EXCLUDE
@FORCE
@PARAMETERS
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
    parameters: tuple[str, ...],
    dry_run: bool,
    pdb: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make what is selected and stale, with all it needs; everything if nothing is selected.

    Exit codes: 0 done or nothing to do, 1 a step failed or was blocked, 2 usage or definitions,
    3 the store is damaged, 130 interrupted.

    \b
    Examples:
      lineal materialize
      lineal materialize delay_model --exclude raw/
      lineal materialize -p delay_model.learning_rate=0.2
    """
    if dry_run:
        ctx.invoke(
            plan,
            select=select,
            exclude=exclude,
            force=force,
            parameters=parameters,
            as_json=as_json,
        )
        return 0
    import lineal.project

    project = lineal.project.open()
    first = project.journal.head() == 0
    teller = Teller(quiet or as_json)
    run = project.materialize(
        *select,
        exclude=exclude,
        force=force,
        parameters=parameters,
        announcer=None if as_json else teller,
        planned=teller.planned,
        echo=None if quiet or as_json else teller.echo,
        debugger=pdb,
    )
    render.warn(project.warnings)
    if as_json:
        click.echo(dumps(run_document(run)))
        return render.exit_code(run)
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
    import lineal.project

    project = lineal.project.open()
    teller = Teller(quiet or as_json)
    run = project.observe(
        source,
        announcer=None if as_json else teller,
        echo=None if quiet or as_json else teller.echo,
    )
    if as_json:
        click.echo(dumps(run_document(run)))
        return render.exit_code(run)
    return finish(run, teller)
