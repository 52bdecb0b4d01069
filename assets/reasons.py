"""Why a step is stale: one small predicate a reason, each naming its culprit.  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lineal.assets.asset import Asset, Check
from lineal.assets.content import columns_difference, few
from lineal.assets.facts import Facts, contract_digest, parameter_texts, parameters_of
from lineal.assets.names import Step
from lineal.assets.records import (
    REPLACED,
    CheckResult,
    Content,
    EnvironmentFacts,
    Materialization,
    Reason,
    Recipe,
    RecipePart,
    SourceFile,
    Used,
)
from lineal.assets.verdicts import Known

# Reached only if a fingerprint moved and no part of it did: said, and recomputed.
UNEXPLAINED = (Reason("unproved", "its fingerprint differs, and no part of it explains why"),)

_OF_COLUMNS = {"all", "columns", "shape"}  # modes of reading a table

_TOLD = 12  # reasons about inputs that are told one by one

# Likewise, of a partition that code is told more of than its key.
OTHER_SLICE = (Reason("contract_changed", "what its partition stands for: times, names, values"),)

CONTRACT = "format, key, order, schema or outputs"
Currents = Mapping[str, Materialization | None]


def distinct(found: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(found))


def own(
    asset: Asset, partition: str | None, current: Currents, facts: Facts, *, kind: str
) -> tuple[Reason, ...]:
    """The reasons that need no input: known even while inputs are pending."""
    found: list[Reason] = []
    for output, made in current.items():
        past = compared(output, current, partition, facts)
        if past is None:
            found.append(Reason("never_made"))
            continue
        found.extend(code(asset, past, facts))
        found.extend(parameters(asset, past, facts))
        found.extend(environment(asset, past, facts))
        if past.contract != contract_digest(asset, kind):
            found.append(Reason("contract_changed", CONTRACT))
        if made is None and not found:
            retired = partition in facts.past.retired(output)
            found.append(Reason("never_made", "it was retired" if retired else "never published"))
    found.extend(never_reuse(asset, partition, current, facts))
    return distinct(found)


def compared(
    output: str, current: Currents, partition: str | None, facts: Facts
) -> Materialization | None:
    """The version that now is held against: the current one, else the last that succeeded."""
    made = current[output]
    last = facts.past.last(output, partition) if made is None else None
    return last if last is not None and last.content is not None else made


def never_reuse(
    asset: Asset, partition: str | None, current: Currents, facts: Facts
) -> tuple[Reason, ...]:
    """Reasons that ask for a computation even if this very one was made before."""
    found: list[Reason] = []
    if partition in facts.forced.get(asset.name, ()):
        found.append(Reason("forced"))
    if asset.volatile:
        found.append(Reason("volatile", asset.volatile_by))
    for made in current.values():
        if made is not None:
            found.extend(unproved(made, facts))
    return distinct(found)


def unproved(made: Materialization, facts: Facts) -> Iterable[Reason]:
    """A file that the step read without declaring it has another content now."""
    return moved(made.unwatched, facts)


def moved(unwatched: Iterable[tuple[str, str, str]], facts: Facts) -> Iterable[Reason]:
    """The files that differ from when they were read; one that was not there has no digest."""
    for path, digest, place in unwatched:
        now = facts.file_digest(path) or ""
        if now != digest:
            change = (_short(digest) or "absent", _short(now) or "gone")
            yield Reason("unproved", path, place, *change)


def code(asset: Asset, past: Materialization, facts: Facts) -> Iterable[Reason]:
    now = facts.recipes[asset.name]
    if past.recipe == now.digest or facts.past.accepted(asset.name, past.recipe, now.digest):
        return
    before = facts.past.recipe(past.recipe)
    if before is None:
        yield Reason("code_changed", "what it was is no longer known")
        return
    yield from recipe_difference(before, now)


def recipe_difference(before: Recipe, now: Recipe) -> Iterable[Reason]:
    """The parts that differ, constants with their values."""
    old = {(p.kind, p.name): p for p in before.parts}
    new = {(p.kind, p.name): p for p in now.parts}
    told = False
    whole: list[Reason] = []  # resources that differ: told by their parts, where those tell
    for key, part in new.items():
        was = old.get(key)
        if was is not None and was.digest != part.digest and _whole(part):
            if REPLACED in (was.value, part.value):
                told = True
                again = "" if part.value == REPLACED else " no longer"
                yield Reason("code_changed", f"{part.name}{again} {REPLACED}", part.where)
            else:
                whole.append(Reason("code_changed", part.name, part.where))
        elif was is None or was.digest != part.digest:
            told = True
            yield Reason(
                "code_changed",
                part.name,
                part.where,
                "" if was is None else was.value,
                part.value or ("" if was is not None else "new"),
            )
    for key, part in old.items():
        if key not in new:
            told = True
            yield Reason("code_changed", part.name, part.where, part.value, "gone")
    if not told:
        yield from whole or [Reason("code_changed", "how its parts use each other")]


def _whole(part: RecipePart) -> bool:
    return part.kind == "resource" and not part.via


def parameters(asset: Asset, past: Materialization, facts: Facts) -> Iterable[Reason]:
    old = dict(past.parameters)
    new = dict(parameter_texts(parameters_of(asset, facts, past.partition)))
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Reason(
                "parameter_changed", name, "", old.get(name, "unset"), new.get(name, "unset")
            )


def environment(asset: Asset, past: Materialization, facts: Facts) -> Iterable[Reason]:
    now = facts.environments[asset.name]
    if past.environment == now.digest:
        return
    before = facts.past.environment_facts(past.environment)
    if before is None:
        yield Reason("environment_changed", "what it was is no longer known")
        return
    yield from environment_difference(before, now)


def environment_difference(before: EnvironmentFacts, now: EnvironmentFacts) -> Iterable[Reason]:
    old = {"python": before.python, **dict(before.packages)}
    new = {"python": now.python, **dict(now.packages)}
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            change = (old.get(name, "absent"), new.get(name, "absent"))
            yield Reason("environment_changed", name, "", *change)
    if before.variables != now.variables:
        was, is_ = dict(before.variables), dict(now.variables)
        for name in sorted({*was, *is_}):
            if was.get(name) != is_.get(name):
                # The value itself may be a secret: only that it differs is told.
                yield Reason("environment_changed", f"variable {name}")
    if old == new and before.variables == now.variables:
        yield Reason("environment_changed", "how it is looked at")


def inputs(
    partition: str | None,
    current: Currents,
    used: Sequence[Used],
    known: Mapping[Step, Known],
    facts: Facts,
    partial: bool = False,
) -> tuple[Reason, ...]:
    """Which inputs differ from those of the version at hand, and in which columns or files.

    Args:
        partition: of the step whose versions these are.
        known: what is settled of the inputs.
        partial: some inputs are pending: those not in `used` are not called gone.
    """
    found: list[Reason] = []
    for output in current:
        past = compared(output, current, partition, facts)
        if past is None:
            continue
        old = {_place(u): u for u in past.inputs}
        for one in used:
            was = old.pop(_place(one), None)
            if was != one:
                found.extend(_one_input(was, one, known, past, facts))
        if partial:
            continue
        found.extend(Reason("input_changed", _named(u), "", "", "gone") for u in old.values())
        order = [_place(u) for u in past.inputs]
        if not found and order != [_place(u) for u in used]:
            found.append(Reason("input_changed", "the order of inputs"))
    return _a_few(distinct(found))


def _place(used: Used) -> tuple[str, str | None]:
    """What is compared with what: of several partitions each by itself."""
    return used.parameter, used.partition if used.arrival.split(" ")[0] in ("all", "each") else None


def _named(used: Used) -> str:
    return used.asset if used.partition is None else f"{used.asset} {used.partition}"


def _one_input(
    was: Used | None, one: Used, known: Mapping[Step, Known], past: Materialization, facts: Facts
) -> Iterable[Reason]:
    of_columns = was is not None and {was.mode, one.mode} <= _OF_COLUMNS
    if was is None:
        yield Reason("input_changed", _named(one), "", "", "new")
    elif of_columns and (was.mode, was.columns) != (one.mode, one.columns):
        told = _read_otherwise(was, one, _content(was, facts), _settled(one, known))
        yield Reason("input_changed", f"{_named(one)}: {told}")
    elif was.arrival != one.arrival:
        told = f"{_named(one)} arrives otherwise"
        yield Reason("input_changed", told, "", was.arrival, one.arrival)
    elif (was.mode, was.digest) != (one.mode, one.digest):
        yield _input_difference(was, one, _settled(one, known), past, facts)


def _settled(used: Used, known: Mapping[Step, Known]) -> Content | None:
    version = known.get(Step(used.asset, used.partition))
    return version.content if version is not None else None


def _a_few(found: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Of hundreds of partitions the first ones stand for all."""
    if len(found) <= _TOLD:
        return found
    more = f"{len(found) - _TOLD + 1:,} more"
    return (*found[: _TOLD - 1], Reason("input_changed", more))


def _input_difference(
    was: Used, now: Used, after: Content | None, past: Materialization, facts: Facts
) -> Reason:
    if now.mode == "files":
        return _files_difference(was, now, past, facts)
    before = _content(was, facts)
    what = ""
    if before is not None and after is not None:
        read = now.columns if now.mode in ("columns", "shape") else None
        what = columns_difference(before, after, read, shape=now.mode == "shape")
    if now.mode == "result" and was.content == now.content:
        what = "metrics"
    culprit = f"{_named(now)}{f' ({what})' if what else ''}"
    return Reason("input_changed", culprit, "", _short(was.content), _short(now.content))


def _read_otherwise(was: Used, now: Used, before: Content | None, after: Content | None) -> str:
    """Other columns are read, or more is seen of them: what became of the input, or of the text."""
    there = {c.name for c in before.columns} if before is not None else set(was.columns)
    here = {c.name for c in after.columns} if after is not None else set(now.columns)
    came = [name for name in now.columns if name not in was.columns and name in here - there]
    gone = [name for name in was.columns if name not in now.columns and name in there - here]
    told = [f"has {few(came)} now, which is read"] if came else []
    told += [f"has no {few(gone)} any more"] if gone else []
    if was.mode != now.mode:
        return " and ".join(told) or f"reads {_read(now)} now, before {_read(was)}"
    more = [name for name in now.columns if name not in (*was.columns, *came)]
    less = [name for name in was.columns if name not in (*now.columns, *gone)]
    told += [f"reads {few(more)} too"] if more else []
    told += [f"no longer reads {few(less)}"] if less else []
    return " and ".join(told) or "its columns in another order"


def _read(used: Used) -> str:
    if used.mode == "all":
        return "all columns"
    found = few(used.columns) or "no column, only how many rows there are"
    return f"{found}, and what other columns there are" if used.mode == "shape" else found


def _content(used: Used, facts: Facts) -> Content | None:
    made = facts.past.materialization(used.materialization)
    return made.content if made is not None else None


def _files_difference(was: Used, now: Used, past: Materialization, facts: Facts) -> Reason:
    seen = facts.observations.get(Step(now.asset, now.partition))
    before = past.files
    if not before and was.materialization:
        made = facts.past.materialization(was.materialization)
        before = made.files if made is not None else ()
    if seen is None or not before:
        return Reason("input_changed", now.asset, "", _short(was.digest), _short(now.digest))
    return Reason("input_changed", changed_files(before, seen.files), "", "", "")


def changed_files(before: Sequence[SourceFile], after: Sequence[SourceFile]) -> str:
    old, new = {f.path: f.digest for f in before}, {f.path: f.digest for f in after}
    told = [f"{p} is new" for p in new if p not in old]
    told += [f"{p} is gone" for p in old if p not in new]
    told += [f"{p} has new content" for p in new if p in old and old[p] != new[p]]
    if not told:
        return "the order of its files"
    return told[0] if len(told) == 1 else f"{told[0]}, and {len(told) - 1} more"


def lost(current: Currents, facts: Facts) -> tuple[Reason, ...]:
    """The object of the current version is not there any more."""
    return tuple(
        Reason("object_missing", _object_names(made.content))
        for made in current.values()
        if made is not None and made.content is not None and not facts.present(made.content)
    )


def _object_names(content: Content) -> str:
    first = content.objects[0] if content.objects else None
    return f"objects/{first.digest[:2]}/{first.digest[:12]}….{first.suffix}" if first else "files"


def fetch(
    asset: Asset, partition: str | None, current: Currents, facts: Facts
) -> tuple[Reason, ...]:
    """Why a source must be fetched: never, lost, due, forced, or another contract."""
    found: list[Reason] = []
    if partition in facts.forced.get(asset.name, ()):
        found.append(Reason("forced"))
    if asset.volatile:
        found.append(Reason("volatile", asset.volatile_by))
    for made in current.values():
        if made is None or made.content is None:
            found.append(Reason("never_made"))
            continue
        if not facts.present(made.content):
            found.append(Reason("object_missing", _object_names(made.content)))
        if made.contract != contract_digest(asset, "fetch"):
            found.append(Reason("contract_changed", CONTRACT))
        found.extend(stand_ins(asset, made, facts))
        if is_due(asset, made, facts):
            found.append(Reason("due", f"refetch every {_duration(asset)}"))
    return distinct(found)


def stand_ins(asset: Asset, made: Materialization, facts: Facts) -> Iterable[Reason]:
    """What was fetched through a stand-in for a resource is no fact about the world.

    Other changes of the code that fetches make nothing stale.
    """
    now = facts.recipes[asset.name]
    before = facts.past.recipe(made.recipe) if made.recipe != now.digest else None
    if before is not None:
        old, new = _replaced(before), _replaced(now)
        for name, part in {**old, **new}.items():
            if old.get(name) != new.get(name):
                again = "" if name in new else " no longer"
                yield Reason("code_changed", f"{name}{again} {REPLACED}", part.where)


def _replaced(recipe: Recipe) -> dict[str, RecipePart]:
    return {part.name: part for part in recipe.parts if part.value == REPLACED and _whole(part)}


def is_due(asset: Asset, made: Materialization, facts: Facts) -> bool:
    every = asset.fetch.refetch if asset.fetch is not None else None
    return every is not None and facts.now - made.started_at >= every


def _duration(asset: Asset) -> str:
    seconds = asset.fetch.refetch if asset.fetch is not None else None
    return f"{seconds:g} s" if seconds is not None else ""


def check_failed(result: CheckResult) -> Reason:
    told = f"{result.name}: {result.message}" if result.message else result.name
    return Reason("check_failed", told)


def asked_anew(check: Check, recipe: Recipe, made: Materialization, facts: Facts) -> Reason:
    """Why a version is checked that is there already: the check is new or changed, or what it reads
    beside the version is.
    """
    results = (facts.past.check(fingerprint) for fingerprint in made.checks)
    same = any(r and (r.name, r.recipe) == (check.name, recipe.digest) for r in results)
    others = [f"`{g.asset}`" for g in check.inputs if g.asset and g.asset != check.asset]
    culprit = check.name
    if same and others:
        culprit = f"{check.name} reads {', '.join(others)}, which changed"
    file = check.where.file.rpartition("/")[2]
    return Reason("check_changed", culprit, f"{file}:{check.where.line}")


def _short(digest: str | None) -> str:
    return f"@{digest[:6]}" if digest else ""
