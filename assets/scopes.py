"""Which names a piece of source reaches, scoped as the compiler does, and what catches the eye.

Kinds of notes: `dynamic` (detail: what can't be followed), `environ` (a literal variable name),
`unnamed-environ`, `impure` (what is read or drawn), `path` (a literal that looks like one),
`introspects` (docstrings or annotations are looked at), `names` (function names are looked at),
`caller` (a name inside a query text that a library may look up in its caller).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from lineal.assets.canonical import FUNCTIONS, Function, is_docstring

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_INTROSPECTS = frozenset(
    {
        "__doc__", "__annotations__", "__annotate__", "get_type_hints", "get_annotations",
        "signature", "getdoc", "getsource", "getsourcelines", "getfullargspec", "__signature__",
        "__code__", "create_function", "validate_call", "validate_arguments",
    }
)  # fmt: skip
_NAMES = frozenset({"__name__", "__qualname__", "__module__", "co_name", "co_qualname"})
_REFLECTS = frozenset({"__subclasses__", "__globals__", "f_globals", "f_builtins"})
_DYNAMIC = frozenset(
    {
        "builtins.eval", "builtins.exec", "builtins.compile", "builtins.globals", "sys.modules",
        "runpy.run_path", "runpy.run_module", "importlib.reload", "builtins.__builtins__",
        "importlib.import_module", "builtins.__import__", "importlib.__import__",
        "pkgutil.resolve_name", "pydoc.locate", "gc.get_objects",
    }
)  # fmt: skip
_IMPORTERS = frozenset({"importlib.import_module", "builtins.__import__", "importlib.__import__"})
_ATTRIBUTES = frozenset(
    {"builtins.getattr", "builtins.hasattr", "builtins.setattr", "builtins.delattr"}
)
_ENVIRON = frozenset(
    {"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault", "os.environb.get"}
)
_CLOCK = frozenset(
    {
        "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
        "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
        "datetime.date.today", "pandas.Timestamp.now", "pandas.Timestamp.today",
        "pandas.Timestamp.utcnow",
    }
)  # fmt: skip
_DRAWN = frozenset({"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"})
_SEEDABLE = frozenset(
    {"random.Random", "random.seed", "numpy.random.default_rng", "numpy.random.RandomState",
     "numpy.random.SeedSequence", "numpy.random.seed"}
)  # fmt: skip
_NOT_DRAWN = frozenset(
    {"random.getstate", "random.setstate", "numpy.random.Generator", "numpy.random.PCG64",
     "numpy.random.get_state", "numpy.random.set_state", "numpy.random.BitGenerator"}
)  # fmt: skip
_PATH = re.compile(r"[^\n\r\t\0<>|*?\"{}]{1,240}\Z")
_SUFFIX = re.compile(r".*[^./\\\s]\.[A-Za-z][A-Za-z0-9]{0,9}\Z", re.S)
_QUERIES = frozenset({"query", "eval", "sql", "execute", "from_query", "query_df", "assign"})
_IN_QUERY = re.compile(r"@([A-Za-z_]\w*)|\b(?:from|join)\s+([A-Za-z_]\w*)", re.IGNORECASE)


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
        if isinstance(node, _COMPREHENSIONS):
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
    elif isinstance(node, _COMPREHENSIONS):
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


def chain_of(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` → ("a", "b", "c"); nothing for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ()
    return (node.id, *reversed(parts))


def dotted(node: ast.AST, scopes: Sequence[Scope]) -> str:
    """The absolute name an expression has by its imports (`np.mean` → `numpy.mean`), or nothing."""
    chain = chain_of(node)
    return _dotted(chain, scopes) if chain else ""


def _dotted(chain: tuple[str, ...], scopes: Sequence[Scope]) -> str:
    for position in range(len(scopes) - 1, -1, -1):
        scope = scopes[position]
        if scope.kind == "class" and position != len(scopes) - 1:
            continue
        if chain[0] in scope.bound:
            paths = scope.bound[chain[0]]
            return ".".join((*paths[0], *chain[1:])) if len(paths) == 1 else ""
    return ".".join(("builtins", *chain))


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
            if part in _INTROSPECTS:
                self.note("introspects", part, line)
            elif part in _NAMES:
                self.note("names", part, line)
            elif part in _REFLECTS:
                self.note("dynamic", part, line)
        if chain[0] in _INTROSPECTS:
            self.note("introspects", chain[0], line)
        found = _dotted(chain, self.scopes)
        if not found:
            return
        if found in _DYNAMIC or (len(chain) > 1 and found.startswith("sys.modules.")):
            self.note("dynamic", found.removeprefix("builtins."), line)
        elif found == "os.environ":
            self.note("unnamed-environ", "os.environ", line)
        elif found in _CLOCK:
            self.note("impure", f"reads the clock: `{found}`", line)
        elif self._draws(found):
            self.note("impure", f"draws at random without a seed of its own: `{found}`", line)

    def _draws(self, found: str) -> bool:
        if found in _DRAWN or found.startswith("secrets."):
            return True
        module, _, function = found.rpartition(".")
        return (
            module in ("random", "numpy.random")
            and function[:1].islower()
            and found not in _SEEDABLE | _NOT_DRAWN
        )

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
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        found = _dotted(chain, self.scopes) if chain else ""
        arguments: list[ast.AST] = [*node.args, *node.keywords]
        if found in _ATTRIBUTES and len(node.args) >= 2:
            arguments = self._attribute(node, arguments)
        elif found in _IMPORTERS and self._imports(node):
            arguments = arguments[1:]
            chain = ()
        elif found in _ENVIRON:
            self._environ(node.args[0] if node.args else None, node.lineno)
            self._note_ref("import", ("os", "environ"), node.lineno, "value")
            arguments = arguments[1:]
            chain = ()
        elif found in _SEEDABLE and not node.args and not node.keywords:
            self.note("impure", f"draws at random without a seed: `{found}`", node.lineno)
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

    def _imports(self, node: ast.Call) -> bool:
        name = node.args[0] if node.args else None
        literal = isinstance(name, ast.Constant) and isinstance(name.value, str)
        if not literal or name.value.startswith("."):  # type: ignore[union-attr] # a literal text
            return False
        self._note_ref("import", (name.value,), node.lineno, "value")  # type: ignore[union-attr] # as above
        return True

    def _environ(self, name: ast.AST | None, line: int) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str | bytes):
            value = name.value
            self.note("environ", value if isinstance(value, str) else value.decode(), line)
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
        if isinstance(node.value, str) and looks_like_path(node.value):
            self.note("path", node.value, node.lineno)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div):
            pieces = _joined(node)
            if len(pieces) > 1:
                self.note("path", "/".join(pieces), node.lineno)
        self.generic_visit(node)

    def _queries(self, body: Iterable[ast.AST]) -> None:
        """Names in query texts (`df.query("x > @LIMIT")`) that a library looks up in its caller."""
        nodes = [part for statement in body for part in ast.walk(statement)]
        calls = [n.func for n in nodes if isinstance(n, ast.Call)]
        if not any(isinstance(f, ast.Attribute) and f.attr in _QUERIES for f in calls):
            return
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for match in _IN_QUERY.finditer(node.value):
                    self.note("caller", match.group(1) or match.group(2), node.lineno)

    # ------------------------------------------------------------------ statements and scopes

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note_ref("import", (alias.name,), node.lineno, "load")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = absolute(node, self.home)
        for alias in node.names:
            path = (source,) if alias.name == "*" else (source, alias.name)
            self._note_ref("import", path, node.lineno, "load")
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
        if isinstance(node, _COMPREHENSIONS):
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


def looks_like_path(text: str) -> bool:
    """Could this text name a file: no odd characters, and a suffix or a slash in it?"""
    if "://" in text or not _PATH.match(text) or text != text.strip():
        return False
    return "/" in text.strip("/") or bool(_SUFFIX.match(text))


def _joined(node: ast.expr) -> list[str]:
    """`ROOT / "data" / "x.csv"` → ["data", "x.csv"]: the literal end of a joined path."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return []
    right = node.right
    if not isinstance(right, ast.Constant) or not isinstance(right.value, str):
        return []
    return [*_joined(node.left), right.value]
