"""Errors travel between processes whole."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator

import pytest

from lineal.assets import errors
from lineal.assets.errors import DefinitionError, DefinitionErrors, LinealError, UserCodeError


def kinds(root: type[LinealError] = LinealError) -> Iterator[type[LinealError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)


def one(kind: type[LinealError]) -> LinealError:
    if kind is DefinitionErrors:
        inner = DefinitionError("no asset `a`", where="pipeline.py:3", advice="write it")
        return DefinitionErrors([inner, DefinitionError("no asset `b`")])
    if issubclass(kind, UserCodeError):
        return kind(
            "KeyError",
            "'x'",
            where="pipeline.py:4 in f",
            line="d['x']",
            traceback="Traceback …",
            types=("builtins.KeyError", "builtins.Exception"),
        )
    return kind("it broke", where="a.sql:2", advice="mend it", excerpt="selct\n^")


def fields(error: LinealError) -> dict[str, object]:
    inner = {"errors": [fields(each) for each in getattr(error, "errors", ())]}
    return {**vars(error), **inner, "args": error.args, "text": str(error)}


def test_python_s_own_traceback_says_where_and_how_to_mend_it() -> None:
    error = LinealError("it broke", where="a.sql:2", advice="mend it")
    told = "".join(traceback.format_exception_only(error))
    assert told.splitlines() == [
        "lineal.assets.errors.LinealError: it broke", "a.sql:2", "mend it",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.__name__))
def test_an_error_comes_back_from_another_process_with_all_its_fields(
    kind: type[LinealError],
) -> None:
    error = one(kind)
    error.add_note("in step orders")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert fields(back) == fields(error)
    assert (back.kind, back.exit_code) == (error.kind, error.exit_code)
    assert back.as_json() == error.as_json()
