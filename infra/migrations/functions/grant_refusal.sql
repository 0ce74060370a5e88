-- Why a grant is of no use any more at `p_now`; null while it is.
create or replace function holdfast.grant_refusal(p_grant holdfast."grant", p_now timestamptz) returns text
    language sql immutable parallel safe
return case
    when (p_grant).revoked_at is not null then 'grant.revoked'
    when (p_grant).expires_at <= p_now then 'grant.expired'
    when (p_grant).uses >= (p_grant).max_uses then 'grant.uses'
end;
