"""Which files of the project a text, a value or an expression may name."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from lineal.assets.remarkable import looks_like_path
from lineal.assets.scopes import Scope, chain_of, dotted

_JOINS = frozenset(
    {
        "os.path.join", "posixpath.join", "pathlib.Path", "pathlib.PurePath", "os.fspath",
        "pathlib.PosixPath", "pathlib.PurePosixPath", "os.path.abspath", "os.path.realpath",
        "os.path.normpath", "os.path.expanduser", "builtins.str",
    }
)  # fmt: skip
_SAME = frozenset({"resolve", "absolute", "as_posix", "expanduser", "strip", "joinpath"})
_NAME = re.compile(r"\{([^{}]*)\}")
_BRACE = re.compile(r"\{[^{}]*\}|[{}]")
_PERCENT = re.compile(r"%(\(\w+\))?[-#0 +.\d]*[a-zA-Z]")
_QUOTED = re.compile(r"'([^'\n]{1,240})'|\"([^\"\n]{1,240})\"")
_DATA = re.compile(
    r"\.(parquet|pq|csv|tsv|txt|feather|arrow|ipc|orc|avro|xlsx?|json|jsonl|ndjson|pkl|pickle|"
    r"joblib|skops|npy|npz|h5|hdf5?|db|duckdb|sqlite3?|ya?ml|toml|ini|xml|html|sql|dat|bin|gz|zip|bz2|"
    r"zst|xz)\Z",
    re.IGNORECASE,
)


def pattern(
    node: ast.expr, scopes: Sequence[Scope], is_free: Callable[[str], bool], seen: set[int]
) -> str:
    """The text that an expression gives: `{NAME}` for a name around it, `*` for what is computed.

    Args:
        node: an expression that may give a path or its text.
        scopes: those it stands in.
        is_free: is this name bound outside the piece of source that is read?
        seen: takes the identities of the expressions that are part of the text.
    """
    seen.add(id(node))

    def inner(part: ast.expr) -> str:
        return pattern(part, scopes, is_free, seen)

    chain = chain_of(node)
    if chain:
        return f"{{{'.'.join(chain)}}}" if is_free(chain[0]) else "*"
    match node:
        case ast.Constant(value=str(text)):
            return _BRACE.sub("*", text)
        case ast.JoinedStr():
            return "".join(map(inner, node.values))
        case ast.FormattedValue(conversion=-1, format_spec=None):
            return inner(node.value)
        case ast.BinOp(op=ast.Div()):
            return f"{inner(node.left)}/{inner(node.right)}"
        case ast.BinOp(op=ast.Add()):
            return inner(node.left) + inner(node.right)
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str(text))):
            return _BRACE.sub("*", _PERCENT.sub("*", text))
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return _BRACE.sub("*", text)
        case ast.Call(func=ast.Attribute(value=base, attr=attr)) if attr in _SAME:
            return "/".join([inner(base), *map(inner, node.args)])
        case ast.Call() if node.args and dotted(node.func, scopes) in _JOINS:
            return "/".join(map(inner, node.args))
    return "*"


def resolved(text: str, value_of: Callable[[str], Any]) -> str:
    """A pattern with the values of the names in it; `*` for what is neither text nor path."""

    def one(match: re.Match[str]) -> str:
        value = value_of(match.group(1))
        return str(value) if isinstance(value, str | int | PurePath) else "*"

    return _NAME.sub(one, text)


def files(text: str, root: str, folder: str) -> list[str]:
    """The files below the root that a text may name: it, or what it quotes.

    Each is relative to the root, `*` standing for any characters; a relative one is meant from the
    root and from `folder`, that of the module that says it.
    """
    filled = _BRACE.sub("*", _PERCENT.sub("*", text))  # a template, to be filled elsewhere
    found: list[str] = []
    for spelling in dict.fromkeys((text, filled)):
        quoted = [match.group(1) or match.group(2) for match in _QUOTED.finditer(spelling)]
        found += [name for name in (*_spellings(spelling), *quoted) if _may_name(name)]
    return list(dict.fromkeys(_inside(found, root, folder)))


def spelt(value: Any, depth: int = 6) -> Iterator[str]:
    """The texts and paths that a value holds."""
    if isinstance(value, str):
        if "." in value or "/" in value:
            yield value
    elif isinstance(value, PurePath):
        yield value.as_posix()
    elif depth:
        for inner in _inner(value):
            yield from spelt(inner, depth - 1)


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif type(value).__name__ == "partial" and type(value).__module__ == "functools":
        yield from (*value.args, *value.keywords.values())
    elif not isinstance(value, type) and not callable(value):
        held = getattr(value, "__dict__", None)
        if type(held) is dict:
            yield from held.values()
        for slot in getattr(type(value), "__dataclass_fields__", ()):
            yield getattr(value, slot, None)


def _spellings(text: str) -> list[str]:
    """Where the head is computed, the rest may be all that there is."""
    rest = text
    while rest.startswith("*/"):
        rest = rest[2:]
    return [text] if rest == text else [text, rest]


def _may_name(text: str) -> bool:
    if text.endswith((".py", ".pyc", ".so")):
        return False  # code is the recipe's matter
    if "*" not in text:
        return looks_like_path(text)
    plain = text.replace("*", "x")
    return looks_like_path(plain) and _DATA.search(text) is not None


def _component(text: str) -> str:
    """A glob knows two stars in a row only as a component of their own."""
    return text if text == "**" else re.sub(r"\*\*+", "*", text)


def _inside(names: list[str], root: str, folder: str) -> Iterator[str]:
    for name in names:
        text = "/".join(map(_component, name.replace("\\", "/").split("/")))
        if text.startswith("/"):
            below = root.rstrip("/") + "/"
            places = [text[len(below) :]] if root and text.startswith(below) else []
        else:
            places = [text, f"{folder}/{text}"] if folder else [text]
        for place in places:
            path = posixpath.normpath(place)
            if path != "." and not path.startswith(("../", "/")):
                yield path
