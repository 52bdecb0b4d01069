"""How alike a version and its recomputation are: bytes, content, rows, values, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lineal.assets.errors import LinealError, StepError, UsageError
from lineal.assets.notebook import size_text
from lineal.assets.records import Content
from lineal.comparing import differing
from lineal.reproduced import Alike
from lineal.serving import features_of
from lineal.storage.vault import Vault

_SMALL = 1 << 20  # bytes of JSON up to which values are compared
_ROWS = 10_000_000  # of tables up to which numbers are compared place by place
_METHODS = ("predict_proba", "decision_function", "predict", "transform")
_NEAR = 1e-9  # a difference that the order of an addition makes, by the greatest value
_FEW = 3


class Trial(NamedTuple):
    """A version on which two models are compared, and its name: `test@51ab09`."""

    name: str
    content: Content


class Likening(NamedTuple):
    """Compares two versions whose objects are in one store.

    `key`: the primary key of a table; `trials`: what models are tried on, the first that fits.
    """

    vault: Vault
    key: Sequence[str]
    trials: Sequence[Trial]

    def alike(self, recorded: Content, remade: Content) -> Alike:
        if recorded.objects and recorded.objects == remade.objects:
            return Alike("bytes")
        if recorded.digest == remade.digest:
            return Alike("content")
        if recorded.format != remade.format:
            told = f"it is {_a(remade)} now, and was {_a(recorded)}"
            return Alike("other", told)
        if recorded.format == "parquet":
            return Alike("other", self._rows(recorded, remade))
        if recorded.format == "json" and max(recorded.bytes, remade.bytes) <= _SMALL:
            return Alike("other", self._values(recorded, remade))
        if recorded.format == "array":
            return Alike("other", self._numbers(recorded, remade))
        return self._models(recorded, remade)

    # ---------------------------------------------------------------------- tables and values

    def _rows(self, recorded: Content, remade: Content) -> str:
        from lineal.storage.compare import Table, compare

        paths = [[self.vault.objects.intact(o) for o in c.objects] for c in (recorded, remade)]
        tables = Table(recorded, paths[0]), Table(remade, paths[1])
        try:
            found = compare(*tables, self.key, 0)
        except UsageError:  # the key is not one of both
            found = compare(*tables, (), 0)
        before = {c.name: c for c in recorded.columns}
        after = {c.name: c for c in remade.columns}
        columns = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        counts = {"changed": found.changed, "added": found.added, "removed": found.removed}
        told = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
        rows = (
            f"of {recorded.rows or 0:,} rows {told}" if told else "its rows stand in another order"
        )
        if not found.key and found.added == found.removed > 0:
            rows = f"{found.added:,} of {recorded.rows or 0:,} rows are others"
        verb = "differs" if len(columns) == 1 else "differ"
        return f"{_listed(columns)} {verb}: {rows}{self._apart(recorded, remade, columns)}"

    def _apart(self, recorded: Content, remade: Content, columns: Sequence[str]) -> str:
        """How far apart numbers are that stand in the same places."""
        if recorded.rows != remade.rows or (recorded.rows or 0) > _ROWS:
            return ""
        greatest = 0.0
        for name in columns:
            old, new = (self._column(content, name) for content in (recorded, remade))
            if old is None or new is None or not (_is_number(old) and _is_number(new)):
                return ""
            greatest = max(greatest, _distance(old, new) or 0.0)
        return f", at most {greatest:.2g} apart" if greatest else ""

    def _column(self, content: Content, name: str) -> Any:
        if name not in {column.name for column in content.columns}:
            return None
        return self.vault.load(content, "arrow", [name]).column(0).to_numpy(zero_copy_only=False)

    def _values(self, recorded: Content, remade: Content) -> str:
        old, new = (self.vault.load(content, "auto") for content in (recorded, remade))
        found = [
            f"{change.place or 'the value'} {change.before!r} → {change.after!r}"
            for change in differing(old, new, "")
        ]
        return f"another value: {_listed(found)}" if found else "another value"

    def _numbers(self, recorded: Content, remade: Content) -> str:
        old, new = (self.vault.load(content, "object") for content in (recorded, remade))
        far = None if isinstance(old, dict) else _distance(old, new)
        return "other numbers" + ("" if far is None else f", at most {far:.2g} apart")

    # --------------------------------------------------------------------------------- models

    def _models(self, recorded: Content, remade: Content) -> Alike:
        sizes = f"{size_text(remade.bytes)} of other bytes than {size_text(recorded.bytes)} before"
        try:
            old, new = (self.vault.load(content, "auto") for content in (recorded, remade))
        except LinealError as error:
            return Alike("other", f"{sizes}, which can't be loaded: {error.message}")
        methods = [name for name in _METHODS if callable(getattr(old, name, None))]
        if not methods or type(old) is not type(new):
            return Alike("other", f"{sizes}; what they hold can't be compared")
        methods = methods[:-1] if methods[-1] == "transform" and len(methods) > 1 else methods
        why = "nothing that it was tried or trained on is kept"
        for trial in self.trials:
            try:
                data = self.vault.load(trial.content, "auto")
                pairs = list(zip(*(_answers(m, methods, data) for m in (old, new)), strict=True))
            except LinealError as error:
                why = f"it can't be tried on {trial.name}: {error.message}"
                continue
            return _compared(pairs, f"{trial.name} ({trial.content.rows or len(data):,} rows)")
        return Alike("other", f"{sizes}; {why}")


def _features(model: Any, data: Any) -> Any:
    """What a model takes of a table: the columns it was fitted on."""
    names = features_of(model)
    known = (
        [] if names is None else [name for name in names if name in getattr(data, "columns", ())]
    )
    return data[known] if names is not None and len(known) == len(names) else data


def _answers(model: Any, methods: Sequence[str], data: Any) -> list[Any]:
    try:
        return [getattr(model, method)(_features(model, data)) for method in methods]
    except Exception as error:  # a model may raise anything on what is not for it
        raise StepError(f"{type(error).__name__}: {error}") from error


def _compared(pairs: Sequence[tuple[Any, Any]], on: str) -> Alike:
    """By what two models answer, each method of theirs on the same rows."""
    import numpy as np

    greatest = 0.0
    for old, new in ((np.asarray(old), np.asarray(new)) for old, new in pairs):
        far = _distance(old, new)
        if far is None:
            return Alike("other", f"other predictions on {on}")
        scale = max(1.0, float(np.nanmax(np.abs(old), initial=0.0))) if _is_number(old) else 1.0
        if far > _NEAR * scale:
            numbers = _is_number(old)
            others = (
                ~np.isclose(old, new, 0, _NEAR * scale, equal_nan=True) if numbers else old != new
            )
            rows = np.any(others.reshape(len(old), -1), axis=1).sum()
            apart = f", at most {far:.2g} apart" if numbers else ""
            return Alike("other", f"{rows:,} other predictions on {on}{apart}")
        greatest = max(greatest, far)
    return Alike("predictions", on + (f", at most {greatest:.1g} apart" if greatest else ""))


def _distance(old: Any, new: Any) -> float | None:
    """The greatest difference; of what are no numbers 1 if there is one. None: of other shapes."""
    import numpy as np

    if old.shape != new.shape:
        return None
    if not _is_number(old) or not _is_number(new):
        return float(np.any(old != new))
    equal = (old == new) | (np.isnan(old) & np.isnan(new))
    if equal.all():
        return 0.0
    apart = np.abs(np.where(equal, 0.0, np.asarray(old, float) - np.asarray(new, float)))
    return float("inf") if np.isnan(apart).any() else float(apart.max())


def _is_number(values: Any) -> bool:
    return values.dtype.kind in "fiub"


def _a(content: Content) -> str:
    return "a table" if content.format == "parquet" else content.summary or content.format


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW:,} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
