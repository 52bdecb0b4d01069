"""What an annotation says about a value: how it arrives, which columns, which type.

Nothing is imported or evaluated for it. Text (`from __future__ import annotations`) is parsed, its
names are looked up where the function is written, and a name that is out of reach (an import under
`TYPE_CHECKING`) is judged by how it is spelt. A class of a library whose import waits is known by
its path; `Unsettled` is raised where that would tell less than the class.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from lineal.assets import mapping
from lineal.assets.asset import Arrival, Columns, Folder, columns
from lineal.assets.deferred import deferred_in, names_of, waits
from lineal.assets.mapping import Marker
from lineal.assets.partitions import Partition
from lineal.assets.scopes import unrolled

_MISSING = object()


class Named(NamedTuple):
    """A type that is out of reach, known by how it is spelt: `pandas.DataFrame`."""

    path: str


class Applied(NamedTuple):
    """A type with arguments: `list[dict]` is (list, (dict,)), `int | None` is (Union, …)."""

    head: Any
    arguments: tuple[Any, ...]


class Meaning(NamedTuple):
    """What an annotation says: a type (Any when it says none), declared columns, markers."""

    type: Any
    columns: tuple[str, ...] | None = None
    markers: tuple[Marker, ...] = ()


class Unseen(NamedTuple):
    """A class of a library that is not imported yet, by its path and how it arrives."""

    path: str
    arrival: Arrival


class Unsettled(LookupError):
    """What an annotation says depends on a name that its module has yet to bind."""


class UnreadNote(ValueError):
    """`columns(…)` or a marker is written so that it can't be read without running it."""


def meaning(
    annotation: Any, namespace: Mapping[str, Any], *, seen: Literal["class", "arrival", "rows"]
) -> Meaning:
    """What an annotation says.

    Args:
        annotation: the object or its text; `inspect.Parameter.empty` when there is none.
        namespace: the globals of the function.
        seen: what is wanted of the type: the class itself, how it arrives, or only whether it is
            a list of rows.

    Raises:
        UnreadNote: when declared columns or a marker would be lost.
        DefinitionError: without a place; a marker that can't be.
        Unsettled: when a name has to be bound to tell.
    """
    if annotation is inspect.Parameter.empty:
        return Meaning(Any)
    kind, notes = _lifted(_Reading(namespace, seen).normal(annotation))
    noted = [note for note in notes if isinstance(note, Columns)]
    markers = tuple(note for note in notes if isinstance(note, Marker))
    return Meaning(kind, noted[0].names if noted else None, markers)


def _lifted(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without what is noted in it, and all the notes: `dict[str, Annotated[…]]`."""
    if isinstance(kind, _Noted):
        bare, notes = _lifted(kind.type)
        return bare, (*notes, *kind.notes)
    if not isinstance(kind, Applied) or kind.head is Literal:
        return kind, ()
    arguments = [_lifted(each) for each in kind.arguments]
    bare = Applied(kind.head, tuple(each for each, _ in arguments))
    return bare, tuple(note for _, notes in arguments for note in notes)


def arrival(kind: Any) -> Arrival:
    """How a value annotated with this type arrives."""
    if isinstance(kind, Applied):
        if kind.head is typing.Union:
            arms = [arm for arm in kind.arguments if arm is not None and arm is not types.NoneType]
            return arrival(arms[0]) if len(arms) == 1 else "auto"
        if kind.head is list and kind.arguments:
            inner = arrival(kind.arguments[0])
            return "paths" if inner == "path" else "rows" if returns_rows(kind) else "object"
        return arrival(kind.head)
    if kind is Any or kind is object or kind is None:
        return "auto"
    if isinstance(kind, Unseen):
        return kind.arrival
    if isinstance(kind, Named):
        return _SPELT.get(kind.path) or _ARRIVALS.get(_ends(kind.path), "auto")
    if isinstance(kind, type):
        if issubclass(kind, pathlib.PurePath):
            return "path"
        module = kind.__module__.split(".")[0]
        return _ARRIVALS.get((module, kind.__qualname__), "object")
    return "object" if callable(kind) else "auto"


def each_arrival(kind: Any) -> Arrival | None:
    """How each partition arrives for `dict[str, …]` or `Mapping[str, …]`; None for other types."""
    if not isinstance(kind, Applied):
        return None
    if kind.head is typing.Union:
        arms = [arm for arm in kind.arguments if arm is not None and arm is not types.NoneType]
        return each_arrival(arms[0]) if len(arms) == 1 else None
    if isinstance(kind.head, Named):
        mapped = kind.head.path.rpartition(".")[2] == "Mapping"
    else:
        mapped = kind.head in (dict, Mapping)
    if not mapped or len(kind.arguments) != 2 or kind.arguments[0] not in (str, Partition):
        return None
    return arrival(kind.arguments[1])


def returns_rows(kind: Any) -> bool:
    """Is this `list[dict]`, a table written as rows?"""
    if not isinstance(kind, Applied) or kind.head is not list or len(kind.arguments) != 1:
        return False
    row = kind.arguments[0]
    head = row.head if isinstance(row, Applied) else row
    return isinstance(head, type) and issubclass(head, dict)


def is_folder(kind: Any) -> bool:
    """Does the annotation ask for an empty folder to write into?"""
    if isinstance(kind, Named):
        return kind.path in ("Folder", "lineal.Folder")
    return kind is Folder


_ARRIVALS: Mapping[tuple[str, str], Arrival] = types.MappingProxyType(
    {
        ("pandas", "DataFrame"): "pandas",
        ("pyarrow", "Table"): "arrow",
        ("pyarrow", "RecordBatchReader"): "batches",
        ("duckdb", "DuckDBPyRelation"): "relation",
        ("_duckdb", "DuckDBPyRelation"): "relation",
        ("polars", "DataFrame"): "polars",
        ("numpy", "ndarray"): "array",
        ("numpy", "NDArray"): "array",
        ("pathlib", "Path"): "path",
        ("lineal", "Result"): "result",
    }
)
# Names that mean one thing even without their module. A bare `DataFrame` could be anyone's.
_SPELT: Mapping[str, Arrival] = types.MappingProxyType(
    {
        "DuckDBPyRelation": "relation",
        "RecordBatchReader": "batches",
        "NDArray": "array",
        "ndarray": "array",
        "Path": "path",
    }
)
_CUSTOM = types.MappingProxyType(
    {"pd": "pandas", "pa": "pyarrow", "np": "numpy", "npt": "numpy.typing", "pl": "polars",
     "t": "typing"}
)  # fmt: skip
_TYPING = ("Annotated", "Any", "Dict", "List", "Literal", "Optional", "Set", "Tuple", "Union")


def _ends(path: str) -> tuple[str, str]:
    first, _, rest = path.partition(".")
    return first, rest.rpartition(".")[2]


class _Noted(NamedTuple):
    """`Annotated[type, *notes]`."""

    type: Any
    notes: tuple[Any, ...]


class _Reading:
    """Brings annotations of one namespace, objects and text, into one form."""

    def __init__(self, namespace: Mapping[str, Any], seen: str) -> None:
        self.namespace = namespace
        self.seen = seen

    def normal(self, annotation: Any) -> Any:
        """A type, Named, Applied or _Noted."""
        if isinstance(annotation, typing.ForwardRef):
            annotation = annotation.__forward_arg__
        if isinstance(annotation, str):
            try:
                return self._node(ast.parse(annotation.strip(), mode="eval").body)
            except SyntaxError:
                return Named(annotation)
        notes = getattr(annotation, "__metadata__", None)
        if notes is not None and typing.get_origin(annotation) is typing.Annotated:
            return _Noted(self.normal(annotation.__origin__), tuple(notes))
        head = typing.get_origin(annotation)
        if head is None:
            return annotation
        arguments = typing.get_args(annotation)
        if head is typing.Literal:
            return Applied(head, arguments)
        return _applied(head, tuple(self.normal(each) for each in arguments))

    def _node(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return self.normal(node.value) if isinstance(node.value, str) else node.value
        if isinstance(node, ast.Name | ast.Attribute):
            return self._dotted(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return _applied(typing.Union, (self._node(node.left), self._node(node.right)))
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        return Named(ast.unparse(node))

    def _subscript(self, node: ast.Subscript) -> Any:
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        head = self._node(node.value)
        if head is typing.Annotated:
            notes = (self._note(each) for each in inside[1:])
            return _Noted(self._node(inside[0]), tuple(notes))
        if head is typing.Literal:
            return Applied(head, tuple(self._value(each) for each in inside))
        arguments = tuple(self._node(each) for each in inside)
        if isinstance(head, Applied) and not head.arguments:  # `Dict` and `List` of typing
            head = head.head
        if isinstance(head, Named) and len(arguments) == 2 and self.seen == "arrival":
            return Applied(head, arguments)
        return head if isinstance(head, Named | Unseen) else _applied(head, arguments)

    def _dotted(self, node: ast.expr) -> Any:
        found = self._deferred(node)
        if found is not _MISSING:
            return found
        found = self._look_up(node)
        return Named(found) if isinstance(found, str) else self.normal(found)

    def _deferred(self, node: ast.expr) -> Any:
        """What a type means that is written with a name its module has yet to bind."""
        root, attributes = unrolled(node)
        deferred = deferred_in(self.namespace)
        if deferred is None or not isinstance(root, ast.Name) or root.id in self.namespace:
            return _MISSING
        alias = deferred.aliases.get(root.id)
        if alias is not None and not attributes:
            kind = self.normal(alias[0])
            return _Noted(kind, alias[1]) if alias[1] else kind
        path = deferred.paths.get(root.id)
        if path is None:
            return _MISSING
        full = ".".join((*path, *attributes))
        arrives: Any = deferred.arrivals.get(full)
        if self.seen == "rows" or (self.seen == "arrival" and arrives):
            return Unseen(full, arrives)
        raise Unsettled(root.id)

    def _look_up(self, node: ast.expr) -> Any:
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return Named(ast.unparse(node))
        found = self._bound(self.namespace, node.id)
        if found is _MISSING:
            return self._out_of_reach(node.id, path)
        spelt = node.id
        for name in path:
            # Static: no module's `__getattr__` is asked, for that may import.
            if isinstance(found, types.ModuleType):
                spelt = found.__name__
                found = self._bound(names_of(found), name)
            else:
                found = inspect.getattr_static(found, name, _MISSING)
            if found is _MISSING:
                return Named(".".join([spelt, name]))
            spelt = f"{spelt}.{name}"
        return found

    def _bound(self, names: Mapping[str, Any], name: str) -> Any:
        if waits(names, name):
            raise Unsettled(name)
        return names.get(name, _MISSING)

    def _out_of_reach(self, root: str, path: list[str]) -> Any:
        spelt = ".".join([_CUSTOM.get(root, root), *path])
        if not path and hasattr(builtins, root):
            return getattr(builtins, root)
        name = spelt.removeprefix("typing.")
        if name in _TYPING:
            return getattr(typing, name)
        return Named(spelt)

    def _note(self, node: ast.expr) -> Any:
        """One note of an `Annotated`: the Columns or Marker it makes or names, else nobody's."""
        if not isinstance(node, ast.Call):
            return self._value(node)
        maker = self._look_up(node.func)
        if maker is columns or maker in (Named("columns"), Named("lineal.columns")):
            return self._columns(node)
        for marker in (mapping.last, mapping.every, mapping.previous, mapping.only):
            name = marker.__name__
            if maker is marker or maker in (Named(name), Named(f"lineal.{name}")):
                return self._marker(marker, node)
        return None

    def _marker(self, maker: Callable[..., Marker], node: ast.Call) -> Marker:
        try:
            words = [self._argument(each) for each in node.args]
            named = {str(each.arg): self._argument(each.value) for each in node.keywords}
            return maker(*words, **named)
        except (ValueError, TypeError) as error:
            raise UnreadNote(ast.unparse(node)) from error

    def _argument(self, node: ast.expr) -> Any:
        """A literal, or a value by its name; raises ValueError for all else."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return ast.literal_eval(node)
        found = self._look_up(node)
        if isinstance(found, Named):
            raise ValueError(found.path)
        return found

    def _columns(self, node: ast.Call) -> Columns:
        names: list[Any] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                several = self._value(argument.value)
                names.extend(several if isinstance(several, list | tuple) else [None])
            else:
                names.append(self._value(argument))
        if node.keywords or not all(isinstance(name, str) for name in names):
            raise UnreadNote(ast.unparse(node))
        return Columns(tuple(names))

    def _value(self, node: ast.expr) -> Any:
        """A literal, or a value by its name; None for anything that would have to be run."""
        if isinstance(node, ast.Name | ast.Attribute):
            return self._look_up(node)
        try:
            return ast.literal_eval(node)
        except ValueError:
            return None


def _applied(head: Any, arguments: tuple[Any, ...]) -> Applied:
    if head is typing.Optional:
        head, arguments = typing.Union, (*arguments, None)
    if head is types.UnionType:
        head = typing.Union
    if head is typing.Union:
        flat: list[Any] = []
        for arm in arguments:
            nested = isinstance(arm, Applied) and arm.head is typing.Union
            flat.extend(arm.arguments if nested else (arm,))
        return Applied(head, tuple(flat))
    return Applied(typing.get_origin(head) or head, arguments)
