/* lineal
description = "Everybody who has an account."
primary_key = "customer_id"
checks = ["not_null(name, city)"]
*/
select id as customer_id, name, city, joined
from raw.customers
