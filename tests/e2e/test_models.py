"""Registered models at the command line: promoted by hand, taken back, held, tagged."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.errors import UsageError
from lineal.project import Project
from tests.e2e.command_line import Workplace

PIPELINE = """
from lineal import Result, asset, best_of, grid, source

source("raw/flights", "data/flights-{month}.csv")


@asset(partitions="raw/flights")
def flights(raw_flights):
    return raw_flights


@asset
def train(flights):
    return flights


@asset(partitions=grid(depth=[1, 2]))
def candidate(train, *, depth: int) -> Result:
    mean = float(train["delay"].mean())
    return Result({"mean": mean, "depth": depth}, metrics={"auc": 0.5 + depth / 10})


delay_model = best_of(candidate, metric="auc", name="delay_model")


@asset
def busiest(flights):
    return flights
"""
HEAD = "id,distance,delay\n"


def flown(place: Workplace, month: str, *delays: int) -> None:
    rows = "".join(f"{n},{100 * n},{delay}\n" for n, delay in enumerate(delays, 1))
    place.write(f"data/flights-{month}.csv", HEAD + rows)


def said(place: Workplace, *words: str) -> str:
    told = place.lineal("models", *words)
    assert told.code == 0, told.err
    return told.out


def refused(place: Workplace, *words: str) -> str:
    before = place.files()
    told = place.lineal("models", *words)
    assert told.code == 2, told.out
    assert place.files() == before
    return told.err


def moves(place: Workplace) -> list[tuple[str, int, int | None]]:
    query = "select how, version, previous from lineage.promotion order by entry"
    rows = place.lineal("sql", query, "--format", "json").json
    return [(row["how"], row["version"], row["previous"]) for row in rows]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("made") / "once")
    place.write("pipeline.py", PIPELINE)
    flown(place, "2026-01", 5, 20, 40)
    flown(place, "2026-02", 10, 30)
    place.make()
    return place.root


@pytest.fixture
def place(tmp_path, made_once):
    shutil.copytree(made_once, tmp_path / "project")
    return Workplace(tmp_path / "project")


def test_a_model_is_promoted_by_hand_taken_back_and_promoted_again(place):
    assert "no model is registered" in said(place).lower()
    first = said(place, "promote", "delays", "--from", "delay_model", "--reason", "the first")
    assert first.startswith("delay_model is delays v1.  delays@production is v1.")
    flown(place, "2026-02", 10, 31)
    place.make()
    second = said(place, "promote", "delays", "--from", "delay_model")
    assert "delay_model is delays v2.  delays@production: v1 → v2." in second
    back = said(place, "rollback", "delays", "--reason", "bad on weekends")
    assert back.startswith("delays@production: v2 → v1.\nv2 is withdrawn: no gate will promote")
    told = said(place)
    assert [line.split()[:3] for line in told.splitlines()[1:3]] == [
        ["v2", "0.7000", "5"],
        ["v1", "●", "0.7000"],
    ]
    assert "2026-01…02" in told
    assert "withdrawn" in told
    said(place, "promote", "delays", "v2")
    assert "withdrawn" not in said(place)
    assert moves(place) == [
        ("person", 1, None), ("person", 2, 1), ("rollback", 1, 2), ("person", 2, 1),
    ]  # fmt: skip
    history = place.lineal("sql", "select who, reason from lineage.promotion", "--format", "json")
    assert [row["reason"] for row in history.json] == ["the first", "", "bad on weekends", ""]
    assert all(row["who"] for row in history.json)


def test_what_would_change_nothing_is_refused_and_writes_nothing(place):
    said(place, "promote", "delays", "--from", "delay_model")
    assert "`delays@production` is v1 already" in refused(place, "promote", "delays", "v1")
    assert "is v1 already" in refused(place, "promote", "delays", "--from", "delay_model")
    assert "none before" in refused(place, "rollback", "delays", "--reason", "x")
    assert "has no version v7" in refused(place, "promote", "delays", "v7")
    assert "no registry `delay`; did you mean" in refused(place, "promote", "delay", "v1")
    assert "which version" in refused(place, "promote", "delays")
    assert "is `delays@v1` already" in refused(place, "register", "delays", "delay_model")
    assert "is no model" in refused(place, "register", "tables", "busiest")
    assert "is an asset" in refused(place, "register", "busiest", "delay_model")
    assert "is not held" in refused(place, "release", "delays")
    assert "these tags already" in refused(place, "tag", "delays", "v1", "--remove", "weekly")
    said(place, "hold", "delays", "--reason", "holidays")
    assert "is held already" in refused(place, "hold", "delays", "--reason", "again")
    assert "`--reason` says nothing" in refused(place, "rollback", "delays", "--reason", " ")
    assert "v3 --add weekly" in refused(place, "tag", "delays", "v1", "weekly")
    assert "`v1` can't be an alias" in refused(place, "promote", "delays", "v1", "--alias", "v1")


def test_a_registry_is_held_and_released_its_versions_are_tagged_and_all_of_it_is_a_run(place):
    said(place, "register", "delays", "delay_model", "--tag", "weekly")
    assert moves(place) == []
    said(place, "tag", "delays@v1", "--add", "trial", "--remove", "weekly")
    said(place, "promote", "v1", "--alias", "staging")
    said(place, "hold", "delays", "--reason", "bad\non\x1bweekends ")
    told = said(place)
    assert "staging   #trial" in told
    assert "held since" in told and '"bad on weekends"' in told
    status = place.lineal("status").out
    assert "all fresh. delays is held since" in status and '"bad on weekends".' in status
    said(place, "release", "delays")
    (registry,) = place.lineal("models", "--json").json
    assert (registry["held"], registry["aliases"]) == (None, {"staging": "v1"})
    runs = place.lineal("sql", "from lineage.run order by number", "--format", "json").json
    assert [run["outcome"] for run in runs] == ["done"] * 6
    assert place.lineal("fsck").code == 0


def test_a_version_is_told_with_its_past_and_with_what_it_rests_on(place):
    said(place, "promote", "delays", "--from", "delay_model", "--reason", "the first")
    flown(place, "2026-02", 10, 31)
    flown(place, "2026-03", 7)
    place.edit("pipeline.py", "depth=[1, 2]", "depth=[1, 2, 3]")
    place.make()
    said(place, "promote", "delays", "--from", "delay_model")
    told = said(place, "show", "delays@production")
    for row in (
        "delays v2, production   delay_model@",
        "trained as candidate depth=3 in",
        "metrics  auc 0.8000",
        "set      depth=3",
        "production: v1 → v2   by ",
        "made of 3 files",
        "train   6 rows   3 of 3 columns: id, distance, delay",
    ):
        assert row in told
    document = place.lineal("models", "show", "delays", "v1", "--json").json
    assert [(f["path"], f["rows"]) for f in document["files"]] == [
        ("data/flights-2026-01.csv", 3), ("data/flights-2026-02.csv", 2),
    ]  # fmt: skip
    assert [move["reason"] for move in document["moves"]] == ["the first", ""]
    assert {"candidate", "delay_model"} <= set(document["code"])
    assert document["packages"]["pandas"]
    compared = said(place, "compare", "v1", "v2")
    assert "delays@v1 → delays@v2: 1 metric, 1 parameter, 2 files differ." in compared
    for row in (
        "auc   0.7000 → 0.8000   (+0.1)",
        "depth   2 → 3",
        "5 rows of 2026-01…02 → 6 rows of 2026-01…03",
        "+ data/flights-2026-03.csv",
        "~ data/flights-2026-02.csv",
    ):
        assert row in compared
    differing = place.lineal("models", "compare", "delays@v1", "delays", "--json").json
    assert differing["parameters"] == {"depth": ["2", "3"]}
    assert (differing["same"], len(differing["files"]["changed"])) == (False, 1)
    assert "one version: nothing differs" in said(place, "compare", "delays", "v1", "v1")
    assert "1 version named" in refused(place, "compare", "delays", "v1")


def test_the_best_parameters_that_a_training_read_are_shown(tmp_path):
    place = Workplace(tmp_path)
    place.write(
        "pipeline.py",
        "from lineal import asset\n\n\n@asset\ndef best():\n    return {'C': 0.725}\n\n\n"
        "@asset\ndef model(best):\n    return {'weights': [best['C']]}\n",
    )
    place.make()
    said(place, "promote", "delays", "--from", "model")
    assert "  best   {'C': 0.725}\n" in said(place, "show", "delays")
    (read,) = place.lineal("models", "show", "delays", "--json").json["inputs"]
    assert read["value"] == {"C": 0.725}
    said(place, "export", "delays", str(tmp_path / "out"))
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| `best` |  |  | `{'C': 0.725}` |" in card
    stored = Path(place.lineal("path", "best").out.strip())
    (place.root / stored).chmod(0o644)
    (place.root / stored).write_text("{}")
    assert "  best   read whole\n" in said(place, "show", "delays")  # damaged: not shown


def test_a_registered_name_stands_wherever_a_version_does(place):
    said(place, "promote", "delays", "--from", "delay_model")
    flown(place, "2026-02", 10, 31)
    place.make()
    said(place, "promote", "delays", "--from", "delay_model")
    project = Project(place.root)
    old, new = project.load("delays@v1"), project.load("delays")
    assert (old["mean"], new["mean"]) == (21.0, 21.2)
    assert project.load("delays@production") == new == project.load("delay_model")
    assert project.path("delays@v1") != project.path("delays@v2")
    head, *below = place.lineal("lineage", "delays@v1").out.splitlines()
    assert head.endswith("delays v1")
    assert place.lineal("lineage", "delays").out.splitlines()[0].endswith("delays v2, production")
    assert any("data/flights-2026-02.csv" in row for row in below)
    assert "`delay`; did you mean `delays`?" in place.lineal("show", "delay").err
    down = place.lineal("lineage", "raw/flights", "--down").out
    assert "delays v2, production" in down
    nodes = place.lineal("lineage", "delays@v1", "--json").json["nodes"]
    assert [node["registered"] for node in nodes if node["registered"]] == [["delays@v1"]]
    assert "models   delays@v2, delays@production" in place.lineal("show", "delays@v2").out
    assert "mean" in place.lineal("diff", "delays@v1", "delays@v2").out
    assert place.lineal("status").out.endswith("all fresh. delays@production = v2.\n")
    verbose = place.lineal("status", "-v").out
    assert "models   delays   production v2 (" in verbose and "auc 0.7000)" in verbose
    (standing,) = place.lineal("status", "--json").json["models"]
    assert (standing["registry"], standing["production"]["version"]) == ("delays", "v2")
    for name, told in (
        ("delays@v9", "has no version v9"),
        ("delays@stagin", "no alias `stagin`"),
        ("delay_model@v1", "no registry `delay_model`"),
        ("delay_model@r99.1", "no materialization"),
        ("delays 2026-01@v1", "no registry"),
    ):
        for verb in ("show", "path", "lineage", "diff"):
            assert told in place.lineal(verb, name).err
    made = nodes[0]["materialization"]
    assert place.lineal("path", f"delay_model@{made}").out == place.lineal("path", "delays@v1").out
    train = next(node for node in nodes if node["asset"] == "train")["materialization"]
    count = place.lineal("sql", f'select count(*) as n from "train@{train}"', "--json").json
    assert count == [{"n": 5}]


FROM_THE_ALIAS = """
    select d.digest from lineage.alias a
    join lineage.model_training_data d using (registry, version)
    where (a.registry, a.alias) = ('{}', 'production') order by d.digest
"""
FROM_A_FILE = """
    select distinct r.registry, r.version
    from lineage.source_file f, lineage.derived_into(f.materialization) d
    join lineage.registered_version r on r.materialization = d.id
    where f.path = 'data/flights-2026-02.csv' and f.digest = '{}' order by all
"""


def test_sql_goes_from_the_alias_to_the_files_and_back_through_choice_and_reuse(place):
    def asked(query):
        return [tuple(row.values()) for row in place.lineal("sql", query, "--format", "json").json]

    def file(month):
        data = (place.root / f"data/flights-2026-{month}.csv").read_bytes()
        return blake3(data).hexdigest(), data

    said(place, "promote", "delays", "--from", "delay_model")
    first = {digest for digest, _ in (file("01"), file("02"))}
    bad, text = file("02")
    flown(place, "2026-02", 10, 31)
    place.make()
    said(place, "promote", "delays", "--from", "delay_model")
    second = {digest for digest, _ in (file("01"), file("02"))}
    (place.root / "data/flights-2026-02.csv").write_bytes(text)
    place.make()  # all of it is taken over from the first run
    said(place, "promote", "again", "--from", "delay_model")
    assert {digest for (digest,) in asked(FROM_THE_ALIAS.format("delays"))} == second
    assert {digest for (digest,) in asked(FROM_THE_ALIAS.format("again"))} == first
    assert asked(FROM_A_FILE.format(bad)) == [("again", 1), ("delays", 1)]
    models = asked(
        "select m.registry, m.version, m.metrics['auc'], m.rows, o.asset, o.partition, o.outcome "
        "from lineage.model m join lineage.materialization o on o.id = m.trained_as order by all"
    )
    assert models == [
        (registry, version, 0.7, 5, "candidate", "depth=2", "made")
        for registry, version in (("again", 1), ("delays", 1), ("delays", 2))
    ]
    said(place, "rollback", "delays", "--reason", "bad")
    taken_back = "select version from lineage.model where withdrawn_at is not null"
    assert asked(taken_back) == [(2,)]
    said(place, "promote", "delays", "v2")
    assert asked(taken_back) == []
    said(place, "tag", "delays", "v2", "--add", "weekly")
    assert asked("select tags from lineage.model where registry = 'delays'") == [
        ([],),
        (["weekly"],),
    ]


def test_a_move_needs_the_code_of_the_project_for_nothing_but_its_actions(place):
    said(place, "promote", "delays", "--from", "delay_model")
    place.write("pipeline.py", "raise RuntimeError('broken')")
    said(place, "tag", "delays", "v1", "--add", "kept")
    assert "#kept" in said(place)


def test_the_same_training_gives_the_same_version(place):
    project = Project(place.root)
    assert project.register("delays", "delay_model").version == 1
    place.make("--force", "candidate", "delay_model")
    with pytest.raises(UsageError, match="is `delays@v1` already"):
        project.register("delays", "delay_model")


def test_a_registered_version_whose_object_is_gone_is_named_and_not_promoted(place):
    said(place, "promote", "delays", "--from", "delay_model")
    flown(place, "2026-02", 10, 31)
    place.make()
    said(place, "promote", "delays", "--from", "delay_model")
    (first,) = Project(place.root).path("delays@v1")
    first.unlink()
    told = place.lineal("fsck", "--level", "objects")
    assert told.code == 3
    assert "(delays v1)" in told.out
    back = place.lineal("models", "rollback", "delays", "--reason", "bad")
    assert back.code == 3
    assert "is gone" in back.err or "missing" in back.err
    assert len(moves(place)) == 2
    repaired = place.lineal("fsck", "--level", "objects", "--repair").out
    assert "(delays v1) is lost: run r1 made it" in repaired
    assert (
        place.lineal("fsck", "--level", "objects").code == 0
    )  # known to be lost, and nothing names it
    (second,) = Project(place.root).path("delays@production")
    second.write_bytes(b"tampered" * 10)
    assert "(delays v2" in place.lineal("fsck", "--level", "objects").out


def test_what_an_alias_names_is_missed_though_it_is_current_no_more(place):
    said(place, "promote", "delays", "--from", "delay_model")
    (live,) = Project(place.root).path("delays")
    flown(place, "2026-02", 10, 31)
    place.make()
    live.unlink()
    for _ in range(2):
        assert place.lineal("fsck", "--level", "objects", "--repair").code == 3
        assert "(delays v1)" in place.lineal("fsck", "--level", "objects").out


GATED = """
from pathlib import Path

import lineal
from lineal import action, asset, gate, source

source("raw/n", "n.csv")


@asset
def model(raw_n) -> dict:
    return {"score": float(raw_n["x"].sum())}


@gate("delays", candidate="model")
def auc(model, raw_n) -> float:
    return model["score"]


@action("delays@production")
def deploy(promotion: lineal.Promotion):
    with open("deployed", "a") as log:
        print(promotion.version, file=log)
    if Path("down").exists():
        raise ConnectionError("the server is down")
"""


def test_an_action_follows_moves_by_hand_and_nothing_else_follows_them(tmp_path):
    place = Workplace(tmp_path)
    place.write("pipeline.py", GATED)

    def deployed():
        return (tmp_path / "deployed").read_text().split()

    for score in (1, 2, 3):
        place.write("n.csv", f"x\n{score}\n")
        place.make()
    told = said(place, "rollback", "delays", "--reason", "bad on weekends")
    assert "delays@production: v3 → v2.  deploy ran with v2 in " in told
    assert deployed() == ["v1", "v2", "v3", "v2"]
    before = place.files()
    for _ in range(3):
        assert place.make().json["run"] is None
    assert place.files() == before
    place.write("down", "")
    failed = place.lineal("models", "promote", "delays", "v3")
    assert failed.code == 1
    assert "deploy failed for v3: ConnectionError: the server is down" in failed.out
    assert "The move stands: delays@production is v3." in failed.out
    (tmp_path / "down").unlink()
    assert "made" in place.lineal("materialize").out
    assert deployed() == ["v1", "v2", "v3", "v2", "v3", "v3"]
    document = place.lineal("models", "rollback", "delays", "--reason", "again", "--json").json
    assert document["promotion"]["version"] == "v2"
    assert document["actions"]["counts"]["made"] == 1
    place.edit("pipeline.py", "@action", "@@action")
    broken = place.lineal("models", "promote", "delays", "v1")
    assert broken.code == 1
    assert "SyntaxError" in broken.out
    assert "delays@production is v1" in broken.out
    shown = said(place, "show", "delays", "v3")
    assert "auc: opened" in shown and "rolled back by" in shown
    assert [how for how, _, _ in moves(place)] == [
        "gate", "gate", "gate", "rollback", "person", "rollback", "person",
    ]  # fmt: skip


def test_no_asset_has_the_name_of_a_registry(place):
    said(place, "register", "delays", "delay_model")
    place.edit("pipeline.py", "def busiest", "def delays")
    told = place.lineal("plan")
    assert told.code == 2
    assert "`delays` is an asset and a registry of models" in told.err
    assert "pipeline.py:" in told.err


def test_an_environment_that_does_not_promote_moves_nothing_by_hand(place):
    place.write("lineal.toml", "[environments.dev]\n\n[environments.prod]\npromote = true\n")
    place.make("--env", "dev")
    told = refused(place, "promote", "delays", "--from", "delay_model", "--env", "dev")
    assert "the environment dev does not promote" in told
    said(place, "register", "delays", "delay_model", "--env", "dev")
    never = refused(place, "register", "delays", "delay_model", "--env", "prod")
    assert "delay_model" in never
    said(place, "promote", "delays", "v1", "--env", "prod")
    assert "does not promote" in refused(
        place, "rollback", "delays", "--reason", "x", "--env", "dev"
    )
    rows = place.lineal("sql", "select environment from lineage.promotion", "--format", "json").json
    assert rows == [{"environment": "prod"}]
    assert "production" in said(place, "--env", "dev")


def test_a_move_by_hand_is_refused_if_others_moved_the_alias_meanwhile(place):
    project = Project(place.root)
    for depth in (1, 2):
        project.register("delays", f"candidate depth={depth}")
        project.promote(f"delays@v{depth}")
    project.promote("delays@v1", alias="staging")

    def meanwhile(*others):
        """Moves by hand that take place while the bytes of a model are checked."""
        waiting = list(others)

        def intact(stored):
            while waiting:
                waiting.pop(0)()
            return project.store

        return replace(project._registering, intact=intact)

    taken_back_and_put_there_again = (
        lambda: project.rollback("delays", reason="one"),
        lambda: project.promote("delays@v2", reason="other"),
    )
    with pytest.raises(UsageError, match="`delays@production` was moved meanwhile: it is v2"):
        meanwhile(*taken_back_and_put_there_again).rollback("delays", "production", "late")
    to_another = meanwhile(lambda: project.promote("delays@v2", alias="staging"))
    with pytest.raises(UsageError, match="`delays@staging` was moved meanwhile: it is v2"):
        to_another.promote("delays@staging", "canary", "", None)
    (registry,) = project.models()
    assert {a: p.version for a, p in registry.aliases.items()} == {"production": 2, "staging": 2}
    assert [v.withdrawn for v in registry.versions] == [None, None]


def test_two_processes_that_register_at_once_get_two_numbers(place):
    moving = """
import sys
from pathlib import Path
from lineal.assets.errors import UsageError
from lineal.project import Project

project, key = Project(Path.cwd()), sys.argv[1]
print("ready", flush=True)
sys.stdin.readline()
for n in range(4):
    print(project.register("delays", f"candidate depth={key}@{sys.argv[2 + n]}").version)
project.promote(f"delays@v{key}", alias=f"of{key}")
"""
    digests = {1: [], 2: []}
    for n in range(4):
        flown(place, "2026-02", 10, 30 + n)
        place.make()
        for depth in digests:
            made = Project(place.root).version(f"candidate depth={depth}")
            digests[depth].append(made.content.digest)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", moving, str(depth), *digests[depth]],
            cwd=place.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for depth in digests
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [[int(n) for n in process.communicate()[0].split()] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(numbers[0] + numbers[1]) == list(range(1, 9))
    assert all(found == sorted(found) for found in numbers)
    (registry,) = Project(place.root).models()
    assert {a: p.version for a, p in registry.aliases.items()} == {"of1": 1, "of2": 2}
    assert place.lineal("fsck", "--level", "objects").code == 0
