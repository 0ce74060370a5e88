//! `may`, and the small functions that decide.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("may_by_principal_action_and_policy", may_by_principal_action_and_policy);
    suite.add("may_in_every_combination", may_in_every_combination);
    suite.add(
        "may_by_roles_and_names_in_every_combination",
        may_by_roles_and_names_in_every_combination,
    );
    suite.add("etag_matches_by_rfc_9110", etag_matches_by_rfc_9110);
    suite.add("type_allowed_with_wildcards", type_allowed_with_wildcards);
}

const ACTIONS: [&str; 5] = ["read", "write", "delete", "list", "admin"];

/// Those that a policy names people for.
const NAMED: [(&str, &str); 5] = [
    ("readers", "read"),
    ("writers", "write"),
    ("listers", "list"),
    ("sharers", "share"),
    ("deleters", "delete"),
];

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

/// One question to `may`, in words; `allowed` states the rules again, apart from the SQL.
#[derive(Debug, Clone, Copy)]
struct Question {
    sub: &'static str,
    is_admin: bool,
    /// `None` is unrestricted.
    scopes: Option<&'static [&'static str]>,
    action: &'static str,
    bucket_owner: &'static str,
    object_owner: Option<&'static str>,
    visibility: &'static str,
    writers: &'static str,
    readers: &'static str,
}

impl Question {
    /// Each combination once.
    fn all() -> Vec<Self> {
        let scopes: [Option<&'static [&'static str]>; 9] = [
            None,
            Some(&[]),
            Some(&["upload"]),
            Some(&["download"]),
            Some(&["delete"]),
            Some(&["admin"]),
            Some(&["upload", "download"]),
            Some(&["upload", "download", "delete"]),
            Some(&["other"]),
        ];
        let mut all = vec![];
        for sub in ["", "stranger", "writer", "boss", "system"] {
            for is_admin in [false, true] {
                for scopes in scopes {
                    for action in ACTIONS.into_iter().chain(["fly"]) {
                        for bucket_owner in ["boss", "system"] {
                            for object_owner in [None, Some("writer"), Some("boss")] {
                                for visibility in ["private", "public-read"] {
                                    for writers in ["authenticated", "owner"] {
                                        for readers in ["authenticated", "owner"] {
                                            all.push(Self {
                                                sub,
                                                is_admin,
                                                scopes,
                                                action,
                                                bucket_owner,
                                                object_owner,
                                                visibility,
                                                writers,
                                                readers,
                                            });
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// The rules, one refusal after another.
    fn allowed(self) -> bool {
        if self.action == "read" && self.visibility == "public-read" {
            return true;
        }
        if self.sub.is_empty() {
            return false;
        }
        let word = match self.action {
            "read" | "list" => "download",
            "write" => "upload",
            other => other,
        };
        let in_scope =
            self.scopes.is_none_or(|scopes| scopes.contains(&word) || scopes.contains(&"admin"));
        if !in_scope {
            return false;
        }
        if self.is_admin {
            return true;
        }
        let runs_the_bucket = self.sub == self.bucket_owner && self.sub != "system";
        let owns_the_object = self.object_owner == Some(self.sub);
        match self.action {
            "read" => runs_the_bucket || owns_the_object || self.readers == "authenticated",
            "list" => {
                runs_the_bucket
                    || self.readers == "authenticated"
                    || self.writers == "authenticated"
            }
            "write" if self.object_owner.is_some() && !owns_the_object => false,
            "write" => runs_the_bucket || self.writers == "authenticated",
            "delete" => runs_the_bucket || owns_the_object,
            "admin" => runs_the_bucket,
            _ => false,
        }
    }
}

async fn may_in_every_combination(db: Db) -> Result<()> {
    let questions = Question::all();
    ensure!(questions.len() == 5 * 2 * 9 * 6 * 2 * 3 * 2 * 2 * 2, "{}", questions.len());
    let rows: Vec<_> = questions
        .iter()
        .map(|q| {
            serde_json::json!({
                "sub": q.sub, "roles": if q.is_admin { vec!["other", "admin"] } else { vec!["other"] },
                "scopes": q.scopes, "action": q.action, "bucket_owner": q.bucket_owner,
                "object_owner": q.object_owner,
                "policy": {"visibility": q.visibility, "writers": q.writers, "readers": q.readers},
            })
        })
        .collect();
    let sql = "select holdfast.may(q.sub, q.roles, q.scopes, q.action, q.bucket_owner, q.policy, q.object_owner) \
               from rows from (jsonb_to_recordset($1::text::jsonb) as (sub text, roles text[], scopes text[], \
               action text, bucket_owner text, object_owner text, policy jsonb)) with ordinality \
               as q (sub, roles, scopes, action, bucket_owner, object_owner, policy, number) order by q.number";
    let rows = serde_json::Value::Array(rows).to_string();
    let answers = db.connect().await?.query(sql, &[&rows]).await?;
    ensure!(answers.len() == questions.len(), "{} answers", answers.len());
    let mut granted = 0;
    for (question, answer) in questions.iter().zip(answers) {
        let answer: bool = answer.get(0);
        ensure!(answer == question.allowed(), "{question:?}: {answer}");
        granted += usize::from(answer);
    }
    // Neither side says the same to all.
    ensure!((1_000..questions.len() - 1_000).contains(&granted), "{granted}");
    Ok(())
}

/// What a member of a policy says, and whom it names of those who have a name: roles, users.
const WHO: [(&str, &[&str], &[&str]); 7] = [
    ("null", &[], &[]),
    ("\"owner\"", &[], &[]),
    ("\"authenticated\"", &["*"], &[]),
    (r#"{"roles": ["editor"]}"#, &["editor"], &[]),
    (r#"{"users": ["carol"]}"#, &[], &["carol"]),
    (r#"{"roles": ["editor", "other"], "users": ["carol", ""]}"#, &["editor", "other"], &["carol"]),
    (r#"{"roles": [], "users": null}"#, &[], &[]),
];

/// Each list alone, and beside one of the others, for who is named by role, by name, by both and not at all.
async fn may_by_roles_and_names_in_every_combination(db: Db) -> Result<()> {
    let people: [(&str, &[&str]); 6] = [
        ("", &["editor"]),
        ("carol", &[]),
        ("dave", &["editor"]),
        ("dave", &[]),
        ("owner", &[]),
        ("boss", &[]),
    ];
    let mut asked = vec![];
    let mut expected = vec![];
    for (sub, roles) in people {
        let named = |who: &(&str, &[&str], &[&str])| {
            let (_, in_roles, in_users) = *who;
            !sub.is_empty()
                && (in_roles.contains(&"*")
                    || roles.iter().any(|it| in_roles.contains(it))
                    || in_users.contains(&sub))
        };
        for one in WHO {
            for two in WHO {
                for (member, action) in NAMED {
                    for (beside, _) in NAMED {
                        if beside == member {
                            continue;
                        }
                        let mut policy = serde_json::json!({"visibility": "private", "readers": "owner", "writers": "owner"});
                        policy[member] = serde_json::from_str(one.0)?;
                        policy[beside] = serde_json::from_str(two.0)?;
                        let of = |name: &str| {
                            if member == name {
                                Some(one)
                            } else if beside == name {
                                Some(two)
                            } else {
                                None
                            }
                        };
                        let says = |name: &str| of(name).filter(|it| it.0 != "null");
                        let is_named = |name: &str| says(name).is_some_and(|it| named(&it));
                        let owns = sub == "owner";
                        let runs = sub == "boss";
                        let may = match action {
                            "read" | "delete" => owns || runs || is_named(member),
                            "write" => owns && is_named("writers"),
                            "list" if says("listers").is_some() => runs || is_named("listers"),
                            "list" => runs || is_named("readers") || is_named("writers"),
                            "share" => {
                                !sub.is_empty()
                                    && (says("sharers").is_none()
                                        || owns
                                        || runs
                                        || is_named("sharers"))
                            }
                            _ => anyhow::bail!("{action}"),
                        };
                        asked.push(serde_json::json!({"sub": sub, "roles": roles, "action": action, "policy": policy}));
                        expected.push(may);
                    }
                }
            }
        }
    }
    let sql = "select holdfast.may(q.sub, q.roles, null, q.action, 'boss', q.policy, 'owner') \
               from rows from (jsonb_to_recordset($1::text::jsonb) as (sub text, roles text[], action text, policy jsonb)) \
               with ordinality as q (sub, roles, action, policy, number) order by q.number";
    let answers = db
        .connect()
        .await?
        .query(sql, &[&serde_json::Value::Array(asked.clone()).to_string()])
        .await?;
    ensure!(answers.len() == expected.len());
    for ((question, answer), expected) in asked.iter().zip(answers).zip(&expected) {
        ensure!(answer.get::<_, bool>(0) == *expected, "{question}: not {expected}");
    }
    ensure!((500..expected.len() - 500).contains(&expected.iter().filter(|it| **it).count()));

    // Who makes grants by a narrow token shares by either scope, and by no other.
    for (scope, good) in [("upload", true), ("download", true), ("admin", true), ("delete", false)]
    {
        let sql = "select holdfast.may('alice', '{}', array[$1], 'share', 'boss', '{\"visibility\": \"public-read\"}', null)";
        ensure!(
            db.connect().await?.query_one(sql, &[&scope]).await?.get::<_, bool>(0) == good,
            "{scope}"
        );
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
