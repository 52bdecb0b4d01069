"""The command group: four groups of verbs, any unambiguous prefix, errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from lineal.assets.errors import LinealError, did_you_mean
from lineal.cli.environment import WITHOUT, with_environment
from lineal.interrupts import sigterm_as_interrupt

# Where each verb lives, in the order in which help shows them. Modules load when a verb is used.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Make",
        (
            ("init", "make", "Write a runnable project in one file."),
            ("plan", "make", "Say what is stale, why, and what a run would do."),
            ("materialize", "make", "Make what is stale, and only that."),
            ("observe", "make", "Look at a source again."),
        ),
    ),
    (
        "Ask",
        (
            ("status", "ask", "Say how the whole project stands."),
            ("why", "ask", "Explain why a step is stale or fresh."),
            ("show", "ask", "Describe an asset: columns, checks, versions."),
            ("diff", "ask", "Compare two versions of an asset, or two runs."),
            ("path", "ask", "Print where the current objects are."),
            ("lineage", "ask", "Draw what an asset was made from."),
            ("sql", "ask", "Ask tables and lineage in SQL."),
            ("report", "report", "Write a page about an asset, for a browser."),
            ("runs", "ask", "List runs, or tell one."),
            ("logs", "ask", "Show what a step printed, and its traceback."),
        ),
    ),
    (
        "Models",
        (
            ("models", "models", "List, compare, promote and roll back registered models."),
            ("reproduce", "reproduce", "Compute a version again, and compare."),
        ),
    ),
    (
        "Keep",
        (
            ("accept", "keep", "Record that a code change is equivalent."),
            ("export", "export", "Tell the lineage to other programs."),
            ("settings", "keep", "Show every setting and where it comes from."),
            ("fsck", "keep", "Look the whole store over; repair it."),
            ("rebuild", "keep", "Make the catalog anew from the journal."),
        ),
    ),
)
_MODULES = {verb: module for _, verbs in GROUPS for verb, module, _ in verbs}


class Lineal(click.Group):
    """Finds a verb by any unambiguous prefix; imports its module only then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self._verb(ctx, cmd_name)
        module = __import__(f"lineal.cli.{_MODULES[verb]}", fromlist=[verb])
        command: click.Command = getattr(module, verb)
        if verb not in WITHOUT:
            with_environment(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command is not None else None, command, rest

    def _verb(self, ctx: click.Context, word: str) -> str:
        if word in _MODULES:
            return word
        if word == "run":
            ctx.fail("lineal makes assets: type `lineal materialize`; `lineal runs` lists runs")
        found = [verb for verb in _MODULES if verb.startswith(word)]
        if len(found) == 1:
            return found[0]
        if found:
            ctx.fail(f"`{word}` could be {' or '.join(f'`{v}`' for v in found)}")
        return ctx.fail(f"no command `{word}`{did_you_mean(word, _MODULES)}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in GROUPS:
            with formatter.section(title):
                formatter.write_dl([(verb, help_text) for verb, _, help_text in verbs])


def _print_version(ctx: click.Context) -> None:
    from lineal import __version__

    click.echo(f"lineal {__version__}")
    ctx.exit()


@click.group(
    cls=Lineal,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with:  lineal init wine && cd wine && lineal materialize",
)
@click.option("--debug", is_flag=True, help="Show lineal's own traceback with an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, asked: _print_version(ctx) if asked else None,
    help="Show the version and exit.",
)
@click.pass_context
def lineal(ctx: click.Context, debug: bool) -> None:
    """Say what should exist. lineal makes it, remakes only what changed, and tells you why."""
    ctx.obj = {"debug": debug}


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a step failed, 2 usage, 3 integrity, 130 stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:  # closed by who called us: what is said goes nowhere
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # what the terminal can't show must not stop us
                stream.reconfigure(errors="backslashreplace")
        with sigterm_as_interrupt():
            code = lineal.main(args=words, prog_name="lineal", standalone_mode=False)
    except click.ClickException as error:
        _refuse(error, "--json" in words)
        code = error.exit_code
    except LinealError as error:
        if "--debug" in words:
            raise
        _tell(error, "--json" in words)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; there is nobody to tell.
        sys.stderr.close()
        code = 0
    except OSError as error:  # a file of the store or the project that can't be had
        if "--debug" in words:
            raise
        from lineal.disk import refused

        told = refused(error.filename or "what is said here", error)
        _tell(told, "--json" in words)
        code = told.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(error: click.ClickException, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "error": {
                "kind": "usage",
                "message": error.format_message(),
                "where": None,
                "advice": None,
            }
        }
        from lineal.cli.documents import dumps

        click.echo(dumps(document))
    else:
        error.show()


def _tell(error: LinealError, as_json: bool) -> None:
    if as_json:
        from lineal.cli.documents import dumps, error_document

        click.echo(dumps(error_document(error)))
        return
    from lineal.cli.render import Style, error_lines

    for row in error_lines(Style.of_terminal(), error):
        click.echo(row, err=True)
