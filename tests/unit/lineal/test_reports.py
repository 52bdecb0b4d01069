"""A report is one page that holds all that is known of an asset, and nothing that could run."""

from __future__ import annotations

import base64
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from typing import NamedTuple

import pytest

from lineal.assets.records import Decided, Hold, Promotion, Registered, Score
from lineal.lineage.registry import Registrar
from lineal.project import Project
from lineal.reporting import told_versions
from lineal.shown import shown
from tests.e2e.command_line import Workplace

EVIL = '<script>alert("x")</script>'
PIPELINE = f'''
import pandas as pd
from matplotlib.figure import Figure
from lineal import Result, asset, check, source, static

source("raw/flights", "data/flights.csv")


class Model:
    """Says the mean, times something."""


@asset
def flights(raw_flights: pd.DataFrame) -> pd.DataFrame:
    """Every flight."""
    return raw_flights


@check(flights)
def none_is_early(flights: pd.DataFrame) -> bool:
    return bool((flights["delay"] >= 0).all())


@asset(owner="ada & co", format="pickle")
def model(flights: pd.DataFrame, strength: float = 1.0):
    """Will it be late? {EVIL}"""
    made = Model()
    made.strength = strength
    return Result(made, metrics={{"loss": 1 / strength}})


@asset
def judged(model, flights: pd.DataFrame):
    return Result(model.strength, metrics={{"auc": 0.8 + model.strength / 100}})


@asset
def curve(judged: float) -> Figure:
    """What it "finds" & misses."""
    return Figure(figsize=(1, 1))


@asset(partitions=static(["a", "b"]))
def parts(partition):
    return Result(pd.DataFrame({{"n": [1, 2]}}), metrics={{"n": {{"a": 1.0, "b": 3.0}}[partition]}})
'''


class Element(NamedTuple):
    name: str
    given: dict[str, str | None]
    text: list[str]


class Page(HTMLParser):
    """The elements of a page; each has the text within it. Ill-nested ones are an error."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.all.append(Element(tag, dict(attrs), []))
        if tag not in self.EMPTY:
            self._open.append(self.all[-1])

    def handle_endtag(self, tag):
        assert self._open.pop().name == tag

    def handle_data(self, data):
        for element in self._open:
            element.text.append(data)

    def texts(self, name: str, within: str | None = None) -> list[str]:
        """The texts of all elements of a name; of those in the section of that id."""
        known = self.all if within is None else self.within(within)
        return ["".join(each.text) for each in known if each.name == name]

    def within(self, section: str) -> list[Element]:
        first = next(n for n, e in enumerate(self.all) if e.given.get("id") == section)
        rest = self.all[first + 1 :]
        later = (n for n, e in enumerate(rest) if e.name == "section")
        return rest[: next(later, len(rest))]

    def sections(self) -> list[str | None]:
        return [e.given["id"] for e in self.all if e.name == "section"]

    def rows(self, section: str) -> list[list[str]]:
        """The text of the cells of each row of the tables of a section, heads left out."""
        rows: list[list[str]] = []
        for element in self.within(section):
            if element.name == "tr":
                rows.append([])
            elif element.name == "td":
                rows[-1].append(" ".join("".join(element.text).split()))
        return [row for row in rows if row]


def page(project: Project, name: str, partition: str | None = None) -> Page:
    return Page(project.report(name, partition))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A model made three times: v1 was promoted, v2 replaced it and was rolled back, v3 refused."""
    place = Workplace(tmp_path_factory.mktemp("reports") / "project")
    place.write("pipeline.py", PIPELINE)
    place.write("data/flights.csv", "id,delay\n1,5\n2,7\n")
    project = Project(place.root)
    for strength in (1, 2, 3):
        run = project.materialize(parameters=[f"model.strength={strength}"])
        assert run.outcome == "done"
    versions = list(reversed(project.history().versions("model")))
    Registrar(project.journal, project.history()).record(
        lambda registries, number: [*_registry([(m.id, m.content.digest) for m in versions])]
    )
    return place


def _registry(versions: list[tuple[str, str]]):
    for number, (made, content) in enumerate(versions, start=1):
        yield Registered("delays", number, "model", None, made, content, "r1", 9e8, "ada", ("t1",))
    for number, (made, content) in enumerate(versions, start=1):
        opened = number < 3
        yield Decided(
            "gate", f"r{number}.5", "delays", "production", f"key {number}", made, content, number,
            number - 1 or None, "opened" if opened else "closed",
            "first of its kind" if number == 1 else "by a margin",
            (Score("auc", 0.8 + number / 100, None if number == 1 else 0.79 + number / 100),),
            (("auc", "max, at least 0.002 better"),), "default", f"r{number}", 1e9 + number,
        )  # fmt: skip
    scores = (Score("auc", 0.82),)
    moves = [(1, None, "gate", ""), (2, 1, "gate", ""), (1, 2, "rollback", f"bad {EVIL}")]
    for number, (version, before, how, why) in enumerate(moves, start=1):
        yield Promotion(
            f"p{number}", "delays", "production", version, before, "default", "r1", "ada", why,
            scores, 1e9 + number, how, "gate" if how == "gate" else "",
        )  # fmt: skip
    yield Hold("delays", True, "r9", "ada", "until monday", 1e9)


@pytest.fixture(scope="module")
def project(place: Workplace) -> Project:
    return Project(place.root)


def test_a_model_is_told_with_all_that_became_of_it(project: Project) -> None:
    found = page(project, "model")
    assert found.sections() == [
        "versions", "figures", "gate", "promotions", "lineage", "files", "parameters", "code",
        "packages",
    ]  # fmt: skip
    assert found.texts("h1")[0].startswith("model@")
    assert found.texts("title")[0] == f"model · {project.name}"
    header = found.texts("header")[0]
    for told in (
        "pipeline.py:",
        "ada & co",
        "Will it be late?",
        "delays v3",
        "t1",
        "delays is held",
    ):
        assert told in header


def test_metrics_over_versions_are_a_curve_and_the_same_as_a_table(project: Project) -> None:
    found = page(project, "model")
    assert found.texts("figcaption", "versions") == ["loss0.3333", "auc by judged0.8300"]
    dots = [e.given["class"] for e in found.within("versions") if e.name == "circle"]
    assert dots == ["dot", "dot gone", "dot now"] * 2
    rows = found.rows("versions")
    assert [row[:2] for row in rows] == [
        ["v3", "current"],
        ["v2", "withdrawn"],
        ["v1", "production"],
    ]
    assert [row[-2:] for row in rows] == [
        ["0.3333", "0.8300"],
        ["0.5000", "0.8200"],
        ["1", "0.8100"],
    ]


def test_of_very_many_versions_the_newest_are_told_and_that_which_is_asked_for(
    project: Project,
) -> None:
    with closing(project.history()) as history:
        found = shown(history, "model", lambda content: None)
        assert found.made.content is not None
        many = tuple(
            replace(
                found.made, id=f"r{n}.1", content=replace(found.made.content, digest=f"{n:064}")
            )
            for n in range(300, 0, -1)
        )
        one = replace(found, made=many[-1], versions=many, current="r2.1")
        told = list(told_versions(history, one, ()))
    ids = [point.made.id for point in told]
    assert (ids[:3], ids[-1], len(ids)) == (["r1.1", "r2.1", "r101.1"], "r300.1", 202)


def test_gates_and_promotions_are_told_newest_first(project: Project) -> None:
    found = page(project, "model")
    decisions = [row[1:] for row in found.rows("gate")]
    rule = "auc: max, at least 0.002 better"
    assert decisions[0] == [
        "closed",
        "gate",
        "v3",
        "auc 0.8300 vs 0.8200",
        "v2",
        f"by a margin{rule}",
    ]
    assert decisions[2] == ["opened", "gate", "v1", "auc 0.8100", "", f"first of its kind{rule}"]
    assert "ada: until monday" in "".join(found.texts("p", "gate"))
    moves = [row[1:] for row in found.rows("promotions")]
    assert [row[1:3] for row in moves] == [["v2", "v1"], ["v1", "v2"], ["", "v1"]]
    assert moves[0][3:6] == ["rollback", "ada", f"bad {EVIL}"]
    assert moves[2] == ["delays@production", "", "v1", "gate gate", "ada", "", "auc 0.8200", "p1"]


def test_the_lineage_is_drawn_and_ends_at_the_files(project: Project) -> None:
    found = page(project, "model")
    drawn = [e for e in found.within("lineage") if e.name == "g"]
    assert [e.given["class"] for e in drawn] == ["node source", "node table", "node model here"]
    assert len([e for e in found.within("lineage") if e.given.get("class") == "line"]) == 2
    (file,) = found.rows("files")
    assert [*file[:2], file[3]] == ["raw/flights", "data/flights.csv", "17 B"]
    assert found.rows("parameters") == [["model", "strength", "3.0"]]
    assert "pipeline.Model" in [row[0] for row in found.rows("code")]


def test_a_figure_of_what_reads_a_version_is_in_the_page_itself(project: Project) -> None:
    (image,) = [e for e in page(project, "model").all if e.name == "img"]
    head, _, data = str(image.given["src"]).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == project.load("curve")
    assert image.given["alt"] == 'curve: What it "finds" & misses.'
    first = project.history().versions("model")[-1].content
    assert first is not None
    told = page(project, f"model@{first.digest[:12]}")
    assert "not current" in told.texts("header")[0]
    assert told.rows("versions") == page(project, "model").rows("versions")
    assert told.texts("figcaption", "versions") == ["loss1", "auc by judged0.8100"]
    dots = [e.given["class"] for e in told.within("versions") if e.name == "circle"]
    assert dots == ["dot now", "dot gone", "dot"] * 2


def test_nothing_in_a_page_can_run_and_nothing_is_fetched(project: Project) -> None:
    text = project.report("model")
    assert text.count("&lt;script&gt;") == text.lower().count("script&gt;") / 2 > 0
    found = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & {e.name for e in found.all}
    for element in found.all:
        for name, value in element.given.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action"):
                assert str(value).startswith("data:image/png;")
    (style,) = found.texts("style")
    assert "url(" not in style
    assert "@import" not in style


def test_the_same_state_gives_the_same_page(project: Project) -> None:
    assert project.report("model") == project.report("model")


def test_what_is_not_known_of_an_asset_has_no_section(project: Project) -> None:
    table = page(project, "flights")
    assert table.sections() == [
        "figures",
        "lineage",
        "files",
        "columns",
        "checks",
        "code",
        "packages",
    ]
    assert [row[:2] for row in table.rows("columns")] == [["id", "int64"], ["delay", "int64"]]
    assert table.rows("checks") == [["none_is_early", "passed", "flights", "", ""]]
    assert "read by judged, model" in table.texts("p")
    assert page(project, "raw/flights").sections() == ["lineage", "files", "columns", "packages"]
    assert page(project, "judged").texts("pre") == ["3.0"]


def test_partitions_are_told_together_and_one_by_one(project: Project) -> None:
    found = page(project, "parts")
    assert found.texts("h1") == ["parts"]
    assert [row[0] for row in found.rows("versions")] == ["b", "a"]
    assert found.texts("figcaption", "versions") == ["n3"]
    one = page(project, "parts", "a")
    assert one.texts("h1")[0].startswith("parts a@")
    assert "versions" not in one.sections()


def test_the_command_writes_a_whole_page_and_keeps_what_is_no_report(place: Workplace) -> None:
    said = place.lineal("report", "raw/flights")
    assert (said.code, said.out) == (0, "Wrote raw-flights.html.\n")
    file = place.root / "raw-flights.html"
    assert file.read_text(encoding="utf-8").endswith("</html>\n")
    file.write_text("my own", encoding="utf-8")
    refused = place.lineal("report", "raw/flights")
    assert refused.code == 2
    assert "`raw-flights.html` is there already, and no report" in refused.err
    assert file.read_text(encoding="utf-8") == "my own"
    assert place.lineal("report", "raw/flights", "-o", "raw-flights.html").code == 0
    assert place.lineal("report", "raw/flights").code == 0
    assert place.lineal("report", "raw/flights", "-o", "-").out == file.read_text(encoding="utf-8")
    for nowhere in ("no/such/folder.html", "data"):
        refused = place.lineal("report", "raw/flights", "-o", nowhere)
        assert refused.code == 2
        assert f"`{nowhere}` can't be written" in refused.err
    assert [p.name for p in place.root.glob(".data*")] == []
    assert place.lineal("report", "flight").err.count("did you mean") == 1


def test_a_figure_that_is_damaged_is_refused_by_name(place: Workplace) -> None:
    (path,) = Project(place.root).path("curve")
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        refused = place.lineal("report", "model")
    finally:
        path.write_bytes(data)
    assert refused.code == 3
    assert path.name in refused.err
