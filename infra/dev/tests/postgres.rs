//! The PostgreSQL supervisor, against the real server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use holdfast_dev::{Postgres, tools};

async fn rows(url: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_cluster_survives_a_kill_and_a_second_start() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools().unwrap();
    let server = Postgres::start(&tools, folder.path(), None).await.unwrap();
    let url = server.url();
    assert_eq!(rows(&url).await, 1);

    let first = server.pid();
    server.kill9();
    server.restart().await.unwrap();
    assert_ne!(server.pid(), first);
    assert_eq!(rows(&url).await, 2);

    let refused = Postgres::start(&tools, folder.path(), None).await.unwrap_err().to_string();
    assert!(refused.contains("in use by another Holdfast process"), "{refused}");

    server.stop().await.unwrap();
    drop(server);
    let server = Postgres::start(&tools, folder.path(), None).await.unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(rows(&url).await, 3);
}

#[tokio::test]
async fn a_taken_port_is_one_sentence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let error = Postgres::start(&tools().unwrap(), folder.path(), Some(port)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("port {port} is taken")), "{error}");
}
