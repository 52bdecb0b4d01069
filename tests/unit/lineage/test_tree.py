import json

import pytest

from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.tree import downstream, resting_on, to_json, to_tree, upstream
from tests.unit.lineage.story import Run, digest, model, model_pipeline, source_file, table, used


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


def opened(journal):
    return History.open(Journal(journal.root), journal.root / "cache")


def test_upstream_is_the_exact_derivation_with_the_columns_read(journal):
    made = model_pipeline(journal)
    up = upstream(opened(journal), made["model 2"])
    assert set(up.nodes) == {m.id for k, m in made.items() if k.endswith("2")}
    edges = {(e.source, e.target): (e.mode, e.columns) for e in up.edges}
    assert edges == {
        (made["raw/flights 2"].id, made["clean 2"].id): ("all", ()),
        (made["clean 2"].id, made["features 2"].id): ("columns", ("id",)),
        (made["raw/holidays 2"].id, made["features 2"].id): ("columns", ("day",)),
        (made["features 2"].id, made["model 2"].id): ("all", ()),
        (made["clean 2"].id, made["model 2"].id): ("columns", ("delay",)),
    }


def test_downstream_is_what_was_computed_from_it(journal):
    made = model_pipeline(journal)
    down = downstream(opened(journal), made["raw/flights 1"])
    assert set(down.nodes) == {
        made[name].id for name in ("raw/flights 1", "clean 1", "features 1", "model 1")
    }


def test_a_reused_version_is_followed_to_what_made_its_bytes_and_to_its_readers(journal):
    run = Run(journal)
    raw = run.observe("raw", table("raw", "id"), source_file("x.csv", "x"))
    a = run.make("a", table("a"), used(raw))
    later = Run(journal)
    reused = later.reuse(a)
    m = later.make("m", model("m"), used(reused))
    history = opened(journal)
    assert set(upstream(history, m).nodes) == {m.id, a.id, raw.id}
    assert set(downstream(history, raw).nodes) == {m.id, a.id, raw.id}
    assert upstream(history, reused).roots == (a.id,)


def test_what_failed_is_not_downstream(journal):
    run = Run(journal)
    raw = run.observe("raw", table("raw"), source_file("x.csv", "x"))
    run.make("a", None, used(raw), outcome="failed")
    assert set(downstream(opened(journal), raw).nodes) == {raw.id}


def test_the_tree_shows_columns_files_and_each_asset_once(journal):
    made = model_pipeline(journal)
    shown = to_tree(upstream(opened(journal), made["model 1"]))
    short = {k: digest(k.replace("raw/flights", "raw").replace("raw/", ""))[:6] for k in made}
    features = digest("features")[:6]
    assert shown.splitlines() == [
        f"delay_model@{short['model 1']}",
        f"├─ features@{features}  10 rows × 2  2 of 2 columns",
        f"│  ├─ clean@{short['clean 1']}  10 rows × 2  1 of 2 columns",
        f"│  │  └─ raw/flights@{short['raw/flights 1']}  10 rows × 1  1 of 1 columns",
        f"│  │     ├─ data/a.csv  {digest('a')[:6]}  1 bytes",
        f"│  │     └─ data/b.csv  {digest('b1')[:6]}  2 bytes",
        f"│  └─ raw/holidays@{short['raw/holidays 1']}  10 rows × 2  1 of 2 columns",
        f"└─ clean@{short['clean 1']}  10 rows × 2  1 of 2 columns  (above)",
    ]


def test_partitions_of_an_asset_stand_together(journal):
    run = Run(journal)
    parts = [run.make("p", table(f"p{n}", "id", "x"), partition=f"{n:02}") for n in range(1, 13)]
    whole = run.make("whole", table("whole"), *(used(p, "id") for p in parts))
    shown = to_tree(upstream(opened(journal), whole)).splitlines()
    assert shown[1:] == ["└─ p  12 partitions, 01 … 12  1 of 2 columns"]
    (alone,) = to_tree(upstream(opened(journal), parts[0])).splitlines()
    assert alone == f"p 01@{digest('p1')[:6]}  10 rows × 2"


def test_partitions_of_an_asset_are_told_each_by_itself(journal):
    run = Run(journal)
    raw = [run.make("raw", table(f"r{n}", "id"), partition=f"{n:02}") for n in (2, 1, 3)]
    days = [run.make("day", table(r.partition), used(r, "id"), partition=r.partition) for r in raw]
    value = to_json(upstream(opened(journal), run.make("whole", table("whole"), *map(used, days))))
    assert {(n["asset"], n["partition"]) for n in value["nodes"]} == {
        ("whole", None), *((a, f"0{n}") for a in ("day", "raw") for n in (1, 2, 3))
    }  # fmt: skip
    assert len(value["edges"]) == 6


def test_what_rests_on_a_partition_is_what_read_that_partition(journal):
    run = Run(journal)
    raw = [run.make("raw", table(f"r{n}"), partition=f"{n}") for n in (1, 2)]
    days = [run.make("day", table(f"d{r.partition}"), used(r), partition=r.partition) for r in raw]
    whole = run.make("whole", table("whole"), *map(used, days))
    down = resting_on(opened(journal), raw[0])
    assert set(down.nodes) == {raw[0].id, days[0].id, whole.id}


def test_a_wide_web_of_diamonds_is_shown_in_lines_not_in_paths(journal):
    run = Run(journal)
    layer = [run.make("x0", table("x0")), run.make("y0", table("y0"))]
    for n in range(1, 25):
        inputs = [used(m) for m in layer]
        layer = [run.make(f"{c}{n}", table(f"{c}{n}"), *inputs) for c in "xy"]
    shown = to_tree(upstream(opened(journal), layer[0])).splitlines()
    assert len(shown) < 150


def test_json_has_every_node_and_edge(journal):
    made = model_pipeline(journal)
    value = json.loads(json.dumps(to_json(upstream(opened(journal), made["model 1"]))))
    assert value["root"] == made["model 1"].id
    assert (len(value["nodes"]), len(value["edges"])) == (5, 5)
    raw = next(n for n in value["nodes"] if n["asset"] == "raw/flights")
    assert (raw["version"], raw["kind"], raw["format"]) == (digest("raw 1"), "files", "parquet")
    assert raw["files"][0] == {"path": "data/a.csv", "digest": digest("a"), "bytes": 1}
    assert value["edges"][0]["parameter"]
