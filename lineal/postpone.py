"""The code of a module without the imports that can wait, and these."""

from __future__ import annotations

import ast
import contextlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from lineal.assets.canonical import is_docstring
from lineal.assets.deferred import MARK
from lineal.assets.scopes import Scope, bindings, chain_of, dotted_chain
from lineal.assets.sourcecode import Analysis, Effect
from lineal.heavy import (
    FUNCTIONS,
    HEAVY,
    IMPORTS,
    Function,
    Note,
    Waiting,
    bound_by,
    is_heavy,
    noted,
    target_of,
    tops_of,
    waiting_in,
)

VIEW = "__lineal_module__"  # in the namespace of a module while it loads: what its code calls

_Node = TypeVar("_Node", bound=ast.AST)


class Statement(NamedTuple):
    """A top-level statement that waits: an import, or the assignment of a type made with one.

    `code` runs the import, or makes a function from notes to the type. `proofs` name what has to
    have worked before: `sklearn.metrics:roc_curve`.
    """

    code: types.CodeType
    tops: tuple[str, ...]
    names: tuple[str, ...]
    proofs: tuple[str, ...]
    text: str  # of the type; nothing for an import


class Postponed(NamedTuple):
    """A module's code without the statements that wait, and these; plain, for `marshal`."""

    code: types.CodeType
    statements: tuple[Statement, ...]
    paths: dict[str, tuple[str, ...]]

    @classmethod
    def unmarshalled(cls, plain: tuple[types.CodeType, tuple[tuple, ...], dict]) -> Postponed:  # type: ignore[type-arg] # plain data
        code, statements, paths = plain
        return cls(code, tuple(map(Statement._make, statements)), paths)


def postpone(tree: ast.Module, file: str, analysis: Analysis) -> Postponed | None:
    """Split a parsed module, which is used up; None when no heavy library is its matter."""
    effects: dict[int, tuple[str, ...]] = {}
    for effect in analysis.effects:
        line = effect.binding.line
        effects[line] = (*effects.get(line, ()), *_acted_on(effect))
    if not any(effects.values()) and not any(map(is_heavy, ast.walk(tree))):
        return None
    scope = bindings(tree, "")
    waiting = waiting_in(tree, scope)
    statements = _statements(waiting, scope, file)
    tree.body = _Rewriting(waiting, effects).block(tree.body)
    code = compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)
    paths = {n: scope.bound[n][0] for node in waiting.imports for n in bound_by(node)}
    return Postponed(code, statements, paths)


def _acted_on(effect: Effect) -> tuple[str, ...]:
    """The libraries that a top-level statement acts on; any may act on a heavy one in turn."""
    acting = (what for kind, what, _ in effect.deeds if kind in ("calls", "sets", "hands"))
    meant = (part for what in acting for part in what.split(">") if part.startswith("import:"))
    tops = {part.removeprefix("import:").partition(".")[0] for part in meant}
    return tuple(sorted(tops - sys.stdlib_module_names))


# -------------------------------------------------------------------------------- statements


def _statements(waiting: Waiting, scope: Scope, file: str) -> tuple[Statement, ...]:
    """In the order of their lines: their places are how the module's code names them."""
    seen = _seen(waiting, scope)
    found = []
    for node in _ordered(waiting):
        if isinstance(node, ast.Assign):
            found.append(_alias(node, seen[id(node)], scope, file))
            continue
        tree = ast.Module([node], [])
        proofs = [*_proofs(node), *(p for name in bound_by(node) for p in seen.get(name, ()))]
        found.append(
            Statement(
                code=compile(tree, file, "exec", dont_inherit=True),
                tops=tuple(dict.fromkeys(tops_of(node))),
                names=tuple(bound_by(node)),
                proofs=tuple(dict.fromkeys(proofs)),
                text="",
            )
        )
    return tuple(found)


def _ordered(waiting: Waiting) -> list[ast.Import | ast.ImportFrom | ast.Assign]:
    nodes: list[ast.Import | ast.ImportFrom | ast.Assign] = [*waiting.imports, *waiting.aliases]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def _proofs(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}:{alias.name}" for alias in node.names]


def _seen(waiting: Waiting, scope: Scope) -> dict[object, list[str]]:
    """What annotations and types take from libraries: by the name of the import, or the alias."""
    found: dict[object, list[str]] = {id(alias): [] for alias in waiting.aliases}
    names = {name for node in waiting.imports for name in bound_by(node)}
    keyed: list[tuple[int | None, ast.expr]] = [(None, text) for text in waiting.texts]
    keyed += [(id(alias), alias.value) for alias in waiting.aliases]
    for key, text in keyed:
        for part in _parts(text):
            chain = chain_of(part)
            if chain and chain[0] in names:
                proof = dotted_chain(chain, [scope])
                found.setdefault(chain[0] if key is None else key, []).append(proof)
    return found


def _parts(annotation: ast.expr) -> Iterator[ast.AST]:
    """All nodes of an annotation, also of those written as texts in it."""
    for part in ast.walk(annotation):
        yield part
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with contextlib.suppress(SyntaxError):
                yield from ast.walk(ast.parse(part.value.strip(), mode="eval"))


def _alias(node: ast.Assign, proofs: list[str], scope: Scope, file: str) -> Statement:
    kind, notes = noted(node.value, scope)
    value = node.value
    if notes:
        assert isinstance(value, ast.Subscript)
        rest = ast.Starred(ast.Name("notes", ast.Load()), ast.Load())
        inside = ast.Tuple([kind, rest], ast.Load())
        value = ast.copy_location(ast.Subscript(value.value, inside, ast.Load()), value)
    arguments = ast.arguments([], [ast.arg("notes")], None, [], [], None, [])
    made = ast.copy_location(ast.Lambda(arguments, value), node.value)
    tree = ast.fix_missing_locations(ast.Expression(made))
    code = compile(tree, file, "eval", dont_inherit=True)
    return Statement(code, (), (target_of(node),), tuple(proofs), ast.unparse(kind))


# ---------------------------------------------------------------------------------- rewriting


class _Rewriting:
    """Writes the module anew: what waits is told of, functions bind it before they use it."""

    def __init__(self, waiting: Waiting, effects: Mapping[int, tuple[str, ...]]):
        self.waiting = waiting
        self.names = waiting.names()
        self.places = {id(node): place for place, node in enumerate(_ordered(waiting))}
        self.effects = effects
        self.notes: dict[int, list[Note]] = {}
        for note in waiting.notes:
            self.notes.setdefault(id(note.function), []).append(note)

    def block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        return [written for statement in body for written in self._statement(statement)]

    def _statement(self, node: ast.stmt) -> Iterable[ast.stmt]:
        place = self.places.get(id(node))
        if place is not None:
            notes = noted(node.value, self.waiting.scope)[1] if isinstance(node, ast.Assign) else []
            return [_called(node, "reached", [ast.Constant(place), *notes])]
        acted_on = [ast.Constant(top) for top in self.effects.get(node.lineno, ())]
        before = [_called(node, "acts", acted_on)] if acted_on else []
        if isinstance(node, IMPORTS):
            tops = [top for top in tops_of(node) if top in HEAVY]
            return [*before, *(_called(node, "first", [ast.Constant(t)]) for t in tops), node]
        if isinstance(node, FUNCTIONS):
            self._function(node)
        else:
            self._inside(node)
        return [*before, node]

    def _inside(self, node: ast.AST) -> None:
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, self.block(block))
        for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
            self._inside(part)

    def _function(self, node: Function) -> None:
        for note in self.notes.get(id(node), []):
            self._annotate(node, note)
        noted = [ast.Constant(note.name) for note in self.notes.get(id(node), [])]
        if noted:
            remember = _called(node, "annotated", noted).value
            node.decorator_list.append(remember)
        rest = node.body[1:] if is_docstring(node.body[0]) else node.body
        # What it imports itself it may change: before that, what waits is what it was.
        if rest and any(
            is_heavy(part) or (isinstance(part, ast.Name) and part.id in self.names)
            for statement in rest
            for part in ast.walk(statement)
        ):
            node.body.insert(len(node.body) - len(rest), _prologue(rest[0]))

    def _annotate(self, node: Function, note: Note) -> None:
        kind, notes = noted(note.annotation, self.waiting.scope)
        written: ast.expr = ast.copy_location(ast.Constant(ast.unparse(kind)), note.annotation)
        if notes:
            assert isinstance(note.annotation, ast.Subscript)
            head = note.annotation.value
            written = ast.Subscript(head, ast.Tuple([written, *notes], ast.Load()), ast.Load())
            ast.copy_location(written, note.annotation)
        if note.name == "return":
            node.returns = written
            return
        args = node.args
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
            if arg is not None and arg.arg == note.name:
                arg.annotation = written


def _called(node: ast.stmt, method: str, arguments: Sequence[ast.expr]) -> ast.Expr:
    """A call of the view, at the place of a statement."""
    function = ast.Attribute(ast.Name(VIEW, ast.Load()), method, ast.Load())
    called = ast.Call(function, list(arguments), [])
    for part in [called, called.func, function.value]:
        _place(part, node)
    return _place(ast.Expr(called), node)


def _prologue(first: ast.stmt) -> ast.If:
    """`if it waits: bind it`, on the line of the first statement, so that no line is added."""
    call = ast.Expr(ast.Call(ast.Name(MARK, ast.Load()), [], []))
    found = ast.If(ast.Name(MARK, ast.Load()), [call], [])
    for part in ast.walk(found):
        _place(part, first)
    return found


def _place(part: _Node, node: ast.stmt) -> _Node:
    """At the beginning of a statement, without extent; decorators stand before theirs."""
    line = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    if hasattr(part, "lineno") or "lineno" in part._attributes:
        part.lineno = part.end_lineno = line  # type: ignore[attr-defined] # it has a place
        part.col_offset = part.end_col_offset = node.col_offset  # type: ignore[attr-defined]
    return part
