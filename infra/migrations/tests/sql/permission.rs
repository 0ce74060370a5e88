//! `may`, and the small functions that decide.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("may_by_principal_action_and_policy", may_by_principal_action_and_policy);
    suite.add("etag_matches_by_rfc_9110", etag_matches_by_rfc_9110);
    suite.add("type_allowed_with_wildcards", type_allowed_with_wildcards);
}

const ACTIONS: [&str; 5] = ["read", "write", "delete", "list", "admin"];

/// Who asks: name, roles, scopes.
type Who = (&'static str, &'static str, Option<&'static str>);

const ANONYMOUS: Who = ("", "{}", None);
/// A role without a name is nobody still.
const NAMELESS_ADMIN: Who = ("", "{admin}", None);
const ALICE: Who = ("alice", "{}", None);
const BOB: Who = ("bob", "{}", None);
const BOSS: Who = ("boss", "{}", None);
const SYSTEM: Who = ("system", "{}", None);
const ADMIN: Who = ("root", "{other,admin}", None);

/// The bucket is boss's or the system's, the object alice's (or nobody's yet: `-`). The last column has a
/// letter for each action that is allowed: read, write, delete, list, admin.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, &str, &str, Who, &str)] = &[
    // visibility   writers          readers          bucket    object   who             allowed
    ("private",     "authenticated", "owner",         "system", "alice", ANONYMOUS,      "-----"),
    ("private",     "authenticated", "authenticated", "system", "alice", ANONYMOUS,      "-----"),
    ("public-read", "authenticated", "owner",         "system", "alice", ANONYMOUS,      "r----"),
    ("public-read", "authenticated", "owner",         "system", "alice", NAMELESS_ADMIN, "r----"),
    ("private",     "authenticated", "owner",         "system", "alice", ALICE,          "rwdl-"),
    ("private",     "authenticated", "owner",         "system", "alice", BOB,            "---l-"),
    ("private",     "authenticated", "owner",         "system", "-",     BOB,            "-w-l-"),
    ("private",     "authenticated", "owner",         "system", "alice", SYSTEM,         "---l-"),
    ("private",     "authenticated", "owner",         "system", "alice", ADMIN,          "rwdla"),
    ("private",     "authenticated", "owner",         "system", "-",     ADMIN,          "rwdla"),
    ("public-read", "authenticated", "owner",         "system", "alice", BOB,            "r--l-"),
    ("private",     "authenticated", "authenticated", "system", "alice", BOB,            "r--l-"),
    ("private",     "owner",         "owner",         "boss",   "alice", ALICE,          "r-d--"),
    ("private",     "owner",         "owner",         "boss",   "alice", BOB,            "-----"),
    ("private",     "owner",         "owner",         "boss",   "-",     BOB,            "-----"),
    ("private",     "owner",         "owner",         "boss",   "-",     BOSS,           "rwdla"),
    ("private",     "owner",         "owner",         "boss",   "alice", BOSS,           "r-dla"),
    ("private",     "authenticated", "owner",         "boss",   "alice", BOSS,           "r-dla"),
    ("private",     "owner",         "authenticated", "boss",   "alice", BOB,            "r--l-"),
    ("private",     "owner",         "owner",         "boss",   "alice", ADMIN,          "rwdla"),
    // Scopes narrow, also an admin.
    ("private",     "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{download}")),      "r--l-"),
    ("private",     "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{upload}")),        "-w---"),
    ("private",     "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{delete,upload}")), "-wd--"),
    ("private",     "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{admin}")),         "rwdl-"),
    ("private",     "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{}")),              "-----"),
    ("private",     "authenticated", "owner",         "system", "alice", ("bob", "{}", Some("{admin}")),           "---l-"),
    ("private",     "authenticated", "owner",         "system", "alice", ("root", "{admin}", Some("{download}")),  "r--l-"),
    ("private",     "authenticated", "owner",         "system", "alice", ("root", "{admin}", Some("{admin}")),     "rwdla"),
    ("public-read", "authenticated", "owner",         "system", "alice", ("alice", "{}", Some("{upload}")),        "rw---"),
];

async fn may_by_principal_action_and_policy(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sql = "select holdfast.may($1, $2::text::text[], $3::text::text[], $4, $5, \
               jsonb_build_object('visibility', $6::text, 'writers', $7::text, 'readers', $8::text), nullif($9::text, '-'))";
    for case in TABLE {
        let (visibility, writers, readers, bucket, object, (sub, roles, scopes), expected) = *case;
        let mut allowed = String::new();
        for action in ACTIONS {
            let row = client
                .query_one(
                    sql,
                    &[
                        &sub,
                        &roles,
                        &scopes,
                        &action,
                        &bucket,
                        &visibility,
                        &writers,
                        &readers,
                        &object,
                    ],
                )
                .await?;
            allowed.push_str(if row.get(0) { &action[..1] } else { "-" });
        }
        ensure!(allowed == expected, "{case:?}: {allowed}");
    }
    // What it does not know, it denies.
    for sql in [
        "select not holdfast.may(null, '{admin}', null, 'write', 'boss', '{}', null)",
        "select not holdfast.may('root', '{admin}', '{}', 'fly', 'boss', '{}', null)",
        "select not holdfast.may('boss', null, null, 'fly', 'boss', '{}', null)",
        "select not holdfast.may('alice', null, null, 'read', null, null, null)",
    ] {
        ensure!(client.query_one(sql, &[]).await?.get::<_, bool>(0), "{sql}");
    }
    Ok(())
}

async fn etag_matches_by_rfc_9110(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (list, etag, strong, weak) in [
        ("*", Some("a"), true, true),
        (" * ", Some("a"), true, true),
        ("*", None, false, false),
        (r#""a""#, Some("a"), true, true),
        (r#""a""#, None, false, false),
        (r#""a""#, Some("b"), false, false),
        (r#""b", "a""#, Some("a"), true, true),
        (r#""b","a","c""#, Some("c"), true, true),
        (r#"W/"a""#, Some("a"), false, true),
        (r#""b", W/"a""#, Some("a"), false, true),
        (r#""ab""#, Some("a"), false, false),
        (r#""a-2""#, Some("a-2"), true, true),
        ("a", Some("a"), true, true),
        ("", Some("a"), false, false),
        (r#""W/a""#, Some("a"), false, false),
    ] {
        for (is_weak, expected) in [(false, strong), (true, weak)] {
            let row = client
                .query_one("select holdfast.etag_matches($1, $2, $3)", &[&list, &etag, &is_weak])
                .await?;
            ensure!(row.get::<_, bool>(0) == expected, "{list} {etag:?} weak={is_weak}");
        }
    }
    Ok(())
}

async fn type_allowed_with_wildcards(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (content_type, allowed, expected) in [
        (Some("image/png"), Some("{image/*,application/pdf}"), true),
        (Some("IMAGE/PNG; q=1"), Some("{image/*}"), true),
        (Some("image/png"), Some("{IMAGE/PNG}"), true),
        (Some("application/pdf"), Some("{image/*,application/pdf}"), true),
        (Some("imagex/png"), Some("{image/*}"), false),
        (Some("application/zip"), Some("{image/*,application/pdf}"), false),
        (Some("a/b"), Some("{*/*}"), true),
        (Some("a/b"), Some("{}"), false),
        (None, Some("{image/*}"), false),
        (None, None, true),
        (Some("a/b"), None, true),
    ] {
        let sql = "select holdfast.type_allowed($1, $2::text::text[])";
        let row = client.query_one(sql, &[&content_type, &allowed]).await?;
        ensure!(row.get::<_, Option<bool>>(0) == Some(expected), "{content_type:?} {allowed:?}");
    }
    Ok(())
}
