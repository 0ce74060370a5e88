-- Makes a template, with its event and audit row. Under an idempotency key that was used before, the answer is the first
-- one, and nothing is made.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive (of the bucket templates), EntityTooLarge,
-- IdempotencyKeyReused.
create or replace function holdfast.create_template(
    p_id         uuid,
    p_name       text,
    p_data       jsonb,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    p_idempotency_key text default null,
    p_fingerprint     text default null,   -- of everything that the request says, where a key is given
    out outcome  text,
    out rule     text,
    out template jsonb,     -- as `template_record` has it
    out repeated boolean
)
    language plpgsql volatile as
$$
declare
    max_bytes  constant int8        := 65536;
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    claim      record;
begin
    perform holdfast.durable();
    repeated := false;

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        select b.* into the_bucket from holdfast.bucket b where b.name = 'templates';
        if not found then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        if octet_length(p_data::text) > max_bytes then
            outcome := 'EntityTooLarge'; rule := 'limits.maxTemplateDataBytes';
            exit checks;
        end if;
        if p_idempotency_key is not null then
            claim := holdfast.claim_grant(p_sub, p_idempotency_key, p_fingerprint, at);
            if claim.outcome <> 'ok' then
                outcome := claim.outcome; rule := 'idempotency-key';
                exit checks;
            end if;
            if claim.answer is not null then
                outcome := 'ok';
                template := claim.answer;
                repeated := true;
                return;
            end if;
        end if;
        -- Behind the key, which is the first lock.
        select b.* into the_bucket from holdfast.bucket b where b.name = 'templates' for key share;
        if not found or the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            delete from holdfast.grant_request r
            where r.principal = p_sub
              and r.key = p_idempotency_key
              and r.answer is null;
            exit checks;
        end if;

        insert into holdfast.template (id, owner, name, data, created_at, updated_at)
        values (p_id, p_sub, p_name, coalesce(p_data, '{}'), at, at);
        perform holdfast.template_changed(p_id, 'template.created', p_sub, '{}', at);
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
        values (at, 'template.create', p_sub, 'templates', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
        select holdfast.template_record(t) into template from holdfast.template t where t.id = p_id;
        update holdfast.grant_request r
        set answer = template
        where r.principal = p_sub
          and r.key = p_idempotency_key;
        outcome := 'ok';
        return;
    end checks;

    perform holdfast.refuse(at, 'template.create', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome,
                            rule, p_ip, p_request_id);
end
$$;
