"""The examples, the project of `lineal init` and the commands in the documents, run as written."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineal.cli.templates import PIPELINE, SETTINGS
from tests.e2e.command_line import Workplace

ROOT = Path(__file__).resolve().parents[2]
FLIGHTS = ROOT / "examples" / "flights"
SHOP = ROOT / "examples" / "shop"
PATIENCE = 300.0  # seconds, on a busy machine
ALL = {
    "raw/flights", "raw/weather", "raw/planes", "raw/airports", "raw/airlines", "flights",
    "weather", "departures", "destinations", "trips", "features", "train", "validation", "test",
    "candidate", "delay_model", "baseline", "predictions", "scores", "roc", "calibration",
    "auc", "deploy",
}  # fmt: skip
BY_MONTH = {"raw/flights", "flights", "departures", "trips", "features"}
STEPS = len(ALL) + 11 * len(BY_MONTH) + 2  # twelve months, three candidates
AFTER_FEATURES = {
    "features", "train", "validation", "test", "candidate", "delay_model", "baseline",
    "predictions", "scores", "roc", "calibration", "auc",
}  # fmt: skip


@dataclass(frozen=True)
class Shell:
    """A shell in a folder, in which `lineal` and `python` are those of this test."""

    programs: Path

    def run(self, folder: Path, *words: str) -> str:
        """What a command says; it must end well."""
        # Zone and locale stay: they are in the fingerprints that the tests in this process see.
        names = ("HOME", "TMPDIR", "TZ", "LC_ALL")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        ended = subprocess.run(
            ["sh", *words],
            cwd=folder,
            env={**kept, "PATH": path, "PYTHONPATH": python_path, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        said = ended.stdout.decode("utf-8")
        assert ended.returncode == 0, said + ended.stderr.decode("utf-8")
        return said

    def type(self, folder: Path, document: Path) -> str:
        """Type the commands of a document's console blocks; any that fails is an error."""
        return self.run(folder, "-e", "-c", "\n".join(typed(document)))


def typed(document: Path) -> list[str]:
    """The lines after a `$ ` in the console blocks of a document, and what it adds to files."""
    found: list[str] = []
    for kind, block in re.findall(
        r"```(console|python)\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL
    ):
        added = re.match(r"# added to (\S+)\n", block)
        if kind == "console":
            found += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        elif added:
            found.append(f"cat >> {added[1]} <<'END'\n{block[added.end() :]}END")
    assert found, f"{document.name} has no commands"
    return found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    programs = tmp_path_factory.mktemp("bin")
    for name, words in (("lineal", "-m lineal.cli "), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return Shell(programs)


@pytest.fixture(scope="module")
def demo(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights example after its demo."""
    folder = tmp_path_factory.mktemp("demo") / "flights"
    unwanted = shutil.ignore_patterns("data", ".lineal", "service", "__pycache__")
    shutil.copytree(FLIGHTS, folder, ignore=unwanted)
    said = shell.run(folder, "demo.sh")
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return folder


@pytest.fixture
def flights(demo: Path, tmp_path: Path) -> Workplace:
    """A copy of its own: the project, with its store, in another folder."""
    shutil.copytree(demo, tmp_path / "flights", symlinks=True)
    return Workplace(tmp_path / "flights")


# ------------------------------------------------------------------------------------ flights


def test_the_demo_goes_from_nothing_to_production_and_back(demo: Path) -> None:
    said = (demo / "said.txt").read_text(encoding="utf-8")
    assert f"{STEPS} made in" in said
    assert said.count(f"Nothing to do: {STEPS} fresh") == 2  # as it is, and after the rollback
    gate = re.findall(r"^  . auc +(.*?)  +[\d.]+ s$", said, re.MULTILINE)
    assert [re.sub(r"0\.\d+", "#", line) for line in gate] == [
        "opens: #, the first of delays → delays v1, production",
        "opens: # vs # of delays v1 (+#, needs +#) → delays v2, production",
        "stays closed: # vs # of delays v2 (needs ≥ #)",
    ]
    assert "delays@production is still v2." in said
    assert "delays@production: v2 → v1.  deploy ran with v1 in" in said
    assert "delays v2 is reproduced: the same bytes" in said
    assert re.search(r"raw/weather@\w+ +26,115 rows × 15 +6 of 15 columns", said)
    for file in ("data/weather.csv", "data/planes.csv"):
        assert re.search(rf"^raw/\w+,{re.escape(file)},[0-9a-f]{{64}}$", said, re.MULTILINE)
    deployed = (demo / "service" / "deployed.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["version"] for line in deployed] == ["v1", "v2", "v1"]
    page = (demo / "service" / "delay_model.html").read_text(encoding="utf-8")
    assert "bad on weekends" in page


def test_what_is_deployed_is_what_production_names_byte_for_byte(flights: Workplace) -> None:
    (path,) = flights.lineal("path", "delays@production").out.splitlines()
    assert (flights.root / "service" / "model.joblib").read_bytes() == Path(path).read_bytes()
    files = flights.lineal(
        "sql", "--json",
        """select count(distinct path) as files, count(distinct a.version) as versions
        from lineage.alias a join lineage.model_training_data using (registry, version)""",
    )  # fmt: skip
    assert files.json == [{"files": 14, "versions": 1}]
    models = flights.lineal(
        "sql", "--json",
        """select distinct version from lineage.model_training_data
        where registry = 'delays' and path = 'data/flights-2013-02.csv' order by all""",
    )  # fmt: skip
    assert models.json == [{"version": 1}, {"version": 2}]


def test_the_models_beat_chance_on_flights_they_have_not_seen(flights: Workplace) -> None:
    scores = {row["model"]: row for row in flights.lineal("sql", "from scores", "--json").json}
    assert 0.70 < scores["baseline"]["auc"] < scores["delay_model"]["auc"] < 0.75
    assert scores["delay_model"]["late_among_riskiest_tenth"] > 0.5
    months = flights.lineal(
        "sql", "--json",
        """select (select max(time_hour) from train) < (select min(time_hour) from test) as apart,
        (select count(*) from train) as learned, (select count(*) from test) as judged""",
    )  # fmt: skip
    assert months.json == [{"apart": True, "learned": 217_727, "judged": 82_609}]


def test_the_best_candidate_is_the_model_byte_for_byte(flights: Workplace) -> None:
    found = flights.lineal(
        "sql", "--json",
        """select partition, m.value as auc, content, v.metadata->>'partition' as chosen
        from lineage.materialization v join lineage.metric m on v.id = m.materialization
        semi join lineage.current c on v.id = c.materialization
        where asset in ('candidate', 'delay_model') and m.name = 'auc' order by auc desc""",
    ).json  # fmt: skip
    assert [row["partition"] is None for row in found].count(True) == 1
    (model,) = (row for row in found if row["chosen"])
    best = next(row for row in found if row["partition"])
    assert (model["chosen"], model["content"]) == (best["partition"], best["content"])
    months = flights.lineal("sql", "select count(*) as n from flights", "--json").json
    assert months == [{"n": 336_776}]


def test_a_corrected_december_leaves_eleven_months_and_the_models_fresh(
    flights: Workplace,
) -> None:
    december = flights.root / "data" / "flights-2013-12.csv"
    text = december.read_text(encoding="utf-8")
    december.write_text(text.replace(",-1,B6,", ",41,B6,", 1), encoding="utf-8")
    steps = flights.make().json["steps"]
    made = {(s["asset"], s["partition"]) for s in steps if s["outcome"] == "made"}
    assert {(name, "2013-12") for name in BY_MONTH - {"departures"}} <= made
    assert {key for _, key in made} == {"2013-12", None}
    remade = {name for name, key in made if key is None}
    assert remade == {
        "destinations", "train", "validation", "test", "predictions", "scores", "roc",
        "calibration",
    }  # fmt: skip
    assert [s["asset"] for s in steps if s["outcome"] == "closed"] == ["auc"]  # it was rolled back


def test_no_feature_is_known_only_after_departure(flights: Workplace) -> None:
    """Held against another way to reckon it: the delays of flights that left two hours before."""
    wrong = flights.lineal(
        "sql", "--json",
        """with left_at as (
            select origin, dep_delay, epoch(time_hour) + 60 * (minute + dep_delay) as second
            from flights where dep_delay is not null
        ), checked as (select * from trips where flight % 50 = 0 and recent_delay is not null)
        select count(*) as n from checked where abs(recent_delay - (
            select avg(dep_delay) from left_at where left_at.origin = checked.origin
            and epoch(checked.time_hour) - second > 3600
            and epoch(checked.time_hour) - second <= 7200
        )) > 1e-9""",
    )  # fmt: skip
    assert wrong.json == [{"n": 0}], wrong.out + wrong.err


def test_a_constant_of_a_helper_makes_stale_what_reaches_it_and_nothing_else(
    flights: Workplace,
) -> None:
    assert flights.plan().steps("fresh") == ALL
    flights.edit("features.py", "RUSH = (16, 21)", "RUSH = (15, 22)  # wider")
    plan = flights.plan()
    assert plan.steps("stale") == {"features"}
    assert plan.steps("pending") == AFTER_FEATURES - {"features"} | {"deploy"}
    told = flights.lineal("why", "features", "--partition", "2013-12").out
    assert "features.RUSH" in told
    assert "(16, 21)" in told
    assert "(15, 22)" in told
    flights.edit("features.py", "RUSH = (15, 22)  # wider", "RUSH = (16, 21)  # from four to nine")
    assert flights.plan().steps("fresh") == ALL


def test_a_column_nobody_reads_and_a_column_somebody_reads(flights: Workplace) -> None:
    weather = flights.root / "data" / "weather.csv"
    kept = weather.read_text(encoding="utf-8")
    assert kept.splitlines()[1].count("NA") == 1  # its wind_gust
    weather.write_text(kept.replace("NA", "25", 1), encoding="utf-8")
    planes = flights.root / "data" / "planes.csv"
    flown = planes.read_text(encoding="utf-8")
    planes.write_text(flown.replace("Fixed wing", "Flying boat", 1), encoding="utf-8")
    told = flights.lineal("plan").out
    assert "if a column it reads of weather changes: origin, time_hour, " in told
    assert "or of raw/planes: tailnum, year" in told
    run = flights.make()
    assert run.steps("made") == {"raw/weather", "raw/planes"}
    assert run.steps("fresh") == ALL - {"raw/weather", "raw/planes"}
    assert run.json["counts"]["fresh"] == STEPS - 2
    assert "wind_gust" in flights.lineal("why", "weather").out
    told = flights.lineal("why", "trips", "--partition", "2013-12").out
    assert "2 of 9 columns read" in told
    assert "tailnum, year" in told
    planes.write_text(flown.replace("2004", "2003", 1), encoding="utf-8")
    flights.make("raw/planes")
    assert "trips" in flights.plan().steps("stale")
    weather.write_text(kept.replace("59.37", "60.37", 1), encoding="utf-8")
    plan = flights.plan()
    assert "raw/weather" in plan.steps("stale")
    assert "delay_model" in plan.steps("pending")


def test_an_hour_told_twice_never_becomes_current(flights: Workplace) -> None:
    weather = flights.root / "data" / "weather.csv"
    lines = weather.read_text(encoding="utf-8").splitlines(keepends=True)
    weather.write_text("".join([*lines, lines[-1]]), encoding="utf-8")
    before = flights.lineal("path", "weather").out
    run = flights.lineal("materialize", "--json")
    assert run.code == 1
    assert run.steps("failed") == {"weather"}
    assert run.steps("skipped") == {"trips"} | AFTER_FEATURES
    assert flights.lineal("path", "weather").out == before


def test_the_flights_tour_runs_as_written(flights: Workplace, shell: Shell) -> None:
    said = shell.type(flights.root, FLIGHTS / "README.md")
    assert said.count("Nothing to do") == 2
    assert re.search(r"^r\d+,delay_model_auc,0\.7", said, re.MULTILINE)
    assert re.search(r"^leaves=15,0\.7", said, re.MULTILINE)


def test_every_flights_asset_is_described(flights: Workplace) -> None:
    rows = flights.lineal("sql", "select name, description from lineage.asset", "--json").json
    undescribed = {row["name"] for row in rows if not row["description"]}
    assert {name for name in undescribed if not name.startswith("raw/")} == set()


# --------------------------------------------------------------------------------------- shop


def copy_of_the_shop(folder: Path) -> Workplace:
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns(".lineal", "*.bak", "__pycache__"))
    return Workplace(folder)


def test_the_shop_remakes_only_what_an_edit_reaches(tmp_path: Path) -> None:
    shop = copy_of_the_shop(tmp_path / "shop")
    run = shop.make()
    assert run.json["counts"]["made"] == len(run.json["steps"]) == 10
    months = shop.lineal("sql", "select * from marts.months", "--json").json
    assert [row["month"] for row in months] == [f"2026-0{month}" for month in range(1, 9)]
    sold = shop.lineal(
        "sql", "--json",
        """select sum(amount) - (select sum(amount) from marts.months) as apart,
        sum(amount) - (select sum(cents) / 100 from raw.payments) as unpaid from marts.orders""",
    )  # fmt: skip
    assert [float(value) for value in sold.json[0].values()] == [0, 0]  # nothing came back unpaid
    rows = shop.lineal("sql", "select name, description from lineage.asset", "--json").json
    assert {row["name"] for row in rows if not row["description"]} == {
        "raw/customers", "raw/orders", "raw/payments",
    }  # fmt: skip
    shop.edit("data/customers.csv", "Hanna Gruber", "Hanna Huber")
    steps = shop.make()
    assert steps.steps("made") == {"raw/customers", "staging/customers", "marts/customers"}
    assert {"loyalty", "marts/months", "marts/orders"} <= steps.steps("fresh")
    payments = shop.root / "data" / "payments.csv"
    payments.write_text(payments.read_text(encoding="utf-8") + "200,999,card,500\n", "utf-8")
    refused = shop.lineal("materialize", "--json")
    assert (refused.code, refused.steps("blocked")) == (1, {"staging/payments"})
    assert shop.lineal("sql", "select * from marts.months", "--json").json == months


def test_the_shop_tour_runs_as_written(tmp_path: Path) -> None:
    shop = copy_of_the_shop(tmp_path / "shop")
    said = ""
    for words in map(shlex.split, "\n".join(typed(SHOP / "README.md")).splitlines()):
        if words[0] == "lineal":  # in this process: fast
            answer = shop.lineal(*words[1:])
            assert answer.code == 0, answer.err
            said += answer.out
        else:
            subprocess.run(words, cwd=shop.root, check=True)
    assert said.count("Nothing to do: 10") == 2
    assert len(re.findall(r"^ +marts/\w+ +code changed +macros.sql:5 +is_sold", said, re.M)) == 2
    assert len(re.findall(r"^3 made, .*fresh", said, re.MULTILINE)) == 2  # a name, a payment


# ------------------------------------------------------------------------------------- init


def test_every_setting_that_init_shows_is_the_default(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "wine")
    place.write("pipeline.py", PIPELINE)
    place.write("lineal.toml", SETTINGS)
    assert place.make().json["counts"]["made"] == 7
    shown = re.sub(r"^# (?=\w+ = )", "", SETTINGS, flags=re.MULTILINE)
    assert shown.count("\n#") == SETTINGS.count("\n#") - 5
    place.write("lineal.toml", shown)
    assert place.make().json["counts"]["fresh"] == 7


def test_the_project_of_init_can_be_read_on_one_screen() -> None:
    lines = PIPELINE.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100


# -------------------------------------------------------------------------------- documents


def test_the_readme_runs_as_written(shell: Shell, tmp_path: Path) -> None:
    copy_of_the_shop(tmp_path / "examples" / "shop")
    said = shell.type(tmp_path, ROOT / "README.md")
    assert "10 made in" in said
    assert "Nothing to do: 7 fresh" in said
    assert re.search(r"candidate +strength=10\.0 +never made", said)
    assert re.search(r"model +code changed +pipeline.py:\d+ +pipeline.measurements", said)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"one file of {len(PIPELINE.splitlines())} lines" in readme
    assert (SHOP / "sql" / "marts" / "months.sql").read_text(encoding="utf-8") in readme


def test_the_blocks_of_the_page_on_assets_are_one_project(empty: Workplace) -> None:
    text = (ROOT / "docs" / "assets.md").read_text(encoding="utf-8")
    blocks = {
        kind: re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
        for kind in ("python", "sql", "toml")
    }
    empty.write("pipeline.py", "\n\n".join(blocks["python"]))
    query, macros = blocks["sql"]
    empty.write("sql/macros.sql", macros)
    empty.write("sql/by_city.sql", query)
    empty.write("lineal.toml", "\n".join(blocks["toml"]))
    empty.write("data/orders1.csv", "id,customer,amount\n1,ann,10.5\n2,bob,0.5\n")
    empty.write("data/orders2.csv", "id,customer,amount\n3,ann,30.0\n4,cyd,22.0\n")
    empty.write("data/customers.csv", "customer,city,zip\nann,Oslo,0150\nbob,Rome,-\n")
    run = empty.make()
    assert run.json["counts"]["made"] == len(run.json["steps"]) == 12
    cities = empty.lineal("sql", "from by_city", "--json").json
    assert cities == [{"city": "Oslo", "orders": 2, "amount": 40.5}]
    best = empty.lineal("sql", "select customer from best_customers", "--json").json
    assert best == [{"customer": "ann"}, {"customer": "cyd"}]
    (warned,) = empty.lineal(
        "sql", "select failing_rows from lineage.check_result where severity = 'warn'", "--json"
    ).json
    assert warned == {"failing_rows": 1}


def test_the_page_on_models_begins_with_a_whole_project_and_its_other_blocks_hold(
    empty: Workplace,
) -> None:
    page = ROOT / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    opening, _, sections = text.partition("\n## ")
    empty.write("pipeline.py", labelled(page)["pipeline.py"])
    said = ""
    for words in re.findall(r"^\$ lineal (.+)$", opening, re.MULTILINE):
        answer = empty.lineal(*shlex.split(words))
        assert answer.code == 0, answer.out + answer.err
        said += answer.out
    assert re.search(r"opens: 0\.8840, the first of cancer → cancer v1,", said)
    assert re.search(r"opens: 0\.9059 vs 0\.8840 of cancer v1 .* → cancer v2,", said)
    assert "cancer@production: v2 → v1.  deploy ran with v1" in said
    assert re.search(r"auc +decided .*: opened as cancer v1, 0\.8840, the first of cancer\n", said)
    assert (empty.root / "service" / "model.joblib").stat().st_size > 0
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, page.name, "exec")
    for query in re.findall(r'^ +lineal sql "(.+)"$', text, re.MULTILINE):
        assert empty.lineal("sql", query).code == 0, query
    headings = re.findall(r"^## (.+)$", "## " + sections, re.MULTILINE)
    listed = re.findall(r"^\| \[(.+?)\]\(#", opening, re.MULTILINE)
    assert listed == headings == list(dict.fromkeys(headings))


def labelled(document: Path) -> dict[str, str]:
    """The Python blocks of a document that begin with the name of their file, by that name."""
    text = document.read_text(encoding="utf-8")
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL))


def test_the_pipeline_of_the_page_on_other_tools_runs_as_written(empty: Workplace) -> None:
    page = ROOT / "docs" / "coming-from.md"
    files = labelled(page)
    for name in ("steps.py", "make_data.py", "pipeline.py"):
        empty.write(name, files[name])
    said = ""
    for words in map(shlex.split, typed(page)):
        if words[0] == "lineal":  # in this process: fast
            answer = empty.lineal(*words[1:])
            assert answer.code == 0, answer.out + answer.err
            said += answer.out
        else:
            program = [sys.executable, *words[1:]] if words[0] == "python" else words
            subprocess.run(program, cwd=empty.root, check=True)
    assert "Nothing to do: 7 steps" in said  # after the comment
    assert "['distance'] → ['hour', 'distance']" in said
    assert re.search(r"opens: 0\.6\d+ vs 0\.4\d+ of delays v1 .* → delays v2, production", said)
    assert re.search(r"stays closed: 0\.4\d+ vs 0\.6\d+ of delays v2", said)
    assert "delays@production: v2 → v1.  deploy ran with v1 in" in said
    assert "Nothing to do: 7 fresh" in said  # after the rollback
    assert "data/flights.csv" in said
    moves = empty.lineal(
        "sql", "--json", "select version from lineage.promotion order by promoted_at, id"
    ).json
    deployed = empty.lineal(
        "sql",
        "--json",
        """select (metadata->>'version')::int as version from lineage.materialization
        where asset = 'deploy' and outcome = 'made' order by entry""",
    ).json
    assert [row["version"] for row in moves] == [row["version"] for row in deployed] == [1, 2, 1]
    empty.write("pipeline.py", files["notebook.py"])
    assert empty.make().json["counts"]["made"] == 2
    for name, text in files.items():  # those of other tools are Python at least
        compile(text, name, "exec")
