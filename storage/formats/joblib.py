"""Objects as joblib files (scikit-learn's models) or pickles, in bytes as stable as may be.

A pickle names classes and functions instead of holding them, so its bytes don't change when their
code does: `encode` also tells what the pickle names, for the caller to add their identity.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import ContentError
from lineal.storage.formats.encoded import Encoded

NAME = "joblib"
PICKLE = "pickle"
_PROTOCOL = 5  # fixed: a newer Python's default would change the bytes
_UNPICKLABLE = (
    pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError,
    NotImplementedError,
)  # fmt: skip
_UNREADABLE = (
    pickle.UnpicklingError, ImportError, AttributeError, TypeError, ValueError, EOFError,
    IndexError, KeyError,
)  # fmt: skip


def encode(value: Any, name: str) -> Encoded:
    """Uncompressed joblib: arrays lie in the file as they are."""
    return _encode(value, name, NAME)


def encode_pickle(value: Any, name: str) -> Encoded:
    return _encode(value, name, PICKLE)


def decode(data: bytes) -> Any:
    """A fresh object. Raises ContentError when a class it names is gone or changed its form."""
    import joblib

    try:
        return joblib.load(io.BytesIO(data))
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def decode_pickle(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _encode(value: Any, name: str, form: str) -> Encoded:
    buffer = io.BytesIO()
    names: set[tuple[str, str]] = set()
    try:
        _pickler(buffer, names, form).dump(value)
    except _UNPICKLABLE as error:
        kind = type(value)
        raise ContentError(
            f"`{name}` is a {kind.__module__}.{kind.__qualname__} that can't be pickled: {error}",
            advice="a pickle can't hold lambdas, local classes, connections or open files: "
            "define functions and classes at the top of a module",
        ) from error
    data = buffer.getvalue()
    summary = type(value).__qualname__
    return Encoded(data, form, digest_bytes(data), summary, tuple(sorted(names)))


def _pickler(buffer: io.BytesIO, names: set[tuple[str, str]], form: str) -> Any:
    """A pickler that notes every class and function it writes by name."""

    def note(thing: Any) -> Any:
        owner = thing if hasattr(thing, "__qualname__") else type(thing)
        module, qualname = getattr(owner, "__module__", None), owner.__qualname__
        if isinstance(module, str) and isinstance(qualname, str) and module != "builtins":
            names.add((module, qualname))
        return NotImplemented  # pickle it as ever

    if form == PICKLE:

        class Plain(pickle.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                return note(obj)

        return Plain(buffer, protocol=_PROTOCOL)
    return _joblib_pickler(note)(buffer, protocol=_PROTOCOL)


def _joblib_pickler(note: Any) -> Any:
    from joblib.numpy_pickle import NumpyPickler

    class Steady(NumpyPickler):  # type: ignore[misc]  # joblib has no types
        dispatch = NumpyPickler.dispatch.copy()

        def reducer_override(self, obj: Any) -> Any:
            return note(obj)

        def save_set(self, obj: set[Any]) -> None:
            """As pickle does, but sorted: a set of texts is in another order in every process."""
            self.write(pickle.EMPTY_SET)
            self.memoize(obj)
            self.write(pickle.MARK)
            for item in sorted(obj, key=repr):
                self.save(item)
            self.write(pickle.ADDITEMS)

        dispatch[set] = save_set

    return Steady


def _unreadable(error: Exception) -> ContentError:
    return ContentError(
        f"a stored object can't be read back: {type(error).__name__}: {error}",
        advice="a class it names was moved, renamed or changed its form: "
        "put it back, or make the asset again with `lineal materialize --force`",
    )
