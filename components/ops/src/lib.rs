//! `/v1/keys`, `/healthz`, `/readyz` and `/openapi.json`.

mod keys;

use futures_util::future::join3;
use holdfast_core::error::{Code, Error};
use holdfast_platform::app::{App, Trace, serve};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{kv, log, pg, reply};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use wasip3::http::types::{Request, Response};

const OPENAPI: &str = include_str!("openapi.json");

/// A bucket of the seed; it is there wherever the migrations ran.
const PROBE_BUCKET: &str = "documents";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    if request.get_path_with_query().is_some_and(|path| path.starts_with(keys::ROUTE)) {
        return serve(request, keys::handle).await;
    }
    let inbound = Inbound::new(request);
    let trace = Trace::of(&inbound);
    let answer = match inbound.allow(&["GET", "HEAD"]) {
        Ok(()) => route(&inbound.path).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok((status, value)) => {
            let mut headers = trace.headers();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if inbound.method == Method::HEAD {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(value.len()));
                reply::empty(status, &headers)
            } else {
                reply::bytes(status, headers, value.into_bytes())
            }
        }
        Err(error) => trace.refuse(&error),
    }
}

async fn route(path: &str) -> Result<(u16, String), Error> {
    match path {
        "/healthz" => Ok((200, serde_json::json!({ "status": "ok" }).to_string())),
        "/readyz" => {
            let (status, checks) = ready().await;
            Ok((status, checks.to_string()))
        }
        "/openapi.json" => Ok((200, OPENAPI.to_owned())),
        _ => Err(Error::new(Code::NoSuchRoute, "There is no such route")),
    }
}

/// Asks everything that a request needs, each by its name; 503 unless all answer.
async fn ready() -> (u16, serde_json::Value) {
    let app = match App::get().await {
        Ok(app) => app,
        Err(error) => {
            log::error("readyz", &error);
            return (
                503,
                serde_json::json!({ "status": "unavailable", "configuration": "invalid" }),
            );
        }
    };
    let s3 = async {
        match app.blobs()?.head_bucket(PROBE_BUCKET).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Error::unavailable("The object store", "bucket `documents` is missing"))
            }
            Err(error) => Err(error),
        }
    };
    let (postgresql, s3, key_value) = join3(database(&app), s3, kv::probe()).await;
    let checks = [("postgresql", postgresql), ("s3", s3), ("keyValue", key_value)];
    let all = checks.iter().all(|(_, check)| check.is_ok());
    let mut body = serde_json::Map::new();
    body.insert("status".to_owned(), if all { "ok" } else { "unavailable" }.into());
    for (name, check) in checks {
        if let Err(error) = &check {
            log::error("readyz", error);
        }
        body.insert(name.to_owned(), if check.is_ok() { "ok" } else { "unavailable" }.into());
    }
    (if all { 200 } else { 503 }, serde_json::Value::Object(body))
}

/// The database answers, and the migrations ran.
async fn database(app: &App) -> Result<(), Error> {
    let count = "select count(*) from holdfast.bucket where name = 'documents'";
    pg::call(&app.config.database_url, count, Vec::new()).await.map(drop)
}
