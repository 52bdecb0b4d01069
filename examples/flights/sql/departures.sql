/* lineal
description = "How late an airport's flights left, at the hour from which anybody can know it."
primary_key = ["origin", "time_hour"]
partitions = "flights"
inputs = { flights = "last(2)" } # late in the night before a month began, flights left that tell
*/
-- Flights that really left between 8 and 9 tell about the hour of 10, an hour before it begins.
with left_late as (
    select
        origin,
        date_trunc('hour', time_hour + to_minutes((minute + dep_delay)::integer))
            + interval 2 hours as known_at,
        dep_delay
    from flights
    where dep_delay is not null
)

select
    origin,
    known_at as time_hour,
    avg(dep_delay) as recent_delay
from left_late
where strftime(timezone('America/New_York', known_at), '%Y-%m') = $partition
group by all
