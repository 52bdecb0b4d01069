/* lineal
description = "Flights that arrived, with what was known an hour before they should have left."
primary_key = ["time_hour", "carrier", "flight"]
partitions = "flights"
*/
with scheduled as (
    select origin, time_hour, count(*) as busy -- cancelled ones too: nobody knows yet
    from flights
    group by all
)

select
    flights.time_hour,
    flights.carrier,
    flights.flight,
    flights.origin,
    flights.dest,
    flights.hour,
    flights.distance,
    planes.year as built, -- missing for one flight in six
    weather.humid,
    weather.wind_speed,
    weather.precip,
    weather.visib,
    scheduled.busy,
    departures.recent_delay,
    flights.arr_delay
from flights
inner join scheduled
    on scheduled.origin = flights.origin and scheduled.time_hour = flights.time_hour
left join weather
    on weather.origin = flights.origin and weather.time_hour = flights.time_hour - interval 1 hour
left join departures
    on departures.origin = flights.origin and departures.time_hour = flights.time_hour
left join raw.planes as planes on planes.tailnum = flights.tailnum
where flights.arr_delay is not null -- neither cancelled nor diverted
