//! The migrator.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};
use holdfast_migrations::{Error, Report, migrate, seed};
use tokio_postgres::Client;

/// Every migration, in order.
const MIGRATIONS: [&str; 12] = [
    "0001-tables",
    "0002-deletion",
    "0003-content",
    "0004-api-keys",
    "0005-grants",
    "0006-multipart",
    "0007-idempotent-grants",
    "0008-streams",
    "0009-bucket-cors",
    "0010-buckets",
    "0012-templates",
    "0013-batches",
];

pub(crate) fn register(suite: &mut Suite) {
    suite.add_empty("a_second_migration_does_nothing", a_second_migration_does_nothing);
    suite.add_empty("migrators_at_once_do_it_once", migrators_at_once_do_it_once);
    suite.add_empty("a_changed_function_is_replaced", a_changed_function_is_replaced);
    suite.add_empty("a_changed_migration_is_refused", a_changed_migration_is_refused);
    suite.add_empty("a_failed_migration_leaves_nothing", a_failed_migration_leaves_nothing);
    suite.add_empty("a_seed_is_sown_once", a_seed_is_sown_once);
    suite.add("every_function_body_is_valid", every_function_body_is_valid);
}

async fn a_second_migration_does_nothing(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    let first = migrate(&mut client).await?;
    ensure!(first.applied == MIGRATIONS);
    ensure!(first.replaced.contains(&"begin".to_owned()) && first.removed.is_empty());
    ensure!(migrate(&mut client).await? == Report::default());
    // The lock is not kept.
    ensure!(db.number("select count(*) from pg_locks where locktype = 'advisory'").await? == 0);
    Ok(())
}

async fn migrators_at_once_do_it_once(db: Db) -> Result<()> {
    let reports = db
        .at_once(8, |_, mut client| async move {
            let migrated = migrate(&mut client).await?;
            let seeded = seed(&mut client).await?;
            Ok(migrated.applied.len() + seeded.applied.len())
        })
        .await?;
    ensure!(reports.iter().sum::<usize>() == MIGRATIONS.len() + 1, "{reports:?}");
    Ok(())
}

async fn forget(client: &Client, name: &str) -> Result<()> {
    client.execute("update holdfast.applied set sha256 = 'old' where name = $1", &[&name]).await?;
    Ok(())
}

async fn a_changed_function_is_replaced(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    migrate(&mut client).await?;
    let signature = "select string_agg(p.oid::regprocedure || ' ' || pg_get_function_result(p.oid), ';') \
                     from pg_proc p where p.pronamespace = 'holdfast'::regnamespace and p.proname = 'sequence'";
    let expected: String = client.query_one(signature, &[]).await?.get(0);
    let oid = "'holdfast.sequence(int4)'::regprocedure::oid";
    let before = db.number(oid).await?;

    // Another body: the same function, so that its callers and grants stay.
    client.batch_execute("create or replace function holdfast.sequence(p_limit int4) returns int8 language sql return 7").await?;
    forget(&client, "sequence").await?;
    ensure!(migrate(&mut client).await?.replaced == ["sequence"]);
    ensure!(db.number("holdfast.sequence(1)").await? == 0);
    ensure!(db.number(oid).await? == before);

    for other in [
        "sequence(p_limit int4) returns text language sql return 'x'",
        "sequence(p_other int4) returns int8 language sql return 7",
        "sequence(p_limit int4, p_more text) returns int8 language sql return 7",
        "sequence() returns int8 language sql return 7",
    ] {
        client
            .batch_execute(&format!(
                "drop function holdfast.sequence; create function holdfast.{other}"
            ))
            .await?;
        forget(&client, "sequence").await?;
        ensure!(migrate(&mut client).await?.replaced == ["sequence"]);
        ensure!(client.query_one(signature, &[]).await?.get::<_, String>(0) == expected, "{other}");
    }

    // A function without a file is one of an earlier release.
    client
        .batch_execute(
            "create function holdfast.earlier(int4) returns int4 language sql return 1;
         insert into holdfast.applied (kind, name, sha256) values ('function', 'earlier', 'x')",
        )
        .await?;
    ensure!(migrate(&mut client).await?.removed == ["earlier"]);
    ensure!(db.number("select count(*) from pg_proc where proname = 'earlier'").await? == 0);
    ensure!(migrate(&mut client).await? == Report::default());
    Ok(())
}

async fn a_changed_migration_is_refused(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    migrate(&mut client).await?;
    forget(&client, "0001-tables").await?;
    let error = migrate(&mut client).await.expect_err("a changed migration");
    ensure!(matches!(&error, Error::Changed { name } if name == "0001-tables"), "{error}");
    client
        .execute("update holdfast.applied set name = '9999-later' where name = '0001-tables'", &[])
        .await?;
    let error = migrate(&mut client).await.expect_err("a later release");
    ensure!(matches!(&error, Error::Newer { name } if name == "9999-later"), "{error}");
    Ok(())
}

async fn a_failed_migration_leaves_nothing(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    client.batch_execute("create schema holdfast; create table holdfast.access_log ()").await?;
    let error = migrate(&mut client).await.expect_err("a table is in the way");
    ensure!(
        error.to_string().contains("0001-tables") && error.to_string().contains("access_log"),
        "{error}"
    );
    ensure!(db.number("select count(*) from pg_class where relname = 'bucket'").await? == 0);
    ensure!(db.number("select count(*) from holdfast.applied").await? == 0);
    // And once it is out of the way, the same session can go on.
    client.batch_execute("drop table holdfast.access_log").await?;
    ensure!(migrate(&mut client).await?.applied == MIGRATIONS);
    Ok(())
}

async fn a_seed_is_sown_once(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    migrate(&mut client).await?;
    ensure!(seed(&mut client).await?.applied == ["0001-default-buckets"]);
    let names =
        "select string_agg(name, ' ' order by name) from holdfast.bucket where owner = 'system'";
    ensure!(
        client.query_one(names, &[]).await?.get::<_, &str>(0)
            == "assets avatars batches documents templates"
    );
    ensure!(
        db.number(
            "select count(*) from holdfast.bucket where policy ->> 'visibility' = 'public-read'"
        )
        .await?
            == 1
    );
    client.batch_execute("delete from holdfast.bucket where name = 'avatars'").await?;
    ensure!(seed(&mut client).await? == Report::default());
    ensure!(
        db.number("select count(*) from holdfast.bucket").await? == 4,
        "a deleted bucket came back"
    );
    Ok(())
}

/// They are created unchecked, because they may be created before those that they call.
async fn every_function_body_is_valid(db: Db) -> Result<()> {
    let client = db.connect().await?;
    client.batch_execute("set check_function_bodies = on").await?;
    let sql = "select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'holdfast'::regnamespace";
    let definitions = client.query(sql, &[]).await?;
    ensure!(definitions.len() > 20);
    for definition in definitions {
        client.batch_execute(definition.get(0)).await?;
    }
    Ok(())
}
