"""The verb `export`: the lineage for other programs."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from lineal.assets.errors import UsageError
from lineal.cli.documents import dumps
from lineal.cli.environment import opened
from lineal.cli.make import JSON

Runs = Iterator[tuple[str, Iterator[str]]]  # each with its events, as lines


@click.group()
def export() -> None:
    """Tell other programs what was made, from what, by which code.

    \b
    Example:  lineal export openlineage --output events.jsonl
    """


@export.command()
@click.option("--run", metavar="RUN", help="Only that run.")
@click.option("--since", metavar="RUN", help="That run and those after it. Default: all runs.")
@click.option("--output", metavar="FILE", help="Write there; `-`, the default, prints them.")
@click.option("--url", metavar="URL", help="Send them there, such as http://localhost:5000.")
@click.option("--namespace", metavar="NAME", help="Of jobs and datasets. Default: the project.")
def openlineage(
    run: str | None, since: str | None, output: str | None, url: str | None, namespace: str | None
) -> None:
    """Tell the runs as OpenLineage events, one a line, or send them to an endpoint.

    Nothing is sent anywhere but to --url. If OPENLINEAGE_API_KEY is set, it goes along. The same
    export gives the same events, ids too: what is sent twice does no harm. docs/openlineage.md
    says what is in them.

    \b
    Examples:
      lineal export openlineage --output events.jsonl
      lineal export openlineage --run r12
      lineal export openlineage --since r12 --url http://localhost:5000
    """
    if run is not None and since is not None:
        raise click.UsageError("`--run` and `--since` can't go together")
    if output is not None and url is not None:
        raise click.UsageError("`--output` and `--url` can't go together")
    import lineal
    from lineal.exporting import told_runs
    from lineal.lineage.openlineage import to_line

    project = opened()
    told = told_runs(
        project.root,
        project.journal,
        namespace or project.name,
        lineal.__version__,
        run=run,
        since=since,
    )
    runs: Runs = ((name, map(to_line, events)) for name, events in told)
    if url is not None:
        _send(runs, url)
    elif output in (None, "-"):
        _write(runs, sys.stdout)
    else:
        runs = _begun(runs)  # a run that is not there leaves the file as it was
        with _opened(Path(str(output))) as file:
            done = _write(runs, file)
        click.echo(f"Wrote {_counted(*done)} to {output}.")


@export.command()
@click.argument("name")
@click.option("--uri", metavar="URI", help="The tracking store. Default: as MLflow is set up.")
@click.option("--experiment", metavar="NAME", help="Default: the project.")
@JSON
def mlflow(name: str, uri: str | None, experiment: str | None, as_json: bool) -> None:
    """Log a registered model (NAME: delays@v3, delays@production) as a run in MLflow.

    With its parameters, metrics and file; what it was trained on and every source file are the
    inputs of the run. A version is logged once: when it is there, nothing changes. MLflow's
    telemetry is switched off. It needs `pip install "lineal[mlflow]"`.

    \b
    Examples:
      lineal export mlflow delays@v3
      lineal export mlflow delays@production --uri sqlite:///mlflow.db
    """
    from lineal import mlflow_export

    project = opened()
    logged = mlflow_export.log(project.root, project.journal, project.name, name, uri, experiment)
    if as_json:
        click.echo(dumps(dataclasses.asdict(logged)))
        return
    from lineal.cli.render import plural

    what = "Logged" if logged.new else "Nothing to do: there is"
    click.echo(
        f"{what} {logged.name} as run {logged.run} of experiment {logged.experiment}, "
        f"with {plural(logged.inputs, 'input')}, in {logged.uri}"
    )


def _opened(output: Path) -> TextIO:
    try:
        return output.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"`{output}` can't be written: {error.strerror or error}",
            advice="give `--output` a file in a folder that you may write to",
        ) from error


def _begun(runs: Runs) -> Runs:
    """The same, but what is wrong with the question is raised now."""
    first = next(runs, None)
    return runs if first is None else itertools.chain([first], runs)


def _send(runs: Runs, url: str) -> None:
    from lineal.sending import Endpoint, send

    endpoint = Endpoint(url, os.environ.get("OPENLINEAGE_API_KEY", "").strip())
    told, count = send(endpoint, runs)
    click.echo(f"Sent {_counted(told, count)} to {endpoint.url}.")


def _write(runs: Runs, file: TextIO) -> tuple[int, int]:
    told = count = 0
    for _, events in runs:
        for event in events:
            file.write(event + "\n")
            count += 1
        told += 1
    return told, count


def _counted(runs: int, events: int) -> str:
    from lineal.cli.render import plural

    return f"{plural(events, 'event')} of {plural(runs, 'run')}"
