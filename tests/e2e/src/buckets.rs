//! Buckets from their making to their end, over HTTP: who may, what their policy does, and what a crash leaves.

use anyhow::{Context as _, Result, ensure};
use holdfast_s3::{DeleteObject, HeadBucket, PutObject};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, refused};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_bucket_takes_files_from_its_making_to_its_end", whole_life);
    suite.add("a_bucket_is_made_once_by_its_name", made_once);
    suite.add("a_policy_is_changed_by_a_merge_patch", patched);
    suite.add("a_bucket_that_is_not_empty_says_what_it_holds", not_empty);
    suite.add("files_that_nobody_registered_keep_their_bucket", unregistered);
    suite.add("buckets_are_listed_a_page_at_a_time", listed);
    suite.add("roles_and_names_of_a_policy_let_in", let_in);
    suite.add("the_worker_ends_what_was_begun_with_buckets", worker_goes_on);
    suite.add("the_lifecycle_of_a_bucket_takes_what_is_old", lifecycle);
}

/// A request about buckets by somebody.
pub(crate) fn ask(api: &Api, method: Method, path: &str, token: &str) -> RequestBuilder {
    api.client.request(method, format!("{}/v1/buckets{path}", api.url)).bearer_auth(token)
}

/// A bucket of alice's, by the API.
pub(crate) async fn make(api: &Api, name: &str, policy: &Value) -> Result<Value> {
    let body = json!({"name": name, "policy": policy}).to_string();
    json_of(ask(api, Method::POST, "", &api.alice).body(body), 201).await
}

async fn tick(api: &Api) -> Result<Value> {
    let tick = api.client.post(format!("{}/internal/tick", api.url));
    json_of(tick.bearer_auth(api.stack.tick_secret()), 200).await
}

async fn in_store(api: &Api, bucket: &str) -> Result<bool> {
    Ok(api.s3.send(&HeadBucket { bucket }, "").await?.status().is_success())
}

async fn whole_life(api: Api) -> Result<()> {
    let made = ask(&api, Method::POST, "", &api.alice);
    let body = json!({"name": "life", "policy": {"maxBytes": 100, "writers": "authenticated"}});
    let made = expect(made.body(body.to_string()), 201).await?;
    ensure!(header(&made, "location") == format!("{}/v1/buckets/life", api.url));
    let etag = header(&made, "etag");
    let made: Value = made.json().await?;
    ensure!(made["owner"] == "alice" && made["administers"] == true, "{made}");
    ensure!(
        made["policy"]
            == json!({"visibility": "private", "readers": "owner", "writers": "authenticated", "maxBytes": 100})
    );
    ensure!(in_store(&api, "life").await?);

    expect(api.put("life/a.txt", "abc"), 201).await?;
    refused(api.put("life/b.txt", vec![b'x'; 101]), 413, "EntityTooLarge").await?;
    let shown = expect(ask(&api, Method::GET, "/life", &api.alice), 200).await?;
    ensure!(header(&shown, "etag") == etag);
    let shown: Value = shown.json().await?;
    ensure!(shown["usage"]["liveBytes"] == 3 && shown["usage"]["liveObjects"] == 1, "{shown}");
    // Who may write sees what an upload has to keep to; who may nothing sees no bucket.
    let bob = json_of(ask(&api, Method::GET, "/life", &api.bob), 200).await?;
    ensure!(
        bob["policy"] == json!({"visibility": "private", "maxBytes": 100})
            && bob.get("owner").is_none()
            && bob.get("usage").is_none(),
        "{bob}"
    );
    refused(ask(&api, Method::DELETE, "/life?confirm=life", &api.bob), 403, "AccessDenied").await?;

    let gone =
        api.client.delete(format!("{}/v1/objects/life/a.txt", api.url)).bearer_auth(&api.alice);
    expect(gone, 200).await?;
    api.execute("update holdfast.version v set replaced_at = replaced_at - interval '25 hours', due_at = due_at - interval '25 hours' \
        from holdfast.object o where o.id = v.object_id and o.bucket = 'life' and v.state = 'trashed'").await?;
    tick(&api).await?;
    let left = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where o.bucket = 'life' and v.state <> 'purged'";
    api.eventually(left, 0).await?;
    let unsaid =
        refused(ask(&api, Method::DELETE, "/life", &api.alice), 400, "InvalidArgument").await?;
    ensure!(unsaid["rule"] == "confirm", "{unsaid}");
    refused(ask(&api, Method::DELETE, "/life?confirm=love", &api.alice), 400, "InvalidArgument")
        .await?;
    expect(ask(&api, Method::DELETE, "/life?confirm=life", &api.alice), 204).await?;
    ensure!(!in_store(&api, "life").await?);
    refused(ask(&api, Method::GET, "/life", &api.alice), 404, "NoSuchBucket").await?;
    refused(ask(&api, Method::DELETE, "/life?confirm=life", &api.alice), 404, "NoSuchBucket")
        .await?;
    refused(api.put("life/a.txt", "abc"), 404, "NoSuchBucket").await?;
    // And its name is free for anybody.
    let again = ask(&api, Method::POST, "", &api.bob).body(json!({"name": "life"}).to_string());
    expect(again, 201).await?;
    expect(ask(&api, Method::DELETE, "/life", &api.bob), 204).await?;
    Ok(())
}

async fn made_once(api: Api) -> Result<()> {
    let body = json!({"name": "once", "policy": {"maxBytes": 1}}).to_string();
    let ask_as = |token: &str, body: &str| ask(&api, Method::POST, "", token).body(body.to_owned());
    let (one, two) =
        tokio::join!(ask_as(&api.alice, &body).send(), ask_as(&api.alice, &body).send());
    let mut statuses = [one?.status().as_u16(), two?.status().as_u16()];
    statuses.sort_unstable();
    ensure!(statuses == [200, 201], "{statuses:?}");
    expect(ask_as(&api.alice, &body), 200).await?;
    let other = json!({"name": "once"}).to_string();
    let taken = refused(ask_as(&api.alice, &other), 409, "BucketAlreadyExists").await?;
    ensure!(taken["rule"] == "bucket.policy", "{taken}");
    refused(ask_as(&api.bob, &body), 409, "BucketAlreadyExists").await?;
    refused(ask_as(&api.alice, r#"{"name": "documents"}"#), 409, "BucketAlreadyExists").await?;

    // A bucket that only the store has is for an admin to take over.
    api.s3.ensure_bucket("foreign").await?;
    let foreign = json!({"name": "foreign"}).to_string();
    let taken = refused(ask_as(&api.alice, &foreign), 409, "BucketAlreadyExists").await?;
    ensure!(taken["rule"] == "store", "{taken}");
    expect(ask_as(&api.stack.admin_token(), &foreign), 201).await?;

    for name in [
        "A",
        "ab",
        "a..b",
        "192.168.0.1",
        "xn--a",
        "status",
        "healthz",
        "quarantine",
        "holdfast-canary",
        "-a",
    ] {
        let body = json!({"name": name}).to_string();
        refused(ask_as(&api.alice, &body), 400, "InvalidBucketName").await?;
    }
    let wrong =
        json!({"name": "wrong", "policy": {"lifecycle": [{"id": "a", "expireAfterDays": 0}]}});
    let wrong = refused(ask_as(&api.alice, &wrong.to_string()), 400, "InvalidArgument").await?;
    ensure!(wrong["rule"] == "policy.lifecycle[0].expireAfterDays", "{wrong}");
    refused(
        api.client.post(format!("{}/v1/buckets", api.url)).body(body),
        401,
        "MissingAuthentication",
    )
    .await?;
    let narrow = api.stack.token("alice", 3_600, &json!({"scope": "upload download"}));
    refused(ask_as(&narrow, r#"{"name": "narrow"}"#), 403, "AccessDenied").await?;
    refused(ask(&api, Method::PUT, "", &api.alice), 405, "MethodNotAllowed").await?;
    refused(ask(&api, Method::GET, "/once/", &api.alice), 404, "NoSuchRoute").await?;
    refused(ask(&api, Method::GET, "/once/objects", &api.alice), 404, "NoSuchRoute").await?;
    Ok(())
}

async fn patched(api: Api) -> Result<()> {
    let made =
        make(&api, "patched", &json!({"maxBytes": 3, "readers": {"users": ["carol"]}})).await?;
    ensure!(made["policy"]["maxBytes"] == 3);
    let change =
        |body: Value| ask(&api, Method::PATCH, "/patched", &api.alice).body(body.to_string());
    let before = expect(ask(&api, Method::HEAD, "/patched", &api.alice), 200).await?;
    let first = header(&before, "etag");
    let patch =
        json!({"policy": {"maxBytes": null, "readers": {"roles": ["auditor"]}, "quotaObjects": 1}});
    let changed = expect(change(patch.clone()).header("if-match", &first), 200).await?;
    ensure!(header(&changed, "etag") != first);
    let changed: Value = changed.json().await?;
    let policy = json!({"visibility": "private", "writers": "owner", "quotaObjects": 1,
                        "readers": {"roles": ["auditor"], "users": ["carol"]}});
    ensure!(changed["policy"] == policy, "{changed}");
    // It holds from now on.
    expect(api.put("patched/one", "four"), 201).await?;
    let full = refused(api.put("patched/two", "x"), 403, "QuotaExceeded").await?;
    ensure!(full["rule"] == "policy.quotaObjects", "{full}");
    expect(api.put("patched/one", "more"), 200).await?;

    refused(change(patch.clone()).header("if-match", &first), 412, "PreconditionFailed").await?;
    refused(change(patch.clone()).header("if-none-match", "*"), 400, "InvalidArgument").await?;
    // What it becomes is checked as a whole.
    let wrong = refused(
        change(json!({"policy": {"image": {"minWidth": 10, "maxWidth": 9}}})),
        400,
        "InvalidArgument",
    )
    .await?;
    ensure!(wrong["rule"] == "policy.image.minWidth", "{wrong}");
    for body in [json!({}), json!({"policy": null}), json!({"owner": "bob"}), json!([])] {
        refused(change(body), 400, "InvalidArgument").await?;
    }
    let bobs = ask(&api, Method::PATCH, "/patched", &api.bob).body(patch.to_string());
    refused(bobs, 404, "NoSuchBucket").await?;
    ensure!(
        json_of(ask(&api, Method::GET, "/patched", &api.alice), 200).await?["policy"] == policy
    );
    // Twenty at once, each of which is there at the end.
    let all = (0..20).map(|number| {
        let user = format!("user{number}");
        change(json!({"policy": {"lifecycle": [], "corsOrigins": [format!("https://{user}.example.org")]}})).send()
    });
    for answer in futures_util::future::join_all(all).await {
        let status = answer?.status().as_u16();
        ensure!(status == 200 || status == 412, "{status}");
    }
    // A default bucket of the seed stays valid.
    let admin = api.stack.admin_token();
    let kept = ask(&api, Method::PATCH, "/templates", &admin)
        .body(json!({"policy": {"trashHours": 48}}).to_string());
    ensure!(json_of(kept, 200).await?["policy"]["trashHours"] == 48);
    Ok(())
}

async fn not_empty(api: Api) -> Result<()> {
    make(&api, "holds", &json!({})).await?;
    expect(api.put("holds/a", "one"), 201).await?;
    expect(api.put("holds/a", "two"), 200).await?;
    expect(api.put("holds/b", "x"), 201).await?;
    expect(
        api.client.delete(format!("{}/v1/objects/holds/b", api.url)).bearer_auth(&api.alice),
        200,
    )
    .await?;
    let begin = api.client.post(format!("{}/v1/multipart", api.url)).bearer_auth(&api.alice);
    json_of(begin.body(json!({"bucket": "holds", "key": "parts"}).to_string()), 201).await?;
    let full = refused(
        ask(&api, Method::DELETE, "/holds?confirm=holds", &api.alice),
        409,
        "BucketNotEmpty",
    )
    .await?;
    ensure!(
        full["counts"] == json!({"live": 1, "retained": 1, "trashed": 1, "pending": 1}),
        "{full}"
    );
    ensure!(full["rule"] == "bucket.objects", "{full}");
    expect(api.put("holds/a", "three"), 200).await?;
    let needed =
        ask(&api, Method::DELETE, "/documents?confirm=documents", &api.stack.admin_token());
    refused(needed, 403, "AccessDenied").await?;
    Ok(())
}

async fn unregistered(api: Api) -> Result<()> {
    make(&api, "unknown", &json!({})).await?;
    let put = PutObject {
        bucket: "unknown",
        key: "straight/there",
        content_type: "a/b",
        ..Default::default()
    };
    api.s3.call(&put, "bytes").await?;
    let kept =
        refused(ask(&api, Method::DELETE, "/unknown", &api.alice), 409, "BucketNotEmpty").await?;
    ensure!(kept["counts"] == json!({"unknown": 1}) && kept["rule"] == "store", "{kept}");
    // It was closed for a moment, and is open again.
    expect(api.put("unknown/k", "x"), 201).await?;
    ensure!(api.is_stored("unknown", "straight/there").await?);
    Ok(())
}

async fn listed(api: Api) -> Result<()> {
    for number in 0..7 {
        make(&api, &format!("page-{number}"), &json!({})).await?;
    }
    let pages = async |token: &str| -> Result<Vec<String>> {
        let (mut names, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.map(|it| format!("&cursor={it}")).unwrap_or_default();
            let page =
                json_of(ask(&api, Method::GET, &format!("?limit=3{after}"), token), 200).await?;
            let buckets = page["buckets"].as_array().context("a list")?;
            ensure!(buckets.len() <= 3);
            names.extend(buckets.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)));
            match page["cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(names),
            }
        }
    };
    let (alices, bobs, all) =
        (pages(&api.alice).await?, pages(&api.bob).await?, pages(&api.stack.admin_token()).await?);
    ensure!(alices.is_sorted() && all.is_sorted());
    for number in 0..7 {
        let name = format!("page-{number}");
        ensure!(alices.contains(&name) && all.contains(&name) && !bobs.contains(&name), "{name}");
    }
    for name in ["documents", "assets"] {
        ensure!(alices.iter().chain(&bobs).filter(|it| *it == name).count() == 2, "{name}");
    }
    refused(ask(&api, Method::GET, "?limit=0", &api.alice), 400, "InvalidArgument").await?;
    refused(ask(&api, Method::GET, "?cursor=A", &api.alice), 400, "InvalidArgument").await?;
    refused(api.client.get(format!("{}/v1/buckets", api.url)), 401, "MissingAuthentication")
        .await?;
    Ok(())
}

async fn let_in(api: Api) -> Result<()> {
    let policy = json!({"writers": {"roles": ["editor"]}, "readers": {"users": ["bob"]}, "deleters": {"roles": ["janitor"]}, "sharers": "owner"});
    make(&api, "names", &policy).await?;
    let with = |sub: &str, role: &str| api.stack.token(sub, 3_600, &json!({"roles": [role]}));
    let (editor, janitor, other) =
        (with("erin", "editor"), with("jan", "janitor"), with("otto", "other"));
    let put = |token: &str| {
        api.client.put(format!("{}/v1/upload/names/k", api.url)).bearer_auth(token).body("x")
    };
    let get =
        |token: &str| api.client.get(format!("{}/v1/download/names/k", api.url)).bearer_auth(token);
    refused(put(&other), 403, "AccessDenied").await?;
    expect(put(&editor), 201).await?;
    expect(get(&editor), 200).await?;
    expect(get(&api.bob), 200).await?;
    expect(get(&api.alice), 200).await?;
    refused(get(&other), 404, "NoSuchKey").await?;
    let share = |token: &str| {
        api.client
            .post(format!("{}/v1/shares", api.url))
            .bearer_auth(token)
            .body(json!({"bucket": "names", "key": "k"}).to_string())
    };
    let denied = refused(share(&api.bob), 403, "AccessDenied").await?;
    ensure!(denied["rule"] == "policy.sharers", "{denied}");
    expect(share(&editor), 201).await?;
    let url = format!("{}/v1/objects/names/k", api.url);
    refused(api.client.delete(&url).bearer_auth(&api.bob), 403, "AccessDenied").await?;
    expect(api.client.delete(&url).bearer_auth(&janitor), 200).await?;
    Ok(())
}

async fn worker_goes_on(api: Api) -> Result<()> {
    // As a crash leaves them: made in the database alone, closed and nothing more, dropped and nothing more.
    let policy = r#"{"visibility": "private", "writers": "owner", "readers": "owner"}"#;
    for (name, state) in [
        ("left-made", "creating"),
        ("left-closed", "deleting"),
        ("left-dropped", "dropping"),
        ("left-full", "deleting"),
    ] {
        if state != "creating" {
            api.s3.ensure_bucket(name).await?;
        }
        let row = format!(
            "insert into holdfast.bucket (name, owner, state, policy, due_at) values ('{name}', 'alice', '{state}', '{policy}', null)"
        );
        api.execute(&row).await?;
    }
    let put =
        PutObject { bucket: "left-full", key: "k", content_type: "a/b", ..Default::default() };
    api.s3.call(&put, "bytes").await?;
    api.execute("update holdfast.bucket set due_at = now() where name like 'left-%'").await?;
    tick(&api).await?;
    api.eventually(
        "select count(*) from holdfast.bucket where name like 'left-%' and state <> 'active'",
        0,
    )
    .await?;
    ensure!(in_store(&api, "left-made").await?);
    expect(api.put("left-made/k", "x"), 201).await?;
    for name in ["left-closed", "left-dropped"] {
        refused(ask(&api, Method::GET, &format!("/{name}"), &api.alice), 404, "NoSuchBucket")
            .await?;
        ensure!(!in_store(&api, name).await?, "{name}");
    }
    ensure!(api.is_stored("left-full", "k").await?);
    json_of(ask(&api, Method::GET, "/left-full", &api.alice), 200).await?;
    api.s3.call(&DeleteObject { bucket: "left-full", key: "k" }, "").await?;
    expect(ask(&api, Method::DELETE, "/left-full", &api.alice), 204).await?;
    Ok(())
}

async fn lifecycle(api: Api) -> Result<()> {
    let rules = json!([{"id": "tmp", "prefix": "tmp/", "expireAfterDays": 3}, {"id": "parts", "abortIncompleteAfterDays": 3}]);
    make(&api, "ages", &json!({"lifecycle": rules})).await?;
    for key in ["tmp/old", "tmp/new", "kept"] {
        expect(api.put(&format!("ages/{key}"), "x"), 201).await?;
    }
    let begin = api.client.post(format!("{}/v1/multipart", api.url)).bearer_auth(&api.alice);
    let begun =
        json_of(begin.body(json!({"bucket": "ages", "key": "parts"}).to_string()), 201).await?;
    // The committed time never changes, but for a test with a clock of its own.
    api.execute(
        "update holdfast.upload_session set created_at = created_at - interval '4 days' where version = (select v.id from holdfast.version v \
            join holdfast.object o on o.id = v.object_id where o.bucket = 'ages' and o.key = 'parts');
         alter table holdfast.version disable trigger version_is_sound;
         update holdfast.version v set committed_at = v.committed_at - interval '4 days' from holdfast.object o \
            where o.id = v.object_id and o.bucket = 'ages' and o.key in ('tmp/old', 'kept');
         alter table holdfast.version enable trigger version_is_sound;
         update holdfast.lifecycle_sweep set due_at = now() where bucket = 'ages'",
    )
    .await?;
    tick(&api).await?;
    let expired = "select count(*) from holdfast.audit where bucket = 'ages' and actor = 'system' and action = 'delete' and key = 'tmp/old' and rule = 'tmp'";
    api.eventually(expired, 1).await?;
    refused(api.get("ages/tmp/old"), 404, "NoSuchKey").await?;
    expect(api.get("ages/tmp/new"), 200).await?;
    expect(api.get("ages/kept"), 200).await?;
    let let_go = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where o.bucket = 'ages' and o.key = 'parts' and v.state = 'pending'";
    tick(&api).await?;
    api.eventually(let_go, 0).await?;
    let upload = begun["url"].as_str().context("a URL")?;
    let after = json_of(api.client.get(upload).bearer_auth(&api.alice), 200).await?;
    ensure!(after["state"] == "aborted", "{after}");
    Ok(())
}
