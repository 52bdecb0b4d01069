"""The SQL shell and how answers print: a frame on a terminal, plain forms for other programs."""

from __future__ import annotations

import csv
import io

import click

from lineal.assets.errors import QueryError
from lineal.cli import render
from lineal.project import Answer, Project

HELP = "Type SQL; a statement ends with ;   .tables   .schema NAME   .help   .quit"


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


def shell(project: Project) -> None:
    """Read statements until the end of input; an error never ends the shell."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives the prompt its history)
    style = render.Style.of_terminal()
    tables = project.sql(TABLES).rows
    told = f"{render.plural(len(tables), 'table')} · lineage.* has the history · "
    click.echo(style.text(f"{told}.tables .schema X .help .quit"))
    buffer = ""
    while True:
        try:
            typed = input("lineal> " if not buffer else "   ...> ")
        except EOFError:
            return
        if not buffer and typed.strip().startswith("."):
            if not _dot(project, style, typed.split()):
                return
            continue
        buffer = f"{buffer}\n{typed}" if buffer else typed
        if buffer.rstrip().endswith(";"):
            _answer(project, style, buffer)
            buffer = ""


TABLES = (
    "select table_schema, table_name from information_schema.tables "
    "where table_schema <> 'lineage' order by 1, 2"
)


def _dot(project: Project, style: render.Style, words: list[str]) -> bool:
    if words[0] in (".quit", ".exit", ".q"):
        return False
    if words[0] == ".tables":
        _answer(project, style, TABLES)
    elif words[0] == ".schema" and len(words) == 2:
        _answer(project, style, f"describe {words[1]}")
    else:
        click.echo(HELP)
    return True


def _answer(project: Project, style: render.Style, query: str) -> None:
    if not query.strip(" ;\n"):
        return
    try:
        click.echo(answer_text(style, project.sql(query), "table"), nl=False)
    except QueryError as error:
        for row in render.error_lines(style, error):
            click.echo(row, err=True)
