"""Facts as JSON and back, exactly: every record of assets/records.py, one object each.

Fields equal to their default are left out; keys nobody knows are passed over, so that a later
lineal may add some. Floats that JSON lacks are the strings NaN, Infinity and -Infinity.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

from lineal.assets import records
from lineal.assets.errors import ContentError, IntegrityError
from lineal.assets.records import Fact

_REQUIRED = object()
_Load = Callable[[Any], Any] | None


class _Field(NamedTuple):
    name: str
    default: Any
    dump: Callable[[Any], Any] | None
    load: _Load


class _Shape(NamedTuple):
    """How one record class is written: its fields in the order of its constructor."""

    make: Callable[..., Any]
    fields: tuple[_Field, ...]

    def dump(self, record: Any) -> dict[str, Any]:
        written = {}
        for name, default, dump, _ in self.fields:
            value = getattr(record, name)
            if value is default or (type(value) is type(default) and value == default):
                continue
            written[name] = dump(value) if dump else value
        return written

    def load(self, raw: dict[str, Any]) -> Any:
        get = raw.get
        values = []
        for name, default, _, load in self.fields:
            value = get(name, default)
            if value is default:
                if default is _REQUIRED:
                    raise KeyError(name)
                # A mutable default is the record's own.
                values.append({} if type(default) is dict else default)
            else:
                values.append(value if load is None else load(value))
        return self.make(*values)


# ---------------------------------------------------------------------------------- single values


def _float_out(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float_in(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value


def _pairs_in(value: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, value))


def _numbers_out(value: tuple[tuple[str, float], ...]) -> list[Any]:
    return [[name, _float_out(number)] for name, number in value]


def _numbers_in(value: list[list[Any]]) -> tuple[tuple[str, float], ...]:
    return tuple((name, _float_in(number)) for name, number in value)


# A value of metadata without a JSON form of its own is an object with one key that begins with $.
_TAGGED_OUT: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (dt.datetime, "$datetime", dt.datetime.isoformat),
    (dt.date, "$date", dt.date.isoformat),
    (dt.time, "$time", dt.time.isoformat),
    (Decimal, "$decimal", str),
    (bytes, "$bytes", bytes.hex),
)
_TAGGED_IN: Mapping[str, Callable[[Any], Any]] = {
    "$float": float,
    "$datetime": dt.datetime.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$time": dt.time.fromisoformat,
    "$decimal": Decimal,
    "$bytes": bytes.fromhex,
    "$tuple": lambda items: tuple(_plain_in(v) for v in items),
    "$dict": lambda items: {_plain_in(k): _plain_in(v) for k, v in items},
}


def _plain_out(value: Any) -> Any:
    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": _float_out(value)}
    if type(value) is list:
        return [_plain_out(v) for v in value]
    if type(value) is tuple:
        return {"$tuple": [_plain_out(v) for v in value]}
    if isinstance(value, Mapping):
        if all(type(k) is str and not k.startswith("$") for k in value):
            return {k: _plain_out(v) for k, v in value.items()}
        return {"$dict": [[_plain_out(k), _plain_out(v)] for k, v in value.items()]}
    for kind, tag, write in _TAGGED_OUT:
        if isinstance(value, kind):
            return {tag: write(value)}
    raise ContentError(
        f"a {type(value).__module__}.{type(value).__qualname__} can't be recorded as metadata",
        advice="give numbers, text, dates, lists, tuples or dicts of them",
    )


def _plain_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_in(v) for v in value]
    if isinstance(value, dict):
        if len(value) == 1:
            tag, inner = next(iter(value.items()))
            if tag in _TAGGED_IN:
                return _TAGGED_IN[tag](inner)
        return {k: _plain_in(v) for k, v in value.items()}
    return value


# ---------------------------------------------------------------------------------------- shapes

_NUMBER = (_float_out, _float_in)
_TEXTS = (list, tuple)
_PAIRS = (None, _pairs_in)  # json writes tuples as lists


def _shape(make: type, **special: tuple[Callable[[Any], Any] | None, _Load]) -> _Shape:
    if hasattr(make, "_field_defaults"):  # a NamedTuple
        defaults = make._field_defaults
    else:
        defaults = {}
        for name, declared in make.__dataclass_fields__.items():  # type: ignore[attr-defined]
            if declared.default_factory is dict:
                defaults[name] = {}
            elif declared.default is not dataclasses.MISSING:
                defaults[name] = declared.default
    fields = [
        _Field(name, defaults.get(name, _REQUIRED), *special.get(name, (None, None)))
        for name in make.__match_args__  # type: ignore[attr-defined]
    ]
    return _Shape(make, tuple(fields))


def _many(shape: _Shape) -> tuple[Callable[[Any], Any], _Load]:
    return (
        lambda values: [shape.dump(v) for v in values],
        lambda values: tuple([shape.load(v) for v in values]),
    )


def _one(shape: _Shape) -> tuple[Callable[[Any], Any], _Load]:
    return shape.dump, shape.load


_CONTENT = _shape(
    records.Content,
    objects=_many(_shape(records.StoredObject)),
    columns=_many(_shape(records.Column)),
)

_USED = _shape(records.Used, columns=_TEXTS)

_ERROR = _shape(records.ErrorFacts)
_SCORES = _many(_shape(records.Score, candidate=_NUMBER, production=_NUMBER))

_SHAPES: Mapping[str, _Shape] = {
    "run_started": _shape(
        records.RunStarted,
        command=_TEXTS,
        started_at=_NUMBER,
        sources=_one(_shape(records.StoredObject)),
    ),
    "asset": _shape(
        records.AssetFacts, tags=_TEXTS, columns_declared=_TEXTS, columns=_PAIRS, derives=_PAIRS
    ),
    "recipe": _shape(
        records.Recipe,
        parts=_many(_shape(records.RecipePart)),
        opaque=_TEXTS,
        imports=_TEXTS,
        variables=_TEXTS,
        impure=_TEXTS,
        watched=_PAIRS,
    ),
    "environment": _shape(records.EnvironmentFacts, packages=_PAIRS, variables=_PAIRS),
    "check_result": _shape(records.CheckResult, sample=_PAIRS, seconds=_NUMBER, unwatched=_PAIRS),
    "materialization": _shape(
        records.Materialization,
        parameters=_PAIRS,
        inputs=_many(_USED),
        content=_one(_CONTENT),
        files=_many(_shape(records.SourceFile, identity=_TEXTS)),
        checks=_TEXTS,
        unwatched=_PAIRS,
        metrics=(_numbers_out, _numbers_in),
        metadata=(_plain_out, _plain_in),
        reasons=_many(_shape(records.Reason)),
        error=_one(_ERROR),
        attempts=_many(
            _shape(records.Attempt, started_at=_NUMBER, seconds=_NUMBER, error=_one(_ERROR))
        ),
        started_at=_NUMBER,
        seconds=_NUMBER,
    ),
    "publication": _shape(records.Publication),
    "retirement": _shape(records.Retirement),
    "acceptance": _shape(records.Acceptance, at=_NUMBER),
    "registered": _shape(records.Registered, at=_NUMBER, tags=_TEXTS),
    "tagged": _shape(records.Tagged, at=_NUMBER, tags=_TEXTS),
    "hold": _shape(records.Hold, at=_NUMBER),
    "decided": _shape(
        records.Decided, scores=_SCORES, rules=_PAIRS, at=_NUMBER, unscored=_one(_ERROR)
    ),
    "promotion": _shape(records.Promotion, scores=_SCORES, at=_NUMBER),
    "run_ended": _shape(records.RunEnded, counts=(dict, dict), ended_at=_NUMBER),
}
_KINDS: Mapping[Any, str] = {shape.make: kind for kind, shape in _SHAPES.items()}


def to_json(fact: Fact) -> dict[str, Any]:
    """The JSON object of a fact: its kind under `fact`, then its fields.

    Raises ContentError for metadata that has no JSON form.
    """
    kind = _KINDS[type(fact)]
    return {"fact": kind, **_SHAPES[kind].dump(fact)}


def used_from(raw: dict[str, Any]) -> tuple[records.Used, ...]:
    """What a materialization read, by its JSON object: nothing else of it is taken apart."""
    return tuple(map(_USED.load, raw.get("inputs", ())))


def from_json(raw: dict[str, Any]) -> Fact:
    """The fact that `to_json` wrote. Raises IntegrityError when it is none this lineal knows."""
    kind = raw.get("fact")
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise IntegrityError(
            f"a fact of the unknown kind {kind!r}",
            advice="a newer lineal wrote it: update lineal to read this project",
        )
    try:
        return cast("Fact", shape.load(raw))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"a fact `{kind}` without a readable `{error}`") from error
