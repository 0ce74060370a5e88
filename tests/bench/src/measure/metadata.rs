//! What the steps of the database cost at 10 thousand objects and at 1 million, in one run: a ratio of 1 is flat.
//!
//! The tables are filled by SQL: what is measured is what a component waits for, one call of a function, prepared anew as
//! Spin does it. Both sizes are buckets of one database, so that the small one has the large one's indexes beside it.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use crate::bench::Bench;
use crate::load::Latencies;
use crate::table::{Table, against};

/// A bucket and its objects.
const SIZES: [(&str, u64); 2] = [("bench-10k", 10_000), ("bench-1m", 1_000_000)];

/// Objects that one statement makes.
const BATCH: u64 = 50_000;

/// A page has so many entries.
const PAGE: u32 = 100;

/// Of the p50 at 1 million to the one at 10 thousand, at the most.
const FLAT: f64 = 1.5;

/// Two owners, a thousand objects in a folder, and one of ten was replaced once.
const FILL: &str = "
    with objects as (
        insert into holdfast.object (bucket, key, owner, sequence, live, created_at)
        select $1, 'folder-' || lpad((n / 1000)::text, 5, '0') || '/file-' || lpad(n::text, 8, '0') || '.txt',
               case when n % 2 = 0 then 'alice' else 'bob' end, 1, true, now()
        from generate_series($2::int8, $3::int8) n
        returning id, owner
    )
    insert into holdfast.version
        (id, object_id, bucket, s3_key, state, created_by, created_at, owner, charged_bytes, size_bytes, content_type, etag,
         committed_at, created, replaced_at, due_at)
    select gen_random_uuid(), o.id, $1, 'hf/' || o.id || '/' || state, state, o.owner, now(), o.owner, 10, 10, 'text/plain', 'e',
           now() - o.id * interval '1 millisecond', true, case when state <> 'live' then now() end,
           case when state <> 'live' then now() + interval '1 day' end
    from objects o, unnest(array['live', 'superseded']) state
    where state = 'live' or o.id % 10 = 0";

/// A step: what it is called, and its statement. `BUCKET`, `KEY` (of alice), `FOLDER`, `UUID` and `NUMBER` stand for
/// others each time.
const STEPS: [(&str, &str); 10] = [
    (
        "list, by key",
        "list_objects('BUCKET', '', null, null, 'key', 'KEY', false, null, null, PAGE, 'alice', null, null)",
    ),
    (
        "list, by key, an admin",
        "list_objects('BUCKET', '', null, null, 'key', 'KEY', false, null, null, PAGE, 'root', '{admin}', null)",
    ),
    (
        "list, downwards",
        "list_objects('BUCKET', '', null, null, '-key', 'KEY', false, null, null, PAGE, 'alice', null, null)",
    ),
    (
        "list, folders (10)",
        "list_objects('BUCKET', '', '/', null, 'key', null, false, null, null, 10, 'alice', null, null)",
    ),
    (
        "list, one folder",
        "list_objects('BUCKET', 'FOLDER', '/', null, 'key', null, false, null, null, PAGE, 'alice', null, null)",
    ),
    (
        "list, the newest",
        "list_objects('BUCKET', '', null, null, 'newest', null, false, null, null, PAGE, 'alice', null, null)",
    ),
    (
        "search, one match",
        "list_objects('BUCKET', '', null, 'NUMBER.', 'key', null, false, null, null, PAGE, 'root', '{admin}', null)",
    ),
    (
        "search, many matches",
        "list_objects('BUCKET', '', null, 'file-', 'key', null, false, null, null, PAGE, 'alice', null, null)",
    ),
    ("stat", "stat_object('BUCKET', 'KEY', 'alice', null, null)"),
    ("resolve", "resolve('BUCKET', 'KEY', null, 'alice', null, null, null)"),
];

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let rounds = if bench.quick { 200 } else { 1_000 };
    let client = holdfast_dev::connect(&bench.database_url).await?;
    for (bucket, objects) in SIZES {
        fill(&client, bucket, objects).await?;
    }
    client.batch_execute("vacuum analyze holdfast.object, holdfast.version").await?;

    let mut table = Table::new(
        format!("Steps of the database at 10 thousand and 1 million objects, {rounds} calls"),
        &["step", "10k p50 ms", "10k p99 ms", "1M p50 ms", "1M p99 ms", "p50 ratio", "aim"],
    );
    for (name, call) in STEPS {
        let statement = format!("select count(*) from holdfast.{call} where outcome = 'ok'");
        let mut both = [Latencies::new()?, Latencies::new()?];
        // In turns, so that both meet the same machine.
        for number in 0..rounds {
            for (latencies, (bucket, objects)) in both.iter_mut().zip(SIZES) {
                let statement = written(&statement, bucket, objects, number);
                let start = Instant::now();
                let found: i64 = client.query_one(&statement, &[]).await?.get(0);
                latencies.record(start.elapsed());
                ensure!(found > 0, "nothing was found: {statement}");
            }
        }
        row(&mut table, name, &both);
    }
    let mut both = [Latencies::new()?, Latencies::new()?];
    for _ in 0..rounds {
        for (latencies, (bucket, _)) in both.iter_mut().zip(SIZES) {
            latencies.record(store(&client, bucket).await?);
        }
    }
    row(&mut table, "begin + commit", &both);
    table.note(format!(
        "One connection, each statement prepared anew. A page has {PAGE} entries, from a place that changes with each call. \
         A search costs what it finds: one match by the index of trigrams, many by looking at the keys."
    ));
    Ok(table)
}

async fn fill(client: &Client, bucket: &str, objects: u64) -> Result<()> {
    let policy = r#"{"visibility": "private", "writers": "authenticated", "readers": "owner"}"#;
    let made =
        "insert into holdfast.bucket (name, owner, policy) values ($1, 'system', $2::text::jsonb)";
    client.execute(made, &[&bucket, &policy]).await?;
    for first in (0..objects).step_by(usize::try_from(BATCH)?) {
        let last = (first + BATCH).min(objects) - 1;
        let (first, last) = (i64::try_from(first)?, i64::try_from(last)?);
        client.execute(FILL, &[&bucket, &first, &last]).await?;
    }
    Ok(())
}

/// The statement for one call: another place of the bucket each time, of alice's.
fn written(statement: &str, bucket: &str, objects: u64, number: u64) -> String {
    let n = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (objects - 4_000) / 2 * 2 + 2_000;
    let folder = format!("folder-{:05}/", n / 1000);
    let key = format!("{folder}file-{n:08}.txt");
    statement
        .replace("BUCKET", bucket)
        .replace("KEY", &key)
        .replace("FOLDER", &folder)
        .replace("NUMBER", &format!("{n:08}"))
        .replace("PAGE", &PAGE.to_string())
}

/// A new object, by its two steps.
async fn store(client: &Client, bucket: &str) -> Result<std::time::Duration> {
    let id: String = client.query_one("select gen_random_uuid()::text", &[]).await?.get(0);
    let begin = format!(
        "select outcome from holdfast.begin('{id}', '{bucket}', 'new/{id}', 'hf/{id}', 'alice', null, null, 10, 'text/plain', \
         '{{}}', null, null, 60, '', '', null)"
    );
    let commit = format!(
        "select outcome from holdfast.commit('{id}', 'alice', null, null, 10, 'text/plain', null, '{id}', null, '', '', null)"
    );
    let start = Instant::now();
    for statement in [begin, commit] {
        let outcome: String = client.query_one(&statement, &[]).await?.get(0);
        ensure!(outcome == "ok", "{outcome}: {statement}");
    }
    Ok(start.elapsed())
}

fn row(table: &mut Table, name: &str, both: &[Latencies; 2]) {
    let [small, large] = both;
    let figure = |latencies: &Latencies, share| format!("{:.2}", latencies.quantile(share));
    let ratio = large.quantile(0.5) / small.quantile(0.5);
    table.row([
        name.to_owned(),
        figure(small, 0.5),
        figure(small, 0.99),
        figure(large, 0.5),
        figure(large, 0.99),
        format!("{ratio:.2}"),
        against(&format!("<= {FLAT}"), ratio <= FLAT),
    ]);
}
