//! Who may do what, at every operation of `/openapi.json`: one that has no row here fails the test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, stream};
use holdfast_dev::{Stack, StackOptions};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of};
use crate::presign::text;
use crate::templates::png;

/// Each operation, where it matters with what is asked of it behind, and what each principal gets:
///
/// * nobody: no token;
/// * other: a user whom no policy names;
/// * owner: alice, whose bucket, files, uploads, grants, keys, templates and batches all of it is about;
/// * role: a user with the role that the policy of the bucket names as readers, writers and listers;
/// * admin: the role `admin`;
/// * expired: a token of alice's that is over; where the path has a secret, a secret that is over;
/// * secret: whoever has what the URL itself needs and no token: a signature, a share link, an upload token, or the
///   operator's secret. All others send their token and a secret that nobody gave out.
///
/// Cells:
///
/// * `ok`: 2xx or 3xx, and a list, a file or an archive shows what it is about; `none`: 2xx, and it is not shown;
/// * `401`: `MissingAuthentication`, `old`: 401 `ExpiredToken`, `bad`: 401 `InvalidToken`;
/// * `403`: `AccessDenied`, also where a signature is wrong or over, as at S3;
/// * `404`: a `NoSuch...`, and the very answer that comes where nothing is; what `other` is refused is so, too;
/// * of HEAD only the status;
/// * `-`: there is no such principal.
const TABLE: &str = include_str!("authorisation.txt");

const PRINCIPALS: [&str; 7] = ["nobody", "other", "owner", "role", "admin", "expired", "secret"];

/// The bucket of alice's that it is about; its policy names the role.
const BUCKET: &str = "harbour";

/// The role.
const ROLE: &str = "crew";

/// A secret of a path that nobody gave out.
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// So many operations are tried at once.
const AT_ONCE: usize = 8;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("every_operation_lets_in_whom_it_should", every_operation);
}

async fn every_operation(_: Api) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = StackOptions::new(folder.path().join("data"));
    let stack = Arc::new(Stack::start(options).await?);
    let result = all_on(Api::of(Arc::clone(&stack))?).await;
    stack.stop().await?;
    result
}

async fn all_on(api: Api) -> Result<()> {
    let document = json_of(api.client.get(format!("{}/openapi.json", api.url)), 200).await?;
    let rows = Row::all()?;
    let known: BTreeSet<_> = rows.iter().map(|row| (row.method, row.path)).collect();
    let mut wrong = String::new();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            // Beside the operations a path may have its parameters.
            if !operation.is_object() {
                continue;
            }
            let method = method.to_ascii_uppercase();
            if !known.contains(&(method.as_str(), path.as_str())) {
                writeln!(wrong, "{method} {path} has no row")?;
            }
            for row in rows.iter().filter(|row| (row.method, row.path) == (&method, path)) {
                row.is_as_declared(operation).unwrap_or_else(|it| wrong.push_str(&it));
            }
            operations.insert((method, path.as_str()));
        }
    }
    for (method, path) in known {
        if !operations.contains(&(method.to_owned(), path)) {
            writeln!(wrong, "{method} {path} is no operation of the document")?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");

    let world = World::new(api).await?;
    let found: Vec<_> =
        stream::iter(&rows).map(|row| world.row(row)).buffered(AT_ONCE).collect().await;
    for (row, found) in rows.iter().zip(found) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                writeln!(wrong, "{}\n  {error:#}", row.name)?;
                continue;
            }
        };
        if found != row.cells {
            writeln!(
                wrong,
                "{}\n  has {}\n  not {}",
                row.name,
                found.join(" "),
                row.cells.join(" ")
            )?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

struct Row<'a> {
    name: &'a str,
    method: &'a str,
    path: &'a str,
    /// What is asked of the operation, where it does several things.
    what: &'a str,
    cells: [&'a str; 7],
}

impl Row<'_> {
    fn all() -> Result<Vec<Row<'static>>> {
        let mut rows = Vec::new();
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, cells) = line.split_once('|').with_context(|| line.to_owned())?;
            let name = name.trim();
            let (method, path) = name.split_once(' ').with_context(|| line.to_owned())?;
            let (path, what) = path.split_once(' ').unwrap_or((path, ""));
            let cells: Vec<_> = cells.split_whitespace().collect();
            let cells = cells.try_into().ok().with_context(|| format!("seven cells: {line}"))?;
            rows.push(Row { name, method, path, what, cells });
        }
        Ok(rows)
    }

    /// What a row has to say for the operation's `security`.
    fn is_as_declared(&self, operation: &Value) -> Result<(), String> {
        let schemes: Vec<_> = operation["security"].as_array().into_iter().flatten().collect();
        let takes = |name: &str| schemes.iter().any(|scheme| scheme.get(name).is_some());
        let is_open = schemes.is_empty() || schemes.contains(&&json!({}));
        let [nobody, .., expired, _] = self.cells;
        if takes("bearer") && !is_open && nobody != "401" {
            return Err(format!(
                "{}: security is without {{}}, but nobody gets {nobody}\n",
                self.name
            ));
        }
        if is_open && nobody == "401" && self.method != "HEAD" {
            return Err(format!("{}: security has {{}}, but nobody gets 401\n", self.name));
        }
        // HEAD has no body that says more than its status.
        let old = if self.method == "HEAD" { "401" } else { "old" };
        if takes("bearer") && expired != old {
            return Err(format!("{}: a token that is over gets {expired}\n", self.name));
        }
        Ok(())
    }
}

/// A request that has all but who sends it.
struct Scene {
    method: Method,
    /// Path and query.
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// What it is about, as the URL, the body or a list's answer names it.
    thing: String,
    /// What a good answer has in it, if the sender may see what it is about.
    shows: Option<String>,
    /// Is a secret in its URL that is over, instead of a token?
    ended: bool,
}

impl Scene {
    fn new(method: &Method, url: impl Into<String>, thing: impl Into<String>) -> Self {
        let (url, thing) = (url.into(), thing.into());
        Self {
            method: method.clone(),
            url,
            headers: Vec::new(),
            body: Vec::new(),
            thing,
            shows: None,
            ended: false,
        }
    }

    fn list(self) -> Self {
        let thing = self.thing.clone();
        self.shows(thing)
    }

    fn shows(mut self, shows: impl Into<String>) -> Self {
        // HEAD has no body.
        self.shows = (self.method != Method::HEAD).then(|| shows.into());
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string())
    }

    fn bytes(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }

    /// The same about something that is not there.
    fn about_nothing(&self) -> Self {
        let absent = absent(&self.thing);
        // An image names nothing.
        let body = match std::str::from_utf8(&self.body) {
            Ok(text) => text.replace(&self.thing, &absent).into_bytes(),
            Err(_) => self.body.clone(),
        };
        Self {
            method: self.method.clone(),
            url: self.url.replace(&self.thing, &absent),
            headers: self.headers.clone(),
            body,
            thing: absent,
            shows: None,
            ended: self.ended,
        }
    }
}

/// Another name or id of the same kind.
fn absent(thing: &str) -> String {
    let (first, last) = thing.split_at(thing.len().saturating_sub(1));
    format!("{first}{}", if last == "0" { "1" } else { "0" })
}

struct World {
    api: Api,
    /// Of the role.
    erin: String,
    admin: String,
    /// An upload token, a share link and a signed URL of a PUT that are over.
    old_token: String,
    old_share: String,
    old_complete: String,
    next: AtomicU32,
}

impl World {
    async fn new(api: Api) -> Result<Self> {
        let erin = api.stack.token("erin", 3_600, &json!({"roles": [ROLE]}));
        let admin = api.stack.admin_token();
        let mut world = Self {
            api,
            erin,
            admin,
            old_token: String::new(),
            old_share: String::new(),
            old_complete: String::new(),
            next: AtomicU32::new(1_000),
        };
        let crew = json!({"roles": [ROLE]});
        let policy = json!({"readers": crew, "writers": crew, "listers": crew});
        world.post("/v1/buckets", &json!({"name": BUCKET, "policy": policy})).await?;
        // Templates and batches have a bucket each, which is nobody's.
        for bucket in ["templates", "batches"] {
            let patch = world.api.client.patch(format!("{}/v1/buckets/{bucket}", world.api.url));
            let policy = json!({"policy": {"readers": crew}});
            expect(patch.bearer_auth(&world.admin).json(&policy), 200).await?;
        }
        let token = json!({"bucket": BUCKET, "expiresIn": 1});
        world.old_token = text(&world.post("/v1/tokens", &token).await?, "token")?.to_owned();
        let share = json!({"bucket": BUCKET, "key": world.file().await?, "expiresIn": 1});
        let share = world.post("/v1/shares", &share).await?;
        world.old_share = last(text(&share, "url")?).to_owned();
        let put =
            json!({"method": "PUT", "bucket": BUCKET, "key": "late", "size": 3, "expiresIn": 1});
        let put = world.post("/v1/presign", &put).await?;
        world.old_complete = world.path_of(&put, "complete")?;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        Ok(world)
    }

    fn unique(&self, kind: &str) -> String {
        format!("{kind}-{}x", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A request of alice's that has to succeed.
    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let post = self.api.client.post(format!("{}{path}", self.api.url));
        let response = post.bearer_auth(&self.api.alice).json(body).send().await?;
        let status = response.status();
        let answer = response.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {answer}");
        serde_json::from_str(&answer).context(answer)
    }

    /// The same; the id of what it made.
    async fn make(&self, path: &str, body: &Value) -> Result<String> {
        Ok(text(&self.post(path, body).await?, "id")?.to_owned())
    }

    /// A file of alice's: its key.
    async fn file(&self) -> Result<String> {
        let key = self.unique("file");
        expect(self.api.put(&format!("{BUCKET}/{key}"), bytes_of(&key)), 201).await?;
        Ok(key)
    }

    /// What each principal gets.
    async fn row(&self, row: &Row<'_>) -> Result<[String; 7]> {
        let mut found = [const { String::new() }; 7];
        for ((cell, by), wanted) in found.iter_mut().zip(PRINCIPALS).zip(row.cells) {
            *cell = if wanted == "-" { "-".to_owned() } else { self.cell(row, by).await? };
        }
        Ok(found)
    }

    async fn cell(&self, row: &Row<'_>, by: &str) -> Result<String> {
        let scene = self.scene(row, by).await.with_context(|| format!("before {by}"))?;
        let answer = Answer::of(self.request(&scene, by).send().await?).await?;
        if let Some(shows) = scene.shows.as_ref().filter(|_| answer.status < 300) {
            let found = self.is_shown(shows, &scene, by, answer).await?;
            return Ok(if found { "ok" } else { "none" }.to_owned());
        }
        // Where somebody may see nothing, whatever is said is said of nothing, too.
        let is_refused = answer.status == 404 || (by == "other" && answer.status >= 400);
        if is_refused && !scene.thing.is_empty() {
            let nothing = scene.about_nothing();
            let there = Answer::of(self.request(&nothing, by).send().await?).await?;
            let (here, there) = (answer.of_thing(&scene.thing), there.of_thing(&nothing.thing));
            if here != there {
                return Ok(format!("{here:?}, but of nothing {there:?}"));
            }
        }
        Ok(answer.cell())
    }

    fn request(&self, scene: &Scene, by: &str) -> RequestBuilder {
        let url = format!("{}{}", self.api.url, scene.url);
        let mut request = self.api.client.request(scene.method.clone(), url);
        for (name, value) in &scene.headers {
            request = request.header(*name, value);
        }
        let token = match by {
            "other" => &self.api.bob,
            "owner" => &self.api.alice,
            "role" => &self.erin,
            "admin" => &self.admin,
            "expired" if !scene.ended => &self.api.expired,
            "secret" if scene.url.starts_with("/internal/") => self.api.stack.tick_secret(),
            _ => return request.body(scene.body.clone()),
        };
        request.bearer_auth(token).body(scene.body.clone())
    }

    /// Is it in the answer, or on a page behind it?
    async fn is_shown(&self, shows: &str, scene: &Scene, by: &str, first: Answer) -> Result<bool> {
        let mut page = first;
        loop {
            if page.text.contains(shows) {
                return Ok(true);
            }
            let body: Value = serde_json::from_str(&page.text).unwrap_or_default();
            let Some(cursor) = body["cursor"].as_str() else { return Ok(false) };
            let request = self.request(scene, by).query(&[("cursor", cursor)]);
            page = Answer::of(request.send().await?).await?;
            ensure!(page.status == 200, "{}", page.text);
        }
    }

    /// What the operation needs, and the request to it.
    async fn scene(&self, row: &Row<'_>, by: &str) -> Result<Scene> {
        let method = Method::from_bytes(row.method.as_bytes())?;
        let Some(path) = row.path.strip_prefix("/v1/t/{token}") else {
            return self.plain_scene(&method, row.path, row.what, by, None).await;
        };
        let good;
        let token = match by {
            "secret" => {
                let made = self.post("/v1/tokens", &json!({"bucket": BUCKET})).await?;
                good = text(&made, "token")?.to_owned();
                &good
            }
            "expired" => &self.old_token,
            _ => UNKNOWN,
        };
        let through = (by == "secret").then_some(token);
        let path = format!("/v1{path}");
        let mut scene = self.plain_scene(&method, &path, row.what, by, through).await?;
        scene.url = scene.url.replacen("/v1/", &format!("/v1/t/{token}/"), 1);
        scene.ended = by == "expired";
        Ok(scene)
    }

    async fn plain_scene(
        &self,
        method: &Method,
        path: &str,
        what: &str,
        by: &str,
        token: Option<&str>,
    ) -> Result<Scene> {
        let family = path.split('/').nth(if path.starts_with("/v1/") { 2 } else { 1 });
        match family.unwrap_or_default() {
            "upload" => self.upload(method, path, what).await,
            "download" | "s" => self.download(method, path, by).await,
            "objects" => self.objects(method, path, what).await,
            "presign" | "shares" | "tokens" => self.grants(method, path, what, by).await,
            "keys" => self.keys(method, path, what).await,
            "multipart" => self.multipart(method, path).await,
            "tus" => self.tus(method, path, token).await,
            "uppy" => self.uppy(method, path, token).await,
            "batches" => self.batches(method, path, what).await,
            "templates" => self.templates(method, path, what).await,
            "buckets" => self.buckets(method, path).await,
            _ => match path {
                "/internal/reconcile" => {
                    Ok(Scene::new(method, path, "").json(&json!({"day": "2026-01-01"})))
                }
                "/internal/tick" | "/healthz" | "/readyz" | "/openapi.json" => {
                    Ok(Scene::new(method, path, ""))
                }
                _ => bail!("nobody knows how to ask {path}"),
            },
        }
    }

    async fn upload(&self, method: &Method, path: &str, what: &str) -> Result<Scene> {
        let key = if what == "over" { self.file().await? } else { self.unique("new") };
        if path.ends_with("{key}") {
            let url = format!("/v1/upload/{BUCKET}/{key}");
            return Ok(Scene::new(method, url, key).bytes("text/plain", "new"));
        }
        let body = format!(
            "--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\n{key}\r\n\
             --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\
             content-type: text/plain\r\n\r\nnew\r\n--b--\r\n"
        );
        let scene = Scene::new(method, format!("/v1/upload/{BUCKET}"), key);
        Ok(scene.bytes("multipart/form-data; boundary=b", body))
    }

    async fn download(&self, method: &Method, path: &str, by: &str) -> Result<Scene> {
        let key = self.file().await?;
        if path.starts_with("/s/") {
            let token = match by {
                "secret" => {
                    let made =
                        self.post("/v1/shares", &json!({"bucket": BUCKET, "key": key})).await?;
                    last(text(&made, "url")?).to_owned()
                }
                "expired" => self.old_share.clone(),
                _ => UNKNOWN.to_owned(),
            };
            let mut scene = Scene::new(method, format!("/s/{token}"), token);
            scene.ended = by == "expired";
            return Ok(scene.shows(bytes_of(&key)));
        }
        if by == "secret" {
            let asked = json!({"method": "GET", "bucket": BUCKET, "key": key});
            let made = self.post("/v1/presign", &asked).await?;
            let scene = Scene::new(method, self.path_of(&made, "url")?, &key);
            return Ok(scene.shows(bytes_of(&key)));
        }
        Ok(Scene::new(method, format!("/v1/download/{BUCKET}/{key}"), &key).shows(bytes_of(&key)))
    }

    /// A URL of ours without its beginning.
    fn path_of(&self, made: &Value, member: &str) -> Result<String> {
        let url = text(made, member)?;
        Ok(url.strip_prefix(&self.api.url).with_context(|| url.to_owned())?.to_owned())
    }

    async fn objects(&self, method: &Method, path: &str, what: &str) -> Result<Scene> {
        let key = self.file().await?;
        let all = format!("/v1/objects/{BUCKET}");
        if path.ends_with("/archive") {
            let asked = json!({"keys": [key]});
            let scene = Scene::new(method, format!("{all}/archive"), &key).json(&asked);
            return Ok(scene.shows(bytes_of(&key)));
        }
        if path.ends_with("{key}") {
            let query = if what.is_empty() { String::new() } else { format!("?{what}") };
            let scene = Scene::new(method, format!("{all}/{key}{query}"), key);
            return Ok(if method == Method::PUT { scene.json(&json!({"a": "b"})) } else { scene });
        }
        let rename = async |more: Value| -> Result<(String, Value)> {
            let folder = format!("{key}-d");
            expect(self.api.put(&format!("{BUCKET}/{folder}/k"), "x"), 201).await?;
            let mut asked = json!({"operation": "rename", "from": format!("{folder}/"), "to": format!("{folder}-to/")});
            if more == json!(null) {
                return Ok((folder, asked));
            }
            let made = self.post(&all, &asked).await?;
            asked = json!({"operation": "undoRename", "id": made["id"]});
            Ok((text(&made, "id")?.to_owned(), asked))
        };
        if method == Method::POST {
            let to = self.unique("to");
            let (thing, asked) = match what {
                "copy" | "move" => (key.clone(), json!({"operation": what, "from": key, "to": to})),
                "delete" => (key.clone(), json!({"operation": what, "keys": [key]})),
                "restore" => {
                    self.delete(&key).await?;
                    (key.clone(), json!({"operation": what, "key": key}))
                }
                "rename" => rename(json!(null)).await?,
                "undoRename" => rename(json!(1)).await?,
                _ => bail!("{what}"),
            };
            let scene = Scene::new(method, all, thing).json(&asked);
            // A folder is renamed for the files in it that the caller may move.
            return Ok(if what == "rename" { scene.shows("\"moved\":1") } else { scene });
        }
        match what {
            "trash" => {
                self.delete(&key).await?;
                Ok(Scene::new(method, format!("{all}?trash"), key).list())
            }
            "rename" => {
                let (id, _) = rename(json!(1)).await?;
                Ok(Scene::new(method, format!("{all}?rename={id}"), id))
            }
            _ => Ok(Scene::new(method, all, key).list()),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let delete = self.api.client.delete(format!("{}/v1/objects/{BUCKET}/{key}", self.api.url));
        expect(delete.bearer_auth(&self.api.alice), 200).await?;
        Ok(())
    }

    async fn grants(&self, method: &Method, path: &str, what: &str, by: &str) -> Result<Scene> {
        let key = self.file().await?;
        let kind = path.split('/').nth(2).unwrap_or_default();
        let all = format!("/v1/{kind}");
        let put = |key: &str| json!({"method": "PUT", "bucket": BUCKET, "key": key, "size": 3, "contentType": "text/plain"});
        let asked = match (kind, what) {
            ("presign", "put") => put(&self.unique("new")),
            ("presign", _) => json!({"method": "GET", "bucket": BUCKET, "key": key}),
            ("shares", _) => json!({"bucket": BUCKET, "key": key}),
            _ => json!({"bucket": BUCKET, "prefix": format!("{key}/")}),
        };
        if path.ends_with("/complete") {
            let made = self.post(&all, &put(&self.unique("new"))).await?;
            let sent =
                self.api.client.put(text(&made, "url")?).header("content-type", "text/plain");
            expect(sent.header("if-none-match", "*").body("abc"), 200).await?;
            let url = self.path_of(&made, "complete")?;
            let url = match by {
                "secret" => url,
                "expired" => self.old_complete.clone(),
                _ => url.replace("signature=", "signature=AAAA"),
            };
            let mut scene = Scene::new(method, url, text(&made, "id")?);
            scene.ended = by == "expired";
            return Ok(scene);
        }
        if method == Method::POST {
            return Ok(Scene::new(method, all, key).json(&asked));
        }
        let id = self.make(&all, &asked).await?;
        if path.ends_with("{id}") {
            return Ok(Scene::new(method, format!("{all}/{id}"), id));
        }
        let query = if what == "bucket" { format!("?bucket={BUCKET}") } else { String::new() };
        Ok(Scene::new(method, format!("{all}{query}"), id).list())
    }

    async fn keys(&self, method: &Method, path: &str, what: &str) -> Result<Scene> {
        let asked = json!({"name": self.unique("key")});
        if method == Method::POST {
            let mut asked = asked;
            if what == "owner" {
                asked["owner"] = json!("alice");
            }
            return Ok(Scene::new(method, path, "").json(&asked));
        }
        let id = self.make("/v1/keys", &asked).await?;
        if path.ends_with("{id}") {
            return Ok(Scene::new(method, format!("/v1/keys/{id}"), id));
        }
        let query = if what == "owner" { "?owner=alice" } else { "" };
        Ok(Scene::new(method, format!("/v1/keys{query}"), id).list())
    }

    async fn multipart(&self, method: &Method, path: &str) -> Result<Scene> {
        let asked = json!({"bucket": BUCKET, "key": self.unique("parts")});
        if path == "/v1/multipart" && method == Method::POST {
            return Ok(Scene::new(method, path, "").json(&asked));
        }
        let id = self.make("/v1/multipart", &asked).await?;
        let one = format!("/v1/multipart/{id}");
        if path.ends_with("/parts/{number}") {
            return Ok(Scene::new(method, format!("{one}/parts/1"), id).bytes("a/b", "part"));
        }
        if path.ends_with("/complete") {
            let part = self.api.client.put(format!("{}{one}/parts/1", self.api.url));
            expect(part.bearer_auth(&self.api.alice).body("part"), 200).await?;
            return Ok(Scene::new(method, format!("{one}/complete"), id));
        }
        if path.ends_with("/sign") {
            return Ok(Scene::new(method, format!("{one}/sign"), id).json(&json!({"parts": [1]})));
        }
        if path.ends_with("/resume") {
            return Ok(Scene::new(method, format!("{one}/resume"), id));
        }
        if path.ends_with("{id}") {
            return Ok(Scene::new(method, one, id));
        }
        Ok(Scene::new(method, path, id).list())
    }

    async fn tus(&self, method: &Method, path: &str, token: Option<&str>) -> Result<Scene> {
        let encode = |text: &str| STANDARD.encode(text);
        let key = self.unique("tus");
        let metadata = format!("bucket {},key {}", encode(BUCKET), encode(&key));
        let version = |scene: Scene| scene.header("tus-resumable", "1.0.0");
        if method == Method::POST || method == Method::OPTIONS {
            let scene = version(Scene::new(method, path, key)).header("upload-length", "3");
            return Ok(scene.header("upload-metadata", metadata));
        }
        let url = match token {
            Some(token) => format!("{}/v1/t/{token}/tus", self.api.url),
            None => format!("{}/v1/tus", self.api.url),
        };
        let mut post = self.api.client.post(url).header("tus-resumable", "1.0.0");
        post = post.header("upload-length", "3").header("upload-metadata", metadata);
        if token.is_none() {
            post = post.bearer_auth(&self.api.alice);
        }
        let made = expect(post, 201).await?;
        let id = last(&header(&made, "location")).to_owned();
        let scene = version(Scene::new(method, format!("/v1/tus/{id}"), id));
        if method != Method::PATCH {
            return Ok(scene);
        }
        Ok(scene.header("upload-offset", "0").bytes("application/offset+octet-stream", "abc"))
    }

    async fn uppy(&self, method: &Method, path: &str, token: Option<&str>) -> Result<Scene> {
        let key = self.unique("uppy");
        let rest = path.strip_prefix("/v1/uppy/s3").context("a route of uppy")?;
        let at = |rest: &str| format!("/v1/uppy/s3{rest}");
        let file = json!({"filename": key, "type": "a/b", "metadata": {"bucket": BUCKET}});
        match rest {
            "/check" => {
                let scene = Scene::new(method, at(&format!("/check?bucket={BUCKET}")), "");
                return Ok(scene.header("origin", "https://app.example.org"));
            }
            "/params" => {
                let query = format!("/params?filename={key}&type=a/b&metadata[bucket]={BUCKET}");
                return Ok(Scene::new(method, at(&query), key));
            }
            "/multipart" => return Ok(Scene::new(method, path, key).json(&file)),
            "/sign" => {
                let asked =
                    json!({"method": "PUT", "key": key, "bucket": BUCKET, "contentType": "a/b"});
                return Ok(Scene::new(method, path, key).json(&asked));
            }
            _ => {}
        }
        let url = match token {
            Some(token) => format!("{}/v1/t/{token}/uppy/s3", self.api.url),
            None => format!("{}/v1/uppy/s3", self.api.url),
        };
        let by = |request: RequestBuilder| match token {
            Some(_) => request,
            None => request.bearer_auth(&self.api.alice),
        };
        let begin = by(self.api.client.post(format!("{url}/multipart"))).json(&file);
        let begun = json_of(begin, 200).await?;
        let id = text(&begun, "uploadId")?;
        let mut etag = String::new();
        if method == Method::POST {
            let sign = self.api.client.get(format!("{url}/multipart/{id}/1?key={key}"));
            let signed = json_of(by(sign), 200).await?;
            let part = expect(self.api.client.put(text(&signed, "url")?).body("part"), 200).await?;
            etag = header(&part, "etag").trim_matches('"').to_owned();
        }
        let rest = rest.replace("{id}", id).replace("{number}", "1");
        let Some(rest) = rest.strip_prefix("/objects/") else {
            let scene = Scene::new(method, at(&format!("{rest}?key={key}")), id);
            let parts = json!({"parts": [{"PartNumber": 1, "ETag": etag}]});
            return Ok(if method == Method::POST { scene.json(&parts) } else { scene });
        };
        let rest = rest.replace("{bucket}", BUCKET).replace("{key}", &key);
        let scene = Scene::new(method, at(&format!("/objects/{rest}?uploadId={id}")), id);
        let parts = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        Ok(if method == Method::POST { scene.bytes("application/xml", parts) } else { scene })
    }

    async fn batches(&self, method: &Method, path: &str, what: &str) -> Result<Scene> {
        let asked = json!({"name": "cards", "records": ["r"]});
        if path == "/v1/batches" && method == Method::POST {
            return Ok(Scene::new(method, path, "").json(&asked));
        }
        let id = self.make("/v1/batches", &asked).await?;
        if path == "/v1/batches" {
            let query = if what == "owner" { "?owner=alice" } else { "" };
            return Ok(Scene::new(method, format!("{path}{query}"), id).list());
        }
        if path.ends_with("/archive") {
            let card = self.api.client.put(format!("{}/v1/batches/{id}/records/r", self.api.url));
            expect(card.bearer_auth(&self.api.alice).body("card"), 201).await?;
        }
        let url = path.replace("{id}", &id).replace("{recordId}", "r");
        let scene = Scene::new(method, url, id);
        Ok(match *method {
            Method::PUT => scene.bytes("text/plain", "card"),
            Method::POST => {
                scene.json(&json!({"records": [{"recordId": "r", "status": "rendering"}]}))
            }
            _ => scene,
        })
    }

    async fn templates(&self, method: &Method, path: &str, what: &str) -> Result<Scene> {
        let asked = json!({"name": self.unique("card")});
        if path == "/v1/templates" && method == Method::POST {
            return Ok(Scene::new(method, path, "").json(&asked));
        }
        let id = self.make("/v1/templates", &asked).await?;
        if path == "/v1/templates" {
            let query = match what {
                "owner" => "?owner=alice",
                "all" => "?all=true",
                _ => "",
            };
            return Ok(Scene::new(method, format!("{path}{query}"), id).list());
        }
        let url = path.replace("{id}", &id);
        let background = format!("{}/v1/templates/{id}/background", self.api.url);
        let put =
            || self.api.client.put(&background).bearer_auth(&self.api.alice).body(png(8, 8, 0));
        let scene = Scene::new(method, url, id);
        if path.ends_with("/restore") {
            let first = json_of(put(), 201).await?;
            expect(put(), 200).await?;
            let version = first["background"]["version"].as_str().context("a version")?;
            return Ok(scene.json(&json!({"version": version})));
        }
        if path.contains("/background") && method != Method::PUT {
            expect(put(), 201).await?;
        }
        Ok(match *method {
            Method::PUT => scene.bytes("image/png", png(8, 8, 0)),
            Method::PATCH => scene.json(&json!({"name": "other"})),
            _ => scene,
        })
    }

    /// Buckets of their own, with the policy of all the rest.
    async fn buckets(&self, method: &Method, path: &str) -> Result<Scene> {
        let name = self.unique("made");
        let crew = json!({"roles": [ROLE]});
        let policy = json!({"readers": crew, "writers": crew, "listers": crew});
        let asked = json!({"name": name, "policy": policy});
        if path == "/v1/buckets" && method == Method::POST {
            return Ok(Scene::new(method, path, "").json(&asked));
        }
        self.post("/v1/buckets", &asked).await?;
        let one = format!("/v1/buckets/{name}");
        Ok(match (path, method.as_str()) {
            ("/v1/buckets", _) => Scene::new(method, path, name).list(),
            (_, "PATCH") => Scene::new(method, one, name).json(&json!({"policy": {"maxBytes": 5}})),
            (_, "DELETE") => Scene::new(method, format!("{one}?confirm={name}"), name),
            (_, "POST") => {
                Scene::new(method, format!("{one}/adopt"), name).json(&json!({"dryRun": true}))
            }
            _ => Scene::new(method, one, name),
        })
    }
}

/// What a file has in it.
fn bytes_of(key: &str) -> String {
    format!("bytes of {key}")
}

/// What stands behind the last slash.
fn last(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

struct Answer {
    status: u16,
    text: String,
    /// The problem, or that of the only element of a request that has several.
    problem: Option<Value>,
}

impl Answer {
    async fn of(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let places = ["", "/files/0/error", "/files/0", "/deleted/0"];
        let mut problems = places.iter().filter_map(|place| body.pointer(place));
        let problem = problems.find(|it| it["code"].is_string()).cloned();
        Ok(Self { status, text, problem })
    }

    /// Status, code, rule and sentence, with the name of what it is about taken out.
    fn of_thing(&self, thing: &str) -> (u16, Vec<String>) {
        let member = |name: &str| {
            let text = self.problem.as_ref().and_then(|it| it[name].as_str()).unwrap_or_default();
            text.replace(thing, "")
        };
        (self.status, ["code", "rule", "title", "detail"].map(member).to_vec())
    }

    fn cell(&self) -> String {
        let code = self.problem.as_ref().and_then(|it| it["code"].as_str());
        match (self.status, code) {
            (200..400, None) => "ok".to_owned(),
            (_, Some("MissingAuthentication")) => "401".to_owned(),
            (_, Some("ExpiredToken")) => "old".to_owned(),
            (_, Some("InvalidToken")) => "bad".to_owned(),
            (_, Some("AccessDenied")) => "403".to_owned(),
            (_, Some(code)) if code.starts_with("NoSuch") => "404".to_owned(),
            // HEAD has no body.
            (status, None) => status.to_string(),
            (status, Some(code)) => format!("{status}:{code}"),
        }
    }
}
