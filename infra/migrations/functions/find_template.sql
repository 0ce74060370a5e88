-- A template, for whoever may read it.
--
-- Outcomes: ok, and those of `open_template`.
create or replace function holdfast.find_template(
    p_id     uuid,
    p_action text,   -- read, or what is to be done to it next
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    out outcome  text,
    out rule     text,
    out template jsonb   -- as `template_record` has it
)
    language plpgsql volatile as
$$
declare
    opened record;
begin
    opened := holdfast.open_template(p_id, p_action, false, p_sub, p_roles, p_scopes);
    outcome := opened.outcome;
    rule := opened.rule;
    if outcome = 'ok' then
        template := holdfast.template_record(opened.the_template);
    end if;
end
$$;
