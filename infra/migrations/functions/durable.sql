-- Makes this transaction wait for the disk, whatever the session is set to: what it answers is a promise, or
-- the leave to delete bytes.
create or replace function holdfast.durable() returns void
    language plpgsql volatile as
$$
begin
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'on', true);
    end if;
end
$$;
