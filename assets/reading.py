"""Which names a piece of source reaches outside itself, and what catches the eye on the way.

Kinds of notes: `dynamic` (detail: what can't be followed), `environ` (a literal variable name),
`named-environ` (a name whose value is one), `unnamed-environ`, `impure` (what is read or drawn),
`path` (a text that may name a file), `introspects` (docstrings or annotations are looked at),
`names` (function names are looked at), `caller` (a name inside a query text that a library may look
up in its caller), `query` (a name whose value is such a text), `unnamed-query`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

from lineal.assets import remarkable, watching
from lineal.assets.canonical import Function, is_docstring
from lineal.assets.scopes import (
    COMPREHENSIONS,
    Scope,
    absolute,
    bindings,
    chain_of,
    dotted,
    dotted_chain,
    unrolled,
)


class Reader(ast.NodeVisitor):
    """Reads a piece of source and notes the names it reaches outside itself.

    `scopes` are those around and of the piece; those from `boundary` on are its own.
    """

    def __init__(self, scopes: list[Scope], boundary: int, home: str):
        self.scopes = scopes
        self.boundary = boundary
        self.home = home
        self.refs: dict[tuple[str, tuple[str, ...], str], int] = {}
        self.notes: dict[tuple[str, str], int] = {}
        self.in_class = False
        self.covered: set[int] = set()  # identities of expressions that a path was read from

    def taken(
        self,
    ) -> tuple[tuple[tuple[str, tuple[str, ...], int, str], ...], tuple[tuple[str, str, int], ...]]:
        """What was found since the last time, sorted."""
        refs = tuple(
            (kind, chain, line, how) for (kind, chain, how), line in sorted(self.refs.items())
        )
        notes = tuple((kind, detail, line) for (kind, detail), line in sorted(self.notes.items()))
        self.refs, self.notes = {}, {}
        return refs, notes

    # ------------------------------------------------------------------ pieces

    def body(self, node: Function) -> None:
        body: Sequence[ast.AST]
        if isinstance(node, ast.Lambda):
            body = [node.body]
        else:
            body = node.body[1:] if is_docstring(node.body[0]) else node.body
        self._queries(body)
        for statement in body:
            self.visit(statement)

    def annotations(self, node: Function) -> None:
        """What only the annotations of a function reach."""
        args = node.args
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
            if arg is not None and arg.annotation is not None:
                self.visit(arg.annotation)
        if not isinstance(node, ast.Lambda) and node.returns is not None:
            self.visit(node.returns)

    def class_body(self, node: ast.ClassDef, elided: Callable[[ast.AST], bool]) -> None:
        self.in_class = True
        for base in [*node.bases, *node.keywords]:
            self.visit(base)
        for statement in node.body:
            if elided(statement):
                assert isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
                for decorator in statement.decorator_list:
                    self.visit(decorator)
            elif not is_docstring(statement):
                self.visit(statement)

    def methods(self, node: ast.ClassDef, elided: Callable[[ast.AST], bool]) -> None:
        for statement in node.body:
            if elided(statement):
                self.visit(statement)

    def whole(self, tree: ast.Module) -> None:
        for statement in tree.body:
            self.visit(statement)

    # ------------------------------------------------------------------ names

    def use(self, chain: tuple[str, ...], line: int, how: str = "value") -> None:
        self._eye(chain, line)
        name = chain[0]
        for position in range(len(self.scopes) - 1, -1, -1):
            scope = self.scopes[position]
            if scope.kind == "module" or name in scope.above:
                break
            if scope.kind == "class" and position != len(self.scopes) - 1:
                continue
            if name not in scope.bound or scope.kind == "class":
                continue  # a class body falls back to the names around it
            if position < self.boundary:
                break  # a closure: its cell is looked at
            for path in scope.bound[name]:
                self._note_ref("import", (*path, *chain[1:]), line, how)
            return
        self._note_ref("name", chain, line, how)

    def _note_ref(self, kind: str, chain: tuple[str, ...], line: int, how: str) -> None:
        self.refs.setdefault((kind, chain, how), line)

    def note(self, kind: str, detail: str, line: int) -> None:
        self.notes.setdefault((kind, detail), line)

    def _eye(self, chain: tuple[str, ...], line: int) -> None:
        """What is remarkable about a chain of names."""
        for part in chain[1:]:
            if part in remarkable.INTROSPECTS:
                self.note("introspects", part, line)
            elif part in remarkable.NAMES:
                self.note("names", part, line)
            elif part in remarkable.REFLECTS:
                self.note("dynamic", part, line)
        if chain[0] in remarkable.INTROSPECTS:
            self.note("introspects", chain[0], line)
        found = dotted_chain(chain, self.scopes)
        if not found:
            return
        if remarkable.introspects(found):
            self.note("introspects", found, line)
        if found in remarkable.DYNAMIC or (len(chain) > 1 and found.startswith("sys.modules.")):
            self.note("dynamic", found.removeprefix("builtins."), line)
        elif remarkable.reads_environ(found):
            self.note("unnamed-environ", found, line)
        elif found in remarkable.CLOCK:
            self.note("impure", f"reads the clock: `{found}`", line)
        elif remarkable.draws(found):
            self.note("impure", f"draws at random without a seed of its own: `{found}`", line)

    # ------------------------------------------------------------------ expressions

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) or node.id in self.scopes[-1].above:
            self.use((node.id,), node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain:
            self.use(chain, node.lineno)
            return
        self._eye(("", node.attr), node.lineno)
        base, attributes = unrolled(node)
        found = dotted(base.func, self.scopes) if isinstance(base, ast.Call) else ""
        if (
            isinstance(base, ast.Call)
            and found in remarkable.IMPORTERS
            and self._imports(base, found, attributes)
        ):
            return
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        found = dotted_chain(chain, self.scopes) if chain else ""
        arguments: list[ast.AST] = [*node.args, *node.keywords]
        if found in remarkable.ATTRIBUTES and len(node.args) >= 2:
            arguments = self._attribute(node, arguments)
        elif found in remarkable.IMPORTERS and self._imports(node, found):
            arguments = arguments[1:]
            chain = ()
        elif found in remarkable.ENVIRON:
            self._environ(node.args[0] if node.args else None, node.lineno)
            self._note_ref("import", ("os", "environ"), node.lineno, "value")
            arguments = arguments[1:]
            chain = ()
        elif found in remarkable.SEEDABLE and not node.args and not node.keywords:
            self.note("impure", f"draws at random without a seed: `{found}`", node.lineno)
        self._path(node)
        if chain:
            self.use(chain, node.lineno, "call")
        elif not chain_of(node.func):
            self.visit(node.func)
        for argument in arguments:
            self.visit(argument)

    def _attribute(self, node: ast.Call, arguments: list[ast.AST]) -> list[ast.AST]:
        """`getattr(x, "name")` is `x.name`; by a variable it is any attribute of x."""
        chain = chain_of(node.args[0])
        if not chain:
            return arguments
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.use((*chain, name.value), node.lineno)
        else:
            self.use(chain, node.lineno, "dynamic")
        return arguments[1:]

    def _imports(self, node: ast.Call, found: str, rest: tuple[str, ...] = ()) -> bool:
        """`import_module("util").rate` is `util.rate`, if the name is literal and absolute."""
        name = node.args[0] if node.args else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            return False
        if name.value.startswith(".") or (len(node.args) > 1 and "__import__" in found):
            return False
        if "__import__" in found and "." in name.value:  # gives the package, not the module
            self._note_ref("import", (name.value.partition(".")[0], *rest), node.lineno, "value")
            rest = ()
        self._note_ref("import", (name.value, *rest), node.lineno, "value")
        return True

    def _environ(self, name: ast.AST | None, line: int) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str | bytes):
            value = name.value
            self.note("environ", value if isinstance(value, str) else value.decode(), line)
            return
        chain = chain_of(name) if name is not None else ()
        if chain and self._is_free(chain[0]):
            self.note("named-environ", ".".join(chain), line)
        else:
            self.note("unnamed-environ", "os.environ", line)
        if name is not None:
            self.visit(name)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if dotted(node.value, self.scopes) == "os.environ":
            self._environ(node.slice, node.lineno)
            self._note_ref("import", ("os", "environ"), node.lineno, "value")
            return
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        last = node.comparators[-1]
        if isinstance(node.ops[-1], ast.In | ast.NotIn) and (
            dotted(last, self.scopes) == "os.environ" and len(node.ops) == 1
        ):
            self._environ(node.left, node.lineno)
            return
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        self._path(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div | ast.Add | ast.Mod):
            self._path(node)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._path(node)
        self.generic_visit(node)

    def _path(self, node: ast.expr) -> None:
        """A text that may name a file, as far as it is literal."""
        if id(node) in self.covered:
            return  # part of a longer text
        text = watching.pattern(node, self.scopes, self._is_free, self.covered)
        if "." in text or "/" in text:
            self.note("path", text, node.lineno)

    def _is_free(self, name: str) -> bool:
        return not any(name in scope.bound for scope in self.scopes[self.boundary :])

    def _queries(self, body: Iterable[ast.AST]) -> None:
        """Names in query texts (`df.query("x > @LIMIT")`) that a library looks up in its caller."""
        nodes = [part for statement in body for part in ast.walk(statement)]
        calls = [n for n in nodes if isinstance(n, ast.Call) and _takes_query(n)]
        if not calls:
            return
        for call in calls:
            self._query_text(call, nodes)
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in remarkable.names_in_query(node.value):
                    self.note("caller", name, node.lineno)

    def _query_text(self, call: ast.Call, nodes: Sequence[ast.AST]) -> None:
        """Is the text of a query in this body? Else by which name, if that can be told."""
        text = _query_of(call)
        if text is None or isinstance(text, ast.Constant):
            return
        chain = chain_of(text)
        if chain and self._is_free(chain[0]):
            self.note("query", ".".join(chain), call.lineno)
        elif not (isinstance(text, ast.Name) and _is_literal_here(text.id, nodes, self.scopes)):
            self.note("unnamed-query", "", call.lineno)

    # ------------------------------------------------------------------ statements and scopes

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._note_ref("import", (alias.name,), node.lineno, self._how(name))

    def _how(self, name: str) -> str:
        """An import whose name is bound otherwise too can't be followed by the name's uses."""
        return "load" if self.scopes[-1].bound.get(name) else "value"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = absolute(node, self.home)
        for alias in node.names:
            if alias.name == "*":
                self._note_ref("import", (source,), node.lineno, "load")
                continue
            how = self._how(alias.asname or alias.name)
            self._note_ref("import", (source, alias.name), node.lineno, how)
            self._eye(("", alias.name), node.lineno)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.in_class:
            self.visit(node.annotation)
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)
        if node.decorator_list:
            self.annotations(node)
        self._inside(node, lambda: self.body(node))

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 the visitor's own spelling

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in [*node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)
        self._inside(node, lambda: self.visit(node.body))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        was = self.in_class
        self._inside(node, lambda: self.class_body(node, lambda _: False))
        self.in_class = was

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, COMPREHENSIONS):
            self._comprehension(node)
        else:
            super().generic_visit(node)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self.visit(node.generators[0].iter)  # the first iterable is evaluated outside

        def rest() -> None:
            for position, generator in enumerate(node.generators):
                for part in [generator.target, *generator.ifs]:
                    self.visit(part)
                if position:
                    self.visit(generator.iter)
            if isinstance(node, ast.DictComp):
                self.visit(node.key)
                self.visit(node.value)
            else:
                self.visit(node.elt)

        self._inside(node, rest)

    def _inside(self, node: ast.AST, read: Callable[[], None]) -> None:
        was, self.in_class = self.in_class, False
        self.scopes.append(bindings(node, self.home))
        read()
        self.scopes.pop()
        self.in_class = was


def _takes_query(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in remarkable.QUERIES


def _query_of(call: ast.Call) -> ast.expr | None:
    """The argument of a call that is the text of a query."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "assign":
        return None
    named = [k.value for k in call.keywords if k.arg in (None, "expr", "query", "sql")]
    return next(iter([*call.args, *named]), None)


def _is_literal_here(name: str, nodes: Sequence[ast.AST], scopes: Sequence[Scope]) -> bool:
    """Is a local name only ever assigned literal texts, all of them among these nodes?"""
    given = [
        node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    stores = [
        n for n in nodes
        if isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)
    ]  # fmt: skip
    return (
        name in scopes[-1].bound
        and 0 < len(given) == len(stores)
        and all(isinstance(value, ast.Constant) for value in given)
    )
