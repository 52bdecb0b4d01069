-- Statements over the tables of tests/corpus.py, one of each thing that DuckDB lets a query say.

-- columns, stars and what is taken out of them
select id, amount from orders;
select * from nodes;
select * exclude (note) from orders;
select * exclude (note, state) replace (amount * 2 as amount) from orders;
select * rename (name as label) from nodes;
select o.* exclude (note), c.name from orders o join customers c on o.customer = c.id;
select columns('^(id|day)$') from orders;
select columns(* exclude (note, state)) from orders;
select min(columns(['amount', 'day'])) from orders;
select columns(lambda c: c like '%a%') from orders;
select coalesce(*columns(['state', 'note'])) as first_text from orders;
select n from nodes n;
select (n).weight as w from (select n from nodes n);
select to_json(n)::varchar as j from nodes n;
select id as customer, customer + 1 as next from orders;
select amount * 2 as twice, twice + 1 as more from orders;
select customer from (select * from orders);
select count(*) from (select * from orders);
select count(*) from orders;
select count(note) from orders;
select count(1), count(distinct state) from orders;
select 1 as one from orders;
select typeof(amount) as kind from orders limit 1;
from orders;
from orders select customer where state = 'open';
from (from orders select id, state) select state;
select x.b, x.a from nodes as x(a, b);
select alias(weight) from nodes limit 1;
select id from orders where false;
select id from orders where true or note = 'x';
select case when amount > 20 then state else note end as word from orders;
select case when amount > 20 then 1 end as flag, if(state = 'open', id, customer) as who from orders;
select distinct state from orders;
select distinct on (customer) customer, amount from orders order by customer, amount, id;
select all id from orders;
select orders.id, main.orders.state from orders;
describe nodes;
from (describe select id, name from nodes);

-- conditions
select id from orders where note is null;
select id from orders where note is not distinct from state;
select id from orders where amount between 10 and 30 and state in ('open', 'paid');
select id from orders where note like '%e%' or note ilike 'X%' or note similar to '.*late.*';
select id from orders where (customer, state) in (select c.id, 'open' from customers c);
select id from orders where customer in (select id from customers where city = 'Oslo');
select id from orders where customer not in (select id from customers where city is null and id is not null);
select id from orders where amount > all (select weight from nodes where weight is not null);
select id from orders where customer = any (select id from customers where name > 'B');
select id from orders where exists (select * from items where "order" = orders.id and price > 2);
select id from orders where not exists (from items i where i."order" = orders.id);
select id from orders where amount > (select avg(amount) from orders);
select id from orders where regexp_matches(note, '^[a-m]') and length(note) > 3;
select id from orders o where amount = (select max(amount) from orders i where i.customer = o.customer);

-- correlated
select id, (select name from customers where customers.id = orders.customer limit 1) as who from orders;
select id, (select count(*) from items i where i."order" = o.id) as n from orders o;
select name from customers c where 1 < (select count(*) from orders where customer = c.id);
select o.id, (select list(i.product order by i.product) from items i where i."order" = o.id) as what from orders o;
select (select sum(weight) from nodes where nodes.id <= orders.id) as upto from orders;
select id, (select day) as d from orders;
select name from customers where exists (select 1 from orders where customer = customers.id and day >= customers.day);
select n.name, array(select c.name from nodes c where c.parent = n.id order by c.name) as below from nodes n;

-- joins
select o.id, c.name from orders o join customers c on o.customer = c.id;
select o.id, c.name from orders o left join customers c on o.customer = c.id;
select o.id, c.name from orders o right join customers c on o.customer = c.id;
select o.id, c.name from orders o full join customers c on o.customer = c.id;
select amount, name from orders join customers using (id);
select id from orders full join customers using (id);
select * from orders join customers using (id, day);
select customer, name from orders natural join customers;
select * from nodes natural join customers;
select o.id from orders o semi join customers c on o.customer = c.id;
select o.id from orders o anti join customers c on o.customer = c.id and c.city = 'Oslo';
select count(*) from orders cross join nodes;
select o.state, n.name from orders o, nodes n where o.id = n.id;
select o.id, n.name from orders o join nodes n on o.id = n.id or o.amount < n.weight;
select i.product, p.price from items i asof join raw.prices p on i.product = p.product and i.at >= p.day;
select i.id, p.price from items i asof left join "raw/prices" p using (product, price);
select o.id, top.product from orders o, lateral (select product from items i where i."order" = o.id order by price, product limit 1) top;
select o.id, t.n from orders o left join lateral (select count(*) as n from items where "order" = o.id) t on true;
select o.id, t.twice from orders o, (select o.amount * 2 as twice) t;
select o.id, n.name from orders o positional join nodes n;
select a.id, b.id from orders a join orders b on a.customer = b.customer and a.id < b.id;
select c.name, sum(i.amount * i.price) from customers c join orders o on o.customer = c.id join items i on i."order" = o.id group by c.name;
select e.kind, n.name from events e join nodes n using (id) where e.value > 1;
select o.id from orders o inner join nodes n on o.id = n.id where n.parent is null;

-- set operations
select id from orders union select id from customers;
select id, state from orders union all select id, name from customers;
select id, day from orders union all by name select day, id, city from customers;
select id from orders union by name select name from nodes;
select id from orders except select id from customers;
select customer from orders except all select id from nodes;
select id from orders intersect select id from nodes;
select customer from orders intersect all select id from customers;
(select id from orders order by amount limit 3) union all (select id from nodes order by weight limit 2);
select x from (select id as x, note from orders union all select id, name from nodes);

-- with
with open as (select * from orders where state = 'open') select id, amount from open;
with a as (select id, amount from orders), b as (select id, amount * 2 as amount from a) select a.amount + b.amount as s from a join b using (id);
with a as materialized (select * from orders) select x.id from a x join a y using (customer);
with a as not materialized (select * from orders) select id from a where amount > 5;
with a(k, v) as (select id, state from orders) select v from a;
with orders as (select id, weight from nodes) select weight from orders;
with a as (select id from nodes) select * from (with a as (select id, name from nodes) select name from a);
with recursive tree as (select id, name, 0 as depth from nodes where parent is null union all select n.id, n.name, depth + 1 from nodes n join tree t on n.parent = t.id) select name, depth from tree;
with recursive up(id, above) as (select id, parent from nodes union select u.id, n.parent from up u join nodes n on u.above = n.id) select * from up;
with recursive best(id, w) using key (id) as (select id, weight from nodes union select b.id, b.w + 1 from best b where b.w < 3) select id, w from best;
with recursive c as (select id, day, state from orders where id < 3 union all select id + 10, day, state from c where id < 20) select id from c;

-- groups
select state, sum(amount) from orders group by state;
select state, customer, sum(amount) from orders group by all;
select state, count(*) from orders group by 1 having sum(amount) > 20;
select state, customer, count(*) from orders group by rollup (state, customer);
select state, customer, count(*) from orders group by cube (state, customer);
select state, customer, grouping(state), max(day) from orders group by grouping sets ((state), (customer), ());
select upper(state) as s, avg(amount) from orders group by s;
select sum(amount) filter (where state = 'open'), count(*) filter (note is null) from orders;
select list(id order by day, id), string_agg(state, ',' order by id) from orders;
select arg_max(state, amount), arg_min(note, id, 2), max_by(day, id) from orders;
select first(state order by id), any_value(customer order by day, id) from orders;
select quantile_cont(amount, 0.5), mode(customer), histogram(customer) from orders;
select customer, sum(distinct amount) from orders group by customer;
select bool_and(amount > 0), bit_xor(id), product(id) from orders;
select max(struct_pack(a := amount, b := id)) from orders;
select corr(amount, id), regr_slope(amount, id) from orders;
select approx_count_distinct(state) from orders;
select sum(amount) from orders having count(*) > 1;

-- windows
select id, row_number() over (partition by customer order by day, id) from orders;
select id, sum(amount) over (order by id rows between 1 preceding and current row) from orders;
select id, avg(amount) over (order by day range between interval 3 days preceding and current row) from orders;
select id, lag(state, 1, 'none') over w, lead(day) over w from orders window w as (order by id);
select id, first_value(note ignore nulls) over (order by id) from orders;
select id, count(*) over () from orders;
select id, rank() over (order by amount desc nulls last), ntile(3) over (order by id) from orders;
select id, sum(amount) over (order by id groups between unbounded preceding and 1 following exclude ties) from orders;
select id, max(amount) filter (where state = 'open') over (partition by customer) from orders;
select id from orders qualify row_number() over (partition by state order by amount desc, id) = 1;
select id, sum(amount) over w as running from orders window w as (order by id) qualify running > 30;
select id, nth_value(amount, 2) over (order by id), cume_dist() over (order by id) from orders;
select id from (select id, sum(amount) over (partition by state) as s from orders);
select customer, sum(sum(amount)) over (order by customer) from orders group by customer;

-- pivot
pivot orders on state in ('open', 'paid') using sum(amount) group by customer;
from (pivot orders on state in ('open', 'paid') using count(*) as n group by day);
select * from orders pivot (sum(amount) for state in ('open', 'paid') group by customer);
pivot orders on state using sum(amount) group by customer;
with p as (pivot nodes on parent using count(*)) from p;
unpivot nodes on id, weight into name what value much;
select k, v from orders unpivot (v for k in (id, customer));
select k, v from orders unpivot include nulls (v for k in (state, note));
from (unpivot (select id, amount, customer from orders) on columns(* exclude (id)));

-- nested values
select home.street, home['zip'] from customers;
select tags[1], tags[-1], tags[1:2], len(tags) from customers;
select unnest(tags) as tag, id from customers;
select id, t.tag from customers, unnest(tags) as t(tag);
select unnest(home) from customers;
select unnest([home], recursive := true) from customers;
select list_transform(tags, lambda t: t || name) from customers;
select list_filter(tags, lambda name: name > 'b') from customers;
select list_reduce(tags, lambda a, b: a || b) from customers where len(tags) > 0;
select [upper(t) for t in tags if length(t) > 1] from customers;
select [id + 1 for id in [1, 2, 3]] from customers;
select labels['k'], map_keys(labels), cardinality(labels) from events;
select map {id: kind} from events;
select {'id': id, 'kind': kind} as s from events;
select row(id, kind) from events;
select struct_insert(home, n := name) from customers;
select home from customers where home.zip = '1';
select list_sort(tags), list_contains(tags, 'a'), list_aggregate(tags, 'max') from customers;
select id, g from nodes, generate_series(1, id) as s(g);
select id, range(id) from nodes;
select payload->>'$.a' as a, payload->'b' as b from events;
select json_extract(payload, ['$.a', '$.b']), json_array_length(payload, '$.c') from events;
select e.id, j.key, j.value from events e, json_each(e.payload) j;
select * from (values (1, 'x'), (2, 'y')) v(id, word) join nodes using (id);
select (union_value(n := id)).n from nodes;

-- functions and types
select date_trunc('month', day), extract(year from day), day + interval 1 month, strftime(day, '%Y') from orders;
select date_diff('day', c.day, o.day) from orders o join customers c on c.id = o.customer;
select substr(note, 1, 2), note[1:2], upper(note) || state, split_part(note, 'e', 1), format('{}-{}', id, state) from orders;
select amount::double, try_cast(note as int), cast(id as varchar), amount::decimal(12, 3) from orders;
select greatest(id, customer), least(amount, 10), nullif(state, 'open'), ifnull(note, '-') from orders;
select md5(note), hash(state), hash(n) from orders, nodes n;
select bar(amount, 0, 50), printf('%d', id) from orders;
select e.at, e.at::date, epoch(e.at), time_bucket(interval '1 day', e.at) from events e;
select state collate nocase as s, count(*) from orders group by s;
select id, x'ff'::blob, $$text$$ as t from orders;
select note glob 'l*', starts_with(note, 'l'), note ~ 'a.e' from orders;
select error('never') from orders where false and note = 'x';

-- order, limit, sample
select id from orders order by amount desc, id;
select id, state from orders order by all;
select id from orders order by note nulls first, id limit 3 offset 1;
select id from orders order by id limit 40 percent;
select id, amount as day from orders order by day, id;
select id from orders order by upper(state), length(note) nulls last, id;
select * from nodes order by columns('^(weight|id)$');
select id from orders limit 5;
select id from orders using sample 4 rows (reservoir, 7);
select id from orders tablesample bernoulli (50 percent) repeatable (3);
select distinct state from orders order by state;
select id from (select * from orders order by amount, id limit 4);
select id from orders order by (select count(*) from items where "order" = orders.id), id;

-- tables by other ways
from query_table('nodes') select name;
from query('select id from nodes');
select * from range(3);
values (1, 'a'), (2, 'b');
table nodes;
summarize nodes;
select rowid, id from nodes;
select "raw/prices".price from "raw/prices";
select raw_prices.product from raw_prices;

-- names that could be bound in two ways, places instead of names, and errors that must not be
select #2, name from nodes;
select * like 'n%' from nodes;
select columns('(i)(d)') as '\2\1' from nodes;
select 1 as id, id from nodes;
select id + 1 as weight, sum(weight) over (order by weight) as s from nodes;
select id as name from nodes group by name, id having name > 'A' order by name;
select (select max(c.name) from customers c where c.id = id) from nodes;
select (select count(*) from customers where id = parent) from nodes;
select name from nodes where id in (select parent from customers);
select a.name from nodes a natural left join (select id, city as other from customers) b;
with customers as (select 1 as id, 'x' as extra) select * from nodes join customers using (id);
with x as (select *, row_number() over (order by id) as rn from nodes) select id from x where rn = 1;
with x as (select * from orders), y as (select * from x) select y.id, x.day from y join x using (id);
select * from (select id from nodes union all by name select id, name from customers) where name is null;
select state from orders order by max(amount) over (partition by state), id;
select o.id, x.k from orders o, lateral (select max(n.id) as k from nodes n, lateral (select n.weight + o.id as q) z where z.q > 3) x;
select list_transform(tags, lambda x: list_transform(tags, lambda y: x || y || name)) from customers;
select list_transform(tags, lambda city: upper(city)) from customers;
select count(customers), count(distinct customers.home) from customers;
select arg_max(n, n.weight).name from nodes n;
from nodes where struct_pack(id, name) in (select struct_pack(id, name) from customers);
from (pivot orders on state in ('open', 'paid') using sum(amount) group by customer) select open;
from (unpivot nodes on (id, weight), (parent, weight) into name n value a, b);
from nodes limit (select max(id) from customers);
select name from (from nodes using sample 2 rows (reservoir, 3));
select name || null as nothing from nodes;
select count(*) from (select cast(name as integer) from nodes);
select id from (select id, cast(name as integer) as n from nodes);
select id from (select id, error('boom') as e from nodes);
select typeof(columns(*)) from nodes;
select column_name from (describe nodes) where column_type = 'BIGINT';
select nodes.nodes from (select nodes from nodes) nodes;
select distinct a.id from nodes a left join customers b on a.id = b.id;
select id, array(select o.id from orders o where o.customer = n.id order by o.amount, o.id) from nodes n;
select n.id, (select sum(amount) from orders o where o.customer = n.id and exists (from customers c where c.id = o.customer and c.city > n.name)) as s from nodes n;
from nodes where columns('id|weight') > 1;
select sum(columns('id|weight')::double) filter (name > 'a') from nodes;
