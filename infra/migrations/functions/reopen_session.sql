-- Takes `start_complete` back: S3 refused the Complete, and no other one was ever sent. Says whether it did.
create or replace function holdfast.reopen_session(p_version uuid, p_sub text, p_roles text[]) returns boolean
    language plpgsql volatile as
$$
begin
    perform holdfast.durable();

    perform from holdfast.version v where v.id = p_version for no key update;
    update holdfast.upload_session s
    set completing_at = null,
        due_at        = null,
        completions   = 0
    from holdfast.version v
    where s.version = p_version
      and v.id = s.version
      and v.state = 'pending'
      and s.completions = 1
      and (s.created_by = p_sub or 'admin' = any (coalesce(p_roles, '{}')));
    return found;
end
$$;
