//! Which origins may read our answers: the deployment's, and those of the buckets that say it themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use holdfast_core::error::Error;
use holdfast_web::cors::{allows, answer_headers, bucket_of, origin};
use http::HeaderMap;
use time::{Duration, OffsetDateTime};

use crate::app::App;
use crate::inbound::Inbound;
use crate::pg;

const ORIGINS: &str = "select bucket, origins from holdfast.cors_origins()";

/// How long an instance goes by what it read of the buckets, in seconds.
const KEPT_SECONDS: i64 = 60;

type Buckets = Rc<BTreeMap<String, Vec<String>>>;

thread_local! {
    static KEPT: RefCell<Option<(OffsetDateTime, Buckets)>> = const { RefCell::new(None) };
}

/// What the answer to this request has for browsers; nothing if none sent it. Where no bucket is named in the path, an
/// origin may read it that any bucket names.
pub(crate) async fn headers(inbound: &Inbound) -> HeaderMap {
    let Some(origin) = origin(&inbound.headers) else { return HeaderMap::new() };
    // A page that may not read why is no worse off for it.
    let allowed = is_allowed(inbound, origin).await.unwrap_or(false);
    answer_headers(Some(origin).filter(|_| allowed))
}

async fn is_allowed(inbound: &Inbound, origin: &str) -> Result<bool, Error> {
    let app = App::get().await?;
    let ours = &app.config.cors_origins;
    let bucket = bucket_of(&inbound.path);
    if bucket.is_none() && allows(ours, origin) {
        return Ok(true);
    }
    let buckets = buckets(&app).await?;
    Ok(match bucket {
        Some(bucket) => allows(buckets.get(&bucket).unwrap_or(ours), origin),
        None => buckets.values().any(|origins| allows(origins, origin)),
    })
}

async fn buckets(app: &App) -> Result<Buckets, Error> {
    let now = OffsetDateTime::now_utc();
    let kept = KEPT.with_borrow(Clone::clone);
    if let Some((_, buckets)) = kept.filter(|(at, _)| now - *at < Duration::seconds(KEPT_SECONDS)) {
        return Ok(buckets);
    }
    let connection = pg::open(&app.config.database_url).await?;
    let mut buckets = BTreeMap::new();
    for mut row in pg::rows(&connection, ORIGINS, Vec::new()).await? {
        buckets.insert(row.required(0)?, row.texts(1)?.unwrap_or_default());
    }
    let buckets = Rc::new(buckets);
    KEPT.set(Some((now, Rc::clone(&buckets))));
    Ok(buckets)
}
