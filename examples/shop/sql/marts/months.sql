/* lineal
description = "What the shop sold, month by month."
primary_key = "month"
[columns]
customers = "how many bought something"
*/
select
    strftime(ordered_on, '%Y-%m') as month,
    count(*) as orders,
    count(distinct customer_id) as customers,
    sum(amount) as amount
from marts.orders
where is_sold(status) -- a macro of the project: sql/macros.sql
group by all
order by month
