-- Buckets that requests make, change and delete; who besides the owners may do what in them; and the lifecycle of what they
-- hold.

-- ------------------------------------------------------------------------------- what a state means

-- creating: the store may not have it yet. deleting: it is empty and takes nothing more; the store may hold what we do not
-- know of, and then it goes back. dropping: the store was told to delete it, and from there it only goes on.
alter table holdfast.bucket
    -- When the worker takes it from whoever made or deleted it; null = never.
    add column due_at timestamptz,
    drop constraint bucket_state_is_known,
    add constraint bucket_state_is_known check (state in ('creating', 'active', 'deleting', 'dropping')),
    add constraint bucket_is_due_on_its_way check (due_at is null or state <> 'active');

create index bucket_of_owner on holdfast.bucket (owner);
create index bucket_due on holdfast.bucket (due_at) where state <> 'active';

-- -------------------------------------------------------------------------------------- its policy

-- Readers and writers may be an object of roles and users by now, and so may those who list, share and delete. What else a
-- policy has to be is said once, where requests are read.
alter table holdfast.bucket
    drop constraint bucket_policy_is_valid,
    add constraint bucket_policy_is_valid check (coalesce(
        jsonb_typeof(policy) = 'object'
        and policy ->> 'visibility' in ('private', 'public-read')
        and (policy ->> 'writers' in ('authenticated', 'owner') or jsonb_typeof(policy -> 'writers') = 'object')
        and (policy ->> 'readers' in ('authenticated', 'owner') or jsonb_typeof(policy -> 'readers') = 'object')
        and (coalesce(policy ->> 'listers', 'owner') in ('authenticated', 'owner')
             or jsonb_typeof(policy -> 'listers') = 'object')
        and (coalesce(policy ->> 'sharers', 'owner') in ('authenticated', 'owner')
             or jsonb_typeof(policy -> 'sharers') = 'object')
        and (coalesce(policy ->> 'deleters', 'owner') in ('authenticated', 'owner')
             or jsonb_typeof(policy -> 'deleters') = 'object')
        and coalesce(jsonb_typeof(policy -> 'allowedTypes'), 'null') in ('array', 'null')
        and coalesce(jsonb_typeof(policy -> 'lifecycle'), 'null') in ('array', 'null')
        and coalesce(jsonb_typeof(policy -> 'image'), 'null') in ('object', 'null')
        and coalesce(jsonb_typeof(policy -> 'cacheControl'), 'null') in ('string', 'null')
        and coalesce(jsonb_typeof(policy -> 'maxBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'quotaBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'ownerQuotaBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'quotaObjects'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'retentionHours'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'trashHours'), 'null') in ('number', 'null')
        and coalesce((policy ->> 'maxBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'quotaBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'ownerQuotaBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'quotaObjects')::int8, 0) >= 0
        and coalesce((policy ->> 'retentionHours')::int4, 0) >= 0
        and coalesce((policy ->> 'trashHours')::int4, 0) >= 0,
        false));

-- --------------------------------------------------------------------------------------- lifecycle

-- What the rules of a policy choose objects by.
alter table holdfast.object
    add column if not exists tags jsonb not null default '{}';

-- How far the worker is with a bucket whose policy has rules. It goes through all keys in their order, a batch at a time,
-- so that no commit pays for an index by age.
create table holdfast.lifecycle_sweep (
    bucket    text collate "C" primary key references holdfast.bucket (name) on delete cascade,
    -- The last key that was looked at; null = at the beginning.
    after_key text collate "C",
    due_at    timestamptz not null
);

create index lifecycle_sweep_due on holdfast.lifecycle_sweep (due_at);

-- A trigger, so that there is a sweep whoever writes the policy. New rules are looked at from the first key on.
create function holdfast.plan_sweep() returns trigger
    language plpgsql as
$$
begin
    if tg_op = 'UPDATE' and new.policy -> 'lifecycle' is not distinct from old.policy -> 'lifecycle' then
        return null;
    end if;
    if coalesce(jsonb_typeof(new.policy -> 'lifecycle'), '') = 'array' and new.policy -> 'lifecycle' <> '[]' then
        insert into holdfast.lifecycle_sweep (bucket, due_at)
        values (new.name, '-infinity')
        on conflict (bucket) do update
        set after_key = null,
            due_at    = excluded.due_at;
    else
        delete from holdfast.lifecycle_sweep s where s.bucket = new.name;
    end if;
    return null;
end
$$;

create trigger bucket_has_a_sweep
    after insert or update of policy on holdfast.bucket
    for each row
    execute function holdfast.plan_sweep();
