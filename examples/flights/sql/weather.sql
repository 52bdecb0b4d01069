/* lineal
description = "The hourly weather at the three airports, without impossible winds."
primary_key = ["origin", "time_hour"]
*/
select
    origin,
    time_hour, -- UTC: in local time an hour of 3 November happens twice
    humid,
    case when wind_speed < 150 then wind_speed end as wind_speed, -- one hour says 1,048 mph
    precip,
    visib
from raw.weather
