//! The SeaweedFS supervisor, against the real server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use holdfast_dev::{S3Client, S3Keys, SeaweedFs, tools};
use holdfast_s3::{GetObject, PutObject};

const PUT: PutObject<'_> = PutObject {
    bucket: "documents",
    key: "a file",
    content_type: "text/plain",
    content_length: None,
    checksum: None,
    headers: &[],
};
const GET: GetObject<'_> = GetObject {
    bucket: "documents",
    key: "a file",
    range: None,
    response_content_type: None,
    response_content_disposition: None,
};

#[tokio::test]
async fn objects_survive_a_kill_and_a_second_start_on_other_ports() {
    let folder = tempfile::tempdir().unwrap();
    let (tools, keys) = (tools().unwrap(), S3Keys::generate());
    let server = SeaweedFs::start(&tools, folder.path(), None, &keys).await.unwrap();
    server.client().ensure_bucket("documents").await.unwrap();
    server.client().ensure_bucket("documents").await.unwrap();
    server.client().call(&PUT, "content").await.unwrap();

    server.kill9();
    server.restart().await.unwrap();
    assert_eq!(server.client().call(&GET, "").await.unwrap(), b"content");

    let endpoint = server.endpoint();
    let stranger = S3Client::new(&endpoint, "us-east-1", &S3Keys::generate()).unwrap();
    assert_eq!(stranger.send(&GET, "").await.unwrap().status().as_u16(), 403);

    server.stop().await.unwrap();
    drop(server);
    // One of its ports is taken, so it moves, and still finds its files.
    let port: u16 = endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = SeaweedFs::start(&tools, folder.path(), None, &keys).await.unwrap();
    assert_ne!(server.endpoint(), endpoint);
    assert_eq!(server.client().call(&GET, "").await.unwrap(), b"content");

    let other = tempfile::tempdir().unwrap();
    let error = SeaweedFs::start(&tools, other.path(), Some(port), &keys).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with(&format!("port {port} is taken")), "{error}");
}

#[tokio::test]
async fn an_index_that_a_full_disk_cut_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (tools, keys) = (tools().unwrap(), S3Keys::generate());
    let server = SeaweedFs::start(&tools, folder.path(), None, &keys).await.unwrap();
    server.client().ensure_bucket("documents").await.unwrap();
    server.client().call(&PUT, "content").await.unwrap();
    server.stop().await.unwrap();

    let files = std::fs::read_dir(folder.path().join("data")).unwrap();
    let indexes = files.map(|file| file.unwrap().path()).filter(|file| {
        file.extension().is_some_and(|extension| extension == "idx")
            && file.metadata().unwrap().len() > 0
    });
    let cut: Vec<_> = indexes.collect();
    assert!(!cut.is_empty());
    for index in &cut {
        let length = index.metadata().unwrap().len();
        std::fs::File::options().write(true).open(index).unwrap().set_len(length - 5).unwrap();
    }
    server.restart().await.unwrap();
    assert_eq!(server.client().call(&GET, "").await.unwrap(), b"content");
}
