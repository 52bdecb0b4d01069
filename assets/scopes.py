"""Scopes as the compiler makes them: what each binds, and what its imports mean."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lineal.assets.canonical import FUNCTIONS

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Scope(NamedTuple):
    """One scope: what it binds, and the import paths of what only imports bind (else none)."""

    kind: Literal["module", "function", "class"]
    bound: dict[str, list[tuple[str, ...]]]
    outer: set[str]  # declared nonlocal
    above: set[str]  # declared global
    stars: tuple[str, ...] = ()


def absolute(node: ast.ImportFrom, home: str) -> str:
    """The absolute name of the module that a from-import names. `home`: the importing package."""
    if not node.level:
        return node.module or ""
    parts = home.split(".") if home else []
    kept = parts[: len(parts) - (node.level - 1)]
    return ".".join([*kept, *([node.module] if node.module else [])])


class _Binder(ast.NodeVisitor):
    """Collects what one scope binds, without entering the scopes inside it."""

    def __init__(self, home: str):
        self.home = home
        self.paths: dict[str, list[tuple[str, ...]]] = {}
        self.others: set[str] = set()
        self.outer: set[str] = set()
        self.above: set[str] = set()
        self.stars: list[str] = []
        self.lines: dict[str, int] = {}

    def other(self, name: str | None, node: ast.AST) -> None:
        if name is not None:
            self.others.add(name)
            self.lines[name] = getattr(node, "lineno", 1)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.other(node.id, node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            path = (alias.name,) if alias.asname else (top,)
            self.imported(alias.asname or top, path, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = absolute(node, self.home)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(source)
            else:
                self.imported(alias.asname or alias.name, (source, alias.name), node)

    def imported(self, name: str, path: tuple[str, ...], node: ast.AST) -> None:
        found = self.paths.setdefault(name, [])
        if path not in found:
            found.append(path)
        self.lines[name] = getattr(node, "lineno", 1)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.other(node.name, node)
        for part in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 the visitor's own spelling

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.other(node.name, node)
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in [*node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, COMPREHENSIONS):
            for part in ast.walk(node):  # only a walrus binds outside a comprehension
                if isinstance(part, ast.NamedExpr):
                    self.other(part.target.id, part)
            return
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            self.other(node.name, node)
        elif isinstance(node, ast.MatchMapping):
            self.other(node.rest, node)
        elif isinstance(node, ast.Global):
            self.above.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            self.outer.update(node.names)
        super().generic_visit(node)


def _bound(node: ast.AST, home: str) -> _Binder:
    binder = _Binder(home)
    if isinstance(node, FUNCTIONS):
        args = node.args
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
            if arg is not None:
                binder.other(arg.arg, arg)
        for statement in [node.body] if isinstance(node, ast.Lambda) else node.body:
            binder.visit(statement)
    elif isinstance(node, COMPREHENSIONS):
        for generator in node.generators:
            binder.visit(generator.target)
    else:
        assert isinstance(node, ast.Module | ast.ClassDef)
        for statement in node.body:
            binder.visit(statement)
    for parameter in getattr(node, "type_params", []):
        binder.other(parameter.name, parameter)
    return binder


def bindings(node: ast.AST, home: str) -> Scope:
    """The scope that a module, class, function, lambda or comprehension makes."""
    binder = _bound(node, home)
    bound = {n: paths for n, paths in binder.paths.items() if n not in binder.others}
    bound.update({name: [] for name in binder.others})
    for name in binder.above | binder.outer:
        bound.pop(name, None)
    kind: Literal["module", "function", "class"] = "function"
    if isinstance(node, ast.Module):
        kind = "module"
    elif isinstance(node, ast.ClassDef):
        kind = "class"
    return Scope(kind, bound, binder.outer, binder.above, tuple(binder.stars))


def binding_lines(tree: ast.Module) -> dict[str, int]:
    """The line of the last module-level binding of each name."""
    return _bound(tree, "").lines


def unrolled(node: ast.AST) -> tuple[ast.AST, tuple[str, ...]]:
    """An expression without the attributes at its end, and these."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return node, tuple(reversed(parts))


def chain_of(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` → ("a", "b", "c"); nothing for any other expression."""
    base, attributes = unrolled(node)
    return (base.id, *attributes) if isinstance(base, ast.Name) else ()


def dotted(node: ast.AST, scopes: Sequence[Scope]) -> str:
    """The absolute name an expression has by its imports (`np.mean` → `numpy.mean`), or nothing."""
    chain = chain_of(node)
    return dotted_chain(chain, scopes) if chain else ""


def dotted_chain(chain: tuple[str, ...], scopes: Sequence[Scope]) -> str:
    for position in range(len(scopes) - 1, -1, -1):
        scope = scopes[position]
        if scope.kind == "class" and position != len(scopes) - 1:
            continue
        if chain[0] in scope.bound:
            paths = scope.bound[chain[0]]
            return ".".join((*paths[0], *chain[1:])) if len(paths) == 1 else ""
    return ".".join(("builtins", *chain))
