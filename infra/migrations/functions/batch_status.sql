-- What its counters make of a batch. It failed once all its records are through and some of them failed.
create or replace function holdfast.batch_status(p_expected int8, p_rendering int8, p_complete int8, p_failed int8)
    returns text
    language sql immutable parallel safe
return case
    when p_complete >= p_expected then 'complete'
    when p_complete + p_failed >= p_expected then 'failed'
    when p_rendering + p_complete + p_failed > 0 then 'rendering'
    else 'pending'
end;
