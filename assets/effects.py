"""What source does beyond binding names of its own: calls for their effect, attributes set.

Each deed is (kind, what, line). `calls`: made for its effect; `asks`: made for its value; `sets`:
an attribute or item is set; `changes`: a parameter is changed; `hands`: what an import names is
handed to a call (`call>thing`); `items`: something held in it is called; `wraps`: the maker of a
decorator; `acts`: anything may happen. What is meant starts with `import:` and an absolute path, or
with `name:`.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Sequence

from lineal.assets.scopes import COMPREHENSIONS, Scope, chain_of, dotted_chain

Deed = tuple[str, str, int]
# What variables are given, and the functions and classes that are defined.
Origins = tuple[dict[str, list[ast.expr]], set[str]]

# Calls of these say nothing about results.
HARMLESS = frozenset({"lineal", "logging", "warnings", "sys", "atexit", "typing"})
_VERB = re.compile(
    r"_?(set[a-z]*|reset|seed|use|enable|disable|install|uninstall|patch|unpatch|configure|config|setup|"
    r"init|initialize|initialise|register|unregister|autolog|activate|apply|monkeypatch|option)"
    r"(?=_|[A-Z]|\d|\Z)|"
    r"\w*(regist|accessor|monkey|defaults?\Z)"
)
_REGISTERS = re.compile(
    r"\w*(regist|accessor)|(\w*_)?(implements|extend\w*|hook|patch|overload)\Z", re.IGNORECASE
)
_MAKES = re.compile(
    r"[A-Z]|read_|load|open|from_|to_|new_|make_|create_|array|zeros|ones|empty|full|arange|linspace|"
    r"concat|merge|date_range|copy|deepcopy|default_rng|namedtuple|defaultdict|deque|compile"
)


def deeds(
    body: Sequence[ast.AST], scopes: Sequence[Scope], around: Origins | None = None
) -> tuple[Deed, ...]:
    """What statements do, those inside functions among them not counted.

    Args:
        body: the statements.
        scopes: those they stand in.
        around: the origins of all statements of their scope, if `body` is only some of them.
    """
    reader = _Deeds(around or origins(body), scopes)
    for statement in body:
        reader.visit(statement)
    return tuple(dict.fromkeys(reader.found))


def targets(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a statement binds to what it calls."""
    found = statement.targets if isinstance(statement, ast.Assign) else []
    return tuple(target.id for target in found if isinstance(target, ast.Name))


def is_main_guard(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":`, whose body never runs here."""
    if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
        return False
    test = statement.test
    sides = [test.left, *test.comparators]
    return (
        isinstance(test.ops[0], ast.Eq)
        and any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)
    )


class _Deeds(ast.NodeVisitor):
    def __init__(self, around: Origins, scopes: Sequence[Scope]):
        self.scopes = scopes
        self.scope = scopes[-1]
        self.in_method = len(scopes) > 1 and scopes[-2].kind == "class"
        self.origins, self.defined = around
        self.hidden: list[str] = []  # names of a comprehension or lambda that is being read
        self.found: list[Deed] = []

    # ------------------------------------------------------------------ what is visited

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call):
            self._call(value, "calls")
        else:
            self.visit(value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        self._call(node, "calls" if _VERB.match(name) else "asks")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._set(node.value, node.lineno)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._set(node.value, node.lineno)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._decorated(node.decorator_list)
        for part in [*node.args.defaults, *node.args.kw_defaults]:
            if part is not None:
                self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 the visitor's own spelling

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorated(node.decorator_list)
        for base in [*node.bases, *(k.value for k in node.keywords)]:
            what = self._meant(base)[0] if chain_of(base) else ""
            if what:  # it may do something of its own with the new class
                self._add("asks", f"{what}.__init_subclass__", node.lineno)
                self._add("asks", what, node.lineno)
        for part in [*node.bases, *node.keywords, *node.body]:
            self.visit(part)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """It runs later, if ever, unless it is handed to a call."""

    def generic_visit(self, node: ast.AST) -> None:
        known = len(self.hidden)
        if isinstance(node, COMPREHENSIONS):
            parts = [part for g in node.generators for part in ast.walk(g.target)]
            self.hidden += [part.id for part in parts if isinstance(part, ast.Name)]
        super().generic_visit(node)
        del self.hidden[known:]

    def _argument(self, node: ast.AST) -> None:
        value = node.value if isinstance(node, ast.keyword) else node
        if not isinstance(value, ast.Lambda):
            self.visit(value)
            return
        known = len(self.hidden)
        args = value.args
        self.hidden += [a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
        self.visit(value.body)
        del self.hidden[known:]

    # ------------------------------------------------------------------ what is found

    def _decorated(self, decorators: Sequence[ast.expr]) -> None:
        for node in decorators:
            called = node.func if isinstance(node, ast.Call) else node
            what, chain, _ = self._meant(called)
            if what.startswith("import:") and _REGISTERS.match(chain[-1]):
                self._add("calls", what, node.lineno)
            elif what:
                self._add("wraps" if isinstance(node, ast.Call) else "asks", what, node.lineno)
            for part in [*node.args, *node.keywords] if isinstance(node, ast.Call) else []:
                self.visit(part)

    def _call(self, node: ast.Call, kind: str) -> None:
        what, chain, made = self._meant(node.func)
        path = dotted_chain(chain, self.scopes) if chain else ""
        if path in ("builtins.setattr", "builtins.delattr") and node.args:
            self._set(node.args[0], node.lineno)
        elif path == "builtins.exec":
            self._add("acts", path, node.lineno)
        elif what and isinstance(node.func, ast.Subscript):
            self._add("items", what, node.lineno)
        elif what:
            self._add("asks" if made else kind, what, node.lineno)
            self._handed(node, what)
        if not isinstance(node.func, ast.Name):
            self.visit(node.func)
        for part in [*node.args, *node.keywords]:
            self._argument(part)

    def _handed(self, node: ast.Call, what: str) -> None:
        for argument in [*node.args, *(k.value for k in node.keywords)]:
            thing = self._meant(argument)[0] if chain_of(argument) else ""
            if thing.startswith("import:"):
                self._add("hands", f"{what}>{thing}", node.lineno)

    def _set(self, owner: ast.expr, line: int) -> None:
        what, chain, made = self._meant(owner)
        if what and not made:
            self._add("sets", what, line)
        elif chain and self._is_parameter(chain[0]):
            self._add("changes", chain[0], line)

    def _add(self, kind: str, what: str, line: int) -> None:
        top = what.removeprefix("import:").partition(".")[0]
        if what.startswith("import:") and (
            top in HARMLESS or (kind in ("asks", "wraps") and top in sys.stdlib_module_names)
        ):
            return
        self.found.append((kind, what, line))

    # ------------------------------------------------------------------ what names mean

    def _meant(self, node: ast.expr, depth: int = 4) -> tuple[str, tuple[str, ...], bool]:
        """What an expression starts from, its chain of names, and whether it is new and its own."""
        chain, made = _flattened(node)
        if not chain or chain[0] in self.hidden:
            return "", (), False
        name = chain[0]
        here = self.scope.bound.get(name)
        if here == [] and name in self.origins and depth:
            return self._origin(name, chain, made, depth)
        if here == [] and self.scope.kind == "function":
            if self._is_parameter(name):
                return "", chain, made
            return f"name:{'.'.join(chain)}", chain, made
        path = dotted_chain(chain, self.scopes)
        if path.startswith("builtins.") and path != "builtins":
            if hasattr(builtins, name):
                return "", chain, made
            return f"name:{'.'.join(chain)}", chain, made
        if path:
            return f"import:{path}", chain, made
        return f"name:{'.'.join(chain)}", chain, made

    def _origin(
        self, name: str, chain: tuple[str, ...], made: bool, depth: int
    ) -> tuple[str, tuple[str, ...], bool]:
        """A variable means what it was given; at the top of a module its value can be looked at."""
        given = self.origins[name]
        if all(self._is_new(value, depth) for value in given):
            return f"name:{'.'.join(chain)}", chain, True
        if self.scope.kind == "module":
            return f"name:{'.'.join(chain)}", chain, made
        for value in given:
            what, origin, new = self._meant(value, depth - 1)
            if what and not new:
                return ".".join((what, *chain[1:])), (*origin, *chain[1:]), made
        return "", chain, made

    def _is_parameter(self, name: str) -> bool:
        return (
            self.scope.kind == "function"
            and self.scope.bound.get(name) == []
            and name not in self.origins
            and name not in self.defined
            and not (self.in_method and name in ("self", "cls"))
        )

    def _is_new(self, node: ast.expr, depth: int) -> bool:
        """Does an expression make a new object, or give one that this very body made?"""
        if _is_new(node):
            return True
        chain, made = _flattened(node)
        if made or not chain or not depth or not isinstance(node, ast.Call | ast.Name):
            return made
        given = self.origins.get(chain[0], [])
        return bool(given) and all(self._is_new(value, depth - 1) for value in given)


def _flattened(node: ast.AST) -> tuple[tuple[str, ...], bool]:
    """`Config().apply` → ("Config", "apply"), and whether an object made on the way is meant."""
    parts: list[str] = []
    made = False
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            node = node.func
            name = chain_of(node)[-1:] or ("",)
            made = made or (bool(parts) and _MAKES.match(name[0]) is not None)
    if not isinstance(node, ast.Name):
        return (), False
    return (node.id, *reversed(parts)), made


def _is_new(node: ast.expr) -> bool:
    """Does an expression make a new object, whose state is nobody else's?"""
    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Await() | ast.Lambda():
            return False
        case ast.IfExp():
            return _is_new(node.body) and _is_new(node.orelse)
        case ast.BoolOp():
            return all(map(_is_new, node.values))
        case ast.NamedExpr():
            return _is_new(node.value)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _CONSTRUCTORS or _MAKES.match(name) is not None
        case ast.Call():
            return False
    return True


_CONSTRUCTORS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and name != "super"
) | {"sorted", "sum", "min", "max", "len", "range", "repr", "abs", "round"}


def origins(body: Sequence[ast.AST]) -> Origins:
    """What the variables of a body are given, and the functions and classes that it defines.

    The variable of a loop or a with is given what they go through.
    """
    found: dict[str, list[ast.expr]] = {}
    defined: set[str] = set()

    waiting = list(body)
    while waiting:
        node = waiting.pop()
        for target, value in _given(node):
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    found.setdefault(part.id, []).append(value)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found, defined


def _given(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign():
            return [(target, node.value) for target in node.targets]
        case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
            return [(node.target, value)]
        case ast.For(iter=ast.Tuple(elts=several) | ast.List(elts=several)):
            return [(node.target, value) for value in several]
        case ast.For() | ast.AsyncFor():
            return [(node.target, node.iter)]
        case ast.withitem(optional_vars=ast.expr() as target):
            return [(target, node.context_expr)]
    return []
