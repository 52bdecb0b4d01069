"""The verb `models`: what is registered, and the moves that people make by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

from lineal.assets.errors import UsageError, did_you_mean
from lineal.cli import render
from lineal.cli.documents import dumps
from lineal.cli.environment import OPTION, opened
from lineal.cli.make import JSON
from lineal.cli.model_export import export

_NUMBERED = re.compile(r"v[0-9]+\Z")
ALIAS = click.option("--alias", default="production", metavar="ALIAS", help="Default: production.")
REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is recorded.")


def _no_blank(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise UsageError("`--reason` says nothing", advice='--reason "bad on weekends"')
    return value


NEEDED_REASON = click.option(
    "--reason", required=True, callback=_no_blank, metavar="TEXT", help="Why; it is recorded."
)


class _Models(click.Group):
    """Its verbs may be shortened as well."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self.list_commands(ctx)
        found = [verb for verb in known if verb.startswith(cmd_name)]
        found = [cmd_name] if cmd_name in known else found
        if len(found) > 1:
            ctx.fail(f"`{cmd_name}` could be {' or '.join(f'`{v}`' for v in found)}")
        if not found:
            ctx.fail(f"no command `models {cmd_name}`{did_you_mean(cmd_name, known)}")
        return super().get_command(ctx, found[0])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command is not None else None, command, rest


@click.group(cls=_Models, invoke_without_command=True)
@JSON
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the registered models; with a verb, describe, compare, promote them or roll back.

    Versions are numbered from v1 in their registry. An alias such as `production` names one of
    them: gates move it, or you do. `delays@v3` and `delays@production` work wherever a version of
    an asset does.

    \b
    Examples:
      lineal models
      lineal models show delays@production
      lineal models rollback delays --reason "bad on weekends"
    """
    if ctx.invoked_subcommand is not None:
        return
    from lineal.cli.model_lines import models_document, models_lines

    found = opened().models()
    if as_json:
        click.echo(dumps(models_document(found)))
        return
    for row in models_lines(render.Style.of_terminal(), found):
        click.echo(row)


@models.command(short_help="Describe a registered version.")
@click.argument("name", nargs=-1, required=True)
@click.option("-v", "--verbose", is_flag=True, help="All files, columns, code and packages.")
@JSON
def show(name: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Describe the registered version NAME: what it is, what it rests on, how it came to be live.

    \b
    Examples:
      lineal models show delays@production
      lineal models show delays v3 --json
    """
    from lineal.cli.model_details import model_document, model_lines

    found = opened().model(_one(name))
    if as_json:
        click.echo(dumps(model_document(found)))
        return
    for row in model_lines(render.Style.of_terminal(), found, verbose):
        click.echo(row)


@models.command(short_help="Say what differs between two versions.")
@click.argument("names", nargs=-1, required=True)
@click.option("-v", "--verbose", is_flag=True, help="All that differs.")
@JSON
def compare(names: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Say what differs between two registered versions: metrics, parameters, data, code, packages.

    The exit code is 0 whether they differ or not.

    \b
    Examples:
      lineal models compare delays v2 v3
      lineal models compare delays@v2 delays@production
    """
    from lineal.cli.model_details import compared_document, compared_lines

    both = _names(names)
    if len(both) != 2:
        raise UsageError(
            f"two versions are compared, and {render.plural(len(both), 'version')} named",
            advice="write `lineal models compare delays v2 v3`",
        )
    found = opened().compare_models(*both)
    if as_json:
        click.echo(dumps(compared_document(found)))
        return
    for row in compared_lines(render.Style.of_terminal(), found, verbose):
        click.echo(row)


def _one(words: Sequence[str], advice: str = "write `delays@v3` or `delays v3`") -> str:
    """`delays v3` and `v3` as they are spelt elsewhere: `delays@v3`."""
    names = _names(words)
    if len(names) != 1:
        raise UsageError(f"`{' '.join(words)}` is not one version", advice=advice)
    return names[0]


def _names(words: Iterable[str]) -> list[str]:
    """The versions that words name: `delays v2 v3`, `delays@v2 delays@v3`, `delays@production`."""
    names: list[str] = []
    registry, alone = "", False
    for word in words:
        if _NUMBERED.match(word):
            if alone:  # the name before was that of the registry
                names.pop()
            names.append(f"{registry or _only_registry()}@{word}")
            alone = False
        else:
            names.append(word)
            registry, at, _ = word.partition("@")
            alone = not at
    return names


def _only_registry() -> str:
    found = [registry.name for registry in opened().models()]
    if len(found) != 1:
        raise UsageError(
            f"a version of which registry? there are {', '.join(found) or 'none'}",
            advice="write `delays@v3` or `delays v3`",
        )
    return found[0]


@models.command(short_help="Move an alias to a version.")
@click.argument("name", nargs=-1, required=True)
@click.option("--from", "asset", metavar="ASSET", help="Register this version of an asset first.")
@ALIAS
@REASON
@JSON
def promote(
    name: tuple[str, ...], asset: str | None, alias: str, reason: str, as_json: bool
) -> int:
    """Move an alias to the version NAME, and run what follows promotions.

    What was withdrawn is so no more. With --from, NAME is the registry alone: the version of that
    asset is registered, unless it has a number, and promoted.

    Exit codes: 0 done, 1 it is moved and an action failed.

    \b
    Examples:
      lineal models promote delays v4
      lineal models promote delays@v4 --alias staging
      lineal models promote delays --from delay_model@9f3a2c
    """
    from lineal.cli.model_lines import moved_document, moved_lines
    from lineal.cli.progress import Teller

    words = _one(name) if asset is None else " ".join(name)
    with Teller(as_json) as teller:
        echo = None if as_json else teller.echo
        moved = opened().promote(words, alias, reason, asset=asset, echo=echo)
    if as_json:
        click.echo(dumps(moved_document(moved)))
    else:
        click.echo("\n".join(moved_lines(render.Style.of_terminal(), moved, asset)))
    return 0 if moved.ok else 1


@models.command(short_help="Move an alias back to the version before.")
@click.argument("registry")
@ALIAS
@NEEDED_REASON
@JSON
def rollback(registry: str, alias: str, reason: str, as_json: bool) -> int:
    """Move an alias of REGISTRY back to the version before, and run what follows promotions.

    The version that it leaves is withdrawn: no gate promotes it again, `models promote` does.

    Exit codes: 0 done, 1 it is moved and an action failed.

    \b
    Example:  lineal models rollback delays --reason "bad on weekends"
    """
    from lineal.cli.model_lines import moved_document, moved_lines
    from lineal.cli.progress import Teller

    with Teller(as_json) as teller:
        echo = None if as_json else teller.echo
        moved = opened().rollback(registry, alias, reason, echo=echo)
    if as_json:
        click.echo(dumps(moved_document(moved)))
    else:
        click.echo("\n".join(moved_lines(render.Style.of_terminal(), moved)))
    return 0 if moved.ok else 1


@models.command(short_help="Number a version; no alias moves.")
@click.argument("registry")
@click.argument("asset")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag (may be repeated).")
def register(registry: str, asset: str, tags: tuple[str, ...]) -> None:
    """Give a version of ASSET the next number in REGISTRY. No alias moves.

    A content has one number in a registry: the same training gives the same version.

    \b
    Example:  lineal models register delays delay_model --tag weekly
    """
    told = opened().register(registry, asset, tags)
    click.echo(f"{asset} is {registry} v{told.version}.")
    click.echo(f"  lineal models promote {registry} v{told.version}")


@models.command(short_help="Change the tags of a version.")
@click.argument("name", nargs=-1, required=True)
@click.option("--add", multiple=True, metavar="TAG", help="A tag to add (may be repeated).")
@click.option("--remove", multiple=True, metavar="TAG", help="One to take away.")
def tag(name: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Change the tags of the registered version NAME.

    \b
    Example:  lineal models tag delays v3 --add weekly --remove trial
    """
    advice = "write `lineal models tag delays v3 --add weekly`"
    told = opened().tag(_one(name, advice), add, remove)
    tags = ", ".join(told.tags) or "no tags"
    click.echo(f"{told.registry} v{told.version}: {tags}.")


@models.command(short_help="Suspend promotion by gates.")
@click.argument("registry")
@NEEDED_REASON
def hold(registry: str, reason: str) -> None:
    """Suspend promotion by gates in REGISTRY: they score and record, and never open.

    What people promote by hand is promoted.

    \b
    Example:  lineal models hold delays --reason "holiday traffic"
    """
    opened().hold(registry, reason)
    click.echo(f"{registry} is held: no gate promotes. Go on: lineal models release {registry}")


@models.command(short_help="Let gates promote again.")
@click.argument("registry")
@REASON
def release(registry: str, reason: str) -> None:
    """Let the gates of REGISTRY promote again.

    \b
    Example:  lineal models release delays
    """
    opened().release(registry, reason)
    click.echo(f"{registry} is released: its gates promote again.")


models.add_command(export)
models.params.append(OPTION)  # of the list: each verb gets its own
