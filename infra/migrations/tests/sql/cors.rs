//! Which buckets' CORS has to be told to S3, and who tells it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use crate::harness::{Db, Suite};

const POLICY: &str = r#"{"visibility": "private", "writers": "authenticated", "readers": "owner"}"#;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("s3_is_told_of_cors_only_what_is_new", only_what_is_new);
    suite.add("s3_is_told_of_cors_again_after_a_failure", after_a_failure);
    suite.add("two_workers_never_tell_one_bucket_of_cors", two_workers);
}

/// Bucket, origins, claim.
type Due = (String, Option<Vec<String>>, String);

async fn due(client: &Client, ours: &[&str], limit: i32, after: f64) -> Result<Vec<Due>> {
    const DUE: &str = "select bucket, origins, claim
        from holdfast.due_cors($1, $2, clock_timestamp() + $3::float8 * interval '1 second')";
    let ours: Vec<String> = ours.iter().map(|&it| it.to_owned()).collect();
    let rows = client.query(DUE, &[&ours, &limit, &after]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

async fn applied(client: &Client, (bucket, origins, claim): &Due, told: bool) -> Result<bool> {
    let applied = "select holdfast.cors_applied($1, $2, $3, $4)";
    Ok(client.query_one(applied, &[bucket, origins, claim, &told]).await?.get(0))
}

async fn says(client: &Client, bucket: &str, origins: &str) -> Result<()> {
    let set = "update holdfast.bucket set policy = policy || $2::text::jsonb where name = $1";
    client.execute(set, &[&bucket, &format!(r#"{{"corsOrigins": {origins}}}"#)]).await?;
    Ok(())
}

async fn only_what_is_new(db: Db) -> Result<()> {
    let client = db.connect().await?;
    db.bucket("told", "system", POLICY).await?;
    // Anybody may, as it is without us.
    ensure!(due(&client, &["https://a", "*"], 100, 0.0).await?.is_empty());

    says(&client, "told", r#"["https://b", null]"#).await?;
    let found = due(&client, &["*"], 100, 0.0).await?;
    ensure!(found.len() == 1 && found[0].0 == "told", "{found:?}");
    ensure!(found[0].1.as_deref() == Some(&["https://b".to_owned()][..]), "{found:?}");
    ensure!(applied(&client, &found[0], true).await?);
    ensure!(!applied(&client, &found[0], true).await?, "a claim is given back once");
    ensure!(due(&client, &["*"], 100, 1e6).await?.is_empty());

    // The deployment's count where the policy says nothing, also if there are none.
    for ours in [&["https://c"][..], &[]] {
        let found = due(&client, ours, 100, 0.0).await?;
        ensure!(!found.is_empty() && found.iter().all(|it| it.0 != "told"), "{found:?}");
        for one in &found {
            ensure!(one.1.as_ref().is_some_and(|origins| origins == ours), "{one:?}");
            ensure!(applied(&client, one, true).await?);
        }
        ensure!(due(&client, ours, 100, 1e6).await?.is_empty());
    }

    // What no policy and no deployment restricts any more is taken back.
    says(&client, "told", "null").await?;
    let found = due(&client, &["*"], 100, 0.0).await?;
    ensure!(found.len() >= 2 && found.iter().all(|it| it.1.is_none()), "{found:?}");
    for one in &found {
        ensure!(applied(&client, one, true).await?);
    }
    // An empty list is nobody, and not anybody.
    says(&client, "told", "[]").await?;
    let found = due(&client, &["*"], 100, 0.0).await?;
    ensure!(found.len() == 1 && found[0].1.as_deref() == Some(&[][..]), "{found:?}");
    Ok(())
}

async fn after_a_failure(db: Db) -> Result<()> {
    let client = db.connect().await?;
    db.bucket("told", "system", POLICY).await?;
    says(&client, "told", r#"["https://b"]"#).await?;
    let first = due(&client, &["*"], 100, 0.0).await?;
    ensure!(due(&client, &["*"], 100, 200.0).await?.is_empty(), "claimed twice");
    ensure!(applied(&client, &first[0], false).await?);
    let second = due(&client, &["*"], 100, 1.0).await?;
    ensure!(second.len() == 1);
    // It may have been told, so that it is due though it wants again what was told before.
    says(&client, "told", "null").await?;
    let third = due(&client, &["*"], 100, 600.0).await?;
    ensure!(third.len() == 1 && third[0].1.is_none(), "{third:?}");
    // Whose worker died or was late has no say any more.
    ensure!(!applied(&client, &second[0], true).await?);
    ensure!(applied(&client, &third[0], true).await?);
    ensure!(due(&client, &["*"], 100, 1e6).await?.is_empty());
    Ok(())
}

async fn two_workers(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for number in 0..40 {
        let name = format!("told-{number}");
        db.bucket(&name, "system", POLICY).await?;
        says(&client, &name, r#"["https://b"]"#).await?;
    }
    let taken =
        db.at_once(16, |_, client| async move { due(&client, &["*"], 4, 0.0).await }).await?;
    let all: Vec<_> = taken.concat().into_iter().map(|it| it.0).collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    ensure!(distinct.len() == all.len(), "a bucket was claimed twice: {all:?}");
    ensure!(!all.is_empty());
    Ok(())
}
