"""`derives=`: which columns of its inputs a function says that each of its columns comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lineal.assets.asset import Derived, Input
from lineal.assets.errors import ContentError, DefinitionError, did_you_mean

_FORM = 'say of a column what it comes from: {"speed": ["distance", "flights.air_time"]}'


class Sides(NamedTuple):
    """The columns on both sides of a step."""

    made: Mapping[str, Collection[str]]  # by output
    read: Mapping[str, Collection[str]]  # by parameter; none of what has no columns


def derived(
    given: Any, outputs: Sequence[str], name: str, inputs: Sequence[Input]
) -> tuple[Derived, ...]:
    """What `derives=` says, each column of an input with the parameter it arrives as.

    Raises:
        DefinitionError: without a place; it is of another form, or names no input.
    """
    if given is None:
        return ()
    by_output = given if tuple(outputs) != (name,) else {name: given}
    for output in _mapping(by_output):
        if output not in outputs:
            raise DefinitionError(
                f"`derives=` names `{output}`{did_you_mean(output, outputs)}",
                advice=f"`{name}` makes {', '.join(outputs)}: say it of each by itself",
            )
    return tuple(
        Derived(output, column, *_found(source, inputs))
        for output, columns in by_output.items()
        for column, sources in _mapping(columns).items()
        for source in _texts(sources)
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and k for k in value):
        raise DefinitionError(f"`derives=` says {value!r}", advice=_FORM)
    return value


def _texts(value: Any) -> Iterable[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(t, str) and t for t in texts):
        raise DefinitionError(f"`derives=` says {value!r}", advice=_FORM)
    return dict.fromkeys(texts)


def _found(source: str, inputs: Sequence[Input]) -> tuple[str, str]:
    """The parameter and the column that `flights.distance`, or `distance`, means."""
    names = {name: i for i in inputs for name in (i.asset, i.parameter) if name is not None}
    prefix, dot, column = source.partition(".")
    if dot and prefix in names:
        return names[prefix].parameter, column
    owners = [i for i in inputs if source in (i.columns or ())] or list(inputs)
    if len(owners) == 1 and (not dot or source in (owners[0].columns or (source,))):
        return owners[0].parameter, source
    if dot:
        raise DefinitionError(
            f"`derives=` names `{source}`, and no input is `{prefix}`{did_you_mean(prefix, names)}",
            advice=f"the inputs are {', '.join(i.parameter for i in inputs) or 'none'}",
        )
    parameters = [i.parameter for i in inputs]
    which = f"write `{parameters[0]}.{source}`" if parameters else "it has no inputs"
    raise DefinitionError(f"`derives=` names `{source}`, and not of which input", advice=which)


def refuse_untrue(derives: Iterable[Derived], sides: Sides) -> None:
    """Hold what is declared against the columns that are there.

    Raises:
        ContentError: a column is not there, so what is declared of it can't be recorded.
    """
    for output, column, parameter, source in derives:
        made = sides.made.get(output, ())
        if column not in made:
            raise ContentError(
                f"`derives=` says what `{column}` of `{output}` comes from, and there is no such "
                f"column{did_you_mean(column, made)}",
                advice="name the columns that the function returns, or leave it out",
            )
        read = sides.read.get(parameter, ())
        if read and source not in read:
            raise ContentError(
                f"`derives=` says that `{column}` comes from `{parameter}.{source}`, and there is "
                f"no such column{did_you_mean(source, read)}",
                advice="name columns that the function is handed, or leave it out",
            )
