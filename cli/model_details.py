"""What is said of one registered version, and of how two differ: lines for people, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineal.answers import InputRead, ModelsDifference, ModelShown, ModelVersion, TrainingFile
from lineal.assets.notebook import size_text
from lineal.assets.records import Decided, EnvironmentFacts, Promotion, Reason, Recipe, Score
from lineal.cli.documents import instant, reasons
from lineal.cli.gates import named, scores_document
from lineal.cli.model_lines import (
    number,
    promotion_document,
    span_of,
    version_document,
)
from lineal.cli.planned import reason_lines
from lineal.cli.render import GLYPHS, Style, moment, name_column, padded, plural, shorten, span

_FILES = 12
_NAMED = 6  # columns and parts of code, if not all are wanted
_REASONS = 6  # of an asset
_MOVES = 8
_VALUE = 200  # signs of a value that was read

Pairs = Mapping[str, tuple[Any, Any]]  # name → (before, after)

# ------------------------------------------------------------------------------------ one version


def model_lines(style: Style, found: ModelShown, verbose: bool) -> list[str]:
    """What it is, then its past, then what it rests on."""
    version = found.version
    rows = style.folded("   ".join(_head(version)), "", "  ")
    for title, told in (
        ("metrics", "   ".join(f"{n} {number(v)}" for n, v in version.metrics.items())),
        ("set", "   ".join(f"{n}={v}" for n, v in found.parameters)),
        ("tags", "   ".join(version.tags)),
        ("code", _code(found, verbose)),
        ("packages", _packages(found.environment, verbose)),
    ):
        rows += style.folded(told, f"{title:<9}") if told else []
    for title, lines in (
        ("moves", _moves(style, found.moves, verbose)),
        ("gates", [row for d in found.decisions for row in _decision(style, d)]),
        ("read by its training", [row for i in found.inputs for row in _input(style, i, verbose)]),
        (_files_title(found.files), _files(style, found.files, verbose)),
    ):
        rows += ["", title, *lines] if lines else []
    return [style.text(row).rstrip() for row in rows]


def _head(version: ModelVersion) -> list[str]:
    registered, made, trained = version.registered, version.made, version.trained
    label = [f"{registered.registry} v{registered.version}", *version.aliases]
    told = [", ".join(label)]
    if version.withdrawn is not None:
        told.append(f"withdrawn {moment(version.withdrawn.at)}")
    if made is None or made.content is None:
        return [*told, "nothing is recorded of what it was"]
    told.append(f"{made.step}@{registered.content[:6]}")
    told += [made.content.summary, size_text(made.content.bytes)]
    told.append(f"registered {moment(registered.at)} by {registered.who}")
    if trained is not None and trained.id != made.id:
        told.append(f"trained as {trained.step} in {trained.run}")
    return told


def _code(found: ModelShown, verbose: bool) -> str:
    """`a90c1d7 (clean)   pipeline.delay_model, helpers.LATE, …`"""
    run = found.version.run
    told = []
    if run is not None and run.git_commit:
        told.append(f"{run.git_commit[:7]} ({'with changes' if run.git_dirty else 'clean'})")
    if found.code is not None:
        names = [f"{p.name} {p.where}".strip() for p in found.code.parts]
        told.append(_few(names, verbose))
    return "   ".join(told)


def _packages(environment: EnvironmentFacts | None, verbose: bool) -> str:
    if environment is None:
        return ""
    told = [f"{name} {version}" for name, version in environment.packages]
    return ", ".join([f"python {environment.python}", _few(told, verbose)]).rstrip(", ")


def _few(names: Sequence[str], verbose: bool) -> str:
    shown = names if verbose else names[:_NAMED]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f", … {rest:,} more (-v)" if rest else "")


def _moves(style: Style, moves: Sequence[Promotion], verbose: bool) -> list[str]:
    """Every move to this version or away from it, the newest first."""
    shown = moves if verbose else moves[-_MOVES:]
    rows: list[str] = []
    for move in reversed(shown):
        before = f"v{move.previous} → " if move.previous is not None else ""
        by = f"by {move.gate}" if move.gate else f"by {move.who}"
        how = "rolled back " if move.how == "rollback" else ""
        told = [f"{move.alias}: {before}v{move.version}", f"{how}{by}"]
        if move.gate:
            told += [move.reason or _scores(move.scores)]
        else:
            told += [f'"{move.reason}"'] if move.reason else []
            told += [_scores(move.scores)] if move.scores else []
        rows += style.folded("   ".join(told), f"  {padded(moment(move.at), 12)}  ")
    if len(moves) > len(shown):
        rows.append(f"  … {len(moves) - len(shown):,} more (-v)")
    return rows


def _decision(style: Style, decided: Decided) -> list[str]:
    opened = decided.outcome in ("opened", "kept", "would open")
    shape, twin, _ = GLYPHS["opened" if opened else "closed"]
    glyph = f"{twin:<2}" if style.ascii else shape
    told = [f"{decided.gate}: {decided.outcome}", decided.reason or _scores(decided.scores)]
    head = f"  {padded(moment(decided.at), 12)}  {glyph} "
    return style.folded("   ".join(filter(None, told)), head)


def _scores(scores: Iterable[Score]) -> str:
    told = []
    for score in scores:
        against = f" vs {number(score.production)}" if score.production is not None else ""
        told.append(f"{score.metric} {number(score.candidate)}{against}")
    return ", ".join(told)


def _input(style: Style, read: InputRead, verbose: bool) -> list[str]:
    """`train   244,737 rows   11 of 24 columns: rush, hour, …`"""
    told = []
    if read.partitions:
        told.append(f"{plural(len(read.partitions), 'partition')} {span_of(read.partitions)}")
    if read.rows is not None:
        told.append(plural(read.rows, "row"))
    if read.known:
        count = f"{len(read.columns):,} of {plural(read.known, 'column')}"
        told.append(f"{count}: {_few(read.columns, verbose)}")
    if read.value is not None:
        text = repr(read.value)
        told.append(text if verbose or style.piped else shorten(text, _VALUE, style.mark))
    return style.folded("   ".join(told) or "read whole", f"  {read.asset}   ", "      ")


def _files_title(files: Sequence[TrainingFile]) -> str:
    paths = {file.path for file in files if file.path is not None}
    fetched = sum(file.path is None for file in files)
    told = [plural(len(paths), "file")] if paths else []
    told += [f"{fetched:,} fetched"] if fetched else []
    return f"made of {' and '.join(told)}"


def _files(style: Style, files: Sequence[TrainingFile], verbose: bool) -> list[str]:
    shown = files if verbose or style.piped else files[:_FILES]
    names = [_place(file) for file in shown]
    width = min(max(map(span, names), default=4), style.width // 2)
    rows = []
    for file, name in zip(shown, names, strict=True):
        digest = file.digest if style.piped else file.digest[:12]
        count = plural(file.rows, "row") if file.rows is not None else ""
        told = "   ".join(filter(None, (digest, f"{file.bytes:,} bytes", count)))
        rows += style.folded(told, f"  {padded(name, width)}   ", "      ")
    if len(files) > len(shown):
        rows.append(f"  … {len(files) - len(shown):,} more (-v)")
    return rows


def _place(file: TrainingFile) -> str:
    if file.path is not None:
        return file.path
    return file.asset if file.partition is None else f"{file.asset} {file.partition}"


# ------------------------------------------------------------------------------------- two versions


def compared_lines(style: Style, found: ModelsDifference, verbose: bool) -> list[str]:
    before, after = found.before.version, found.after.version
    names = f"{before.name} → {after.name}"
    if found.same:
        told = f"{before.name} and {after.name} are one version: nothing differs."
        return style.folded(told, "", "  ")
    rows = style.folded(f"{names}: {_sentence(found)}.", "", "  ")
    for title, lines in (
        ("metrics", _pairs(style, metrics_of(found), number)),
        ("set", _pairs(style, parameters_of(found), str)),
        ("trained on", _trained(style, found)),
        ("files", _changed_files(style, found, verbose)),
        ("made otherwise", _made(style, found.made, verbose)),
        ("packages", _pairs(style, packages_of(found), str)),
    ):
        rows += ["", title, *lines] if lines else []
    return [style.text(row).rstrip() for row in rows]


def _sentence(found: ModelsDifference) -> str:
    """What differs, in one line."""
    parts = sum(len(each) for each in found.made.values())
    files = len(found.added) + len(found.removed) + len(found.changed)
    told = [
        plural(count, noun)
        for count, noun in (
            (len(metrics_of(found)), "metric"),
            (len(parameters_of(found)), "parameter"),
            (files, "file"),
            (parts, "code part"),
            (len(packages_of(found)), "package"),
        )
        if count
    ]
    if not told:
        return "other bytes, and nothing is recorded that differs"
    alone = len(told) == 1 and told[0].startswith("1 ")
    return f"{', '.join(told)} {'differs' if alone else 'differ'}"


def metrics_of(found: ModelsDifference) -> Pairs:
    return _differing(found.before.version.metrics, found.after.version.metrics)


def parameters_of(found: ModelsDifference) -> Pairs:
    """Those of the training; of one of a grid, its place in it."""
    return _differing(dict(found.before.parameters), dict(found.after.parameters))


def packages_of(found: ModelsDifference) -> Pairs:
    return _differing(_versions(found.before), _versions(found.after))


def _versions(found: ModelShown) -> dict[str, str]:
    environment = found.environment
    if environment is None:
        return {}
    return {"python": environment.python, **dict(environment.packages)}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Pairs:
    both = {name: (before.get(name), after.get(name)) for name in {**before, **after}}
    return {name: pair for name, pair in both.items() if not _alike(*pair)}


def _alike(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # NaN


def _pairs(style: Style, pairs: Pairs, worded: Any) -> list[str]:
    width = min(max(map(span, pairs), default=4), style.width // 2)
    rows = []
    for name, (old, new) in pairs.items():
        told = " → ".join("none" if v is None else worded(v) for v in (old, new))
        if isinstance(old, float) and isinstance(new, float):
            told += f"   ({new - old:+.4g})"
        rows += style.folded(told, f"  {padded(name, width)}   ")
    return rows


def _trained(style: Style, found: ModelsDifference) -> list[str]:
    """How many rows, and which partitions, if that differs."""
    old, new = found.before.version, found.after.version
    if (old.rows, old.partitions) == (new.rows, new.partitions):
        return []
    sides = []
    for version in (old, new):
        rows = [plural(version.rows, "row")] if version.rows is not None else []
        sides.append(" of ".join(filter(None, [*rows, span_of(version.partitions)])) or "no table")
    return style.folded(" → ".join(sides), "  ")


def _changed_files(style: Style, found: ModelsDifference, verbose: bool) -> list[str]:
    told = [("+", "green", file, _size(file)) for file in found.added]
    told += [("-", "red", file, _size(file)) for file in found.removed]
    told += [("~", "yellow", new, _change(old, new)) for old, new in found.changed]
    shown = told if verbose or style.piped else told[:_FILES]
    width = min(max((span(_place(f)) for _, _, f, _ in shown), default=4), style.width // 2)
    rows = []
    for sign, colour, file, what in shown:
        head = f"  {style.coloured(sign, colour)} {padded(_place(file), width)}   "
        rows += style.folded(what, head, "      ")
    if len(told) > len(shown):
        rows.append(f"  … {len(told) - len(shown):,} more (-v)")
    return rows


def _size(file: TrainingFile) -> str:
    count = f"   {plural(file.rows, 'row')}" if file.rows is not None else ""
    return f"@{file.digest[:6]}   {file.bytes:,} bytes{count}"


def _change(old: TrainingFile, new: TrainingFile) -> str:
    told = f"@{old.digest[:6]} → @{new.digest[:6]}"
    if old.rows is not None and new.rows is not None and old.rows != new.rows:
        told += f"   {new.rows - old.rows:+,} rows".replace("1 rows", "1 row")
    return told


def _made(style: Style, made: Mapping[str, tuple[Reason, ...]], verbose: bool) -> list[str]:
    rows: list[str] = []
    width = name_column(made)
    for asset, found in made.items():
        told = reason_lines(found, len(found) if verbose else _REASONS)
        for n, line in enumerate(told):
            head = f"  {style.name(asset, width) if n == 0 else ' ' * width}   "
            rows += style.folded(line, head, "        ")
    return rows


# -------------------------------------------------------------------------------------------- JSON


def model_document(found: ModelShown) -> dict[str, Any]:
    environment = found.environment
    return {
        "registry": found.registered.registry,
        **version_document(found.version),
        "parameters": dict(found.parameters),
        "moves": [promotion_document(move) for move in found.moves],
        "decisions": [_decision_document(each) for each in found.decisions],
        "inputs": [_listed(each) for each in found.inputs],
        "files": [file._asdict() for file in found.files],
        "code": {asset: _parts(recipe) for asset, recipe in found.steps.items()},
        "packages": dict(environment.packages) if environment is not None else {},
        "python": environment.python if environment is not None else None,
    }


def _listed(read: InputRead) -> dict[str, Any]:
    return {**read._asdict(), "partitions": list(read.partitions), "columns": list(read.columns)}


def _decision_document(decided: Decided) -> dict[str, Any]:
    return {
        "gate": decided.gate,
        "alias": decided.alias,
        "outcome": decided.outcome,
        "reason": decided.reason,
        "compared": named(decided.compared),
        "scores": scores_document(decided.scores),
        "rules": dict(decided.rules),
        "environment": decided.environment,
        "run": decided.run,
        "at": instant(decided.at),
    }


def _parts(recipe: Recipe) -> list[dict[str, str]]:
    return [
        {"name": p.name, "kind": p.kind, "digest": p.digest, "value": p.value, "where": p.where}
        for p in recipe.parts
    ]


def compared_document(found: ModelsDifference) -> dict[str, Any]:
    return {
        "before": version_document(found.before.version),
        "after": version_document(found.after.version),
        "same": found.same,
        "metrics": metrics_of(found),
        "parameters": parameters_of(found),
        "packages": packages_of(found),
        "code": {asset: reasons(each) for asset, each in found.made.items()},
        "files": {
            "added": [file._asdict() for file in found.added],
            "removed": [file._asdict() for file in found.removed],
            "changed": [[old._asdict(), new._asdict()] for old, new in found.changed],
        },
    }
