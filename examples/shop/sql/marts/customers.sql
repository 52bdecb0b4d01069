/* lineal
description = "Customers with what they have bought."
primary_key = "customer_id"
[columns]
orders = "how many they kept"
amount = "what they paid for them, in euros"
*/
select
    customers.*,
    count(order_id) as orders,
    min(ordered_on) as first_order,
    coalesce(sum(amount), 0) as amount
from staging.customers
left join marts.orders on orders.customer_id = customers.customer_id and is_sold(status)
group by all
