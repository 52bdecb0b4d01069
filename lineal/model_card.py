"""The card of a registered model, in Markdown: what it is, rests on, and what nobody recorded.

All of it is from the journal: nothing is opened, nothing is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from lineal.answers import InputRead, ModelShown
from lineal.assets.notebook import size_text
from lineal.assets.records import AssetFacts, Decided, Materialization, Promotion, StoredObject

SIGNATURE = "Written from the journal of the project"
_FILES = 60  # of the sources, those that are listed
_PARTS = 40  # of the code
_SHORT = 12  # digits of a digest

_UNKNOWN = """\
- The metrics are what the project's code computed, on data that it chose. Nothing here says how \
the model does on other data, in other places, at other times, or in cases that the files above \
have few of.
- Nothing here says what it may be used for, whom its errors hurt, whether the data may be used \
so, or what it does with values beyond those it was trained on."""
_READ_BY: Mapping[str, str] = {
    "joblib": 'import joblib\n\nmodel = joblib.load("{file}")',
    "pickle": "import pickle\nfrom pathlib import Path\n\n"
    'model = pickle.loads(Path("{file}").read_bytes())',
    "skops": 'from skops.io import load\n\nmodel = load("{file}", trusted={trusted})',
    "json": "import json\nfrom pathlib import Path\n\n"
    'model = json.loads(Path("{file}").read_text())',
    "parquet": 'import pandas as pd\n\nmodel = pd.read_parquet("{file}")',
}


class Handed(NamedTuple):
    """What is handed out beside what the journal says.

    Attributes:
        files: of the model: (name in the folder, the stored object).
        features: the columns that it was fitted on, if it says.
        project: files of the project that hold classes of it.
        trusted: types that a skops file names beside those that skops trusts anyway.
        judged_by: the steps that scored it, by the id of each.
        drawing: its lineage, as Mermaid.
    """

    shown: ModelShown
    told: AssetFacts | None
    files: tuple[tuple[str, StoredObject], ...]
    features: tuple[str, ...] | None
    project: tuple[str, ...]
    trusted: tuple[str, ...]
    judged_by: Mapping[str, Materialization]
    drawing: str
    lineal: str


def card(handed: Handed) -> str:
    """The whole text."""
    sections = (
        _head(handed), _loading(handed), _data(handed), _metrics(handed), _judged(handed),
        _lineage(handed), _limits(handed),
    )  # fmt: skip
    return "\n\n".join("\n".join(rows) for rows in sections if rows) + "\n"


# --------------------------------------------------------------------------------------- what it is


def _head(handed: Handed) -> list[str]:
    version, told = handed.shown.version, handed.told
    registered, trained, run = version.registered, version.trained, version.run
    rows = [f"# {registered.registry} v{registered.version}", ""]
    if told is not None and told.description:
        rows += [told.description.strip(), ""]
    aliases = ", ".join(f"`{alias}`" for alias in version.aliases) or "none"
    content = version.made.content if version.made is not None else None
    made = _instant(trained.started_at) if trained is not None else "not recorded any more"
    commit = ""
    if run is not None and run.git_commit:
        commit = f"`{run.git_commit}`{', with changes that were not committed' * run.git_dirty}"
    asset = registered.asset + (f", partition {registered.partition}" * bool(registered.partition))
    facts = {
        "Kind": _code(content.summary) if content is not None else "",
        "Names it has now": aliases + (", withdrawn" if version.withdrawn else ""),
        "Tags": ", ".join(version.tags),
        "Trained": made + (f", in run `{trained.run}`" if trained is not None else ""),
        "Registered": f"{_instant(registered.at)}, by {registered.who}",
        "Git commit": commit or "not recorded",
        "Asset": _code(asset) + (f", declared at `{told.where}`" if told is not None else ""),
        "Owner": _cell(told.owner) if told is not None else "",
        "Content": _code(registered.content),
    }
    head, *others = [(name, value) for name, value in facts.items() if value]
    rows += _table(head, others)
    if version.withdrawn is not None:
        reason = f": {_cell(version.withdrawn.reason)}" if version.withdrawn.reason else ""
        rows += ["", f"**Withdrawn** {_instant(version.withdrawn.at)}{reason}"]
    return rows


def _loading(handed: Handed) -> list[str]:
    content = handed.shown.version.made.content if handed.shown.version.made else None
    snippet = _READ_BY.get(content.format if content is not None else "")
    rows = ["## How to load it", ""]
    if snippet is not None:
        rows += ["```sh", "pip install -r requirements.txt", "```", "", "```python"]
        rows += [snippet.format(file=handed.files[0][0], trusted=list(handed.trusted)), "```", ""]
    if handed.project:
        files = ", ".join(_code(path) for path in handed.project)
        rows += [f"Its own classes must be importable: they are in {files}.", ""]
    if handed.features is not None:
        names = ", ".join(map(_code, handed.features))
        rows += [f"It wants these columns, in this order: {names}.", ""]
    if content is not None and content.format in ("joblib", "pickle"):
        rows += [
            "To load such a file is to run the code that it names: load it only if it is this one.",
            "",
        ]
    listed = ((_code(name), size_text(o.bytes), _code(o.digest)) for name, o in handed.files)
    return [*rows, *_table(("file", "size", "BLAKE3"), listed)]


# ----------------------------------------------------------------------------------------- the data


def _data(handed: Handed) -> list[str]:
    shown = handed.shown
    rows = ["## Data", "", "What the training read:", ""]
    rows += _table(
        ("input", "rows", "partitions", "columns, or the value"), map(_read, shown.inputs)
    )
    if not shown.inputs:
        rows = ["## Data", "", "The training read no asset."]
    if shown.files:
        rows += ["", "The files that all of it comes from, as they were:", ""]
        rows += _table(
            ("source", "file", "size", "BLAKE3"),
            (
                (
                    _code(file.asset),
                    _code(file.path) if file.path else f"fetched {_cell(file.partition or '')}",
                    size_text(file.bytes),
                    _code(file.digest),
                )
                for file in shown.files[:_FILES]
            ),
        )
        more = len(shown.files) - _FILES
        if more > 0:
            rows += ["", f"… and {more:,} more: `lineal models show {shown.version.name}`"]
    return rows


def _read(read: InputRead) -> tuple[str, ...]:
    keys = read.partitions
    partitions = f"{keys[0]} … {keys[-1]} ({len(keys)})" if len(keys) > 1 else "".join(keys)
    columns = ", ".join(map(_code, read.columns))
    if read.known > len(read.columns):
        columns += f" ({len(read.columns)} of {read.known})"
    if read.value is not None:
        columns = _code(repr(read.value))
    rows = f"{read.rows:,}" if read.rows is not None else ""
    return _code(read.asset), rows, _cell(partitions), columns


# ----------------------------------------------------------------------------------- how good it is


def _metrics(handed: Handed) -> list[str]:
    metrics, parameters = handed.shown.version.metrics, handed.shown.parameters
    rows = ["## Metrics and parameters", ""]
    if metrics:
        rows += _table(("metric", "value"), ((_code(m), f"{v:.6g}") for m, v in metrics.items()))
    else:
        rows += ["No metric was recorded."]
    if parameters:
        named = ((_code(name), _code(value)) for name, value in parameters)
        rows += ["", "With these parameters:", "", *_table(("parameter", "value"), named)]
    return rows


def _judged(handed: Handed) -> list[str]:
    decisions, moves = handed.shown.decisions, handed.shown.moves
    rows = ["## How it was judged", ""]
    if not decisions:
        rows += ["No gate judged it."]
    for decided in decisions:
        rows += [*_decision(decided, handed.judged_by.get(decided.materialization)), ""]
    if moves:
        rows += ["", "Moves of an alias to it, or away from it:", ""]
        rows += _table(("when", "alias", "move", "how", "reason"), map(_move, moves))
    return _without_double_blanks(rows)


def _decision(decided: Decided, scored: Materialization | None) -> list[str]:
    against = f" against v{decided.compared}" if decided.compared is not None else ""
    said = f": {_cell(decided.reason)}" if decided.reason else ""
    by = f"by the gate `{decided.gate}`{against}, {_instant(decided.at)}"
    rows = [f"**{decided.outcome.capitalize()}** for `{decided.alias}` {by}{said}", ""]
    rules = {metric: _cell(rule) for metric, rule in decided.rules}
    rows += _table(
        ("metric", "this version", "in production then", "rule"),
        (
            (_code(s.metric), _number(s.candidate), _number(s.production), rules.get(s.metric, ""))
            for s in decided.scores
        ),
    )
    others = [u for u in (scored.inputs if scored else ()) if u.content != decided.content]
    if others:
        named = (f"`{u.asset}` (`{u.content[:_SHORT]}`)" for u in others)
        rows += ["", f"Scored on {', '.join(named)}."]
    return rows


def _move(move: Promotion) -> tuple[str, ...]:
    before = f"v{move.previous} → " if move.previous is not None else ""
    how = f"gate {_code(move.gate)}" if move.gate else f"{move.how}, {_cell(move.who)}"
    to = f"{before}v{move.version}"
    return _instant(move.at), _code(move.alias), to, how, _cell(move.reason)


# ---------------------------------------------------------------------------------- how it was made


def _lineage(handed: Handed) -> list[str]:
    rows = ["## Lineage", "", "```mermaid", handed.drawing, "```"]
    code = handed.shown.code
    if code is not None:
        own = [p for p in code.parts if p.where and p.kind in ("function", "class", "sql")]
        rows += ["", f"The code of the training (recipe `{code.digest[:_SHORT]}`):", ""]
        rows += [f"- `{part.name}` at `{part.where}`" for part in own[:_PARTS]]
        if len(own) > _PARTS:
            rows += [f"- … and {len(own) - _PARTS:,} more"]
    return rows


def _limits(handed: Handed) -> list[str]:
    shown, told = handed.shown, handed.told
    rows = ["## Limits", ""]
    if told is None or not told.description:
        asset = shown.registered.asset
        rows += [f"- Nobody wrote down what it is for: `{asset}` has no docstring."]
    rows += [_UNKNOWN]
    if not shown.decisions:
        rows += ["- It was compared with no other version: no gate judged it."]
    rows += [f"- {_cell(told)}" for told in _unseen(shown)]
    rows += ["", f"{SIGNATURE} (lineal {handed.lineal})."]
    return rows


def _unseen(shown: ModelShown) -> Iterable[str]:
    """What was recorded as not followed, so that a change of it would not have been seen."""
    code, trained = shown.code, shown.version.trained
    if code is not None and code.opaque:
        yield f"Of its code lineal could not follow: {'; '.join(code.opaque)}."
    if code is not None and code.impure:
        yield f"Its code may give another result each time: {'; '.join(code.impure)}."
    if trained is not None and trained.unwatched:
        paths = ", ".join(f"`{path}`" for path, _, _ in trained.unwatched)
        yield f"The training read files that no source declares: {paths}."


# ----------------------------------------------------------------------------------------- Markdown


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return []
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body]


def _cell(text: str) -> str:
    """A text that stays in its place, and is no markup."""
    plain = " ".join(text.split())
    for sign in ("\\", "|", "<", "*", "_", "`", "["):
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def _code(text: str) -> str:
    """Verbatim; a bar ends a cell of a table even so."""
    plain = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _instant(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _without_double_blanks(rows: list[str]) -> list[str]:
    kept = [row for at, row in enumerate(rows) if row or (at and rows[at - 1])]
    return kept if kept[-1] else kept[:-1]
