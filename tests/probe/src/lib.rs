//! A component that finds out what its host is like. Each route does one thing and answers JSON;
//! `infra/devhost/tests/probe.rs` asks and judges.

mod http;
mod instance;
mod postgres;
mod reply;
mod sockets;
mod spin;

use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Request, Response};

struct Component;

#[allow(unsafe_code, reason = "the exports that the macro writes")]
mod export {
    use super::Component;
    wasip3::http::service::export!(Component);
}

impl wasip3::exports::http::handler::Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let query = Query::parse(query);
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        Ok(match name {
            "instance" => reply::json(&instance::count(query.milliseconds("wait")).await),
            "headers" | "end" => reply::json(&headers(&request)),
            "two-writes" => reply::two_writes(),
            "error" => return Err(ErrorCode::InternalError(None)),
            "trap" => std::process::abort(),
            name => reply::json(&ask(name, &query).await),
        })
    }
}

async fn ask(name: &str, query: &Query<'_>) -> Value {
    match name {
        "fetch" => http::fetch(query).await,
        "two-writes-out" => http::two_writes(query).await,
        "tcp" => sockets::connect(query.number("port")).await,
        "variable" => spin::variable(query.text("name")).await,
        "key-value" => spin::key_value(query.text("label")).await,
        "pool" => postgres::fill_pool(query.number("open")).await,
        "timestamptz" => postgres::query("select now()").await,
        "microseconds" => {
            postgres::query("select (extract(epoch from timestamptz 'epoch') * 1e6)::int8").await
        }
        "late-error" => postgres::query("select 1 / (2 - n) from generate_series(1, 3) n").await,
        "forbidden-database" => postgres::open("postgres://nobody@127.0.0.1:1/nothing").await,
        _ => json!({ "error": "no such probe" }),
    }
}

fn headers(request: &Request) -> Value {
    let fields = request.get_headers().copy_all();
    fields.into_iter().map(|(name, value)| json!([name, String::from_utf8_lossy(&value)])).collect()
}

/// Parameters of a route. No value here needs escapes.
struct Query<'a>(HashMap<&'a str, &'a str>);

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Self {
        Self(text.split('&').filter_map(|pair| pair.split_once('=')).collect())
    }

    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u16 {
        self.text(name).parse().unwrap_or_default()
    }

    fn milliseconds(&self, name: &str) -> Option<Duration> {
        self.text(name).parse().ok().map(Duration::from_millis)
    }
}

async fn sleep(duration: Duration) {
    monotonic_clock::wait_for(nanoseconds(duration)).await;
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
