"""Values that code captures (constants, defaults, closures) in canonical form, by value.

Functions and classes among them are named here and handed back as children, for whoever asked to
follow. A live thing (a connection, a lock, a file) has no canonical form: `NoForm` names its type.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import os
import re
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.forms import NoForm, tagged
from lineal.assets.library_values import library_value
from lineal.assets.live import class_values, is_generated

# Standard modules whose instances are plain values that `copyreg` can take apart.
_PLAIN_MODULES = frozenset(
    {
        "array", "calendar", "collections", "contextlib", "csv", "datetime", "decimal", "fractions",
        "functools", "ipaddress", "itertools", "json.decoder", "json.encoder", "numbers",
        "operator", "statistics", "string", "types", "uuid", "zoneinfo", "argparse", "copy",
        "textwrap",
    }
)  # fmt: skip
_TYPED = frozenset({"typing", "typing_extensions"})
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement
_SCALARS = (type(None), bool, float, complex, bytes, bytearray)
_BUILTIN_CALLABLES = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MethodWrapperType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType,
)  # fmt: skip


class Opaque(NamedTuple):
    """A captured value that lineal is told not to look into; it is listed by `why`."""

    value: Any
    token: str = ""


def opaque(value: Any, token: str = "") -> Opaque:
    """Capture a value without its content counting; reach it as `.value`.

    `token`, if given, counts in its place: change it when the value's meaning changes.
    """
    return Opaque(value, token)


class Child(NamedTuple):
    """Something to follow that a captured value holds: a function, class or module."""

    label: str
    value: Any


class Form(NamedTuple):
    """The canonical bytes of a value and what it holds that has to be followed."""

    data: bytes
    children: tuple[Child, ...]
    externals: tuple[str, ...]
    opaque: tuple[str, ...]
    derived: bool  # whether what a cached property holds is in it


def identity(value: Any) -> str:
    """`module:qualname` of a function or class."""
    module = getattr(value, "__module__", None)
    if isinstance(value, types.FunctionType):
        module = value.__globals__.get("__name__", module)
    return f"{module}:{getattr(value, '__qualname__', getattr(value, '__name__', '?'))}"


def external_path(value: Any) -> str:
    """The import path of something that is not the project's."""
    owner = getattr(value, "__objclass__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "?")
    module = getattr(value, "__module__", None)
    if isinstance(owner, type) and not isinstance(module, str):
        module = owner.__module__
        name = f"{owner.__qualname__}.{getattr(value, '__name__', '?')}"
    if not isinstance(module, str):
        module = type(value).__module__
    return f"{module}.{name}"


class Encoder:
    """Encodes one captured value; `is_project` tells the project's modules, `root` its folder.

    `derived`: what cached properties hold counts too.
    """

    def __init__(self, is_project: Callable[[str], bool], root: str, *, derived: bool = True):
        self.is_project = is_project
        self.root = root
        self.derived = derived
        self.kept_derived = False
        self.children: list[Child] = []
        self.externals: dict[str, None] = {}
        self.opaque: list[str] = []
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []

    def form(self, value: Any, path: str) -> Form:
        try:
            data = self.value(value, path)
        except RecursionError:
            raise NoForm(path, type(value), "it is nested too deeply") from None
        return Form(
            data, tuple(self.children), tuple(self.externals), tuple(self.opaque), self.kept_derived
        )

    # ------------------------------------------------------------------ values

    def value(self, value: Any, path: str) -> bytes:
        kind = type(value)
        if kind in _SCALARS:
            return encode(value)
        if kind is str:
            return self._text(value)
        if kind is int:
            return encode(value) if -(1 << 63) <= value < 1 << 63 else tagged("I", b"%x" % value)
        if kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
            return self._container(value, path)
        for handler in (self._callable, self._holder, self._standard, self._tool):
            found = handler(value, path)
            if found is not None:
                return found
        found = library_value(self, value, path) or self._instance(value, path)
        if found is None:
            raise NoForm(path, kind)
        return found

    def _text(self, value: str) -> bytes:
        """A text; one that starts with the project's folder is taken relative to it."""
        if self.root and value.startswith(self.root):
            rest = value[len(self.root) :]
            if not rest or rest[0] in "/\\":
                return tagged("root", rest.replace(os.sep, "/").encode("utf-8", "surrogatepass"))
        return encode(value)

    def _container(self, value: Any, path: str) -> bytes:
        if not isinstance(value, tuple | frozenset):
            back = self._again(value)
            if back is not None:
                return back
        if isinstance(value, dict):
            pieces = []
            for key, item in value.items():
                pieces.append(self.value(key, f"{path} key"))
                pieces.append(self.value(item, f"{path}[{_short(key)}]"))
            return tagged("dict", *pieces)
        if isinstance(value, set | frozenset):
            return self._unordered(value, path)
        items = [self.value(item, f"{path}[{i}]") for i, item in enumerate(value)]
        return tagged("tuple" if isinstance(value, tuple) else "list", *items)

    def _again(self, value: Any) -> bytes | None:
        """A back reference, if this mutable value was met before: cycles and sharing end here."""
        number = self.seen.setdefault(id(value), len(self.seen))
        if number < len(self.kept):
            return tagged("again", str(number).encode())
        self.kept.append(value)
        return None

    def _unordered(self, value: Any, path: str) -> bytes:
        """A set: its order is not part of it, so each item is encoded on its own and sorted."""
        found = []
        for item in value:
            inner = Encoder(self.is_project, self.root, derived=self.derived)
            found.append((inner.value(item, f"{path} item"), inner))
        found.sort(key=lambda pair: pair[0])
        for _, inner in found:
            for child in inner.children:
                self._child(child.value)
            self.externals.update(inner.externals)
            self.opaque.extend(inner.opaque)
            self.kept_derived |= inner.kept_derived
        return tagged("set", *(data for data, _ in found))

    # ------------------------------------------------------------------ code

    def _callable(self, value: Any, path: str) -> bytes | None:
        if isinstance(value, type):
            return self.class_(value)
        if isinstance(value, types.FunctionType):
            return self._function(value, path)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.MethodType):
            function = self.value(value.__func__, path)
            return tagged("method", function, self.value(value.__self__, path))
        if isinstance(value, functools._lru_cache_wrapper):
            settings = encode(dict(value.cache_parameters()))
            return tagged("lru_cache", settings, self.value(value.__wrapped__, path))
        if isinstance(value, _BUILTIN_CALLABLES):
            return self._builtin(value, path)
        return None

    def _holder(self, value: Any, path: str) -> bytes | None:
        """What holds functions: partials, descriptors."""
        if isinstance(value, functools.partial):
            whole = (value.func, value.args, value.keywords)
            return tagged("partial", self.value(whole, path))
        if isinstance(value, functools.partialmethod):
            whole = (value.func, value.args, value.keywords)
            return tagged("partialmethod", self.value(whole, path))
        if isinstance(value, staticmethod | classmethod):
            return tagged(type(value).__name__, self.value(value.__func__, path))
        if isinstance(value, property):
            return tagged("property", self.value((value.fget, value.fset, value.fdel), path))
        if isinstance(value, functools.cached_property):
            return tagged("cached", self.value(value.func, path))
        if isinstance(value, functools.singledispatchmethod):
            return tagged("dispatch", self.value((value.func, value.dispatcher), path))
        return None

    def class_(self, value: type) -> bytes:
        if self.is_project(value.__module__):
            return tagged("class", self._child(value), identity(value).encode())
        return self.external(value) if is_library_class(value) else self._made_class(value)

    def _made_class(self, value: type) -> bytes:
        """A class that no file of a library says (`make_dataclass`): by all that it holds."""
        place = external_path(value)
        if value.__module__ in ("builtins", "None"):
            raise NoForm(place, type(value), "it was made by `exec`: write it in a module")
        back = self._again(value)
        if back is not None:
            return back
        self.externals[place] = None
        pieces = [self.value(value.__bases__, place)]
        for name, held in class_values(value, None):
            if is_generated(value, name, held):
                continue
            try:
                pieces.append(encode(name) + self.value(held, f"{place}.{name}"))
            except NoForm as error:
                if error.kind is types.FunctionType:
                    raise
                # The library's own machinery: made of arguments that the project's text gives.
                pieces.append(encode([name, identity(error.kind)]))
        return tagged("made class", place.encode(), *pieces)

    def _function(self, value: types.FunctionType, path: str) -> bytes:
        if self.is_project(str(value.__globals__.get("__name__"))):
            return tagged("function", self._child(value), identity(value).encode())
        if is_importable(value) and not self.is_project(value.__module__):
            return self.external(value)
        return self._made_elsewhere(value, path)

    def _made_elsewhere(self, value: types.FunctionType, path: str) -> bytes:
        """A function that a library made: a wrapper, known by its path and what it encloses."""
        back = self._again(value)
        if back is not None:
            return back
        if not _in_a_file(value):
            raise NoForm(path, type(value), "it was made by `exec`: write it in a module")
        module = value.__globals__.get("__name__")
        place = f"{module}.{value.__code__.co_qualname}"
        self.externals[place] = None
        pieces = [place.encode()]
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            pieces.append(self.value(wrapped, path))
        registry = getattr(value, "registry", None)
        if isinstance(registry, types.MappingProxyType):
            rows = sorted((identity(cls), cls, made) for cls, made in registry.items())
            pieces.append(self.value([(cls, made) for _, cls, made in rows], path))
            return tagged("made", *pieces)
        pieces.extend(self._cells(value, path))
        return tagged("made", *pieces)

    def _cells(self, value: types.FunctionType, path: str) -> list[bytes]:
        pieces = []
        held = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        for name, cell in held:
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            try:
                pieces.append(encode(name) + self.value(content, f"{path}.{name}"))
            except NoForm as error:
                if error.kind is types.FunctionType:
                    raise
                # The library's own machinery: made of arguments that the project's text gives.
                pieces.append(encode([name, identity(error.kind)]))
        return pieces

    def _module(self, value: types.ModuleType) -> bytes:
        name = value.__name__
        if self.is_project(name):
            return tagged("module", self._child(value), name.encode())
        self.externals[name] = None
        return tagged("external", name.encode())

    def _builtin(self, value: Any, path: str) -> bytes:
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType | type):
            return self.external(value)
        return tagged("bound", encode(value.__name__), self.value(owner, path))

    def external(self, value: Any) -> bytes:
        found = external_path(value)
        self.externals[found] = None
        return tagged("external", found.encode())

    def _child(self, value: Any) -> bytes:
        label = str(len(self.children))
        self.children.append(Child(label, value))
        return label.encode()

    # ------------------------------------------------------------------ standard library

    def _standard(self, value: Any, path: str) -> bytes | None:
        if isinstance(value, Opaque):
            self.opaque.append(path)
            return tagged("opaque", encode(value.token))
        if isinstance(value, enum.Enum):
            owner = self.class_(type(value))
            return tagged("member", owner, encode(value.name), self.value(value.value, path))
        if isinstance(value, PurePath):
            found = tagged("path", self._text(value.as_posix()))
            return found if _is_standard(type(value), "pathlib") else self._more(found, value, path)
        if isinstance(value, re.Pattern):
            return tagged("regex", encode([value.pattern, int(value.flags)]))
        return None

    def _tool(self, value: Any, path: str) -> bytes | None:
        """Instances of other standard classes."""
        logging = sys.modules.get("logging")
        if logging is not None and isinstance(value, logging.Logger):
            found = tagged("logger", encode(value.name))
            return found if _is_standard(type(value), "logging") else self._more(found, value, path)
        if type(value) is object:
            return b"object"
        if isinstance(value, range | slice) or value is Ellipsis or value is NotImplemented:
            return encode(repr(value))
        if isinstance(value, types.MappingProxyType):
            return tagged("proxy", self.value(dict(value), path))
        if isinstance(value, OrderedDict | deque):
            return self._builtin_based(value, path)
        module = type(value).__module__
        if module in ("typing", "types", "typing_extensions"):
            return self._typing(value, path)
        if module in ("_contextvars", "contextvars") and hasattr(value, "name"):
            return tagged("contextvar", encode(value.name))
        if module in ("datetime", "decimal", "uuid"):
            try:
                return encode(value)
            except NoCanonicalFormError:
                return self._reduced(value, path)
        if module in _PLAIN_MODULES or module.lstrip("_") in _PLAIN_MODULES:
            return self._reduced(value, path)
        return None

    def _more(self, inner: bytes, value: Any, path: str) -> bytes:
        """An instance of a class built on a standard one: that one's value, the class, its state.

        Of a logger only what its own class and its makers set.
        """
        standard = {"name", "level", "parent", "propagate", "handlers", "disabled", "filters"}
        ours = {
            name: held
            for name, held in getattr(value, "__dict__", {}).items()
            if name not in standard and name not in ("manager", "_cache")
        }
        pieces = [
            encode(name) + self.value(held, f"{path}.{name}") for name, held in sorted(ours.items())
        ]
        return tagged("more", inner, self.class_(type(value)), *pieces)

    def _typing(self, value: Any, path: str) -> bytes | None:
        if isinstance(value, types.SimpleNamespace):
            return tagged("namespace", self.value(vars(value), path))
        origin = getattr(value, "__origin__", None)
        arguments = getattr(value, "__args__", None)
        if origin is not None or arguments is not None:
            metadata = getattr(value, "__metadata__", ())
            inner = self.value((origin, arguments, metadata), path)
            return tagged("alias", inner)
        if isinstance(value, types.CodeType | types.FrameType | types.GeneratorType):
            return None
        name = getattr(value, "__name__", None) or getattr(value, "_name", None)
        bound = getattr(value, "__bound__", None) or getattr(value, "__supertype__", None)
        return tagged("typing", encode(str(name or value)), self.value(bound, path))

    def _reduced(self, value: Any, path: str) -> bytes | None:
        """A plain value of the standard library, taken apart as pickle would."""
        back = self._again(value)
        if back is not None:
            return back
        try:
            parts = value.__reduce_ex__(4)
        except TypeError:
            return None
        if isinstance(parts, str):
            return tagged("external", parts.encode())
        made, arguments, *rest = parts
        listed = [list(part) if hasattr(part, "__next__") else part for part in rest]
        return tagged("reduced", self.value((made, arguments, listed), path))

    # ------------------------------------------------------------------ instances

    def _instance(self, value: Any, path: str) -> bytes | None:
        kind = type(value)
        if isinstance(value, tuple | list | dict | set | frozenset | str | int | float | bytes):
            return self._builtin_based(value, path)
        plain = getattr(kind, "__dataclass_fields__", None) or hasattr(kind, "__attrs_attrs__")
        if not self.is_project(kind.__module__) and not plain:
            return None
        back = self._again(value)
        if back is not None:
            return back
        hidden = self._hidden_state(value, path)
        return tagged("instance", self.class_(kind), hidden, self._state(value, path))

    def _hidden_state(self, value: Any, path: str) -> bytes:
        """What an instance holds beside its attributes, where a class of its is written in C."""
        if isinstance(value, BaseException):
            return self.value(value.args, path)
        if isinstance(value, dt.date | dt.time | dt.timedelta | Decimal | UUID):
            return encode(value)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            return self.value(numpy.asarray(value), path)
        for owner in type(value).__mro__:
            foreign = owner is not object and not self.is_project(owner.__module__)
            written_in_c = not owner.__flags__ & _HEAP
            if foreign and (written_in_c or {"__reduce__", "__reduce_ex__"} & vars(owner).keys()):
                raise NoForm(path, type(value))
        return b""

    def _builtin_based(self, value: Any, path: str) -> bytes:
        """An instance of a class built on a builtin: its base's value, its class and its state."""
        back = None if isinstance(value, tuple | str | int | float) else self._again(value)
        if back is not None:
            return back
        for base in (tuple, list, dict, set, frozenset, str, int, float, bytes):
            if isinstance(value, base):
                inner = self.value(base(value), path)  # type: ignore[arg-type] # it is a `base`
                break
        else:
            inner = self.value(list(value), path)
        extra = [getattr(value, "default_factory", None), getattr(value, "maxlen", None)]
        return tagged(
            "based", self.class_(type(value)), inner, self.value(extra, path),
            self._state(value, path),
        )  # fmt: skip

    def _state(self, value: Any, path: str) -> bytes:
        """Attributes in the order of their names."""
        state = dict(getattr(value, "__dict__", {}))
        for owner in type(value).__mro__:
            slots = owner.__dict__.get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                if name.startswith("__") and not name.endswith("__"):
                    name = f"_{owner.__name__.lstrip('_')}{name}"  # noqa: PLW2901 mangled
                if not name.startswith("__") and hasattr(value, name):
                    state[name] = getattr(value, name)
        pieces = []
        for name in sorted(state, key=str):
            declared = getattr(type(value), str(name), None)
            if isinstance(declared, functools.cached_property):
                if not self.derived:
                    continue
                self.kept_derived = True
            pieces.append(encode(str(name)) + self.value(state[name], f"{path}.{name}"))
        return tagged("state", *pieces)


def _short(key: Any) -> str:
    return repr(key) if type(key) in (str, int, bool) else type(key).__name__


def _is_standard(kind: type, module: str) -> bool:
    return kind.__module__.partition(".")[0] == module


def _in_a_file(function: types.FunctionType) -> bool:
    """Is its code in a file of a library, so that the library's version tells when it changes?"""
    file = function.__code__.co_filename
    if file.startswith(("<frozen ", "<decorator-gen-")):
        return True  # of Python itself; what the package `decorator` wraps functions with
    own = function.__globals__.get("__file__")
    return not file.startswith("<") and isinstance(own, str) and _stem(file) == _stem(own)


def _stem(file: str) -> str:
    return os.path.basename(file).partition(".")[0]  # noqa: PTH119  (asked for many functions)


def is_library_class(value: type) -> bool:
    """Is this a class that its import path tells, written in C or in a file of a library?"""
    return not value.__flags__ & _HEAP or value.__module__ in _TYPED or is_importable(value)


def is_importable(value: types.FunctionType | type) -> bool:
    """Is it the very thing that its import path names?"""
    found: Any = sys.modules.get(value.__module__ or "")
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value or getattr(found, "__func__", None) is value
