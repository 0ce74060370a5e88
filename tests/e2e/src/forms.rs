//! `POST /v1/upload/{bucket}`: forms, by a client library and by curl.

use anyhow::{Context as _, Result, ensure};
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused};
use crate::multipart::{is_stored, nothing_is_left_after_the_worker};
use crate::raw::Raw;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_form_stores_each_of_its_files", files);
    suite.add("fields_before_a_file_are_its_key_and_its_headers", fields);
    suite.add("a_form_tells_what_became_of_each_file", mixed);
    suite.add("a_form_that_is_none_is_refused", malformed);
    suite.add("a_large_file_of_a_form_streams", large);
    suite.add("a_form_may_be_repeated", repeated);
    suite.add("a_file_above_10_mb_of_a_form_goes_in_parts", in_parts);
    suite.add("curl_sends_a_form", curl);
}

fn post(api: &Api, bucket: &str, form: Form) -> reqwest::RequestBuilder {
    let url = format!("{}/v1/upload/{bucket}", api.url);
    api.client.post(url).bearer_auth(&api.alice).multipart(form)
}

fn file(bytes: impl Into<Vec<u8>>, name: &str) -> Part {
    Part::bytes(bytes.into()).file_name(name.to_owned())
}

async fn files(api: Api) -> Result<()> {
    let form = Form::new()
        .part("a", file("hello", "forms-a.txt"))
        .part("none", file("", ""))
        .part("b", file(noise(200_000), "C:\\docs\\forms b+%.bin"))
        .part("c", file("", "forms-empty"));
    let answer = json_of(post(&api, "documents", form), 201).await?;
    let files = answer["files"].as_array().context("files")?;
    ensure!(files.len() == 3, "{answer}");
    ensure!(files[0]["field"] == "a" && files[0]["status"] == 201, "{answer}");
    ensure!(files[0]["contentType"] == "text/plain; charset=utf-8", "{answer}");
    ensure!(files[1]["key"] == "forms b+%.bin" && files[1]["size"] == 200_000, "{answer}");
    ensure!(files[2]["size"] == 0, "{answer}");
    let url = files[1]["url"].as_str().context("url")?;
    let back = expect(api.client.get(url).bearer_auth(&api.alice), 200).await?;
    ensure!(back.bytes().await? == noise(200_000));
    Ok(())
}

async fn fields(api: Api) -> Result<()> {
    let form = Form::new()
        .text("key", "forms/fields/${filename}")
        .text("x-amz-meta-team", "blue")
        .text("Cache-Control", "max-age=9")
        .text("unknown", "x".repeat(100_000))
        .part("file", file("one", "one.txt"))
        .text("content-type", "text/csv")
        .part("file", file("two", "forms-two.txt"));
    let answer = json_of(post(&api, "documents", form), 201).await?;
    ensure!(answer["files"][0]["key"] == "forms/fields/one.txt", "{answer}");
    ensure!(answer["files"][1]["key"] == "forms-two.txt", "{answer}");
    let one = expect(api.get("documents/forms/fields/one.txt"), 200).await?;
    ensure!(header(&one, "x-amz-meta-team") == "blue");
    ensure!(header(&one, "cache-control") == "private, max-age=9");
    let two = expect(api.get("documents/forms-two.txt"), 200).await?;
    ensure!(header(&two, "content-type") == "text/csv");
    ensure!(header(&two, "x-amz-meta-team").is_empty(), "a field is its own file's alone");
    Ok(())
}

async fn mixed(api: Api) -> Result<()> {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0".to_vec();
    let form = Form::new()
        .part("a", file(noise(6_000_000), "forms-large.png").mime_str("image/png")?)
        .part("b", file(png, "forms-mixed.png").mime_str("image/png")?)
        .text("key", "a/../b")
        .part("c", file("x", "c"))
        .text("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")
        .part("d", file("x", "d"));
    let answer = json_of(post(&api, "avatars", form), 207).await?;
    let told: Vec<_> = answer["files"]
        .as_array()
        .context("files")?
        .iter()
        .map(|file| (file["status"].as_i64(), file["code"].as_str()))
        .collect();
    ensure!(
        told == [
            (Some(413), Some("EntityTooLarge")),
            (Some(201), None),
            (Some(400), Some("InvalidArgument")),
            (Some(400), Some("BadDigest")),
        ],
        "{answer}"
    );
    refused(api.get("avatars/forms-large.png"), 404, "NoSuchKey").await?;
    expect(api.get("avatars/forms-mixed.png"), 200).await?;
    // The refusal of one file alone is the answer.
    let alone = Form::new().part("a", file("text", "a.png").mime_str("image/png")?);
    refused(post(&api, "avatars", alone), 415, "InvalidContentType").await?;
    Ok(())
}

async fn malformed(api: Api) -> Result<()> {
    refused(post(&api, "documents", Form::new().text("key", "x")), 400, "MalformedPOSTRequest")
        .await?;
    let url = format!("{}/v1/upload/documents", api.url);
    let post = || api.client.post(&url).bearer_auth(&api.alice);
    refused(post().body("x"), 415, "InvalidContentType").await?;
    let kind = ("content-type", "multipart/form-data; boundary=b");
    refused(post().header(kind.0, kind.1).body("x"), 400, "IncompleteBody").await?;
    let digest = post().header(kind.0, kind.1).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    refused(digest.body("--b--\r\n"), 400, "InvalidArgument").await?;
    refused(api.client.post(&url).header(kind.0, kind.1).body("x"), 401, "MissingAuthentication")
        .await?;
    refused(api.client.get(&url).bearer_auth(&api.alice), 405, "MethodNotAllowed").await?;
    // It ends in the middle of its second file: the first one is stored, and the answer says so.
    let form = "--b\r\ncontent-disposition: form-data; name=a; filename=forms-whole\r\n\r\nx\r\n\
        --b\r\ncontent-disposition: form-data; name=b; filename=forms-cut\r\n\r\nxx";
    let answer = json_of(post().header(kind.0, kind.1).body(form), 207).await?;
    ensure!(answer["files"][0]["status"] == 201, "{answer}");
    ensure!(answer["files"][1]["code"] == "IncompleteBody", "{answer}");
    expect(api.get("documents/forms-whole"), 200).await?;
    refused(api.get("documents/forms-cut"), 404, "NoSuchKey").await?;
    Ok(())
}

async fn large(api: Api) -> Result<()> {
    const PIECES: u64 = 100;
    let piece = noise(1_024 * 1_024);
    let mut digest = Sha256::new();
    (0..PIECES).for_each(|_| digest.update(&piece));
    let pieces = stream::iter((0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let part = Part::stream(reqwest::Body::wrap_stream(pieces)).file_name("forms-100-mib");
    let behind = file("small", "forms-behind");
    let form = Form::new().part("large", part).part("small", behind);
    let answer = json_of(post(&api, "documents", form), 201).await?;
    ensure!(answer["files"][0]["size"] == PIECES * 1_024 * 1_024, "{answer}");
    let back = expect(api.get("documents/forms-100-mib"), 200).await?.bytes().await?;
    ensure!(Sha256::digest(&back) == digest.finalize());
    ensure!(expect(api.get("documents/forms-behind"), 200).await?.text().await? == "small");
    Ok(())
}

async fn repeated(api: Api) -> Result<()> {
    let form = || {
        Form::new()
            .part("a", file("one", "forms-repeated-1"))
            .part("b", file(noise(100_000), "forms-repeated-2"))
    };
    let post = || post(&api, "documents", form()).header("idempotency-key", "forms");
    let first = json_of(post(), 201).await?;
    ensure!(json_of(post(), 201).await? == first);
    ensure!(api.versions("documents", "forms-repeated-2").await?.len() == 1);
    Ok(())
}

async fn curl(api: Api) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("by curl \"ü\".txt");
    tokio::fs::write(&path, "from curl").await?;
    let bucket = api.bucket(&json!({})).await?;
    let output = Command::new("curl")
        .args(["-fsS", "-F", "key=${filename}", "-F"])
        .arg(format!("file=@\"{}\"", path.display().to_string().replace('"', "\\\"")))
        .args(["-H", &format!("authorization: Bearer {}", api.alice)])
        .arg(format!("{}/v1/upload/{bucket}", api.url))
        .output()
        .await
        .context("cannot run curl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = format!("{bucket}/by%20curl%20%22%C3%BC%22.txt");
    ensure!(expect(api.get(&path), 200).await?.text().await? == "from curl");
    // A client that leaves in the middle of a form.
    let headers = "content-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n";
    let mut raw = Raw::open(&api, "POST", &format!("/v1/upload/{bucket}"), headers).await?;
    let part = b"--b\r\ncontent-disposition: form-data; name=a; filename=left\r\n\r\n";
    ensure!(raw.send_chunk(part).await? && raw.send_chunk(&noise(300_000)).await?);
    raw.reset()?;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    refused(api.get(&format!("{bucket}/left")), 404, "NoSuchKey").await?;
    Ok(())
}

/// Above 10 MB a form's files are uploads in parts inside; what breaks leaves none of them.
async fn in_parts(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let long = noise(40 * 1_024 * 1_024 + 3);
    let form = Form::new()
        .part("long", file(long.clone(), "long.bin"))
        .part("short", file(noise(200_000), "short.bin"));
    let answer = json_of(post(&api, &bucket, form), 201).await?;
    ensure!(answer["files"][0]["size"] == long.len(), "{answer}");
    // Two parts of the store made it one object.
    ensure!(answer["files"][0]["etag"].as_str().is_some_and(|it| it.ends_with("-2")), "{answer}");
    ensure!(answer["files"][0]["digest"].as_str().is_some_and(|it| it.starts_with("crc64nvme=")));
    // Of what was left of the form by then, none could be long.
    ensure!(!answer["files"][1]["etag"].as_str().is_some_and(|it| it.contains('-')), "{answer}");
    is_stored(&api, &format!("{bucket}/long.bin"), &long).await?;
    is_stored(&api, &format!("{bucket}/short.bin"), &noise(200_000)).await?;

    // Its client leaves in the second part.
    let bucket = api.bucket(&json!({})).await?;
    let head = "content-type: multipart/form-data; boundary=x\r\ncontent-length: 60000000\r\n";
    let mut raw = Raw::open(&api, "POST", &format!("/v1/upload/{bucket}"), head).await?;
    let part = "--x\r\ncontent-disposition: form-data; name=f; filename=cut.bin\r\n\r\n";
    ensure!(raw.send(part.as_bytes()).await? && raw.send(&long).await?);
    raw.reset()?;
    nothing_is_left_after_the_worker(&api, &bucket).await
}
