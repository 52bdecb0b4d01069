"""The memory of bytes: values in, written as objects, and out as each reader wants them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from lineal.assets.asset import Arrival, Contract, CustomFormat
from lineal.assets.content import content_digest
from lineal.assets.digest import SCHEME, digest_bytes, digest_of
from lineal.assets.errors import ContentError
from lineal.assets.notebook import size_text
from lineal.assets.ports import Canonical, Versions
from lineal.assets.records import SLICES, Column, Content, StoredObject
from lineal.disk import refusals
from lineal.storage.formats import files, joblib
from lineal.storage.formats.choice import BYTES, FORMATS, TABLE, choose, is_stream, table_summary
from lineal.storage.objects import Objects

if TYPE_CHECKING:
    import pyarrow as pa

# Says what code stands behind a name in a pickle: a digest of project code, a package's version.
Identify = Callable[[str, str], str | None]
_TABULAR = ("pandas", "arrow", "batches", "relation", "polars", "rows")


@dataclass(frozen=True, slots=True)
class HeldTable:
    """A canonical table in memory."""

    content: Content
    table: pa.Table

    @property
    def nbytes(self) -> int:
        return int(self.table.nbytes)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """The canonical bytes of a value that is no table."""

    content: Content
    data: bytes
    suffix: str

    @property
    def nbytes(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class HeldFiles:
    """Files that are in the store's `tmp/` already: copied as they were returned, or written
    batch by batch.
    """

    content: Content
    staged: tuple[StoredObject, ...]

    @property
    def nbytes(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class HeldSlices:
    """A table that is published in slices, by key in order; as a whole it is all of them."""

    content: Content
    parts: tuple[tuple[str, HeldTable], ...]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for _, part in self.parts)


@dataclass(frozen=True, slots=True)
class Written:
    """A version whose objects another process wrote, durably: only what is known of it."""

    content: Content

    @property
    def nbytes(self) -> int:
        return 0


class Vault:
    """Implements `lineal.assets.ports.Vault` over a folder of objects.

    Args:
        objects: where the bytes are.
        customs: formats that the project registers; they come before the ones here.
        identify: the identity of what a pickle names by (module, qualified name), or None.
        memory: bytes that a run may use; None: a quarter of the machine's.
        mapped: read tables from mapped memory: less of it is needed, less is copied.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        customs: Sequence[CustomFormat] = (),
        identify: Identify | None = None,
        memory: int | None = None,
        mapped: bool = False,
    ):
        self.objects = objects
        self._mapped = mapped
        self._memory = memory
        self._customs = tuple(customs)
        self._identify = identify

    # ------------------------------------------------------------------------- values in

    def canonical(
        self, value: Any, contract: Contract, *, rows: bool, name: str, by: str | None = None
    ) -> Canonical:
        """Bring a returned value into the form that every reader gets, and digest it.

        A version as the value is handed on as it is. `by`: a column by whose values a table is
        published in slices.

        Raises:
            ContentError: the value has no format, or a part of it no canonical form.
        """
        if isinstance(value, Content):
            return Written(value)
        if isinstance(value, HeldTable | HeldBytes | HeldFiles | Written):
            return value
        custom = self._custom_for(value, contract)
        chosen = choose(value, contract.format, rows, name) if custom is None else custom.name
        if by is not None:
            return _held_slices(value, contract, rows, name, by, chosen)
        if custom is not None:
            return self._saved(value, custom, name)
        if chosen == TABLE and not rows and is_stream(value):
            return self._streamed(value, contract, name)
        if chosen != TABLE and isinstance(value, GeneratorType):
            value = list(value)
        if chosen == TABLE:
            return _held_table(value, contract, rows, name)
        if chosen != BYTES:
            return self._encoded(value, chosen, name)
        if isinstance(value, PurePath):
            return self._taken_in(Path(value), name)
        return _held_file(bytes(value))

    def write(self, canonical: Canonical) -> Content:
        """Stage its objects; they are durable after `sync`. Threads may write at the same time."""
        if isinstance(canonical, HeldTable):
            return replace(canonical.content, objects=(self._write_table(canonical.table),))
        if isinstance(canonical, HeldBytes):
            stored = self.objects.put_bytes(canonical.data, canonical.suffix)
            return replace(canonical.content, objects=(stored,))
        if isinstance(canonical, HeldFiles):
            return replace(canonical.content, objects=canonical.staged)
        if isinstance(canonical, HeldSlices):
            objects = [self._write_table(part.table) for _, part in canonical.parts]
            return replace(canonical.content, objects=tuple(objects))
        if isinstance(canonical, Written):
            return canonical.content
        raise TypeError(f"a {type(canonical).__name__} is not from this vault")

    def sync(self) -> None:
        """Make everything written since the last sync durable."""
        self.objects.sync()

    def _streamed(self, value: Any, contract: Contract, name: str) -> HeldFiles:
        from lineal.storage.memory import quarter
        from lineal.storage.streams import take_in

        memory = quarter() if self._memory is None else self._memory
        content, stored = take_in(value, contract, name, self.objects, memory)
        return HeldFiles(content, (stored,))

    def _write_table(self, table: pa.Table) -> StoredObject:
        from lineal.storage.formats.parquet import write_parquet

        path = self.objects.scratch(TABLE)
        with refusals(path):
            write_parquet(table, path)
        return self.objects.adopt(path, TABLE)

    def _encoded(self, value: Any, form: str, name: str) -> HeldBytes:
        made = FORMATS[form].encode(value, name)
        digest = digest_of([SCHEME, form, made.digest, self._identities(made.names)])
        content = Content(digest, form, summary=made.summary)
        return HeldBytes(content, made.data, made.suffix)

    def _identities(self, names: Iterable[tuple[str, str]]) -> list[list[str]]:
        if self._identify is None:
            return []
        found = [(module, name, self._identify(module, name)) for module, name in names]
        return [[module, name, known] for module, name, known in found if known is not None]

    def _taken_in(self, path: Path, name: str) -> HeldFiles:
        form, staged = files.take_in(path, name, self.objects)
        if form == files.FILE:
            seen, summary = files.file_digest(staged[0]), files.file_summary(staged[0].bytes)
        else:
            seen, summary = files.folder_digest(staged), files.folder_summary(staged)
        content = Content(digest_of([SCHEME, form, seen]), form, summary=summary)
        return HeldFiles(content, tuple(staged))

    # ------------------------------------------------------------------- the project's classes

    @staticmethod
    def is_of_project(content: Content) -> bool:
        """Does a pickle name classes of the project? Its digest is then not that of its bytes."""
        if content.format not in (joblib.NAME, joblib.PICKLE):
            return False
        return _pickled(content, []) != content.digest

    @staticmethod
    def names(content: Content, value: Any) -> tuple[tuple[str, str], ...]:
        """The (module, class or function) that a version names, as it was loaded: what it needs."""
        form = FORMATS.get(content.format)
        return () if form is None else form.encode(value, content.summary).names

    def is_by_this_code(self, content: Content, names: Iterable[tuple[str, str]]) -> bool:
        """Is the code of all that a pickle names what it was as the value was stored?"""
        return _pickled(content, self._identities(names)) == content.digest

    def runs_as_stored(self, content: Content) -> bool:
        """Is the code of the project's classes in a value what it was when that was stored?

        Raises:
            ContentError: they are not there any more.
            IntegrityError: an object is gone or damaged.
        """
        custom = next((c for c in self._customs if c.name == content.format), None)
        if custom is not None:
            return self._custom_digest(custom, content.objects[0]) == content.digest
        if not self.is_of_project(content):
            return True
        return self.is_by_this_code(content, self.names(content, self.load(content, "auto")))

    # ------------------------------------------------------------------- the project's formats

    def _custom_for(self, value: Any, contract: Contract) -> CustomFormat | None:
        if contract.format is not None:
            return None
        by_type = {custom.type: custom for custom in self._customs}
        # The nearest class: one registered for a subclass comes before one for its parent.
        return next((by_type[c] for c in type(value).__mro__ if c in by_type), None)

    def _saved(self, value: Any, custom: CustomFormat, name: str) -> HeldFiles:
        path = self.objects.scratch(custom.suffix)
        with _in_custom(custom, f"`{name}`"):
            custom.save(value, path)
        if not path.is_file():
            raise ContentError(
                f"`{name}`: the registered `save` for {custom.name} wrote no file",
                advice="`save(value, path)` must write one file at `path`",
            )
        stored = self.objects.adopt(path, custom.suffix)
        summary = f"{type(value).__qualname__}, {size_text(stored.bytes)}"
        digest = self._custom_digest(custom, stored)
        return HeldFiles(Content(digest, custom.name, summary=summary), (stored,))

    def _custom_digest(self, custom: CustomFormat, stored: StoredObject) -> str:
        things = (custom.type, custom.save, custom.load)
        names = [(thing.__module__, thing.__qualname__) for thing in things]
        seen = [SCHEME, custom.name, files.file_digest(stored), self._identities(names)]
        return digest_of(seen)

    # ------------------------------------------------------------------------- values out

    def load(
        self,
        content: Versions,
        arrival: Arrival,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """A reader's own copy. From memory and from disk the same value arrives.

        A `path` is that of the read-only object, a folder's that of links to its objects.

        Raises:
            ContentError: a version of this format can't arrive so.
            IntegrityError: an object is gone or damaged.
        """
        if isinstance(content, Mapping):
            return self._load_several(content, arrival, columns)
        known = content if isinstance(content, Content) else content.content
        if arrival in ("path", "paths"):
            stored = content if isinstance(content, Content) else self.write(content)
            return self._paths(stored, arrival)
        if known.format == SLICES:
            return self._load_several(self._parts(content, known), arrival, columns)
        if known.format == TABLE:
            return self._load_table(content, arrival, columns)
        if columns is not None:
            raise ContentError(f"{_named(known)} is no table: it has no columns to choose from")
        if arrival in _TABULAR:
            return _as_rows(self._value(content, known), known, arrival)
        value = self._value(content, known)
        return _as_array(value, known) if arrival == "array" else value

    def _parts(
        self, content: Content | Canonical, known: Content
    ) -> dict[str, Content | Canonical]:
        """The slices of a table, each as a table."""
        if isinstance(content, HeldSlices):
            return dict(content.parts)
        whole = replace(known, format=TABLE)
        found = self._stored(content)
        return {str(i): replace(whole, objects=(each,)) for i, each in enumerate(found)}

    def _load_several(
        self,
        contents: Mapping[str, Content | Canonical],
        arrival: Arrival,
        columns: Sequence[str] | None,
    ) -> Any:
        """The versions of several partitions: their paths, or their rows as one table."""
        from lineal.storage.arrivals import batches_of, hand_over
        from lineal.storage.slices import together

        if arrival in ("path", "paths"):
            return [path for each in contents.values() for path in self.load(each, "paths")]
        known = [c if isinstance(c, Content) else c.content for c in contents.values()]
        if any(c.format != TABLE for c in known):
            raise ContentError(
                f"partitions of format `{known[0].format}` don't make one table",
                advice="take them apart: annotate the parameter `dict[str, …]`",
            )
        shapes = {tuple((column.name, column.type) for column in c.columns) for c in known}
        if arrival == "batches" and len(shapes) == 1:
            return batches_of(self._pieces(contents.values(), columns))
        tables = [self.load(each, "arrow", columns) for each in contents.values()]
        return hand_over(together(tables, list(contents)), arrival)

    def _pieces(
        self, contents: Iterable[Content | Canonical], columns: Sequence[str] | None
    ) -> Iterator[pa.Table]:
        """The rows of one partition after the other, none before they are wanted."""
        import pyarrow as pa

        for content in contents:
            batches = self.load(content, "batches", columns)
            yield batches.schema.empty_table()
            for batch in batches:
                yield pa.Table.from_batches([batch])

    def _load_table(
        self, content: Content | Canonical, arrival: Arrival, columns: Sequence[str] | None
    ) -> Any:
        from lineal.storage.arrivals import batches_of, check_columns, hand_over

        if isinstance(content, HeldTable):
            return hand_over(content.table, arrival, columns)
        from lineal.storage.formats.parquet import read_parquet, read_pieces

        known = content if isinstance(content, Content) else content.content
        check_columns([column.name for column in known.columns], columns)
        (stored,) = self._stored(content)
        path = self.objects.intact(stored)
        if arrival == "batches":
            return batches_of(read_pieces(path, columns))
        table = read_parquet(path, columns, memory_map=self._mapped)
        return hand_over(table, arrival, columns)

    def _value(self, content: Content | Canonical, known: Content) -> Any:
        if known.format == files.FOLDER:
            return self._folder(self._stored(content), known.digest)
        if known.format.startswith("custom:"):
            return self._load_custom(known.format, self._stored(content))
        if isinstance(content, HeldBytes):
            data = content.data
        else:
            (stored,) = self._stored(content)
            data = self.objects.read(stored)
        return data if known.format == files.FILE else FORMATS[known.format].decode(data)

    def _load_custom(self, form: str, objects: Sequence[StoredObject]) -> Any:
        custom = next((c for c in self._customs if c.name == form), None)
        if custom is None:
            raise ContentError(
                f"no format is registered for `{form.removeprefix('custom:')}`",
                advice="put back the `register(Type, suffix, save, load)` that wrote it",
            )
        (stored,) = objects
        path = self.objects.intact(stored)
        with _in_custom(custom, "a stored object"):
            return custom.load(path)

    def _paths(self, content: Content, arrival: Arrival) -> Path | list[Path]:
        if content.format == files.FOLDER:
            folder = self._folder(content.objects, content.digest)
            if arrival == "path":
                return folder
            return [folder / stored.path for stored in content.objects]
        (stored,) = content.objects
        path = self.objects.intact(stored)
        return path if arrival == "path" else [path]

    def _folder(self, objects: Sequence[StoredObject], digest: str) -> Path:
        return files.lay_out(digest, objects, self.objects)

    def _stored(self, content: Content | Canonical) -> tuple[StoredObject, ...]:
        if isinstance(content, HeldFiles):
            return content.staged
        return (content if isinstance(content, Content) else content.content).objects


def _pickled(content: Content, identities: list[list[str]]) -> str:
    """The digest of a content that one pickle is, and code of these identities."""
    (stored,) = content.objects
    return digest_of([SCHEME, content.format, stored.digest, identities])


def _held_table(value: Any, contract: Contract, rows: bool, name: str) -> HeldTable:
    from lineal.storage.content import canonical_table, column_digests

    table = canonical_table(value, contract, rows=rows, name=name)
    return _of_table(table, column_digests(table), TABLE)


def _held_slices(
    value: Any, contract: Contract, rows: bool, name: str, by: str, chosen: str
) -> HeldSlices:
    from lineal.storage.content import column_digests
    from lineal.storage.slices import split, together

    if chosen != TABLE or is_stream(value):
        raise ContentError(
            f"`{name}` is published by its column `{by}`, and it is no table in memory",
            advice="return a table; batches are published as a whole",
        )
    parts = []
    for key, table in split(_held_table(value, contract, rows, name).table, by, name):
        parts.append((key, _of_table(table, column_digests(table), TABLE)))
    if not parts:
        raise ContentError(f"`{name}` is published by its column `{by}`, and it has no rows")
    whole = together([part.table for _, part in parts], [key for key, _ in parts])
    summed = _of_table(whole, column_digests(whole), SLICES).content
    told = f"{summed.summary} in {len(parts)} slice{'s' if len(parts) > 1 else ''}"
    return HeldSlices(replace(summed, summary=told), tuple(parts))


def _of_table(table: pa.Table, columns: tuple[Column, ...], form: str) -> HeldTable:
    content = Content(
        content_digest(table.num_rows, columns),
        form,
        rows=table.num_rows,
        columns=columns,
        summary=table_summary(table.num_rows, len(columns)),
    )
    return HeldTable(content, table)


def _held_file(data: bytes) -> HeldBytes:
    stored = StoredObject(digest_bytes(data), "bin", len(data))
    digest = digest_of([SCHEME, files.FILE, files.file_digest(stored)])
    content = Content(digest, files.FILE, summary=files.file_summary(len(data)))
    return HeldBytes(content, data, stored.suffix)


def _as_rows(value: Any, known: Content, arrival: Arrival) -> Any:
    """`list[dict]` fits a plain list; no other table can be made of what was not stored as one."""
    if arrival == "rows" and isinstance(value, list):
        return value
    raise ContentError(
        f"{_named(known)} is no table, so it can't arrive as {arrival}",
        advice="annotate the parameter with the type that the asset returns, "
        'or make it a table: `@asset(format="parquet")`',
    )


def _as_array(value: Any, known: Content) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list):
        with contextlib.suppress(ValueError):  # rows of different lengths
            array = np.array(value)
            if array.dtype.kind in "biufU":
                return array
    raise ContentError(
        f"{_named(known)} can't arrive as a numpy array",
        advice="annotate the parameter with the type that the asset returns",
    )


def _named(content: Content) -> str:
    return f"a version of format `{content.format}` ({content.summary})"


@contextlib.contextmanager
def _in_custom(custom: CustomFormat, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ContentError(
            f"{what}: the registered format for {custom.name.removeprefix('custom:')} failed: "
            f"{type(error).__name__}: {error}",
            advice="mend its `save` and `load`",
        ) from error
