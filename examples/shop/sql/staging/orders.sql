/* lineal
description = "Every order, whatever became of it."
primary_key = "order_id"
checks = [
    "references(customer_id, staging/customers)",
    "accepted(status, [placed, shipped, delivered, returned])",
]
*/
select id as order_id, customer as customer_id, ordered_on, status
from raw.orders
