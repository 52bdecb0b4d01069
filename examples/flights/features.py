"""What pandas adds to a trip: its calendar, its plane, and whether it came late."""

import pandas as pd

NEW_YORK = "America/New_York"
RUSH = (16, 21)  # departures scheduled from 16:00 until 20:59
LATE = 15  # minutes

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["hour", "weekday", "distance", "age", "humid", "wind_speed", "precip", "visib"]
NUMBERS += ["busy", "recent_delay", "rush"]


def add_calendar(trips: pd.DataFrame) -> pd.DataFrame:
    local = trips["time_hour"].dt.tz_convert(NEW_YORK)
    rush = trips["hour"].between(*RUSH, inclusive="left")
    return trips.assign(weekday=local.dt.day_of_week, rush=rush.astype(int))


def add_age(trips: pd.DataFrame) -> pd.DataFrame:
    return trips.assign(age=2013 - trips["built"])


def add_label(trips: pd.DataFrame) -> pd.DataFrame:
    return trips.assign(late=trips["arr_delay"] > LATE).drop(columns="arr_delay")


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of a time written as 1745."""
    return clock // 100 * 60 + clock % 100
