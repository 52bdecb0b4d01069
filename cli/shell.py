"""The SQL shell and how answers print: a frame on a terminal, plain forms for other programs."""

from __future__ import annotations

import csv
import io

import click

from lineal.answers import Answer
from lineal.assets.errors import LinealError
from lineal.cli import render
from lineal.cli.environment import named
from lineal.project import Project

HELP = "Type SQL; a statement ends with ;   .tables · .schema NAME · .help · .quit"


def answer_text(style: render.Style, answer: Answer, form: str) -> str:
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([["" if v is None else v for v in row] for row in answer.rows])
        return out.getvalue()
    if form == "markdown":
        rows = ["| " + " | ".join(_escaped(render.cell(v)) for v in r) + " |" for r in answer.rows]
        head = "| " + " | ".join(map(_escaped, answer.columns)) + " |"
        return "\n".join([head, "|" + " --- |" * len(answer.columns), *rows]) + "\n"
    told = render.plural(len(answer.rows), "row")
    return f"{render.table(style, answer.columns, answer.rows)}{told}\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def shell(project: Project, at: str | None = None) -> None:
    """Read statements until the end of input; an error never ends the shell."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives the prompt its history)
    style = render.Style.of_terminal()
    tables = project.sql(TABLES, at).rows
    then = f" of {named(project)}" if named(project) else ""
    then += f" as of {at}" if at else ""
    told = f"{render.plural(len(tables), 'table')}{then} · lineage.* has the history · "
    click.echo(style.text(f"{told}.tables .schema X .help .quit"))
    buffer = ""
    while True:
        try:
            typed = input("lineal> " if not buffer else "   ...> ")
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:  # forgets what was typed, as every shell does
            click.echo()
            buffer = ""
            continue
        words = typed.split()
        if words and words[0] in COMMANDS:
            if words[0] in (".quit", ".exit"):
                return
            _dot(project, at, style, words)
            continue
        buffer = f"{buffer}\n{typed}" if buffer else typed
        if buffer.rstrip().endswith(";"):
            _answer(project, at, style, buffer)
            buffer = ""


COMMANDS = (".tables", ".schema", ".help", ".quit", ".exit")

# One row an asset: of raw/orders, raw_orders and raw.orders, the asset's own name.
TABLES = """
select table_name as "table", count(*) as columns from information_schema.columns c
where table_schema = 'main' and not exists (
    select 1 from information_schema.tables t
    where t.table_schema = 'main' and contains(t.table_name, '/')
    and replace(t.table_name, '/', '_') = c.table_name
) group by all order by all
"""


def _dot(project: Project, at: str | None, style: render.Style, words: list[str]) -> None:
    if words[0] == ".tables":
        _answer(project, at, style, TABLES)
    elif words[0] == ".schema" and len(words) == 2:
        name = words[1] if "/" not in words[1] or '"' in words[1] else f'"{words[1]}"'
        query = f"select column_name, column_type from (describe {name})"
        _answer(project, at, style, query)
    else:
        click.echo(style.text(HELP))


def _answer(project: Project, at: str | None, style: render.Style, query: str) -> None:
    if not query.strip(" ;\n"):
        return
    try:
        click.echo(answer_text(style, project.sql(query, at), "table"), nl=False)
    except LinealError as error:
        for row in render.error_lines(style, error):
            click.echo(row, err=True)
