"""Ready-made checks over a table.

All rules about rows are counted in one scan; a second look, only for those that fail, fetches a few
of the failing rows. Missing values (null, and NaN in floats, as pandas has it) pass every rule but
`not_null`; a condition that is null passes, as a CHECK of SQL does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineal.assets.asset import Check
from lineal.assets.errors import StepError, did_you_mean
from lineal.storage.drift import Drift, Side
from lineal.storage.finding import SAMPLE_COLUMNS, SAMPLE_ROWS, Finding, RuleError, judge_value
from lineal.storage.sandbox import Rows, hide, show

__all__ = ["BEFORE", "Finding", "audit", "judge_value"]

BEFORE = "\0before"  # among the other tables: the version that is current; no asset is called so
VALUE = "\0"  # stands in a condition for its next bound value; no column name can hold it


@dataclass(frozen=True, slots=True)
class RowRule:
    """A rule about single rows: `failing` is a SQL condition over them, true where it fails.

    Each VALUE in it stands for the next of `values`, which are bound, never pasted.
    """

    failing: str
    values: tuple[Any, ...]
    columns: tuple[str, ...]  # shown first in the sample


def audit(
    connection: Any,
    checks: Sequence[Check],
    table: Rows,
    others: Mapping[str, Rows],
    previous_rows: int | None = None,
    key: Sequence[str] = (),
) -> list[Finding]:
    """What each ready-made check finds in a table, in the order of the checks.

    Args:
        connection: a DuckDB connection that this call has to itself.
        others: the tables of the assets that `references` and `drift` name, and BEFORE.
        previous_rows: of the current version; None when there is none.
        key: columns that the samples show first.
    """
    shown: dict[str, Rows] = {}
    try:
        show(connection, "lineal audited", table)
        shown["lineal audited"] = table
        for name, other in others.items():
            show(connection, f"lineal other {name}", other)
            shown[f"lineal other {name}"] = other
        return _Audit(connection, table, others, previous_rows, tuple(key)).findings(checks)
    finally:
        for name, each in shown.items():
            hide(connection, name, each)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,} row{'' if total == 1 else 's'}"


class _Audit:
    """One table under audit, with what its rules may look at."""

    def __init__(
        self,
        connection: Any,
        table: Rows,
        others: Mapping[str, Rows],
        previous_rows: int | None,
        key: tuple[str, ...],
    ):
        self._connection = connection
        self._table = table
        self._others = others
        self._previous = previous_rows
        self._key = key
        self._columns: dict[str, str] = {name.casefold(): name for name in table.column_names}
        self._types: dict[str, str] = self._types_of("lineal audited", table)

    def _types_of(self, shown: str, table: Rows) -> dict[str, str]:
        types = self._connection.sql(f"from {_quoted(shown)}").types
        return dict(zip(table.column_names, map(str, types), strict=True))

    def findings(self, checks: Sequence[Check]) -> list[Finding]:
        found: dict[int, Finding] = {}
        rules: dict[int, RowRule] = {}
        for place, check in enumerate(checks):
            if check.rule is None:
                raise TypeError(f"`{check.name}` is not a ready-made check")
            kind, arguments = check.rule[0], dict(check.rule[1])
            if check.inputs:
                arguments["asset"] = check.inputs[0].asset  # as the graph found it
            try:
                if kind in _ROW_RULES:
                    rules[place] = _ROW_RULES[kind](self, arguments)
                else:
                    found[place] = _TABLE_RULES[kind](self, arguments)
            except RuleError as error:
                found[place] = Finding(False, message=str(error))
        counts = self._counts(rules)
        for place, count in counts.items():
            found[place] = (
                count if isinstance(count, Finding) else self._row_finding(rules[place], count)
            )
        return [found[place] for place in range(len(checks))]

    # --------------------------------------------------------------------------- row rules

    def _counts(self, rules: Mapping[int, RowRule]) -> dict[int, int | Finding]:
        """How many rows fail each rule: one scan, or one for each when one of them can't run."""
        import duckdb

        if not rules:
            return {}
        asked, values = [], []
        for rule in rules.values():
            condition = rule.failing
            for value in rule.values:
                values.append(value)
                condition = condition.replace(VALUE, f"${len(values)}", 1)
            asked.append(f"count(*) filter (where {condition}\n)")
        text = f'select {", ".join(asked)} from "lineal audited"'
        try:
            (row,) = self._connection.sql(text, params=values).fetchall()
        except duckdb.Error as error:
            if len(rules) == 1:
                (place,) = rules
                return {place: Finding(False, message=_first_line(error))}
            alone = [self._counts({place: rule}) for place, rule in rules.items()]
            return {place: count for one in alone for place, count in one.items()}
        return dict(zip(rules, row, strict=True))

    def _row_finding(self, rule: RowRule, count: int) -> Finding:
        if not count:
            return Finding(True, 0)
        total = self._table.num_rows
        sample = self._sample(rule.failing, rule.values, rule.columns)
        return Finding(False, count, _of(count, total), sample)

    def _sample(
        self, failing: str, values: Sequence[Any], columns: Sequence[str], order: str = ""
    ) -> tuple[tuple[str, ...], ...]:
        """A header and a few failing rows as text: the key, the columns in question, the rest."""
        key = [self._columns[k.casefold()] for k in self._key if k.casefold() in self._columns]
        names = list(dict.fromkeys([*key, *columns, *self._table.column_names]))[:SAMPLE_COLUMNS]
        for place in range(len(values)):
            failing = failing.replace(VALUE, f"${place + 1}", 1)
        shown = ", ".join(f"coalesce({_quoted(name)}::varchar, 'null')" for name in names)
        rows = self._connection.sql(
            f'select {shown} from "lineal audited" where {failing}\n{order} limit {SAMPLE_ROWS}',
            params=list(values),
        ).fetchall()
        return (tuple(names), *(tuple(row) for row in rows))

    def column(self, name: str) -> str:
        """The table's own spelling of a column; RuleError with the nearest when there is none."""
        found: str | None = self._columns.get(name.casefold())
        if found is None:
            near = did_you_mean(name, self._table.column_names)
            raise RuleError(f"there is no column `{name}`{near}")
        return found

    def missing(self, column: str) -> str:
        """The condition that a value is missing: null, or NaN."""
        quoted = _quoted(column)
        if self._types[column] in ("FLOAT", "DOUBLE"):
            return f"({quoted} is null or isnan({quoted}))"
        return f"({quoted} is null)"

    def value(self, column: str, given: Any) -> str:
        """A bound value to compare a column with; a text is read as the column's type."""
        kind = self._types[column]
        return f"{VALUE}::{kind}" if isinstance(given, str) and kind != "VARCHAR" else VALUE

    def not_null(self, rule: Mapping[str, Any]) -> RowRule:
        columns = tuple(self.column(name) for name in rule["columns"])
        return RowRule(" or ".join(map(self.missing, columns)), (), columns)

    def accepted(self, rule: Mapping[str, Any]) -> RowRule:
        column = self.column(rule["column"])
        values = tuple(value for value in rule["values"] if value is not None)
        allowed = ", ".join(self.value(column, value) for value in values)
        unknown = f"{_quoted(column)} not in ({allowed})" if values else "true"
        return RowRule(f"not {self.missing(column)} and {unknown}", values, (column,))

    def references(self, rule: Mapping[str, Any]) -> RowRule:
        column, other = self.column(rule["column"]), self._others.get(rule["asset"])
        if other is None:
            raise RuleError(f"`{rule['asset']}` is not there to be compared with")
        to = {name.casefold(): name for name in other.column_names}.get(rule["to"].casefold())
        if to is None:
            near = did_you_mean(rule["to"], other.column_names)
            raise RuleError(f"`{rule['asset']}` has no column `{rule['to']}`{near}")
        source = _quoted(f"lineal other {rule['asset']}")
        known = f"select {_quoted(to)} from {source} where {_quoted(to)} is not null"
        unknown = f"{_quoted(column)} not in ({known})"
        return RowRule(f"not {self.missing(column)} and {unknown}", (), (column,))

    def between(self, rule: Mapping[str, Any]) -> RowRule:
        column = self.column(rule["column"])
        inclusive = rule.get("inclusive", True)
        ends = (("low", "<" if inclusive else "<="), ("high", ">" if inclusive else ">="))
        given = [(rule[end], sign) for end, sign in ends if rule.get(end) is not None]
        outside = [f"{_quoted(column)} {sign} {self.value(column, v)}" for v, sign in given]
        failing = f"not {self.missing(column)} and ({' or '.join(outside) or 'false'})"
        return RowRule(failing, tuple(value for value, _ in given), (column,))

    def matches(self, rule: Mapping[str, Any]) -> RowRule:
        column = self.column(rule["column"])
        matched = f"regexp_full_match({_quoted(column)}::varchar, {VALUE})"
        return RowRule(
            f"not {self.missing(column)} and not {matched}", (rule["pattern"],), (column,)
        )

    def expression(self, rule: Mapping[str, Any]) -> RowRule:
        condition = rule["sql"]
        self._check_condition(condition)
        words = {word.casefold() for word in re.findall(r"\w+", condition)}
        named = tuple(n for n in self._table.column_names if n.casefold() in words)
        return RowRule(f"not (\n{condition}\n)", (), named)

    def _check_condition(self, condition: str) -> None:
        """One expression, not a piece of SQL that closes the parenthesis it is put in."""
        import json

        rows = self._connection.sql(
            "select json_serialize_sql($text::varchar)",
            params={"text": f"select (\n{condition}\n)"},
        ).fetchall()
        tree = json.loads(rows[0][0])
        if tree["error"]:
            raise RuleError(f"`{condition}` is not a SQL condition: {tree['error_message']}")
        node = tree["statements"][0]["node"]
        alone = len(tree["statements"]) == 1 and node["type"] == "SELECT_NODE"
        if not alone or len(node["select_list"]) != 1 or node["from_table"]["type"] != "EMPTY":
            raise RuleError(f"`{condition}` is not one SQL condition over the columns")

    # ------------------------------------------------------------------------- table rules

    def unique(self, rule: Mapping[str, Any]) -> Finding:
        import duckdb

        columns = tuple(self.column(name) for name in rule["columns"])
        group = ", ".join(map(_quoted, columns))
        whole = " and ".join(f"not {self.missing(column)}" for column in columns)
        twice = f'from "lineal audited" where {whole} group by {group} having count(*) > 1'
        try:
            ((count,),) = self._connection.sql(
                f"select coalesce(sum(n), 0)::bigint from (select count(*) as n {twice})"
            ).fetchall()
        except duckdb.Error as error:
            return Finding(False, message=_first_line(error))
        if not count:
            return Finding(True, 0)
        failing = f"({group}) in (select ({group}) {twice})"
        sample = self._sample(failing, (), columns, f"order by {group}")
        return Finding(False, count, _of(count, self._table.num_rows), sample)

    def rows(self, rule: Mapping[str, Any]) -> Finding:
        total, low, high = self._table.num_rows, rule.get("minimum"), rule.get("maximum")
        if low is not None and total < low:
            return Finding(False, message=f"{total:,} rows; at least {low:,} are expected")
        if high is not None and total > high:
            return Finding(False, message=f"{total:,} rows; at most {high:,} are expected")
        return Finding(True)

    def not_shrunk(self, rule: Mapping[str, Any]) -> Finding:
        total, before = self._table.num_rows, self._previous
        if before is None or before - total <= rule["fraction"] * before:
            return Finding(True)
        lost = 1 - total / before
        return Finding(
            False, message=f"{total:,} rows, {lost:.0%} fewer than the {before:,} before"
        )

    def drift(self, rule: Mapping[str, Any]) -> Finding:
        import duckdb

        name = str(rule.get("asset") or BEFORE)
        other = self._others.get(name)
        if other is None:
            if name == BEFORE:
                return Finding(True)  # it is the first
            raise RuleError(f"`{name}` is not there to be compared with")
        if name == BEFORE and not other.num_rows:
            return Finding(True)
        shown = "the version before" if name == BEFORE else name
        ours = Side("this version", "lineal audited", self._table.num_rows, self._types)
        types = self._types_of(f"lineal other {name}", other)
        theirs = Side(shown, f"lineal other {name}", other.num_rows, types)
        try:
            return Drift(self._connection, ours, theirs, rule).finding()
        except duckdb.Error as error:  # no finding: with more memory it may be counted
            raise StepError(
                f"drift from {shown} can't be counted: {_first_line(error)}",
                advice='give the run more: `[run] memory = "8GB"`',
            ) from error

    def schema(self, rule: Mapping[str, Any]) -> Finding:
        wanted = dict(rule["columns"])
        known = {name.casefold() for name in wanted}
        wrong = []
        for name, kind in wanted.items():
            try:
                column = self.column(name)
            except RuleError as error:
                wrong.append(str(error))
                continue
            expected = self._sql_type(kind)
            if self._types[column] != expected:
                wrong.append(f"`{column}` is {self._types[column]}, not {expected}")
        extra = [f"`{name}`" for name in self._table.column_names if name.casefold() not in known]
        if extra:
            wrong.append(f"not in the schema: {', '.join(extra)}")
        return Finding(not wrong, message="; ".join(wrong))

    def _sql_type(self, kind: str) -> str:
        """DuckDB's own name of a type."""
        import duckdb

        try:
            return str(self._connection.sql(f"select null::{kind}\n").types[0])
        except duckdb.Error as error:
            raise RuleError(f"`{kind}` is not a SQL type: {_first_line(error)}") from error


_ROW_RULES: Mapping[str, Callable[[_Audit, Mapping[str, Any]], RowRule]] = {
    "not_null": _Audit.not_null,
    "accepted": _Audit.accepted,
    "references": _Audit.references,
    "between": _Audit.between,
    "matches": _Audit.matches,
    "expression": _Audit.expression,
}
_TABLE_RULES: Mapping[str, Callable[[_Audit, Mapping[str, Any]], Finding]] = {
    "unique": _Audit.unique,
    "rows": _Audit.rows,
    "not_shrunk": _Audit.not_shrunk,
    "drift": _Audit.drift,
    "schema": _Audit.schema,
}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
