/* lineal
description = "Where people fly to, and how often they come late."
primary_key = ["dest"]
*/
select
    flights.dest,
    coalesce(any_value(airports.name), flights.dest) as name, -- four airports have no row
    count(*) as scheduled,
    count(*) filter (where flights.arr_delay is null) as never_arrived,
    round(100 * avg((flights.arr_delay > 15)::integer), 1) as late_percent
from flights
left join raw.airports as airports on airports.faa = flights.dest
group by flights.dest
order by count(*) desc, flights.dest
