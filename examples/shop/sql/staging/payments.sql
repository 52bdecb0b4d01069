/* lineal
description = "Every movement of money; what is paid back is negative."
primary_key = "payment_id"
checks = ["references(order_id, staging/orders)", "accepted(method, [card, transfer, voucher])"]
[columns]
amount = "in euros"
*/
select id as payment_id, order_id, method, euros(cents) as amount
from raw.payments
