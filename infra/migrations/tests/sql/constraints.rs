//! Wrong states that the tables refuse, whoever writes them.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("wrong_states_are_refused", wrong_states_are_refused);
    suite.add("wrong_policies_are_refused", wrong_policies_are_refused);
    suite.add("wrong_names_are_refused", wrong_names_are_refused);
}

/// On the object of a superseded, a live and a pending version.
#[rustfmt::skip]
const WRONG: &[(&str, &str)] = &[
    ("version_one_live_per_object",              "update holdfast.version set state = 'live', replaced_at = null, due_at = null where state = 'superseded'"),
    ("version_committed_is_whole",               "update holdfast.version set etag = 'e' where state = 'pending'"),
    ("version_state_has_its_times",             "update holdfast.version set state = 'live', lease_until = null where state = 'pending'"),
    ("version_state_has_its_times",             "update holdfast.version set lease_until = null where state = 'pending'"),
    ("version_state_has_its_times",             "update holdfast.version set lease_until = now() where state = 'live'"),
    ("version_state_has_its_times",             "update holdfast.version set replaced_at = null where state = 'superseded'"),
    ("version_state_has_its_times",             "update holdfast.version set due_at = null where state = 'superseded'"),
    ("version_state_has_its_times",             "update holdfast.version set due_at = now() where state = 'live'"),
    ("version_state_has_its_times",             "update holdfast.version set ended_at = now() where state = 'live'"),
    ("version_charge_is_exact_once_committed",   "update holdfast.version set charged_bytes = 1 where state = 'live'"),
    ("version_sizes_are_sizes",                  "update holdfast.version set charged_bytes = -1 where state = 'pending'"),
    ("version_state_has_its_times",             "update holdfast.version set deleted_at = now() where state = 'live'"),
    ("version_goes_forward",                   "update holdfast.version set state = 'purged', replaced_at = now(), ended_at = now() where state = 'live'"),
    ("version_goes_forward",                   "update holdfast.version set state = 'purging', replaced_at = now(), due_at = now() where state = 'live'"),
    ("version_goes_forward",                   "update holdfast.version set state = 'purged', due_at = null, ended_at = now() where state = 'superseded'"),
    ("version_is_immutable",                   "update holdfast.version set etag = 'other' where state = 'live'"),
    ("version_is_immutable",                   "update holdfast.version set size_bytes = 1, charged_bytes = 1 where state = 'live'"),
    ("version_is_immutable",                   "update holdfast.version set s3_key = 'elsewhere' where state = 'pending'"),
    ("version_state_has_its_times",             "insert into holdfast.version select gen_random_uuid(), object_id, s3_key, 'other', created_by, created_at, owner, charged_bytes from holdfast.version limit 1"),
    ("object_owner_comes_with_first_event",      "update holdfast.object set owner = null"),
    ("object_bucket_fkey",                       "update holdfast.object set bucket = 'nowhere'"),
    ("version_object_id_fkey",                   "delete from holdfast.object"),
    ("object_bucket_fkey",                       "delete from holdfast.bucket"),
    ("outbox_one_event_per_commit",              "insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data) select kind, now(), bucket, key, object_id, 9, version, actor, data from holdfast.outbox limit 1"),
    ("outbox_object_id_sequence_key",            "update holdfast.outbox set sequence = 1"),
    ("audit_counts_within_a_minute",             "update holdfast.audit set count = 2"),
    ("audit_counts_uses_of_a_grant",             "update holdfast.audit set used_minute = now()"),
];

async fn wrong_states_are_refused(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    write("k").store(&client).await?;
    write("k").begin(&client).await?.ok();
    for (name, sql) in WRONG {
        let error = client.execute(*sql, &[]).await.expect_err(sql);
        let db_error = error.as_db_error().expect(sql);
        let said = db_error.constraint().unwrap_or_else(|| db_error.message());
        ensure!(said.contains(name), "{sql}: {said}");
    }
    Ok(())
}

async fn wrong_policies_are_refused(db: Db) -> Result<()> {
    for policy in [
        r#"{"visibility": "secret"}"#,
        r#"{"visibility": null}"#,
        r#"{"writers": "everybody"}"#,
        r#"{"readers": "everybody"}"#,
        r#"{"maxBytes": -1}"#,
        r#"{"maxBytes": "5"}"#,
        r#"{"maxBytes": 1.5}"#,
        r#"{"quotaBytes": -1}"#,
        r#"{"ownerQuotaBytes": []}"#,
        r#"{"retentionHours": "long"}"#,
        r#"{"allowedTypes": "image/*"}"#,
        r#"{"cacheControl": 5}"#,
    ] {
        ensure!(db.bucket("wrong", "system", policy).await.is_err(), "{policy}");
    }
    db.bucket("right", "system", r#"{"maxBytes": 0, "allowedTypes": null, "retentionHours": 1}"#)
        .await
}

async fn wrong_names_are_refused(db: Db) -> Result<()> {
    for name in ["", "ab", "Upper", "under_score", "-edge", "edge-", "a/b"] {
        ensure!(db.bucket(name, "system", "{}").await.is_err(), "{name}");
    }
    let client = db.connect().await?;
    let long = "x".repeat(1025);
    for key in ["", ".", "..", "a/../b", "a/.", "./a", "a\nb", "a\u{7f}", "a\u{85}b", long.as_str()]
    {
        ensure!(write(key).begin(&client).await.is_err(), "{key:?}");
    }
    Ok(())
}
