"""The canonical text of source code: equal for two spellings of one program, on every Python.

It is written from the fields of the syntax tree (`ast.dump` and bytecode differ between versions):
comments, formatting, parentheses and quotes are not in it; docstrings and annotations of functions
only if asked for. Annotations in class bodies always are: dataclasses and the like read them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPPED = frozenset({"ctx", "type_comment", "kind", "type_ignores", "simple"})


def is_docstring(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class Canonical:
    """Writes nodes. `full` keeps docstrings and annotations; `safe` decorators need neither."""

    def __init__(self, *, full: bool = False, safe: Callable[[ast.expr], bool] = lambda _: False):
        self.full = full
        self.safe = safe
        self.in_class = False

    def text(self, node: ast.AST) -> str:
        out: list[str] = []
        self._write(node, out)
        return "".join(out)

    def function(self, node: Function) -> str:
        """A function without name, decorators and defaults: these are seen on the live object."""
        out = [type(node).__name__]
        self._arguments(node.args, out, defaults=False, annotated=self.full)
        if isinstance(node, ast.Lambda):
            self._write(node.body, out)
            return "".join(out)
        if self.full and node.returns is not None:
            self._write(node.returns, out)
        self._statements(self._without_docstring(node.body, keep=self.full), out)
        return "".join(out)

    def class_(self, node: ast.ClassDef, elided: Callable[[ast.AST], bool]) -> str:
        """A class without name and decorators; of an elided method only its head."""
        out = ["ClassDef"]
        for base in [*node.bases, *node.keywords]:
            self._write(base, out)
        was, self.in_class = self.in_class, True
        for statement in self._without_docstring(node.body, keep=self.full):
            if isinstance(statement, _DEFS) and elided(statement):
                out.append(f"(def {statement.name}")
                for decorator in statement.decorator_list:
                    self._write(decorator, out)
                out.append(")")
            else:
                self._write(statement, out)
        self.in_class = was
        return "".join(out)

    # ------------------------------------------------------------------ nodes

    def _write(self, node: ast.AST, out: list[str]) -> None:
        if isinstance(node, ast.Constant):
            out.append(_constant(node.value))
        elif isinstance(node, ast.JoinedStr):
            self._joined(node, out)
        elif isinstance(node, FUNCTIONS):
            self._nested_function(node, out)
        elif isinstance(node, ast.ClassDef):
            self._nested_class(node, out)
        elif isinstance(node, ast.AnnAssign) and not (self.full or self.in_class):
            self._assignment(node, out)
        elif isinstance(node, ast.Module):
            self._statements(node.body, out)
        else:
            self._fields(node, out)

    def _fields(self, node: ast.AST, out: list[str]) -> None:
        out.append(f"({type(node).__name__}")
        for field in node._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field in _SKIPPED:
                continue
            out.append(f" {field}=")
            self._value(value, out)
        out.append(")")

    def _value(self, value: object, out: list[str]) -> None:
        if isinstance(value, ast.AST):
            self._write(value, out)
        elif isinstance(value, list):
            out.append("[")
            for item in value:
                # A None among items has a meaning of its own: `{**x}` has no key.
                self._value(item, out)
                out.append(",")
            out.append("]")
        else:
            out.append(_constant(value))

    def _statements(self, body: Sequence[ast.stmt], out: list[str]) -> None:
        out.append("{")
        for statement in body:
            self._write(statement, out)
        out.append("}")

    def _nested_function(self, node: Function, out: list[str]) -> None:
        out.append(f"({type(node).__name__}")
        was, self.in_class = self.in_class, False
        if isinstance(node, ast.Lambda):
            self._arguments(node.args, out, defaults=True, annotated=True)
            self._write(node.body, out)
        else:
            keep = self.full or not all(self.safe(d) for d in node.decorator_list)
            out.append(f" {node.name}")
            for parameter in getattr(node, "type_params", []) if keep else []:
                self._write(parameter, out)
            for decorator in node.decorator_list:
                self._write(decorator, out)
            self._arguments(node.args, out, defaults=True, annotated=keep)
            if keep and node.returns is not None:
                self._write(node.returns, out)
            self._statements(self._without_docstring(node.body, keep=keep), out)
        self.in_class = was
        out.append(")")

    def _nested_class(self, node: ast.ClassDef, out: list[str]) -> None:
        out.append(f"(ClassDef {node.name}")
        was, self.in_class = self.in_class, True
        for part in [*node.bases, *node.keywords, *node.decorator_list]:
            self._write(part, out)
        keep = self.full or bool(node.decorator_list)
        self._statements(self._without_docstring(node.body, keep=keep), out)
        self.in_class = was
        out.append(")")

    def _arguments(
        self, args: ast.arguments, out: list[str], *, defaults: bool, annotated: bool
    ) -> None:
        kinds = [
            ("/", args.posonlyargs),
            ("", args.args),
            ("*", [args.vararg] if args.vararg else []),
            ("k", args.kwonlyargs),
            ("**", [args.kwarg] if args.kwarg else []),
        ]
        out.append("(")
        for kind, found in kinds:
            for arg in found:
                out.append(f"{kind}{arg.arg},")
                if annotated and arg.annotation is not None:
                    self._write(arg.annotation, out)
        if defaults:
            self._value(args.defaults, out)
            self._value(args.kw_defaults, out)
        out.append(")")

    def _assignment(self, node: ast.AnnAssign, out: list[str]) -> None:
        """`x: int = 1` in a function is `x = 1`; `x: int` only makes `x` local."""
        if node.value is not None:
            out.append("(Assign targets=[")
            self._write(node.target, out)
            out.append(",] value=")
            self._write(node.value, out)
            out.append(")")
        elif not isinstance(node.target, ast.Name):
            self._write(node.target, out)

    def _without_docstring(self, body: Sequence[ast.stmt], *, keep: bool) -> Sequence[ast.stmt]:
        if keep or not body or not is_docstring(body[0]):
            return body
        return body[1:] or [ast.Pass()]

    def _joined(self, node: ast.JoinedStr, out: list[str]) -> None:
        """An f-string; versions differ in how they split and nest its constant pieces."""
        out.append("(f ")
        text = ""
        for piece in _pieces(node):
            if isinstance(piece, str):
                text += piece
                continue
            if text:
                out.append(_constant(text))
                text = ""
            out.append(f"<{piece.conversion} ")
            self._write(piece.value, out)
            if piece.format_spec is not None and list(_pieces(piece.format_spec)) not in ([], [""]):
                out.append(":")
                self._write(piece.format_spec, out)
            out.append(">")
        if text:
            out.append(_constant(text))
        out.append(")")


def _pieces(node: ast.expr) -> list[str | ast.FormattedValue]:
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.FormattedValue):
        return [node]
    assert isinstance(node, ast.JoinedStr)
    return [piece for value in node.values for piece in _pieces(value)]


def _constant(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"int:{value:x};"  # decimal text of a huge number is refused by Python
    if isinstance(value, str):
        return f"str:{len(value)}:{value};"
    return f"{type(value).__name__}:{value!r};"
