/* lineal
description = "Orders with what was paid for them."
primary_key = "order_id"
checks = ["between(amount, 0, 500)"]
[columns]
amount = "in euros, as it stands: nothing, if the order came back"
by_voucher = "the part of it that was paid with vouchers"
*/
select
    orders.*,
    coalesce(sum(amount), 0) as amount,
    coalesce(sum(amount) filter (method = 'voucher'), 0) as by_voucher
from staging.orders
left join staging.payments using (order_id)
group by all
