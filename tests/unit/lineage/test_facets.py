import pytest

from lineal.lineage.facets import Dependency, column_lineage, nominal_time


def test_columns_depend_on_columns_and_on_what_decides_for_all_of_them():
    dependencies = [
        Dependency("orders", "amount", "total", "DIRECT", "AGGREGATION"),
        Dependency("orders", "amount", "total", "DIRECT", "AGGREGATION"),  # of another partition
        Dependency("orders", "state", "total", "INDIRECT", "CONDITIONAL"),
        Dependency("people", "name", "who", "DIRECT", "TRANSFORMATION", masking=True),
        Dependency("people", "id", None, "INDIRECT", "JOIN"),
        Dependency("orders", "customer", None, "INDIRECT", "JOIN"),
        Dependency("orders", "customer", None, "INDIRECT", "FILTER"),
        Dependency("opaque", None, "total", "DIRECT", None),
    ]

    def read(name, field, *how):
        told = [{"type": kind, "subtype": sub, "masking": mask} for kind, sub, mask in how]
        return {"namespace": "shop", "name": name, "field": field, "transformations": told}

    assert column_lineage("shop", dependencies) == {
        "fields": {
            "total": {
                "inputFields": [
                    read("orders", "amount", ("DIRECT", "AGGREGATION", False)),
                    read("orders", "state", ("INDIRECT", "CONDITIONAL", False)),
                ]
            },
            "who": {"inputFields": [read("people", "name", ("DIRECT", "TRANSFORMATION", True))]},
        },
        "dataset": [
            read("orders", "customer", ("INDIRECT", "FILTER", False), ("INDIRECT", "JOIN", False)),
            read("people", "id", ("INDIRECT", "JOIN", False)),
        ],
    }
    assert column_lineage("shop", dependencies[-1:]) is None


@pytest.mark.parametrize(
    ("described", "partition", "start", "end"),
    [
        ("daily from 2013-01-01", "2013-03-05", "2013-03-05T00", "2013-03-06T00"),
        ("weekly 2013-W01 to 2013-W09, 6 h later", "2013-W02", "2013-01-07T06", "2013-01-14T06"),
        ("monthly from 2013-01 in Europe/Oslo", "2013-07", "2013-06-30T22", "2013-07-31T22"),
        ("hourly from 2013-01-01T00", "2013-01-05T23", "2013-01-05T23", "2013-01-06T00"),
    ],
)
def test_a_partition_of_a_calendar_has_its_time(described, partition, start, end):
    assert nominal_time(partition, described) == {
        "nominalStartTime": f"{start}:00:00.000000Z",
        "nominalEndTime": f"{end}:00:00.000000Z",
    }


@pytest.mark.parametrize(
    ("described", "partition"),
    [
        ("daily from 2013-01-01", None),
        ("daily from 2013-01-01", "2013-01"),  # it was monthly then
        ("daily from 2013-01-01 in Mars/Olympus", "2013-01-01"),
        ("static eu, us", "eu"),
        ("by column month", "2013-01"),
        ("", "2013-01"),
    ],
)
def test_other_partitions_have_none(described, partition):
    assert nominal_time(partition, described) is None
