-- Makes signed URLs, many in one call: a row for each element, by its place in the array. One that is refused
-- leaves the others as they are.
--
-- An element: {id, method: GET|PUT, bucket, key, seconds}; GET: version, direct, cacheable, download, ip; PUT: `id` is
-- the new version, s3Key, size, contentType, metadata, ifMatch, ifNoneMatch.
--
-- Under an idempotency key that was used before, the rows are those of the first request, `repeated`, with when it was
-- signed, so that the same URLs are made of them. A key that may not be used is one row at place -1.
--
-- Outcomes: ok, AccessDenied, QuotaExceeded (open PUTs of this principal), IdempotencyKeyReused, and those of
-- `presign_get` and `presign_put`.
create or replace function holdfast.presign(
    p_asked      jsonb,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    p_idempotency_key text default null,
    p_fingerprint     text default null,   -- of everything that the request says, where a key is given
    p_signed_s        int8 default null    -- what the URLs say of when they were signed, in Unix time
) returns table (
    place               int4,   -- from 0
    outcome             text,
    rule                text,
    id                  uuid,
    expires_s           int8,   -- Unix time
    version             uuid,   -- the one that the URL is for and no other; null = whichever is current
    s3_key              text,
    content_type        text,
    content_disposition text,
    signed_s            int8,
    repeated            boolean
)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    -- Of one principal: presigned, and neither completed nor over.
    most_open constant int8        := 1000;
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    element   record;
    answer    record;
    refusals  jsonb := '[]';
    -- `begin` writes its own refusals down.
    written   boolean;
    made      int8[] := '{}';
    new_id    int8;
    open_puts int8;
    claim     record;
    quota     record;
    -- What a repeat is answered.
    answers   jsonb := '[]';
    any_made  boolean := false;
begin
    signed_s := p_signed_s;
    repeated := false;
    if p_idempotency_key is not null and coalesce(p_sub, '') <> '' then
        claim := holdfast.claim_grant(p_sub, p_idempotency_key, p_fingerprint, at);
        if claim.outcome <> 'ok' then
            place := -1; outcome := claim.outcome; rule := 'idempotency-key';
            perform holdfast.refuse(at, 'presign', p_sub, '', null, null, outcome, rule, p_ip, p_request_id);
            return next;
            return;
        end if;
        if claim.answer is not null then
            return query select r.*, true from holdfast.presign_again(p_asked, claim.answer, p_sub, p_roles, p_scopes, at) r;
            return;
        end if;
    end if;

    -- In the order of locks, whatever the order of the elements: buckets, objects, then versions that a direct
    -- URL pins, then counters. Two batches never wait for each other.
    perform
    from holdfast.bucket b
    where b.name in (select e ->> 'bucket' from jsonb_array_elements(p_asked) e where e ->> 'method' = 'PUT')
    order by b.name
    for key share;
    for element in
        select distinct b.name, e ->> 'key' collate "C" as key
        from jsonb_array_elements(p_asked) e
             join holdfast.bucket b on b.name = e ->> 'bucket'
        where e ->> 'method' = 'PUT'
          and b.state = 'active'
          and holdfast.may(p_sub, p_roles, p_scopes, 'write', b.owner, b.policy, null)
        order by 1, 2
    loop
        loop
            perform from holdfast.object o where o.bucket = element.name and o.key = element.key for no key update;
            exit when found;
            insert into holdfast.object as o (bucket, key, created_at)
            values (element.name, element.key, at)
            on conflict do nothing
            returning o.id into new_id;
            if found then
                made := made || new_id;
                exit;
            end if;
        end loop;
    end loop;

    for element in
        select e.value, e.place - 1 as place
        from jsonb_array_elements(p_asked) with ordinality e (value, place)
        order by e.value ->> 'method', e.value ->> 'bucket' collate "C", e.value ->> 'key' collate "C",
                 e.value ->> 'version' collate "C", e.place
    loop
        place := element.place;
        id := (element.value ->> 'id')::uuid;
        version := id; s3_key := element.value ->> 's3Key'; rule := null; content_type := null; content_disposition := null;
        written := false;
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
        elsif element.value ->> 'method' = 'GET' then
            answer := holdfast.presign_get(element.value, p_sub, p_roles, p_scopes, p_ip, p_request_id, at);
            outcome := answer.outcome; rule := answer.rule; id := answer.id; expires_s := answer.expires_s;
            version := answer.version; s3_key := answer.s3_key; content_type := answer.content_type;
            content_disposition := answer.content_disposition;
        else
            if open_puts is null then
                perform pg_advisory_xact_lock(hashtextextended('holdfast.grant ' || p_sub, 0));
                select count(*)
                into open_puts
                from holdfast."grant" g
                     join holdfast.version v on v.id = g.version
                where g.created_by = p_sub
                  and g.kind = 'put'
                  and g.expires_at > at - interval '15 minutes'
                  and v.state = 'pending';
                -- An admin's batch writes for many owners, whose quotas it would else lock in the order of its keys.
                for quota in
                    select distinct b.name, coalesce(o.owner, p_sub) collate "C" as owner, b.policy
                    from jsonb_array_elements(p_asked) e
                         join holdfast.bucket b on b.name = e ->> 'bucket'
                         left join holdfast.object o on o.bucket = b.name and o.key = e ->> 'key'
                    where e ->> 'method' = 'PUT'
                    order by 1, 2
                loop
                    perform holdfast.lock_room(quota.name, quota.owner, quota.policy);
                end loop;
            end if;
            if open_puts >= most_open then
                outcome := 'QuotaExceeded'; rule := 'principal.openPuts';
            else
                answer := holdfast.presign_put(element.value, p_sub, p_roles, p_scopes, p_ip, p_request_id, at);
                outcome := answer.outcome; rule := answer.rule; expires_s := answer.expires_s;
                written := answer.refused;
                if answer.outcome = 'ok' then
                    open_puts := open_puts + 1;
                end if;
            end if;
        end if;
        if outcome <> 'ok' and not written then
            refusals := refusals || jsonb_build_array(jsonb_build_object(
                'bucket', element.value ->> 'bucket', 'key', element.value ->> 'key', 'outcome', outcome, 'rule', rule));
        end if;
        any_made := any_made or outcome = 'ok';
        if p_idempotency_key is not null then
            answers := answers || jsonb_build_array(jsonb_build_object(
                'place', place, 'outcome', outcome, 'rule', rule, 'id', id, 'expires_s', expires_s, 'version', version,
                's3_key', s3_key, 'content_type', content_type, 'content_disposition', content_disposition));
        end if;
        return next;
    end loop;

    -- A request of which nothing was granted leaves its key free.
    if p_idempotency_key is not null and any_made then
        update holdfast.grant_request r
        set answer = jsonb_build_object('signedS', p_signed_s, 'rows', answers)
        where r.principal = p_sub
          and r.key = p_idempotency_key;
    elsif p_idempotency_key is not null then
        delete from holdfast.grant_request r
        where r.principal = p_sub
          and r.key = p_idempotency_key;
    end if;

    -- What was made for elements that were refused goes again.
    delete from holdfast.object o
    where o.id = any (made)
      and not exists (select from holdfast.version v where v.object_id = o.id);
    -- What follows is handed to clients.
    perform holdfast.durable();
    for element in
        select coalesce(b.name, '') as bucket, e ->> 'key' as key, e ->> 'outcome' as outcome, e ->> 'rule' as rule
        from jsonb_array_elements(refusals) e
             left join holdfast.bucket b on b.name = e ->> 'bucket'
        order by 1, 3
    loop
        perform holdfast.refuse(at, 'presign', coalesce(p_sub, ''), element.bucket, element.key, null, element.outcome,
                                element.rule, p_ip, p_request_id);
    end loop;
end
$$;
