-- Who moved a version to the trash. When is `replaced_at`, as for a superseded one. It stays when the version
-- goes on from there: a purged row still tells who deleted it.
--
-- One check, because each costs every write a little; not validated, because no row can break it yet, and to look at
-- them all would keep everybody from the table.
alter table holdfast.version
    add column deleted_by text,
    add constraint version_in_the_trash_has_a_deleter check (coalesce(deleted_by <> '', state <> 'trashed')) not valid;
