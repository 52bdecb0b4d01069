"""Which imports of a module can wait until they are needed, and the module's code without them.

An import can wait when nothing that runs while the module loads can tell: see
docs/decisions/0007-heavy-imports-on-first-use.md. In doubt it does not wait.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from lineal.assets.canonical import is_docstring
from lineal.assets.deferred import MARK
from lineal.assets.scopes import Scope, binding_lines, bindings, chain_of, dotted, dotted_chain
from lineal.assets.sourcecode import SAFE_DECORATORS, Analysis

# Top-level modules that take long to import, and that say nothing while they are imported.
HEAVY = frozenset(
    {
        "catboost", "duckdb", "joblib", "lightgbm", "matplotlib", "numpy", "pandas", "polars",
        "pyarrow", "scipy", "seaborn", "sklearn", "statsmodels", "torch", "xgboost",
    }
)  # fmt: skip
VIEW = "__lineal_module__"  # in the namespace of a module while it loads: what its code calls

# Code that says one of these may look where names, or annotations as objects, would be missing.
_REVEALING = frozenset(
    {
        "__annotations__", "__annotate__", "get_type_hints", "get_annotations", "signature",
        "Signature", "getfullargspec", "__signature__", "__globals__", "f_globals", "__builtins__",
        "f_builtins", "_getframe", "currentframe", "getclosurevars", "get_objects",
    }
)  # fmt: skip
_REVEALING_CALLS = frozenset({"globals", "eval", "exec"})
_REVEALING_HERE = frozenset({"locals", "vars", "dir"})  # without an argument, outside functions
_WORD = re.compile(r"[A-Za-z_]\w*")

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
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


def reveals(tree: ast.Module) -> bool:
    """Could this module's code look where names that wait are missing?"""
    for node in ast.walk(tree):
        said = _said(node)
        if _REVEALING.intersection(said):
            return True
        if isinstance(node, ast.Name) and node.id in _REVEALING_CALLS:
            return True
        if isinstance(node, ast.Attribute) and chain_of(node) == ("sys", "modules"):
            return True
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _REVEALING_HERE
        and not node.args
        for node in _loading(tree)
    )


def _said(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.alias):
        return (node.name,)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    return ()


def _loading(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those in the bodies of functions."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        body = set(map(id, found.body)) if isinstance(found, _FUNCTIONS) else ()
        waiting += [child for child in ast.iter_child_nodes(found) if id(child) not in body]


def postpone(tree: ast.Module, file: str, analysis: Analysis) -> Postponed | None:
    """Split a parsed module, which is used up; None when it imports nothing heavy as it loads."""
    if not any(_heavy(node) for node in _loading(tree)):
        return None
    scope = bindings(tree, "")
    waiting = _waiting(tree, scope)
    statements = _statements(waiting, scope, file)
    effects = {effect.binding.line for effect in analysis.effects if effect.top in HEAVY}
    tree.body = _Rewriting(waiting, effects).block(tree.body)
    code = compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)
    paths = {n: scope.bound[n][0] for node in waiting.imports for n in _bound(node)}
    return Postponed(code, statements, paths)


# ------------------------------------------------------------------------------- what can wait


class _Note(NamedTuple):
    """An annotation that is kept as text until the names in it are bound."""

    function: _Function
    name: str
    annotation: ast.expr


class _Waiting(NamedTuple):
    """What of a module waits."""

    imports: list[ast.Import | ast.ImportFrom]
    aliases: list[ast.Assign]
    notes: list[_Note]
    texts: list[ast.expr]  # all annotations in which a name of theirs is said
    scope: Scope

    def names(self) -> set[str]:
        return {n for node in self.imports for n in _bound(node)} | set(map(_target, self.aliases))


def _waiting(tree: ast.Module, scope: Scope) -> _Waiting:
    """The greatest set of statements such that no name of theirs is used while loading."""
    candidates = _candidates(tree, scope)
    aliases = [s for s in tree.body if isinstance(s, ast.Assign) and _is_alias(s, scope)]
    evaluated: set[str] = set()  # functions whose annotations are wanted as objects
    while True:
        waiting = _Waiting(candidates, aliases, [], [], scope)
        uses = _Uses(tree, waiting, evaluated)
        dropped = {t for n in candidates if uses.used.intersection(_bound(n)) for t in _tops(n)}
        kept = [node for node in candidates if not dropped.intersection(_tops(node))]
        roots = {name for node in kept for name in _bound(node)}
        kept_aliases = [
            a for a in aliases if _target(a) not in uses.used and roots & _mentioned(a.value)
        ]
        if (kept, kept_aliases, uses.evaluated) == (candidates, aliases, evaluated):
            return waiting._replace(notes=uses.notes, texts=uses.texts)
        candidates, aliases, evaluated = kept, kept_aliases, uses.evaluated


def _candidates(tree: ast.Module, scope: Scope) -> list[ast.Import | ast.ImportFrom]:
    if scope.stars:
        return []  # any name might be bound anew
    declared = {n for node in ast.walk(tree) if isinstance(node, ast.Global) for n in node.names}
    found = []
    for node in tree.body:
        if not isinstance(node, _IMPORTS) or not all(top in HEAVY for top in _tops(node)):
            continue
        if all(
            len(scope.bound.get(name, ())) == 1
            and name not in declared
            and not hasattr(builtins, name)
            for name in _bound(node)
        ):
            found.append(node)
    return found


def _is_alias(node: ast.Assign, scope: Scope) -> bool:
    """Is this the one assignment of a type: `Clock = Annotated[pd.DataFrame, columns("id")]`?"""
    if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return False
    name = node.targets[0].id
    return isinstance(node.value, ast.Subscript) and not hasattr(builtins, name)


def _heavy(node: ast.AST) -> bool:
    return isinstance(node, _IMPORTS) and any(top in HEAVY for top in _tops(node))


def _tops(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [] if node.level or not node.module else [node.module.partition(".")[0]]


def _bound(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [alias.asname or alias.name for alias in node.names]


def _target(node: ast.Assign) -> str:
    assert isinstance(node.targets[0], ast.Name)
    return node.targets[0].id


def _mentioned(*nodes: ast.AST) -> set[str]:
    """The names said in these, also in texts, which may be annotations."""
    found: set[str] = set()
    for part in (part for node in nodes for part in ast.walk(node)):
        if isinstance(part, ast.Name):
            found.add(part.id)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.update(_WORD.findall(part.value))
    return found


# ------------------------------------------------------------------------- what loading uses


class _Uses(ast.NodeVisitor):
    """The names that a module uses while it loads, and the annotations that can be texts."""

    def __init__(self, tree: ast.Module, waiting: _Waiting, evaluated: set[str]):
        self.waiting = waiting
        self.names = waiting.names()
        self.scopes = [waiting.scope]
        self.lines = binding_lines(tree)
        self.future = _has_future(tree)
        self.used: set[str] = set()
        self.shown: set[str] = set()  # names handed to something other than lineal
        self.notes: list[_Note] = []
        self.texts: list[ast.expr] = []
        self.told = evaluated
        self.hidden = False
        self.unsafe_class = False
        self.plain: set[str] = set()  # functions nobody decorates with a declaration
        for statement in tree.body:
            self.visit(statement)
        self.evaluated = evaluated | (self.plain & self.shown)

    def visit_Name(self, node: ast.Name) -> None:
        self.used.add(node.id)
        if not self.hidden:
            self.shown.add(node.id)

    def visit_Call(self, node: ast.Call) -> None:
        self.visit(node.func)
        was, self.hidden = self.hidden, self.hidden or self._is_lineal(node)
        for part in [*node.args, *node.keywords]:
            self.visit(part)
        self.hidden = was

    def _is_lineal(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Call):
            node = node.func
        return dotted(node, [self.scopes[0]]).partition(".")[0] == "lineal"

    def visit_Assign(self, node: ast.Assign) -> None:
        if node in self.waiting.aliases and self._is_type_alias(node):
            for note in _noted(node.value, self.scopes[0])[1]:
                self.visit(note)
        else:
            self.generic_visit(node)
            if node in self.waiting.aliases:
                self.used.add(_target(node))  # it doesn't wait

    def _is_type_alias(self, node: ast.Assign) -> bool:
        name = _target(node)
        alone = sum(_target(each) == name for each in self.waiting.aliases) == 1
        kind, notes = _noted(node.value, self.scopes[0])
        return (
            alone
            and self.lines.get(name) == node.lineno
            and self._can_be_text(kind)
            and not self.names & _mentioned(*notes)
        )

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        for statement in [*([] if _is_main(node.test) else node.body), *node.orelse]:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)
        was = self.unsafe_class
        self.unsafe_class = bool(
            node.bases or node.keywords or not all(map(self._is_safe, node.decorator_list))
        )
        self.scopes.append(bindings(node, ""))
        for statement in node.body:
            self.visit(statement)
        self.scopes.pop()
        self.unsafe_class = was

    def visit_FunctionDef(self, node: _Function) -> None:
        for part in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)
        for parameter in getattr(node, "type_params", []):
            self.visit(parameter)
        declared = any(map(self._is_lineal, node.decorator_list))
        if not declared and len(self.scopes) == 1:
            self.plain.add(node.name)
        safe = all(map(self._is_safe, node.decorator_list)) and not self.unsafe_class
        safe = safe and (declared or len(self.scopes) > 1 or node.name not in self.told)
        for name, annotation in _annotations(node):
            self._annotation(node, name, annotation, safe)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 the visitor's own spelling

    def _annotation(self, node: _Function, name: str, annotation: ast.expr, safe: bool) -> None:
        if not safe:
            self.used |= _mentioned(annotation)
        elif not self.names & _mentioned(annotation):
            self.visit(annotation)
        elif self.future:
            self.texts.append(annotation)  # a text by itself
        else:
            self.texts.append(annotation)
            kind, notes = _noted(annotation, self.scopes[0])
            if self._can_be_text(kind) and not self.names & _mentioned(*notes):
                self.notes.append(_Note(node, name, annotation))
                for note in notes:
                    self.visit(note)
            else:
                self.visit(annotation)

    def _is_safe(self, decorator: ast.expr) -> bool:
        if self._is_lineal(decorator):
            return True
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr in ("setter", "getter", "deleter"):
            return len(self.scopes) > 1
        return dotted(called, [self.scopes[0]]) in SAFE_DECORATORS

    def _can_be_text(self, node: ast.expr) -> bool:
        """Is this made of names alone that mean the same whenever they are looked up?"""
        if isinstance(node, ast.Name):
            return self._is_settled(node)
        if isinstance(node, ast.Attribute):
            return bool(chain_of(node)) and self._can_be_text(node.value)
        if isinstance(node, ast.Subscript):
            return self._can_be_text(node.value) and self._can_be_text(node.slice)
        if isinstance(node, ast.Tuple | ast.List):
            return all(map(self._can_be_text, node.elts))
        if isinstance(node, ast.BinOp):
            both = self._can_be_text(node.left) and self._can_be_text(node.right)
            return both and isinstance(node.op, ast.BitOr)
        return isinstance(node, ast.Constant) and not isinstance(node.value, str)

    def _is_settled(self, node: ast.Name) -> bool:
        if any(node.id in scope.bound for scope in self.scopes[1:]):
            return False
        if node.id not in self.scopes[0].bound:
            return hasattr(builtins, node.id)
        return self.lines.get(node.id, node.lineno) <= node.lineno


def _annotations(node: _Function) -> Iterator[tuple[str, ast.expr]]:
    args = node.args
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if arg is not None and arg.annotation is not None:
            yield arg.arg, arg.annotation
    if node.returns is not None:
        yield "return", node.returns


def _noted(node: ast.expr, scope: Scope) -> tuple[ast.expr, list[ast.expr]]:
    """The type and the notes of `Annotated[type, *notes]`; of anything else it is the type."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        said = dotted(node.value, [scope])
        if said in ("typing.Annotated", "typing_extensions.Annotated") and node.slice.elts:
            return node.slice.elts[0], node.slice.elts[1:]
    return node, []


def _has_future(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


def _is_main(test: ast.expr) -> bool:
    """Is this `__name__ == "__main__"`, which nothing that lineal loads is?"""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


# -------------------------------------------------------------------------------- statements


def _statements(waiting: _Waiting, scope: Scope, file: str) -> tuple[Statement, ...]:
    """In the order of their lines: their places are how the module's code names them."""
    seen = _seen(waiting, scope)
    found = []
    for node in _ordered(waiting):
        if isinstance(node, ast.Assign):
            found.append(_alias(node, seen[id(node)], scope, file))
            continue
        tree = ast.Module([node], [])
        proofs = [*_proofs(node), *(p for name in _bound(node) for p in seen.get(name, ()))]
        found.append(
            Statement(
                code=compile(tree, file, "exec", dont_inherit=True),
                tops=tuple(dict.fromkeys(_tops(node))),
                names=tuple(_bound(node)),
                proofs=tuple(dict.fromkeys(proofs)),
                text="",
            )
        )
    return tuple(found)


def _ordered(waiting: _Waiting) -> list[ast.Import | ast.ImportFrom | ast.Assign]:
    nodes: list[ast.Import | ast.ImportFrom | ast.Assign] = [*waiting.imports, *waiting.aliases]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def _proofs(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}:{alias.name}" for alias in node.names]


def _seen(waiting: _Waiting, scope: Scope) -> dict[object, list[str]]:
    """What annotations and types take from libraries: by the name of the import, or the alias."""
    found: dict[object, list[str]] = {id(alias): [] for alias in waiting.aliases}
    names = {name for node in waiting.imports for name in _bound(node)}
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
    kind, notes = _noted(node.value, scope)
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
    return Statement(code, (), (_target(node),), tuple(proofs), ast.unparse(kind))


# ---------------------------------------------------------------------------------- rewriting


class _Rewriting:
    """Writes the module anew: what waits is told of, functions bind it before they use it."""

    def __init__(self, waiting: _Waiting, effects: set[int]):
        self.waiting = waiting
        self.names = waiting.names()
        self.places = {id(node): place for place, node in enumerate(_ordered(waiting))}
        self.effects = effects
        self.notes: dict[int, list[_Note]] = {}
        for note in waiting.notes:
            self.notes.setdefault(id(note.function), []).append(note)

    def block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        return [written for statement in body for written in self._statement(statement)]

    def _statement(self, node: ast.stmt) -> Iterable[ast.stmt]:
        place = self.places.get(id(node))
        if place is not None:
            notes = (
                _noted(node.value, self.waiting.scope)[1] if isinstance(node, ast.Assign) else []
            )
            return [_called(node, "reached", [ast.Constant(place), *notes])]
        before = [_called(node, "settled", [])] if node.lineno in self.effects else []
        if isinstance(node, _IMPORTS):
            tops = [top for top in _tops(node) if top in HEAVY]
            return [*before, *(_called(node, "first", [ast.Constant(t)]) for t in tops), node]
        if isinstance(node, _FUNCTIONS):
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

    def _function(self, node: _Function) -> None:
        for note in self.notes.get(id(node), []):
            self._annotate(node, note)
        noted = [ast.Constant(note.name) for note in self.notes.get(id(node), [])]
        if noted:
            remember = _called(node, "annotated", noted).value
            node.decorator_list.append(remember)
        rest = node.body[1:] if is_docstring(node.body[0]) else node.body
        if rest and any(
            isinstance(part, ast.Name) and part.id in self.names
            for statement in rest
            for part in ast.walk(statement)
        ):
            node.body.insert(len(node.body) - len(rest), _prologue(rest[0]))

    def _annotate(self, node: _Function, note: _Note) -> None:
        kind, notes = _noted(note.annotation, self.waiting.scope)
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
