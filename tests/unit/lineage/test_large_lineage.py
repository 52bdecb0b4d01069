"""The benchmark of a large lineage, made small: what it writes holds together and answers."""

from collections import deque

from benchmarks import lineage
from lineal.lineage.catalog import Catalog
from lineal.lineage.journal import Journal

SHAPE = lineage.Shape(100, 10)


def derived(turn, asset):
    """What a step comes from, by the shape alone."""
    reached, waiting = set(), deque([(turn, asset)])
    while waiting:
        for source in SHAPE.inputs(*waiting.popleft()):
            if source not in reached:
                reached.add(source)
                waiting.append(source)
    return reached


def test_a_small_run_of_it_answers_what_its_shape_says(tmp_path, capsys):
    root = tmp_path / ".lineal"
    lineage.write(root, SHAPE)
    lineage.ingest(root)
    lineage.ask(root, SHAPE, 1)
    told = capsys.readouterr().out
    assert "1,000 materialization" in told
    for figure in ("rows a second", "MB on disk", "derived_from", "upstream_of", "current, 100"):
        assert figure in told
    journal = Journal(root)
    assert journal.damages() == []
    connection, note = Catalog(journal.root, journal).connect_for_questions()
    assert note is None
    last = SHAPE.layered - 1
    made = f"{SHAPE.run(9)}.{last}"
    expected = derived(9, last)
    assert len(expected) > 200
    ids = connection.execute("select id from lineage.derived_from(?)", [made]).fetchall()
    assert {name for (name,) in ids} == {f"{SHAPE.run(turn)}.{a}" for turn, a in expected}
    version = f"asset_{last:05d}@{lineage._digest(f'content {last} 9')}"
    ids = connection.execute("select id from lineage.upstream_of(?)", [version]).fetchall()
    assert {name for (name,) in ids} == {
        f"asset_{a:05d}@{lineage._digest(f'content {a} {turn}')}" for turn, a in expected
    }
    files = connection.execute(
        "select count(*), count(distinct digest) from lineage.model_training_data "
        "where version = 10"
    ).fetchone()
    sources = sum(1 for step in expected if not SHAPE.inputs(*step))
    assert files == (sources, sources)
    current = connection.execute("select count(*), min(run) from lineage.current").fetchone()
    assert current == (100, SHAPE.run(9))
    connection.close()
