"""The word for a gate: what decides whether a model becomes the one in production."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from lineal.assets.asset import (
    Asset,
    Check,
    Contract,
    Gate,
    Retry,
    Rule,
    Where,
    caller,
    declared,
    refused,
)
from lineal.assets.declare import own_name, placed, refuse_no_function, where_of
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.names import check_alias, check_name
from lineal.assets.options import asset_name, read_options
from lineal.assets.registries import PRODUCTION
from lineal.assets.signature import Signature, read_signature
from lineal.assets.weighing import metric_of

_Function = Callable[..., Any]
_RULE_WORDS = ("margin", "direction", "minimum")
_OWN = ("registry", "candidate", *_RULE_WORDS, "alias", "rules")
_TAKEN = (
    "name", "inputs", "version", "ignore", "variables", "retry", "timeout", "pools", "exclusive",
    "tags", "owner", "description",
)  # fmt: skip
_NO_MODELS = {"files": "a source", "sql": "a table", "gate": "a gate", "action": "an action"}


def gate(
    registry: str,
    *,
    candidate: Asset | str,
    margin: float | None = None,
    direction: Literal["max", "min"] | None = None,
    minimum: float | None = None,
    alias: str = PRODUCTION,
    rules: Mapping[str, Rule | Mapping[str, Any]] | None = None,
    name: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    version: str | None = None,
    ignore: Sequence[Any] | None = None,
    variables: str | Sequence[str] | None = None,
    retry: int | Retry | None = None,
    timeout: str | float | dt.timedelta | None = None,
    pools: str | Mapping[str, int] | None = None,
    exclusive: bool | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
    **unknown: Any,
) -> Callable[[_Function], Asset]:
    """Declare what decides whether a model becomes the one in production.

    The function scores one model: its first parameter gets it, the others are inputs, parameters
    and resources as in `asset`. It is called with the candidate, and with the version that the
    alias names; the gate opens if the candidate is better by `margin`, or nothing is in production
    yet: then the candidate is registered, and the alias moves to it.

    Args:
        registry: of the models: "delays" has the versions delays@v1, delays@v2, …
        candidate: the asset that makes the model.
        margin: by how much it must be better; 0 unless said: an equal one replaces it.
        direction: "max" if more is better, or "min".
        minimum: the worst score with which any model opens; with "min" none may be greater.
        alias: the name that moves.
        rules: for a function that returns several scores, {"auc": Rule(margin=0.002), …}: all of
            them must hold; scores without a rule are recorded.
        name: of the gate, and of its score if it returns one number; else the function's.
        **others: as those of `asset`.
    """
    where = caller()
    given = {
        "name": name, "inputs": inputs, "version": version, "ignore": ignore,
        "variables": variables, "retry": retry, "timeout": timeout, "pools": pools,
        "exclusive": exclusive, "tags": tags, "owner": owner, "description": description,
        **unknown,
    }  # fmt: skip
    said = {"margin": margin, "direction": direction, "minimum": minimum}
    rule = {word: value for word, value in said.items() if value is not None}
    words = {"registry": registry, "candidate": candidate, "alias": alias, "rules": rules}
    return lambda function: _gate(function, words, rule, given, where)


def _gate(
    function: _Function,
    words: Mapping[str, Any],
    rule: Mapping[str, Any],
    given: Mapping[str, Any],
    called: Where,
) -> Asset:
    where = where_of(function, called)
    name = given["name"] if isinstance(given["name"], str) else own_name(function)
    try:
        refuse_no_function("@gate", function)
        options = read_options(given, (*_TAKEN, *_OWN), "@gate")
        check_name(name)
        parameter = _model_parameter(function)
        declares = Gate(
            _registry(words["registry"]),
            check_alias(words["alias"]),
            parameter,
            _rules(words["rules"], rule, metric_of(name)),
        )
        signature = _signature(function, parameter, words["candidate"], options, where)
    except DefinitionError as error:
        refused(placed(error, where))
        return declared(Asset(name, "gate", where, (name,), function=function))
    taken = {key: value for key, value in options.items() if key not in ("name", "inputs")}
    taken.setdefault("description", inspect.cleandoc(getattr(function, "__doc__", None) or ""))
    fields = {**signature._asdict(), "returns_rows": False}
    return declared(
        Asset(
            name=name,
            kind="gate",
            where=where,
            outputs=(name,),
            function=function,
            contract=Contract(format="json"),
            gate=declares,
            **fields,
            **taken,
        )
    )


def _model_parameter(function: _Function) -> str:
    """The first parameter, whatever it is called."""
    code = inspect.unwrap(function)
    try:
        parameters = list(inspect.signature(code).parameters.values())
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"its signature can't be read: {error}") from error
    first = parameters[0] if parameters else None
    if first is None or first.kind in (first.VAR_POSITIONAL, first.VAR_KEYWORD):
        raise DefinitionError(
            f"the gate `{own_name(function)}` takes no model",
            advice="its first parameter gets it: def auc(model, test): …",
        )
    if first.default is not first.empty:
        raise DefinitionError(
            f"`{first.name}`, the first parameter of `{own_name(function)}`, gets the model",
            advice="remove its default",
        )
    return first.name


def _signature(
    function: _Function, parameter: str, candidate: Any, options: Mapping[str, Any], where: Where
) -> Signature:
    named = dict(options.get("inputs", {}))
    if parameter in named:
        raise DefinitionError(
            f"`{parameter}` gets the model, and inputs= says something else of it",
            advice="say which model by candidate=, and the others in inputs=",
        )
    named[parameter] = asset_name(candidate)
    found = read_signature(function, named, str(where))
    if found.folder_parameter is not None:
        raise DefinitionError(
            f"a gate returns scores: `{found.folder_parameter}` can't be a folder to write into",
            advice="make it an asset of its own",
        )
    return found


def _registry(name: Any) -> str:
    if callable(name) and not isinstance(name, str):
        raise DefinitionError(
            "@gate needs the name of the registry",
            advice='write @gate("delays", candidate="model")',
        )
    try:
        return check_name(name)
    except DefinitionError as error:
        told = error.message.replace("an asset name", "the name of a registry")
        raise DefinitionError(told, advice=error.advice) from None


def _rules(several: Any, one: Mapping[str, Any], metric: str) -> tuple[tuple[str, Rule], ...]:
    if several is None:
        return ((metric, _rule(one, "@gate")),)
    if one:
        raise DefinitionError(
            f"`rules=` says all: `{next(iter(one))}=` beside it says nothing",
            advice=f'write it into a rule: rules={{"{metric}": Rule({next(iter(one))}=…)}}',
        )
    if not isinstance(several, Mapping) or not several:
        raise DefinitionError(
            f"`rules=` is {several!r}", advice='a rule each: {"auc": Rule(margin=0.002)}'
        )
    if not all(isinstance(name, str) and name for name in several):
        raise DefinitionError("`rules=` has a name that is no text", advice="names of scores")
    return tuple((name, _rule(rule, f"the rule of `{name}`")) for name, rule in several.items())


def _rule(given: Any, who: str) -> Rule:
    words = dataclasses.asdict(given) if isinstance(given, Rule) else given
    if not isinstance(words, Mapping):
        raise DefinitionError(f"{who} is {given!r}", advice="write Rule(margin=0.002)")
    for word in words:
        if word not in _RULE_WORDS:
            raise DefinitionError(
                f"{who} does not take `{word}`{did_you_mean(str(word), _RULE_WORDS)}",
                advice=f"it takes {', '.join(_RULE_WORDS)}",
            )
    direction = words.get("direction", "max")
    if direction not in ("max", "min"):
        raise DefinitionError(
            f"`direction=` is {direction!r}", advice='"max" if more is better, or "min"'
        )
    minimum = words.get("minimum")
    return Rule(
        _finite("margin", words.get("margin", 0.0)),
        direction,
        None if minimum is None else _finite("minimum", minimum),
    )


def _finite(word: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DefinitionError(f"`{word}=` is {value!r}", advice="it needs a number, such as 0.002")
    return float(value)


# ------------------------------------------------------------------------------ among all assets


def gate_errors(
    assets: Mapping[str, Asset], maker: Mapping[str, str], checks: Mapping[str, Sequence[Check]]
) -> Iterable[DefinitionError]:
    """What is wrong with gates beside what they say themselves: their models, their names."""
    outputs = {output.casefold(): output for output in maker}
    for asset in assets.values():
        if asset.gate is None:
            continue
        for error in (
            _clash(asset.gate, outputs, assets, maker),
            _no_model(asset, asset.gate, assets, maker),
            _checked(asset, checks),
        ):
            if error is not None:
                yield placed(error, asset.where)


def _clash(
    gate: Gate, outputs: Mapping[str, str], assets: Mapping[str, Asset], maker: Mapping[str, str]
) -> DefinitionError | None:
    other = outputs.get(gate.registry.casefold())
    if other is None:
        return None
    return DefinitionError(
        f"the registry `{gate.registry}` is called like the asset at {assets[maker[other]].where}",
        advice=f"`{gate.registry}@…` would mean two things: give one of them another name",
    )


def _no_model(
    asset: Asset, gate: Gate, assets: Mapping[str, Asset], maker: Mapping[str, str]
) -> DefinitionError | None:
    resource = dict(asset.resources).get(gate.parameter)
    if resource is not None:
        return DefinitionError(
            f"the candidate of `{asset.name}` is the resource `{resource.name}`",
            advice="a candidate is an asset that makes a model: only such has versions",
        )
    given = next((g for g in asset.inputs if g.parameter == gate.parameter), None)
    if given is None:
        return None  # there is no such asset, which was said
    model = assets[maker[given.asset or ""]]
    if model.partitions is not None:
        return DefinitionError(
            f"the candidate `{given.asset}` of `{asset.name}` has partitions: which is the model?",
            advice=f'choose one: best_of({given.asset}, metric="…")',
        )
    if model.kind in _NO_MODELS:
        return DefinitionError(
            f"the candidate `{given.asset}` of `{asset.name}` is {_NO_MODELS[model.kind]}",
            advice="a candidate is an asset whose function returns a model",
        )
    return None


def _checked(asset: Asset, checks: Mapping[str, Sequence[Check]]) -> DefinitionError | None:
    found = checks.get(asset.name, ())
    if not found:
        return None
    return DefinitionError(
        f"the check `{found[0].name}` tests `{asset.name}`, which is a gate",
        advice="a gate judges by its rules; test the candidate, or give the gate a minimum",
    )
