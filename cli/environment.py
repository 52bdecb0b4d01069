"""The option `--env`, of every verb that asks for what is current or makes it; and its project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lineal.project import Project

# These are about the whole store, or there is none yet.
WITHOUT = frozenset({"init", "runs", "export", "fsck", "rebuild"})

_CHOSEN = "lineal.environment"


def _choose(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.meta[_CHOSEN] = name


OPTION = click.Option(
    ["--env"],
    metavar="E",
    expose_value=False,
    callback=_choose,
    help="In this environment; else that of LINEAL_ENV, else `default`.",
)


def with_environment(command: click.Command) -> None:
    """Give a command, or each command of a group, the option."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            with_environment(each)
    elif OPTION not in command.params:
        command.params.append(OPTION)


def _named() -> str | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_CHOSEN)


def asked() -> str:
    """` --env dev`, as it was typed; nothing if it was not."""
    name = _named()
    return f" --env {name}" if name is not None else ""


def opened() -> Project:
    """The project where we are, in the environment that was asked for."""
    import lineal.project

    return lineal.project.open(environment=_named())


def named(project: Project) -> str:
    """`environment dev`; nothing where the settings define none."""
    return f"environment {project.environment}" if project.settings.environments else ""


def announce(project: Project) -> None:
    """Print it, as the first line of an answer."""
    told = named(project)
    if told:
        click.echo(told)
