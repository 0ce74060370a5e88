//! `POST /v1/objects/{bucket}` and `PUT ...?tags|metadata`: copies, moves, restorations, many deletions, folders.

use anyhow::{Context as _, Result, ensure};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_copy_within_a_bucket_is_a_new_version_of_the_same_bytes", copy_within);
    suite.add("a_copy_to_another_bucket_is_done_by_the_store", copy_across);
    suite.add("a_copy_to_another_bucket_is_refused_as_an_upload_is", copy_across_refused);
    suite.add("a_copy_repeated_under_its_key_is_one_copy", copy_repeated);
    suite.add("a_moved_file_is_where_it_was_moved_to", moved);
    suite.add("a_version_is_restored_and_so_is_what_was_deleted", restored);
    suite.add("a_thousand_are_deleted_at_once", many_deleted);
    suite.add("tags_and_metadata_change_without_the_bytes", annotated);
    suite.add("a_folder_gets_another_name_and_its_old_one_back", renamed);
    suite.add("an_operation_is_refused_with_the_right_code", refusals);
}

fn post(api: &Api, bucket: &str, body: &Value) -> RequestBuilder {
    by(api, bucket, body, &api.alice)
}

fn by(api: &Api, bucket: &str, body: &Value, token: &str) -> RequestBuilder {
    api.client.post(format!("{}/v1/objects/{bucket}", api.url)).bearer_auth(token).json(body)
}

fn object(api: &Api, method: reqwest::Method, path: &str) -> RequestBuilder {
    api.client.request(method, format!("{}/v1/objects/{path}", api.url)).bearer_auth(&api.alice)
}

async fn read(api: &Api, path: &str) -> Result<String> {
    Ok(expect(api.get(path), 200).await?.text().await?)
}

async fn copy_within(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let put = api.put(&format!("{bucket}/a"), "hello").header("x-amz-meta-color", "blue");
    let put = json_of(put, 201).await?;
    let copy = json!({"operation": "copy", "from": "a", "to": "b/ü +"});
    let response = expect(post(&api, &bucket, &copy), 201).await?;
    ensure!(header(&response, "location").ends_with("/b/%C3%BC%20%2B"), "{response:?}");
    ensure!(header(&response, "etag").trim_matches('"') == put["etag"], "{response:?}");
    let copied: Value = response.json().await?;
    ensure!(copied["version"] != put["version"] && copied["digest"] == put["digest"], "{copied}");
    let got = expect(api.get(&format!("{bucket}/b/%C3%BC%20%2B")), 200).await?;
    ensure!(header(&got, "x-amz-meta-color") == "blue" && got.text().await? == "hello");
    ensure!(api.listed(&bucket).await? == 1, "the bytes are there once");

    refused(post(&api, &bucket, &copy), 412, "PreconditionFailed").await?;
    let other = json!({"operation": "copy", "from": "a", "to": "b/ü +", "overwrite": true,
        "metadata": {"color": "red"}, "tags": {"t": "v"}});
    json_of(post(&api, &bucket, &other), 200).await?;
    let got = expect(api.get(&format!("{bucket}/b/%C3%BC%20%2B")), 200).await?;
    ensure!(header(&got, "x-amz-meta-color") == "red");
    // The source deleted, its copy still has the bytes.
    expect(object(&api, reqwest::Method::DELETE, &format!("{bucket}/a?permanent=true")), 200)
        .await?;
    ensure!(read(&api, &format!("{bucket}/b/%C3%BC%20%2B")).await? == "hello");
    Ok(())
}

async fn copy_across(api: Api) -> Result<()> {
    let (from, to) = (api.bucket(&json!({})).await?, api.bucket(&json!({})).await?);
    let large = noise(200_000);
    for (key, body) in [("empty", Vec::new()), ("small", b"hello".to_vec()), ("large", large)] {
        let put = api.put(&format!("{from}/{key}"), body.clone());
        let put =
            json_of(put.header("x-amz-meta-a", "b").header("content-language", "de"), 201).await?;
        let copy = json!({"operation": "copy", "from": key, "toBucket": to, "to": format!("c/{key}"),
            "ifMatch": format!("\"{}\"", put["etag"].as_str().context("an etag")?)});
        let copied = json_of(post(&api, &from, &copy), 201).await?;
        ensure!(copied["bucket"] == to.as_str() && copied["etag"] == put["etag"], "{copied}");
        ensure!(copied["digest"] == put["digest"], "{copied}");
        let got = expect(api.get(&format!("{to}/c/{key}")), 200).await?;
        ensure!(header(&got, "x-amz-meta-a") == "b" && header(&got, "content-language") == "de");
        ensure!(got.bytes().await? == body, "{key}");
    }
    let usage = format!("select live_objects from holdfast.usage('{to}', 'alice')");
    ensure!(api.number(&usage).await? == 3);
    ensure!(api.listed(&to).await? == 3);
    // An earlier version of it, over what is there.
    let old = json_of(api.put(&format!("{from}/small"), "new"), 200).await?;
    let old = api.text(&format!("select id::text from holdfast.version v where v.bucket = '{from}' and v.state = 'superseded' and id <> '{}'", old["version"].as_str().unwrap_or_default())).await?;
    let copy = json!({"operation": "copy", "from": "small", "version": old, "toBucket": to, "to": "c/large"});
    refused(post(&api, &from, &copy), 412, "PreconditionFailed").await?;
    let copy = json!({"operation": "copy", "from": "small", "version": old, "toBucket": to, "to": "c/large", "overwrite": true});
    json_of(post(&api, &from, &copy), 200).await?;
    ensure!(read(&api, &format!("{to}/c/large")).await? == "hello");
    Ok(())
}

async fn copy_across_refused(api: Api) -> Result<()> {
    let from = api.bucket(&json!({})).await?;
    let images = api.bucket(&json!({ "allowedTypes": ["image/*"] })).await?;
    let tight = api.bucket(&json!({ "maxBytes": 3 })).await?;
    let closed = api.bucket(&json!({ "writers": "owner" })).await?;
    expect(api.put(&format!("{from}/text"), "hello").header("content-type", "text/plain"), 201)
        .await?;
    // What says that it is an image, and is none.
    let liar =
        api.put(&format!("{from}/liar"), "%PDF-1.7 hello").header("content-type", "image/png");
    expect(liar, 201).await?;
    for (key, to, status, code) in [
        ("text", images.as_str(), 415, "InvalidContentType"),
        ("liar", images.as_str(), 415, "InvalidContentType"),
        ("text", tight.as_str(), 413, "EntityTooLarge"),
        ("text", closed.as_str(), 403, "AccessDenied"),
        ("text", "nowhere", 404, "NoSuchBucket"),
        ("none", images.as_str(), 404, "NoSuchKey"),
    ] {
        let copy = json!({"operation": "copy", "from": key, "toBucket": to, "to": "k"});
        refused(post(&api, &from, &copy), status, code).await?;
    }
    let copy = json!({"operation": "copy", "from": "text", "toBucket": tight, "to": "k"});
    refused(by(&api, &from, &copy, &api.bob), 404, "NoSuchKey").await?;
    let copy = json!({"operation": "copy", "from": "text", "toBucket": images, "to": "k", "ifMatch": "\"other\""});
    refused(post(&api, &from, &copy), 412, "PreconditionFailed").await?;
    ensure!(api.listed(&images).await? == 0, "what was refused is deleted");
    Ok(())
}

async fn copy_repeated(api: Api) -> Result<()> {
    let (bucket, other) = (api.bucket(&json!({})).await?, api.bucket(&json!({})).await?);
    expect(api.put(&format!("{bucket}/a"), "hello"), 201).await?;
    for (key, copy) in [
        ("within", json!({"operation": "copy", "from": "a", "to": "b"})),
        ("across", json!({"operation": "copy", "from": "a", "toBucket": other, "to": "b"})),
    ] {
        let keyed = |copy: &Value| post(&api, &bucket, copy).header("idempotency-key", key);
        let first = expect(keyed(&copy), 201).await?;
        ensure!(header(&first, "idempotent-replayed").is_empty());
        let again = expect(keyed(&copy), 201).await?;
        ensure!(header(&again, "idempotent-replayed") == "true");
        ensure!(first.json::<Value>().await? == again.json::<Value>().await?);
        let another = json!({"operation": "copy", "from": "a", "to": "c"});
        refused(keyed(&another), 422, "IdempotencyKeyReused").await?;
    }
    ensure!(api.listed(&other).await? == 1);
    Ok(())
}

async fn moved(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let put = json_of(api.put(&format!("{bucket}/a"), "one"), 201).await?;
    json_of(api.put(&format!("{bucket}/b"), "two"), 201).await?;
    let to_b = json!({"operation": "move", "from": "a", "to": "b"});
    let answer = refused(post(&api, &bucket, &to_b), 412, "PreconditionFailed").await?;
    ensure!(answer["rule"] == "overwrite", "{answer}");
    let to_b = json!({"operation": "move", "from": "a", "to": "b", "overwrite": true});
    let answer = json_of(post(&api, &bucket, &to_b), 200).await?;
    ensure!(answer["version"] == put["version"] && answer["replaced"].is_string(), "{answer}");
    ensure!(read(&api, &format!("{bucket}/b")).await? == "one");
    refused(api.get(&format!("{bucket}/a")), 404, "NoSuchKey").await?;
    refused(post(&api, &bucket, &to_b), 404, "NoSuchKey").await?;
    // What it replaced is a version of it now.
    let two = format!("{bucket}/b?version={}", answer["replaced"].as_str().unwrap_or_default());
    ensure!(read(&api, &two).await? == "two");
    let events = format!(
        "select count(*) from holdfast.outbox where bucket = '{bucket}' and kind in ('object.left', 'object.moved')"
    );
    ensure!(api.number(&events).await? == 2);
    Ok(())
}

async fn restored(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let path = format!("{bucket}/k");
    let first = json_of(api.put(&path, "first"), 201).await?;
    json_of(api.put(&path, "second"), 200).await?;
    let back = json!({"operation": "restore", "key": "k", "version": first["version"]});
    refused(by(&api, &bucket, &back, &api.bob), 404, "NoSuchKey").await?;
    json_of(post(&api, &bucket, &back), 200).await?;
    ensure!(read(&api, &path).await? == "first");
    let last = json!({"operation": "restore", "key": "k"});
    let answer = refused(post(&api, &bucket, &last), 412, "PreconditionFailed").await?;
    ensure!(answer["rule"] == "current", "{answer}");
    expect(object(&api, reqwest::Method::DELETE, &path), 200).await?;
    refused(api.get(&path), 404, "NoSuchKey").await?;
    let answer = json_of(post(&api, &bucket, &last), 200).await?;
    ensure!(answer["version"] == first["version"], "{answer}");
    ensure!(read(&api, &path).await? == "first");
    Ok(())
}

async fn many_deleted(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    for n in 0..5 {
        expect(api.put(&format!("{bucket}/k{n}"), "x"), 201).await?;
    }
    let mut keys: Vec<String> = (0..995).map(|n| format!("none/{n}")).collect();
    keys.extend((0..5).map(|n| format!("k{n}")));
    let delete = json!({"operation": "delete", "keys": keys});
    let answer = json_of(post(&api, &bucket, &delete), 200).await?;
    let deleted = answer["deleted"].as_array().context("a list")?;
    ensure!(deleted.len() == 1000 && deleted[0]["code"] == "NoSuchKey", "{}", deleted[0]);
    ensure!(deleted[0]["key"] == "none/0" && deleted[999]["key"] == "k4");
    ensure!(deleted[995..].iter().all(|it| it["purgeAfter"].is_string()));
    refused(api.get(&format!("{bucket}/k0")), 404, "NoSuchKey").await?;
    let restore = json!({"operation": "restore", "key": "k0"});
    json_of(post(&api, &bucket, &restore), 200).await?;
    let delete = json!({"operation": "delete", "keys": ["k0", "k1"], "permanent": true});
    json_of(post(&api, &bucket, &delete), 200).await?;
    refused(post(&api, &bucket, &restore), 404, "NoSuchVersion").await?;
    Ok(())
}

async fn annotated(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let path = format!("{bucket}/k");
    let put = json_of(api.put(&path, "x").header("x-amz-meta-color", "blue"), 201).await?;
    let tags = json!({"project": "Blau ü", "done": ""});
    let change = |query: &str, body: &Value| {
        object(&api, reqwest::Method::PUT, &format!("{path}?{query}")).json(body)
    };
    let answer = json_of(change("tags", &tags), 200).await?;
    ensure!(answer["tags"] == tags && answer["version"] == put["version"], "{answer}");
    let get = || object(&api, reqwest::Method::GET, &format!("{path}?tags"));
    ensure!(json_of(get(), 200).await? == tags);
    let metadata = json!({"Color": "red", "n": "ü"});
    json_of(change("metadata", &metadata), 200).await?;
    let got = expect(api.get(&path), 200).await?;
    ensure!(header(&got, "x-amz-meta-color") == "red");
    ensure!(header(&got, "etag").trim_matches('"') == put["etag"]);
    let conditional = change("tags", &json!({})).header("if-match", "\"other\"");
    refused(conditional, 412, "PreconditionFailed").await?;
    ensure!(json_of(get(), 200).await? == tags);
    expect(object(&api, reqwest::Method::DELETE, &format!("{path}?tags")), 204).await?;
    ensure!(json_of(get(), 200).await? == json!({}));
    ensure!(read(&api, &path).await? == "x", "deleting tags deletes nothing else");

    let eleven: serde_json::Map<_, _> = (0..11).map(|n| (format!("t{n}"), json!(""))).collect();
    refused(change("tags", &eleven.into()), 400, "InvalidTag").await?;
    refused(change("tags", &json!({"a<": "b"})), 400, "InvalidTag").await?;
    refused(change("tags", &json!(["a"])), 400, "InvalidArgument").await?;
    refused(change("metadata", &json!({"a b": "c"})), 400, "InvalidArgument").await?;
    refused(change("metadata", &json!({"a": "x".repeat(3_000)})), 400, "MetadataTooLarge").await?;
    refused(change("", &json!({})), 400, "InvalidArgument").await?;
    refused(change("tags&metadata", &json!({})), 400, "InvalidArgument").await?;
    let url = format!("{}/v1/objects/{path}?tags", api.url);
    let bobs = api.client.put(url).bearer_auth(&api.bob).json(&json!({}));
    refused(bobs, 404, "NoSuchKey").await?;
    Ok(())
}

async fn renamed(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    for key in ["a/1", "a/b/2", "other", "c/1"] {
        expect(api.put(&format!("{bucket}/{key}"), key.to_owned()), 201).await?;
    }
    let rename = json!({"operation": "rename", "from": "a/", "to": "c/"});
    let job = json_of(post(&api, &bucket, &rename), 200).await?;
    ensure!(job["state"] == "done" && job["total"] == 2 && job["moved"] == 1, "{job}");
    let failure = &job["failures"][0];
    ensure!(
        job["failed"] == 1 && failure["key"] == "a/1" && failure["rule"] == "overwrite",
        "{job}"
    );
    ensure!(read(&api, &format!("{bucket}/c/b/2")).await? == "a/b/2");
    ensure!(read(&api, &format!("{bucket}/c/1")).await? == "c/1");
    let id = job["id"].as_str().context("an id")?;
    let look = object(&api, reqwest::Method::GET, &format!("{bucket}?rename={id}"));
    ensure!(json_of(look, 200).await? == job);
    let look = api.client.get(format!("{}/v1/objects/{bucket}?rename={id}", api.url));
    refused(look.bearer_auth(&api.bob), 404, "NoSuchRename").await?;
    let undo = json!({"operation": "undoRename", "id": id});
    let job = json_of(post(&api, &bucket, &undo), 200).await?;
    ensure!(job["state"] == "undone" && job["moved"] == 0, "{job}");
    ensure!(read(&api, &format!("{bucket}/a/b/2")).await? == "a/b/2");

    // More than one step has.
    let fill = format!(
        "with o as (insert into holdfast.object (bucket, key, owner, sequence, live, created_at) \
             select '{bucket}', 'many/' || n, 'alice', 1, true, now() from generate_series(1, 450) n returning id, key), \
         v as (insert into holdfast.version (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, \
                 size_bytes, content_type, etag, committed_at, created) \
             select gen_random_uuid(), o.id, 'hf/' || o.id, 'live', 'alice', now(), 'alice', 0, 0, 'a/b', 'e', now(), true from o \
             returning id, object_id) \
         insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data) \
         select 'object.created', now(), '{bucket}', 'k', object_id, 1, id, 'alice', '{{}}' from v; \
         insert into holdfast.usage_delta (bucket, owner, live_objects) values ('{bucket}', 'alice', 450)"
    );
    api.execute(&fill).await?;
    let rename = json!({"operation": "rename", "from": "many/", "to": "few/"});
    let mut job = json_of(post(&api, &bucket, &rename), 202).await?;
    ensure!(job["state"] == "running" && job["total"] == 450 && job["moved"] == 200, "{job}");
    let more = json!({"operation": "rename", "id": job["id"]});
    let mut steps = 1;
    while job["state"] == "running" {
        job = post(&api, &bucket, &more).send().await?.json().await?;
        steps += 1;
    }
    ensure!(job["moved"] == 450 && steps == 3, "{job}");
    let left = format!(
        "select count(*) from holdfast.object where bucket = '{bucket}' and key like 'many/%'"
    );
    ensure!(api.number(&left).await? == 0);
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    let moved = json!({"operation": "move", "from": "a", "to": "b"});
    let anonymous = api.client.post(format!("{}/v1/objects/assets", api.url)).json(&moved);
    refused(anonymous, 401, "MissingAuthentication").await?;
    refused(by(&api, "documents", &moved, &api.expired), 401, "ExpiredToken").await?;
    refused(post(&api, "nowhere", &moved), 404, "NoSuchBucket").await?;
    refused(post(&api, "A", &moved), 400, "InvalidBucketName").await?;
    for body in [
        json!([]),
        json!({"operation": "burn"}),
        json!({"operation": "move", "from": "a", "to": "a"}),
        json!({"operation": "move", "from": "a", "to": "b", "unknown": true}),
        json!({"operation": "delete", "keys": []}),
        json!({"operation": "rename", "from": "a/"}),
    ] {
        refused(post(&api, "documents", &body), 400, "InvalidArgument").await?;
    }
    let undo = json!({"operation": "undoRename", "id": "00000000-0000-7000-8000-000000000000"});
    refused(post(&api, "documents", &undo), 404, "NoSuchRename").await?;
    // To move what one may only read.
    expect(api.put("assets/objects/moving", "x"), 201).await?;
    let moved = json!({"operation": "move", "from": "objects/moving", "to": "objects/bobs"});
    let answer = refused(by(&api, "assets", &moved, &api.bob), 403, "AccessDenied").await?;
    ensure!(answer["rule"] == "object.delete", "{answer}");
    Ok(())
}
