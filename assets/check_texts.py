"""Ready-made checks as they are written in the header of a SQL file: `not_null(id)`.  PURE"""

from __future__ import annotations

import ast
from typing import Any

from lineal.assets.asset import Check, Where
from lineal.assets.checks import make_check
from lineal.assets.errors import DefinitionError


def parse_check(text: str, where: Where) -> Check:
    """A ready-made check from its text, as in the header of a SQL file: `not_null(id)`.

    A bare word is a text, so are `raw/orders` and anything in quotes.

    Raises:
        DefinitionError: with `where`.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("it is no call")
        arguments = [_word(each) for each in call.args]
        options = {each.arg or "**": _word(each.value) for each in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise DefinitionError(
            f"`{text}` is not a check: {getattr(error, 'msg', error)}",
            where=str(where),
            advice="write a call: not_null(id), accepted(state, [open, closed]), rows(minimum=1)",
        ) from error
    return make_check(call.func.id, arguments, options, where)


def _word(node: ast.expr) -> Any:
    """A value as people write it in a header: `id` and `raw/orders` are texts."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return f"{_word(node.left)}/{_word(node.right)}"
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_word(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        return {_word(k): _word(v) for k, v in zip(node.keys, node.values, strict=True) if k}
    return ast.literal_eval(node)
