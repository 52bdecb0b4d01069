/* lineal
description = "How late an airport's flights left, at the hour from which anybody can know it."
primary_key = ["origin", "time_hour"]
*/
-- Flights that really left between 8 and 9 tell about the hour of 10, an hour before it begins.
select
    origin,
    date_trunc('hour', time_hour + to_minutes((minute + dep_delay)::integer))
        + interval 2 hours as time_hour,
    avg(dep_delay) as recent_delay
from flights
where dep_delay is not null
group by all
