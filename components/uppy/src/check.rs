//! `GET check`: what would keep a browser at this origin from uploading.

use std::time::Duration;

use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_core::ports::Clock as _;
use holdfast_platform::app::Context;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::outbound::{Answer, Head};
use holdfast_platform::reply;
use holdfast_web::http_date::HttpDate;
use holdfast_web::path::Query;
use holdfast_web::uppy::check::{Facts, Store};
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use wasip3::http::types::Response;

use crate::within;

/// How long SeaweedFS may think about a preflight.
const PREFLIGHT_LIMIT: Duration = Duration::from_secs(10);

/// What is read of its answer, in bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1_024;

pub(crate) async fn check(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let invalid = |message: &str| Error::new(Code::InvalidArgument, message);
    let query = Query::parse(Some(&inbound.query))?;
    let bucket = query.get("bucket")?.or(within(context).bucket);
    let bucket = bucket.ok_or_else(|| {
        invalid("Name the bucket, as the parameter `bucket`, or use an upload token")
    })?;
    let bucket = BucketName::parse(bucket)?;
    let page_now = query.get("now")?.map(|now| {
        now.parse().map_err(|_| invalid("now is the page's time in seconds of Unix time"))
    });
    let origin = inbound.header("origin").filter(|it| it.contains("://")).ok_or_else(|| {
        invalid("Ask from the page, or with its origin as the header Origin, such as https://app.example.org")
    })?;
    let public = context.app.public_signer()?.endpoint();
    let facts = Facts {
        origin: origin.to_owned(),
        // Our own answer says it.
        allowed: context.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
        public_url: context.app.config.public_url.clone(),
        host: inbound.host.clone(),
        store_url: format!("{}://{}", public.scheme(), public.authority()),
        store: preflight(context, &bucket, origin).await?,
        now: WasiClock.now().unix_timestamp(),
        page_now: page_now.transpose()?,
    };
    Ok(reply::json(200, context.no_store(), &facts.report()))
}

/// What SeaweedFS says to a browser before it sends a part. Asked where we reach it ourselves: a proxy in front of it
/// may say otherwise.
async fn preflight(
    context: &Context,
    bucket: &BucketName,
    origin: &str,
) -> Result<Option<Store>, Error> {
    let endpoint = context.app.blobs()?.signer.endpoint();
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "content-type"),
    ];
    let head = Head {
        method: "OPTIONS",
        scheme: endpoint.scheme(),
        authority: endpoint.authority(),
        path_and_query: &format!("/{bucket}/hf/check"),
        headers: &headers.map(|(name, value)| (name.to_owned(), value.to_owned())),
        first_byte_limit: PREFLIGHT_LIMIT,
    };
    let Ok(response) = head.send_bytes(None).await else { return Ok(None) };
    let Ok(answer) = Answer::read(response, MAX_ANSWER_BYTES).await else { return Ok(None) };
    let text = |name: &str| answer.header(name).unwrap_or_default();
    Ok(Some(Store {
        allow_origin: text("access-control-allow-origin"),
        allow_methods: text("access-control-allow-methods"),
        expose: text("access-control-expose-headers"),
        now: HttpDate::parse(&text("date")).map(HttpDate::unix),
    }))
}
