//! The SQL text that this crate carries.

/// One embedded file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The file's name without `.sql`: `0001-tables`, `begin`.
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

macro_rules! sources {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(Source { name: $name, sql: include_str!(concat!("../", $folder, $name, ".sql")) }),+]
    };
}

/// Forward only; a file that was released is never changed.
pub(crate) const MIGRATIONS: &[Source] = sources!["": "0001-tables", "0002-deletion", "0003-content", "0004-api-keys", "0005-grants", "0006-multipart", "0007-idempotent-grants", "0008-streams", "0009-bucket-cors", "0010-buckets", "0012-templates", "0013-batches"];

/// Each is applied once, so that what an operator changes or deletes later stays so.
pub(crate) const SEEDS: &[Source] = sources!["seeds/": "0001-default-buckets"];

/// Each file creates the function of its name in schema `holdfast`.
pub(crate) const FUNCTIONS: &[Source] = sources![
    "functions/":
    "abort",
    "adopt",
    "archive",
    "attach_session",
    "authenticate_key",
    "authenticate_token",
    "batch",
    "batch_counts",
    "batch_status",
    "background_key",
    "background_record",
    "begin",
    "blob_in_use",
    "blobs_without_row",
    "bucket_created",
    "bucket_etag",
    "claim",
    "claim_grant",
    "commit",
    "committed_as",
    "condemn_blobs",
    "cors_applied",
    "cors_origins",
    "count_record",
    "create_batch",
    "create_bucket",
    "create_key",
    "create_session",
    "create_template",
    "delete_bucket",
    "delete_template",
    "drop_bucket",
    "due_buckets",
    "due_cors",
    "due_sessions",
    "create_share",
    "create_token",
    "delete_batch",
    "durable",
    "etag_matches",
    "expire",
    "extend_session",
    "find_template",
    "fold",
    "fold_batches",
    "forget_bucket",
    "get_bucket",
    "grant_refusal",
    "image_limits",
    "image_refusal",
    "keep_until",
    "lifecycle_rule",
    "list_backgrounds",
    "list_batches",
    "list_buckets",
    "list_grants",
    "list_keys",
    "list_records",
    "list_sessions",
    "list_templates",
    "lock_room",
    "make_grant",
    // `may` is parsed when it is created, and calls it.
    "named",
    "may",
    "mend_usage",
    "merge_patch",
    "open_part",
    "open_put",
    "open_record",
    "open_session",
    "open_stream",
    "open_template",
    "presign",
    "presign_again",
    "presign_get",
    "presign_put",
    "purge",
    "purged",
    "reap",
    "reaped",
    "record_accesses",
    "record_part",
    "refuse",
    "renew",
    "reopen_bucket",
    "reopen_session",
    "report_lost",
    "report_records",
    "resolve",
    "restore_background",
    "resume_session",
    "retire",
    "return_use",
    "revoke_grant",
    "revoke_key",
    "room",
    "rows_with_blob",
    "sequence",
    "session",
    "sign_parts",
    "start_complete",
    "sweep_batches",
    "tell_batch",
    "template_at",
    "template_changed",
    "template_etag",
    "template_record",
    "trash",
    "type_allowed",
    "types_of_both",
    "update_bucket",
    "update_template",
    "usage",
    "usage_drift",
    "usage_recount",
    "use_share",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    fn on_disk(folder: &str) -> BTreeSet<String> {
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect()
    }

    fn listed(sources: &[Source]) -> BTreeSet<String> {
        sources.iter().map(|source| source.name.to_owned()).collect()
    }

    #[test]
    fn every_file_is_listed() {
        assert_eq!(listed(MIGRATIONS), on_disk("."));
        assert_eq!(listed(SEEDS), on_disk("seeds"));
        assert_eq!(listed(FUNCTIONS), on_disk("functions"));
    }

    #[test]
    fn numbers_count_from_one() {
        for sources in [MIGRATIONS, SEEDS] {
            for (source, expected) in sources.iter().zip(1..) {
                let number = source.name.split_once('-').unwrap().0;
                assert_eq!(number, format!("{expected:04}"), "{}", source.name);
            }
        }
    }

    #[test]
    fn a_function_file_creates_its_function() {
        for source in FUNCTIONS {
            let head = format!("create or replace function holdfast.{}(", source.name);
            assert_eq!(
                source.sql.matches("create or replace function").count(),
                1,
                "{}",
                source.name
            );
            assert!(source.sql.contains(&head), "{}", source.name);
        }
    }
}
