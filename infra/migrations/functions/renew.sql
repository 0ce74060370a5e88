-- Keeps the lease of a transfer that lives, and charges what it needs by now. Who asks for more than there is gets
-- what there is, as long as that is enough for what it has sent.
--
-- Outcomes: ok, NoSuchUpload (unknown, ended, or somebody else's), EntityTooLarge, QuotaExceeded.
create or replace function holdfast.renew(
    p_version       uuid,
    p_sub           text,
    p_charge_bytes  int8,   -- in all; null = as it is. Less than before changes nothing
    p_lease_seconds int4,
    p_now           timestamptz,
    p_least_bytes   int8 default null,   -- what has to be granted of it; null = all
    out outcome       text,
    out rule          text,
    out charged_bytes int8               -- in all, from now on
)
    language plpgsql volatile as
$$
declare
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    lease       constant interval    := make_interval(secs => least(greatest(p_lease_seconds, 1), 700000));
    the_version record;
    the_bucket  record;
    max_bytes   int8;
    enough      int8;
    growth      int8;
    room        record;
begin
    -- Losing it costs a lease, and a charge that `commit` makes good.
    perform set_config('synchronous_commit', 'off', true);

    select v.object_id, v.state, v.created_by, v.owner, v.charged_bytes
    into the_version
    from holdfast.version v
    where v.id = p_version
    for update;
    if not found or the_version.created_by is distinct from p_sub or the_version.state <> 'pending' then
        outcome := 'NoSuchUpload'; rule := 'version.state';
        return;
    end if;

    growth := greatest(coalesce(p_charge_bytes, 0) - the_version.charged_bytes, 0);
    if growth > 0 then
        select b.name, b.policy
        into the_bucket
        from holdfast.object o
             join holdfast.bucket b on b.name = o.bucket
        where o.id = the_version.object_id;
        max_bytes := (the_bucket.policy ->> 'maxBytes')::int8;
        enough := coalesce(p_least_bytes, p_charge_bytes);
        if enough > max_bytes then
            outcome := 'EntityTooLarge'; rule := 'policy.maxBytes';
            perform holdfast.refuse(at, 'renew', p_sub, the_bucket.name, null, p_version, outcome, rule, null, null);
            return;
        end if;
        -- `least` passes over a null, which is no limit.
        growth := greatest(least(growth, max_bytes - the_version.charged_bytes), 0);
        room := holdfast.room(the_bucket.name, the_version.owner, the_bucket.policy);
        if growth > room.bytes then
            growth := greatest(room.bytes, enough - the_version.charged_bytes, 0);
        end if;
        if growth > room.bytes then
            outcome := 'QuotaExceeded'; rule := room.rule;
            perform holdfast.refuse(at, 'renew', p_sub, the_bucket.name, null, p_version, outcome, rule, null, null);
            return;
        end if;
        insert into holdfast.usage_delta (bucket, owner, pending_bytes)
        values (the_bucket.name, the_version.owner, growth);
    end if;

    update holdfast.version v
    set charged_bytes = v.charged_bytes + growth,
        lease_until   = greatest(v.lease_until, at + lease)
    where v.id = p_version;
    outcome := 'ok';
    charged_bytes := the_version.charged_bytes + growth;
end
$$;
