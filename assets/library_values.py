"""Captured values of libraries in canonical form; a library that is not loaded has none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.forms import NoForm, tagged

if TYPE_CHECKING:
    from lineal.assets.captured import Encoder


def library_value(encoder: Encoder, value: Any, path: str) -> bytes | None:
    top = type(value).__module__.partition(".")[0]
    if top == "numpy":
        return _numpy(encoder, value, path)
    if top == "pandas":
        return _pandas(encoder, value, path)
    if top == "lineal":
        return _declaration(encoder, value, path)
    if callable(getattr(value, "get_params", None)) and _is_estimator(value):
        return _estimator(encoder, value, path)
    wrapped = _wrapped(value)
    if wrapped is not None and not encoder.is_project(type(value).__module__):
        return tagged("wrapper", encoder.external(type(value)), encoder.value(wrapped, path))
    return None


def _numpy(encoder: Encoder, value: Any, path: str) -> bytes | None:
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.ndarray):
        if type(value) is not numpy.ndarray or value.dtype.hasobject:
            return _objects(encoder, value, path)
        head = encode([value.dtype.str, repr(value.dtype.descr), list(value.shape)])
        return tagged("ndarray", head, value.tobytes())
    if isinstance(value, numpy.generic):
        return tagged("scalar", encode(value.dtype.str), value.tobytes())
    if isinstance(value, numpy.busdaycalendar):
        return tagged(
            "calendar", *(encoder.value(v, path) for v in (value.weekmask, value.holidays))
        )
    if isinstance(value, numpy.dtype):
        return tagged("dtype", encode(repr(value.descr)))
    if isinstance(value, numpy.ufunc):
        encoder.externals[f"numpy.{value.__name__}"] = None
        return tagged("ufunc", encode(value.__name__))
    if type(value).__name__ == "vectorize":
        return tagged("vectorize", encoder.value(dict(vars(value)), path))
    if type(value).__name__ == "_ArrayFunctionDispatcher":
        return encoder.external(value)
    return None


def _objects(encoder: Encoder, value: Any, path: str) -> bytes | None:
    if type(value) is not sys.modules["numpy"].ndarray or value.dtype.names:
        return None
    return tagged("objects", encode(list(value.shape)), encoder.value(value.ravel().tolist(), path))


def _pandas(encoder: Encoder, value: Any, path: str) -> bytes | None:
    name = type(value).__name__
    if name in ("DataFrame", "Series", "Index", "RangeIndex", "MultiIndex", "DatetimeIndex"):
        raise NoForm(path, type(value))
    if name == "CategoricalDtype":
        parts = (
            list(value.categories) if value.categories is not None else None,
            value.ordered,
        )
        return tagged("categories", encoder.value(parts, path))
    if name in ("NaTType", "NAType"):
        return tagged("pandas", encode(name))
    # A repr says not all: the unit of a time, the holidays of an offset.
    if name in ("Timestamp", "Timedelta"):
        try:
            return tagged("pandas", encode(value))
        except NoCanonicalFormError:
            raise NoForm(path, type(value.tzinfo)) from None
    if name == "Period":
        return tagged("pandas", encode(name), encoder.value((value.ordinal, value.freq), path))
    if name == "Interval":
        ends = (value.left, value.right, value.closed)
        return tagged("pandas", encode(name), encoder.value(ends, path))
    if name.endswith("Dtype"):
        return _pandas_type(encoder, value, path)
    if hasattr(value, "freqstr") and hasattr(value, "kwds"):
        return _offset(encoder, value, path)
    return None


def _pandas_type(encoder: Encoder, value: Any, path: str) -> bytes:
    pieces = []
    for name in getattr(value, "_metadata", ()):
        part = getattr(value, name)
        if type(part).__module__.startswith("pyarrow."):
            part = str(part)  # a type of Arrow says all of itself
        pieces.append(encode(name) + encoder.value(part, f"{path}.{name}"))
    return tagged("pandas", encode([type(value).__name__, repr(value)]), *pieces)


def _offset(encoder: Encoder, value: Any, path: str) -> bytes:
    pieces = []
    for name, part in sorted(value.kwds.items()):
        if type(part).__module__.startswith("dateutil."):
            part = repr(part)  # noqa: PLW2901  (`MO(+1)`: nothing else is in it)
        pieces.append(encode(name) + encoder.value(part, f"{path}.{name}"))
    calendar = getattr(value, "calendar", None)
    if calendar is not None:
        pieces.append(encoder.value(calendar, f"{path}.calendar"))
    head = encode([value.n, value.normalize, value.freqstr])
    return tagged("offset", encoder.class_(type(value)), head, *pieces)


def _declaration(encoder: Encoder, value: Any, path: str) -> bytes | None:
    """An asset, check or the like that code names: the function or query behind it."""
    function = getattr(value, "function", None)
    query = getattr(value, "query", None)
    name = getattr(value, "name", "")
    behind = encoder.value(function, path) if function is not None else b""
    text = encode(getattr(query, "text", None))
    return tagged("declared", encode([type(value).__name__, str(name)]), text, behind)


def _estimator(encoder: Encoder, value: Any, path: str) -> bytes:
    fitted = [n for n in vars(value) if n.endswith("_") and not n.startswith("_")]
    if fitted:
        raise NoForm(path, type(value), "it is fitted")
    owner = encoder.class_(type(value))
    parameters = value.get_params(deep=False)
    # `set_output`, metadata requests, whatever else was set on it.
    beside = {n: v for n, v in sorted(vars(value).items()) if n not in parameters}
    return tagged("estimator", owner, encoder.value(parameters, path), encoder.value(beside, path))


def _is_estimator(value: Any) -> bool:
    return any(base.__name__ == "BaseEstimator" for base in type(value).__mro__)


def _wrapped(value: Any) -> Any:
    """What a library's callable object wraps, by the names that libraries use for it."""
    if not callable(value):
        return None
    for name in ("__wrapped__", "py_func", "pyfunc", "func"):
        found = getattr(value, name, None)
        if callable(found):
            return found
    return None
