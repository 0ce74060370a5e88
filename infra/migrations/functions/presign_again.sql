-- What a batch of signed URLs was answered, for a request that is repeated under its idempotency key: the same rows.
-- Whoever may not read or write there any more, or whose object is gone, gets no URL again.
create or replace function holdfast.presign_again(
    p_asked  jsonb,   -- as `presign` has it
    p_answer jsonb,   -- {signedS, rows}, as `presign` kept it
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    p_at     timestamptz
) returns table (
    place               int4,
    outcome             text,
    rule                text,
    id                  uuid,
    expires_s           int8,
    version             uuid,
    s3_key              text,
    content_type        text,
    content_disposition text,
    signed_s            int8
)
    language plpgsql stable as
$$
#variable_conflict use_column
declare
    element jsonb;
begin
    for place, outcome, rule, id, expires_s, version, s3_key, content_type, content_disposition in
        select r.place, r.outcome, r.rule, r.id, r.expires_s, r.version, r.s3_key, r.content_type, r.content_disposition
        from jsonb_to_recordset(p_answer -> 'rows') as r (
            place int4, outcome text, rule text, id uuid, expires_s int8, version uuid, s3_key text, content_type text,
            content_disposition text)
    loop
        element := p_asked -> place;
        signed_s := (p_answer ->> 'signedS')::int8;
        if outcome = 'ok' and element ->> 'method' = 'GET' then
            select r.outcome
            into outcome
            from holdfast.resolve(element ->> 'bucket', element ->> 'key', (element ->> 'version')::uuid, p_sub, p_roles,
                                  p_scopes, p_at) r;
        elsif outcome = 'ok' and not coalesce((
            select holdfast.may(p_sub, p_roles, p_scopes, 'write', b.owner, b.policy, o.owner)
            from holdfast.bucket b
                 left join holdfast.object o on o.bucket = b.name and o.key = element ->> 'key'
            where b.name = element ->> 'bucket'), false) then
            outcome := 'AccessDenied'; rule := 'object.owner';
        end if;
        return next;
    end loop;
end
$$;
