"""Which imports of a module can wait until they are needed.

Those can that nothing that runs while the module loads can miss; in doubt they can't: see
docs/decisions/0007-heavy-imports-on-first-use.md.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from typing import NamedTuple

from lineal.assets.scopes import Scope, binding_lines, bindings, chain_of, dotted
from lineal.assets.sourcecode import SAFE_DECORATORS

# Top-level modules that take long to import, and that say nothing while they are imported.
HEAVY = frozenset(
    {
        "catboost", "duckdb", "joblib", "lightgbm", "matplotlib", "numpy", "pandas", "polars",
        "pyarrow", "scipy", "seaborn", "sklearn", "statsmodels", "torch", "xgboost",
    }
)  # fmt: skip

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

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)


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
        for node in loading(tree)
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


def loading(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those in the bodies of functions."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        body = set(map(id, found.body)) if isinstance(found, FUNCTIONS) else ()
        waiting += [child for child in ast.iter_child_nodes(found) if id(child) not in body]


class Note(NamedTuple):
    """An annotation that is kept as text until the names in it are bound."""

    function: Function
    name: str
    annotation: ast.expr


class Waiting(NamedTuple):
    """What of a module waits."""

    imports: list[ast.Import | ast.ImportFrom]
    aliases: list[ast.Assign]
    notes: list[Note]
    texts: list[ast.expr]  # all annotations in which a name of theirs is said
    scope: Scope

    def names(self) -> set[str]:
        return {n for node in self.imports for n in bound_by(node)} | set(
            map(target_of, self.aliases)
        )


def waiting_in(tree: ast.Module, scope: Scope) -> Waiting:
    """The greatest set of statements such that no name of theirs is used while loading."""
    candidates = _candidates(tree, scope)
    aliases = [s for s in tree.body if isinstance(s, ast.Assign) and _is_alias(s, scope)]
    evaluated: set[str] = set()  # functions whose annotations are wanted as objects
    while True:
        waiting = Waiting(candidates, aliases, [], [], scope)
        uses = _Uses(tree, waiting, evaluated)
        dropped = {t for n in candidates if uses.used.intersection(bound_by(n)) for t in tops_of(n)}
        kept = [node for node in candidates if not dropped.intersection(tops_of(node))]
        roots = {name for node in kept for name in bound_by(node)}
        kept_aliases = [
            a for a in aliases if target_of(a) not in uses.used and roots & _mentioned(a.value)
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
        if not isinstance(node, IMPORTS) or not all(top in HEAVY for top in tops_of(node)):
            continue
        if all(
            len(scope.bound.get(name, ())) == 1
            and name not in declared
            and not hasattr(builtins, name)
            for name in bound_by(node)
        ):
            found.append(node)
    return found


def _is_alias(node: ast.Assign, scope: Scope) -> bool:
    """Is this the one assignment of a type: `Clock = Annotated[pd.DataFrame, columns("id")]`?"""
    if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return False
    name = node.targets[0].id
    return isinstance(node.value, ast.Subscript) and not hasattr(builtins, name)


def is_heavy(node: ast.AST) -> bool:
    return isinstance(node, IMPORTS) and any(top in HEAVY for top in tops_of(node))


def tops_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [] if node.level or not node.module else [node.module.partition(".")[0]]


def bound_by(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [alias.asname or alias.name for alias in node.names]


def target_of(node: ast.Assign) -> str:
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

    def __init__(self, tree: ast.Module, waiting: Waiting, evaluated: set[str]):
        self.waiting = waiting
        self.names = waiting.names()
        self.scopes = [waiting.scope]
        self.lines = binding_lines(tree)
        self.future = _has_future(tree)
        self.used: set[str] = set()
        self.shown: set[str] = set()  # names handed to something other than lineal
        self.notes: list[Note] = []
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
            for note in noted(node.value, self.scopes[0])[1]:
                self.visit(note)
        else:
            self.generic_visit(node)
            if node in self.waiting.aliases:
                self.used.add(target_of(node))  # it doesn't wait

    def _is_type_alias(self, node: ast.Assign) -> bool:
        name = target_of(node)
        alone = sum(target_of(each) == name for each in self.waiting.aliases) == 1
        kind, notes = noted(node.value, self.scopes[0])
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

    def visit_FunctionDef(self, node: Function) -> None:
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

    def _annotation(self, node: Function, name: str, annotation: ast.expr, safe: bool) -> None:
        if not safe:
            self.used |= _mentioned(annotation)
        elif not self.names & _mentioned(annotation):
            self.visit(annotation)
        elif self.future:
            self.texts.append(annotation)  # a text by itself
        else:
            self.texts.append(annotation)
            kind, notes = noted(annotation, self.scopes[0])
            if self._can_be_text(kind) and not self.names & _mentioned(*notes):
                self.notes.append(Note(node, name, annotation))
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


def _annotations(node: Function) -> Iterator[tuple[str, ast.expr]]:
    args = node.args
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if arg is not None and arg.annotation is not None:
            yield arg.arg, arg.annotation
    if node.returns is not None:
        yield "return", node.returns


def noted(node: ast.expr, scope: Scope) -> tuple[ast.expr, list[ast.expr]]:
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
