"""How steps are run, as declarations say it: retries, timeouts, pools, partitions."""

from __future__ import annotations

import datetime as dt
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Asset, Retry, gathering
from lineal.assets.declare import asset, source
from lineal.assets.declare_sql import sql_asset, sql_assets
from lineal.assets.errors import DefinitionError, DefinitionErrors
from lineal.assets.partitions import same_as, static
from lineal.project import Project


class Texts:
    """Reads SQL files from the disk."""

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def below(self, folder: str, suffix: str) -> list[str]:
        return sorted(str(p) for p in Path(folder).rglob(f"*{suffix}"))


def nothing() -> None:
    """What an asset may compute."""


def made(**options: Any) -> Asset:
    return asset(**options)(nothing)


# --------------------------------------------------------------------------------------- retries


def test_a_number_is_that_many_further_attempts_with_the_usual_waits() -> None:
    assert made(retry=3).retry == Retry(3)
    assert made().retry is None


def test_waits_are_kept_in_seconds_and_exceptions_as_a_tuple() -> None:
    said = Retry(2, delay="30s", backoff=3, maximum="1h", jitter=0, on=ConnectionError)
    assert made(retry=said).retry == Retry(2, 30.0, 3.0, 3600.0, 0.0, (ConnectionError,))
    at_once = made(retry=Retry(1, delay=0)).retry
    assert at_once is not None
    assert at_once.delay == 0.0


def test_a_source_and_a_query_are_run_alike() -> None:
    slices = static(["eu", "us"])
    options: dict[str, Any] = {
        "retry": 1, "timeout": "10m", "pools": {"database": 2}, "exclusive": True,
        "partitions": slices,
    }  # fmt: skip
    fetched = source("raw/rates", **options)(nothing)
    asked = sql_asset("cities", "select 1 as one", **options)
    for each in (made(**options), fetched, asked):
        assert each.retry == Retry(1)
        assert (each.timeout, each.pools) == (600.0, (("database", 2),))
        assert (each.exclusive, each.partitions) == (True, slices)


def test_a_header_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        '/* lineal\nretry = 3\ntimeout = "90s"\npools = "database"\nexclusive = true\n'
        'partitions = "raw/orders"\n*/\nselect 1 as one'
    )
    (tmp_path / "b.sql").write_text(
        '/* lineal\n[retry]\ntimes = 2\ndelay = "2s"\n[pools]\ndatabase = 2\n*/\nselect 1 as one'
    )
    with gathering(Texts()):
        first, second = sql_assets(str(tmp_path))
    assert (first.retry, first.timeout, first.pools) == (Retry(3), 90.0, (("database", 1),))
    assert (first.exclusive, first.partitions) == (True, same_as("raw/orders"))
    assert (second.retry, second.pools) == (Retry(2, 2.0), (("database", 2),))


def test_an_asset_or_its_name_stands_for_its_partitions() -> None:
    days = made(name="raw/days")
    for said in (days, "raw/days"):
        assert made(partitions=said).partitions == same_as("raw/days")


@pytest.mark.parametrize("said", ["10m", 600, 600.0, dt.timedelta(minutes=10)])
def test_a_timeout_is_a_length_of_time(said: Any) -> None:
    assert made(timeout=said).timeout == 600.0


# -------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("option", "says", "how"),
    [
        ("retry=-1", "`retry=` is -1", "from 0"),
        ("retry=True", "`retry=` is True", "from 0"),
        ("retry='3'", "`retry=` is '3'", "from 0"),
        ("retry=Retry(-2)", "`retry=` is -2", "from 0"),
        ("retry=Retry(1, delay=-1)", "`retry delay=` is -1", "a length of time"),
        ("retry=Retry(1, delay='soon')", "`retry delay=` is 'soon'", "a length of time"),
        ("retry=Retry(1, maximum=0)", "waits 1 s at first, and 0 s at most", "`maximum`"),
        ("retry=Retry(1, 0, maximum=0)", "waits 0 s at first, and 0 s at most", "`maximum`"),
        ("retry=Retry(1, '2m')", "waits 120 s at first, and 60 s at most", "`maximum`"),
        ("retry=Retry(1, backoff=0.5)", "`retry backoff=` is 0.5", "from 1"),
        ("retry=Retry(1, backoff=float('nan'))", "`retry backoff=` is nan", "from 1"),
        ("retry=Retry(1, jitter=-0.1)", "`retry jitter=` is -0.1", "from 0"),
        ("retry=Retry(1, on='OSError')", "`retry on=` is 'OSError'", "classes of exceptions"),
        ("retry=Retry(1, on=())", "`retry on=` is ()", "classes of exceptions"),
        ("retry=Retry(1, on=(OSError, 3))", "`retry on=`", "classes of exceptions"),
        ("retry={'time': 3}", "did you mean `times`", "it takes times"),
        ("retry={'delay': 3}", "`retry=` is {'delay': 3}", "times"),
        ("timeout=0", "`timeout=` is 0", "above 0"),
        ("timeout=-5", "`timeout=` is -5", "a length of time"),
        ("timeout='long'", "`timeout=` is 'long'", "a length of time"),
        ("timeout=True", "`timeout=` is True", "a length of time"),
        ("pools={'database': 0}", "`pools=` is {'database': 0}", "from 1"),
        ("pools={'database': 1.5}", "`pools=` is {'database': 1.5}", "from 1"),
        ("pools={'database': True}", "`pools=` is {'database': True}", "from 1"),
        ("pools={}", "`pools=` is {}", "a pool"),
        ("pools=['database']", "`pools=` is ['database']", "a pool"),
        ("pools=''", "`pools=` is ''", "a text"),
        ("exclusive='yes'", "`exclusive=` is 'yes'", "True or False"),
        ("partitions=3", "`partitions=` is 3", "an asset"),
        ("partitions='no name'", "`no name` is not an asset name", "letters"),
        ("retries=3", "did you mean `retry`", "it takes"),
    ],
)
def test_what_can_not_be_right_is_told_with_its_place_and_how_to_mend_it(
    option: str, says: str, how: str
) -> None:
    text = f"from lineal import Retry, asset\n\n@asset({option})\ndef orders(): ...\n"
    module = types.ModuleType("a_pipeline")
    with gathering() as found:
        exec(compile(text, "/project/pipeline.py", "exec"), module.__dict__)
    (error,) = [each for each in found if isinstance(each, DefinitionError)]
    assert says in error.message
    assert how in (error.advice or "")
    assert error.where == "/project/pipeline.py:3"


# ------------------------------------------------------------------------------------- in projects

PIPELINE = """
    from lineal import Retry, asset, resource, source, sql_asset

    @asset{options}
    def orders():
        return [1]

    @source("raw/rates"{more})
    def rates():
        return [2]

    sql_asset("cities", "select 1 as one"{more})
"""


def write(root: Path, options: str = "", settings: str = "") -> Project:
    text = textwrap.dedent(PIPELINE)
    more = f", {options}" if options else ""
    text = text.replace("{options}", f"({options})" if options else "").replace("{more}", more)
    (root / "pipeline.py").write_text(text)
    (root / "lineal.toml").write_text(settings)
    return Project(root)


@pytest.mark.parametrize(
    "options",
    [
        "retry=3",
        "retry=Retry(1, '1s', on=(OSError,))",
        "timeout='10m'",
        "pools={'database': 1}",
        "exclusive=True",
    ],
)
def test_how_a_step_is_run_makes_nothing_stale(tmp_path: Path, options: str) -> None:
    pools = "[pools]\ndatabase = 2\n"
    assert write(tmp_path, settings=pools).materialize().counts["made"] == 3
    again = write(tmp_path, options, pools).plan()
    assert [step.verdict.name for step in again.steps] == ["fresh"] * 3


def test_a_pool_that_nobody_defined_is_told_with_the_nearest_and_the_line_to_write(
    tmp_path: Path,
) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        write(tmp_path, "pools={'databse': 2}", "[pools]\ndatabase = 2\n").plan()
    assert len(caught.value.errors) == 3
    error = caught.value.errors[0]
    assert error.message == (
        "no pool `databse`, of which `orders` takes 2; did you mean `database`?"
    )
    assert error.where == f"{tmp_path / 'pipeline.py'}:4"
    assert error.advice == "define it in lineal.toml: [pools] databse = 2"


def test_an_asset_that_takes_more_places_than_there_are_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        write(tmp_path, "pools={'database': 3}", "[pools]\ndatabase = 2\n").plan()
    error = caught.value.errors[0]
    assert error.message == "`orders` takes 3 places of the pool `database`, which has 2"
    assert error.advice == f"it could never run: see {tmp_path / 'lineal.toml'}:2"
