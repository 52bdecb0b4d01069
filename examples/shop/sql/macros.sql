-- The till counts in cents, people in euros.
create macro euros(cents) as (cents / 100)::decimal(10, 2);

-- An order that came back was not sold.
create macro is_sold(status) as status <> 'returned';
