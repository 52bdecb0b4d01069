"""Questions about live objects: their source, what a class holds, what may be shown of a value."""

from __future__ import annotations

import dataclasses
import enum
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

from lineal.assets.pieces import MISSING
from lineal.assets.sourcecode import Unit

_MADE_BY_PYTHON = frozenset({"_abc_impl", "_is_protocol", "_is_runtime_protocol"})
_WRITTEN = frozenset(
    {
        "__init__", "__new__", "__repr__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__",
        "__ge__", "__hash__", "__setattr__", "__delattr__", "__replace__", "__getstate__",
        "__setstate__",
    }
)  # fmt: skip
_SECRET = re.compile(r"secret|passw|token|api_?key|credential|private|://[^/\s]*@", re.IGNORECASE)


def short(label: str, value: Any) -> str:
    """A short text of a plain value for people; nothing of a secret, nothing of a live object."""
    if kind_of(value) != "constant":
        return ""
    if not _is_plain(value, 3):
        return type(value).__name__
    text = repr(value)
    if _SECRET.search(label) or _SECRET.search(text):
        return "…"
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, list | tuple | set | frozenset) and type(value).__module__ == "builtins":
        return depth > 0 and len(value) < 50 and all(_is_plain(v, depth - 1) for v in value)
    if type(value) is dict:
        return (
            depth > 0
            and len(value) < 50
            and all(_is_plain(k, 1) and _is_plain(v, depth - 1) for k, v in value.items())
        )
    if type(value) is int:
        return -(1 << 200) < value < 1 << 200
    return type(value) in (type(None), bool, float, complex, str, bytes) or (
        type(value).__module__ in ("datetime", "decimal", "pathlib") and not isinstance(value, type)
    )


def kind_of(value: Any) -> Any:
    if isinstance(
        value, property | staticmethod | classmethod | types.FunctionType | types.MethodType
    ):
        return "function"
    return "constant"


def defaults(function: types.FunctionType) -> dict[str, Any]:
    """The values that its parameters have by default, by name."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    values = function.__defaults__ or ()
    held = dict(zip(names[len(names) - len(values) :], values, strict=True))
    held.update(function.__kwdefaults__ or {})
    return held


def by_columns(units: tuple[Unit, ...], code: types.CodeType) -> tuple[Unit, ...]:
    """Which of several lambdas on a line a code object is; all of them when that can't be told."""
    places = [
        (line, column, last, end)
        for line, last, column, end in code.co_positions()
        if line and column is not None and last and end and (line, column) != (last, end)
    ]
    places = [p for p in places if p[1] or p[3]]
    if not places:
        return units
    inside = [
        u for u in units
        if all((p[0], p[1]) >= u.span[:2] and (p[2], p[3]) <= u.span[2:] for p in places)
    ]  # fmt: skip
    if len(inside) < 2:
        return tuple(inside) or units
    smallest = max(u.span[:2] for u in inside)
    return tuple(u for u in inside if u.span[:2] == smallest)


def plain_metaclass(meta: type) -> bool:
    return meta is type or meta.__module__ in ("abc", "enum", "typing")


def class_values(cls: type, bound: set[str] | None) -> Iterable[tuple[str, Any]]:
    """The attributes of a class that tell it from another, in the order of their names."""
    if issubclass(cls, enum.Enum):
        yield "__members__", {name: member.value for name, member in cls.__members__.items()}
        for name in sorted(bound or ()):
            value = vars(cls).get(name, MISSING)
            if (
                name not in cls.__members__
                and value is not MISSING
                and not _is_dunder_data(name, value)
            ):
                yield name, value
        return
    if bound is None and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        yield "_fields", (cls._fields, getattr(cls, "_field_defaults", {}))
        return
    if bound is None and "__dataclass_fields__" in vars(cls):
        yield "__dataclass_fields__", class_value(cls, "__dataclass_fields__")
    for name, value in sorted(vars(cls).items()):
        is_code = isinstance(value, types.FunctionType | staticmethod | classmethod | property)
        if name in _MADE_BY_PYTHON or (
            name.startswith("_") and hasattr(cls, "_fields") and not is_code
        ):
            continue
        if (
            _is_dunder_data(name, value)
            or isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
            or type(value).__name__ == "_tuplegetter"
        ):
            continue
        yield name, value


def class_value(cls: type, name: str) -> Any:
    if name == "__members__" and issubclass(cls, enum.Enum):
        return {key: member.value for key, member in cls.__members__.items()}
    if name == "_fields":
        return (cls._fields, getattr(cls, "_field_defaults", {}))  # type: ignore[attr-defined] # a namedtuple
    if name == "__dataclass_fields__":
        return _dataclass_fields(cls)
    return vars(cls).get(name)


def _dataclass_fields(cls: type) -> list[tuple[Any, ...]]:
    """What `make_dataclass` was told of each field: no text of a class says it."""
    none = dataclasses.MISSING
    return [
        (
            field.name,
            [given for given in (field.default, field.default_factory) if given is not none],
            field.default is none,
            (field.init, field.repr, field.hash, field.compare, field.kw_only),
            field.type,
            dict(field.metadata),
        )
        for field in vars(cls)["__dataclass_fields__"].values()
    ]


def _is_dunder_data(name: str, value: Any) -> bool:
    """`__doc__`, `__module__` and the like: said by the text, or made by Python."""
    if not (name.startswith("__") and name.endswith("__")):
        return False
    return not isinstance(value, types.FunctionType | staticmethod | classmethod | property)


def is_generated(cls: type, name: str, value: Any) -> bool:
    """A method that a decorator or metaclass wrote (`dataclass`): the class's own text says it."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, types.FunctionType) or not name.startswith("_"):
        return False
    while isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
        function = inner
    file = function.__code__.co_filename
    if file.startswith("<") and not file.startswith("<frozen "):
        # Anything else of this kind was made by the project, with `exec`.
        by_dataclass = "__dataclass_fields__" in vars(cls) or hasattr(cls, "_fields")
        return file.startswith("<attrs generated ") or (by_dataclass and name in _WRITTEN)
    return function.__globals__.get("__name__") in sys.stdlib_module_names
