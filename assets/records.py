"""The facts: immutable records of what was observed, made, checked and published.

Each record goes to the journal as one JSON line and comes back equal (`to_json`, `from_json` in
lineage/journal). Digests are hex; times are UTC seconds since 1970; nothing here holds data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from lineal.assets.names import Step

DEFAULT_ENVIRONMENT = "default"
MODELS = frozenset({"joblib", "pickle", "skops"})  # formats of objects, as models are
SLICES = "slices"  # the format of a table that is published by a column: all its slices
REPLACED = "replaced"  # the value of the part of a resource that something stood in for


class Column(NamedTuple):
    """A column of a version: its name, its canonical type and the digest of its values."""

    name: str
    type: str
    digest: str


class StoredObject(NamedTuple):
    """One immutable file in the store, named by its byte digest. `path`: its place in a folder."""

    digest: str
    suffix: str
    bytes: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version: what any reader of it sees, by digest."""

    digest: str
    # parquet, joblib, pickle, skops, json, array, figure, file, folder, files (of a source), slices
    format: str
    objects: tuple[StoredObject, ...] = ()
    rows: int | None = None
    columns: tuple[Column, ...] = ()
    summary: str = ""  # `178 rows × 14`, `Pipeline`, `figure, 14 kB`

    @property
    def bytes(self) -> int:
        return sum(o.bytes for o in self.objects)


class SourceFile(NamedTuple):
    """One file of a source as observed: path, byte digest, identity on disk.

    `identity`: device, inode, size, mtime_ns, ctime_ns.
    """

    path: str
    digest: str
    bytes: int
    identity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a file source looked like at planning: its files in the order of their paths."""

    source: str
    files: tuple[SourceFile, ...]
    digest: str  # over the sorted (relative path, byte digest)


@dataclass(frozen=True, slots=True)
class RecipePart:
    """One piece of the code a step reaches: a function, class, constant, package, SQL text."""

    name: str  # `helpers.RATE`, `features.add_rush_hour`
    # function | class | constant | module | builtin | external | sql | macro | version | opaque |
    # resource
    kind: str
    digest: str
    value: str = ""  # short value of a constant; first line of code otherwise
    where: str = ""  # `features.py:14`
    via: str = ""  # the part that uses it: `add_rush_hour`
    text: str = ""  # of `sql` and `macro` the whole text, without comments and line breaks


@dataclass(frozen=True, slots=True)
class Recipe:
    """The identity of code: one digest over all its parts, and what it could not see."""

    digest: str
    parts: tuple[RecipePart, ...] = ()
    opaque: tuple[str, ...] = ()  # sentences: what could not be followed, where
    imports: tuple[str, ...] = ()  # top-level third-party modules the code reaches
    variables: tuple[str, ...] = ()  # environment variables read by a literal name
    impure: tuple[str, ...] = ()  # clock and unseeded randomness found in reached code
    watched: tuple[tuple[str, str], ...] = ()  # (path literal that names a project file, place)


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """The environment a step runs in, by policy: Python, distributions, variables."""

    digest: str
    python: str
    packages: tuple[tuple[str, str], ...]  # (distribution, version as the policy shows it)
    variables: tuple[tuple[str, str], ...]  # (name, digest of the value: never the value)


class Used(NamedTuple):
    """What one reader reads of one input: version, columns, and the digest of just that."""

    parameter: str
    asset: str
    partition: str | None
    # all | columns | shape (columns, and the names and types of the others) | files | result |
    # none (of no partition)
    mode: str
    digest: str  # used digest
    content: str  # content digest of the version it comes from
    materialization: str  # id of the source materialization
    columns: tuple[str, ...] = ()  # read columns, when mode is columns or shape
    arrival: str = "auto"  # as a frame, a list of rows, …: another arrival is another input


ReasonKind = Literal[
    "never_made", "code_changed", "parameter_changed", "environment_changed", "input_changed",
    "contract_changed", "check_changed", "check_failed", "object_missing", "unproved", "volatile",
    "due", "forced", "promoted", "given_up",
]  # fmt: skip


class Reason(NamedTuple):
    """Why a step is stale: kind · culprit · place · old → new."""

    kind: ReasonKind
    culprit: str = ""
    where: str = ""
    old: str = ""
    new: str = ""

    @property
    def detail(self) -> str:
        change = f"{self.old} → {self.new}" if self.old or self.new else ""
        return "  ".join(part for part in (self.where, self.culprit, change) if part)


class ErrorFacts(NamedTuple):
    """An error as recorded: type, message, the user's own line."""

    type: str
    message: str
    where: str = ""
    line: str = ""


class Attempt(NamedTuple):
    """An attempt at a step that failed and was tried again."""

    number: int  # 1 is the first
    started_at: float
    seconds: float
    error: ErrorFacts


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check on one content, known by recipe and what it read."""

    fingerprint: str
    name: str
    asset: str
    partition: str | None
    content: str
    severity: str
    passed: bool
    recipe: str
    failing_rows: int | None = None
    message: str = ""
    sample: tuple[tuple[str, ...], ...] = ()  # header row, then a few failing rows as text
    seconds: float = 0.0
    unwatched: tuple[tuple[str, str, str], ...] = ()  # (path, digest, place) read, not declared


StepOutcome = Literal[
    "fresh", "made", "reused", "failed", "skipped", "blocked", "closed", "cancelled"
]


@dataclass(frozen=True, slots=True)
class Materialization:
    """The immutable record of one attempt at a step.

    `id` is `<run>.<position>`; `origin` is the materialization whose computation made the bytes
    (itself, unless reused). `content` is None when it failed.
    """

    id: str
    run: str
    asset: str
    partition: str | None
    outcome: Literal["made", "reused", "failed", "blocked"]
    kind: str  # the asset's kind: python | sql | files | fetch
    fingerprint: str
    recipe: str
    environment: str  # digest of its EnvironmentFacts
    contract: str  # digest
    parameters: tuple[tuple[str, str], ...] = ()  # (name, canonical JSON text of the value)
    inputs: tuple[Used, ...] = ()
    content: Content | None = None
    files: tuple[SourceFile, ...] = ()  # of a file source
    checks: tuple[str, ...] = ()  # fingerprints of the check results that judged it
    unwatched: tuple[tuple[str, str, str], ...] = ()  # (path, digest, place) read, not declared
    metrics: tuple[tuple[str, float], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    error: ErrorFacts | None = None
    attempts: tuple[Attempt, ...] = ()  # those that failed before this one, in this run
    origin: str = ""
    started_at: float = 0.0
    seconds: float = 0.0

    @property
    def step(self) -> Step:
        return Step(self.asset, self.partition)


class Brief(NamedTuple):
    """What planning needs of a current version, where there are too many to look at each fact."""

    materialization: str  # id
    fingerprint: str
    content: str  # digest
    objects: tuple[StoredObject, ...]
    seconds: float
    plain: bool  # made or reused, judged by no check, read no file that nobody declared
    format: str = ""  # of the content
    outcome: StepOutcome = "made"
    summary: str = ""  # of the content


class Publication(NamedTuple):
    """The act that makes a version the one an environment shows for a step."""

    environment: str
    asset: str
    partition: str | None
    materialization: str
    content: str
    run: str


class Retirement(NamedTuple):
    """A partition that is no longer defined, or whose file is gone: it is current no more."""

    environment: str
    asset: str
    partition: str | None
    materialization: str  # what was current
    reason: str  # a sentence: `data/2013-02.csv is gone`
    run: str


class RunStarted(NamedTuple):
    run: str
    environment: str
    who: str
    host: str
    command: tuple[str, ...]
    started_at: float
    python: str
    lineal: str
    git_commit: str = ""
    git_dirty: bool = False
    planned: int = 0
    sources: StoredObject | None = None  # the project's own code and settings as they ran


class RunEnded(NamedTuple):
    run: str
    outcome: Literal["done", "failed", "cancelled"]
    counts: Mapping[str, int]
    ended_at: float


class Acceptance(NamedTuple):
    """A person's word that two recipes of an asset are equivalent."""

    asset: str
    old_recipe: str
    new_recipe: str
    reason: str
    who: str
    at: float


class Registered(NamedTuple):
    """A numbered name for a materialization of a model. A content has one number in a registry."""

    registry: str
    version: int  # 1 is the first
    asset: str
    partition: str | None
    materialization: str
    content: str  # digest
    run: str
    at: float
    who: str
    tags: tuple[str, ...] = ()


class Tagged(NamedTuple):
    """The tags of a registered version are these from now on."""

    registry: str
    version: int
    tags: tuple[str, ...]
    run: str
    who: str
    at: float


class Hold(NamedTuple):
    """Promotion by gates is suspended in a registry (`held`), or goes on again."""

    registry: str
    held: bool
    run: str
    who: str
    reason: str
    at: float


class Score(NamedTuple):
    """A metric of a candidate, and of the version that it was compared with, if there was one."""

    metric: str
    candidate: float
    production: float | None = None


GateOutcome = Literal["opened", "closed", "kept", "held", "would open", "would close"]


class Decided(NamedTuple):
    """What a gate decided of a candidate: once for each `key`, whatever happens after.

    Attributes:
        gate: the asset; materialization: of its step, that holds the scores of the candidate.
        key: digest of all that determines which question was decided: what the scores of the
            candidate rest on, the rules, the registry, the alias.
        candidate: the materialization of the model; content: its digest.
        version: its number, if it has one after this decision.
        compared: the version that the alias named meanwhile; it was scored on the same data.
        outcome: opened: promoted · closed · kept: it is what the alias names already · held: as the
            registry is held, nothing was decided · would open, would close: in an environment that
            doesn't promote.
        unscored: why the version in production could not be scored; decided again once the alias
            names another.
        scores: by metric; rules: (metric, the rule as a text).
    """

    gate: str
    materialization: str
    registry: str
    alias: str
    key: str
    candidate: str
    content: str
    version: int | None
    compared: int | None
    outcome: GateOutcome
    reason: str
    scores: tuple[Score, ...]
    rules: tuple[tuple[str, str], ...]
    environment: str
    run: str
    at: float
    unscored: ErrorFacts | None = None


class Promotion(NamedTuple):
    """One move of an alias of a registry; `environment`: where the move was made.

    `how`: a gate opened, a person said so, or a person took back what `previous` was: that version
    is withdrawn, and no gate promotes it again.
    """

    id: str  # names it to the outside world
    registry: str
    alias: str
    version: int
    previous: int | None  # the version that the alias moved from
    environment: str
    run: str
    who: str
    reason: str
    scores: tuple[Score, ...]  # as compared; of a move by hand those of its last comparison
    at: float
    how: Literal["gate", "person", "rollback"]
    gate: str = ""  # the asset, if one opened


class AssetFacts(NamedTuple):
    """How an asset was declared in a run; written when it differs from the last one known."""

    asset: str
    kind: str
    description: str
    owner: str
    tags: tuple[str, ...]
    where: str
    columns_declared: tuple[str, ...] = ()
    partitions: str = ""  # `monthly from 2013-01`; of none, nothing
    columns: tuple[tuple[str, str], ...] = ()  # (column, what it is), as far as it is described
    derives: tuple[tuple[str, str, str], ...] = ()  # (column, input's parameter, its column)


# What one journal entry may hold, in this order within an entry.
Fact = (
    RunStarted
    | AssetFacts
    | Recipe
    | EnvironmentFacts
    | CheckResult
    | Materialization
    | Publication
    | Retirement
    | Acceptance
    | Registered
    | Tagged
    | Hold
    | Decided
    | Promotion
    | RunEnded
)
