//! The public keys of the issuer of tokens: fetched, kept in the instance and in the key-value store.
//!
//! Tasks of an instance cannot wake each other: who finds a fetch begun looks again every 100 ms, for as long as a
//! fetch may take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use holdfast_core::config::JwtAlgorithm;
use holdfast_core::error::Error;
use holdfast_web::jwks::{KeySet, MAX_DOCUMENT_BYTES};
use holdfast_web::key_cache::Times;
use http::Uri;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::clock::{random_bytes, sleep, within};
use crate::outbound::{Answer, Head};
use crate::{kv, log};

/// How long a whole fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);

/// How long a request that found a fetch begun waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often it looks: for ten seconds, as long as a fetch is believed to be under way.
const LOOKS: u32 = 100;

/// How long the attempts of several instances may take to meet in the key-value store: of those that begin
/// within it, the last one to write goes on.
const SETTLE: Duration = Duration::from_millis(150);

/// Where the document lies: `jwks` in hexadecimal. The value says which URL it came from.
const CACHE_KEY: &str = "6a776b73";

/// Who does not answer, for the client.
const ISSUER: &str = "The issuer of tokens (jwt_jwks_url)";

/// The value in the key-value store. Losing it costs a fetch. The store has no compare-and-swap, so
/// instances that begin at the same moment settle it by whose attempt stays; a slow store may let two through.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    url: String,
    fetched_at: Option<i64>,
    tried_at: Option<i64>,
    /// Whether the attempt is under way; whoever dies of it leaves it so, until another attempt.
    fetching: bool,
    /// Whose attempt it is; random.
    attempt: [u8; 16],
    document: String,
}

/// The keys of one URL.
pub struct PublicKeys {
    url: String,
    algorithm: JwtAlgorithm,
    keys: RefCell<Rc<KeySet>>,
    times: Cell<Times>,
    /// A request of this instance is fetching.
    fetching: Cell<bool>,
}

impl PublicKeys {
    /// None yet.
    #[must_use]
    pub fn new(url: &str, algorithm: JwtAlgorithm) -> Self {
        Self {
            url: url.to_owned(),
            algorithm,
            keys: RefCell::default(),
            times: Cell::default(),
            fetching: Cell::default(),
        }
    }

    /// Keys to verify a token with.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`]: there is none, and the issuer does not answer.
    pub async fn get(&self) -> Result<Rc<KeySet>, Error> {
        if !self.times.get().fresh(now()) {
            self.renew().await;
        }
        if !self.times.get().usable(now()) {
            self.wait().await;
        }
        if !self.times.get().usable(now()) {
            return Err(Error::unavailable(ISSUER, "no public key could be fetched"));
        }
        Ok(self.kept())
    }

    /// Newer keys than `known`, for a token whose `kid` is not among them; `None` if the issuer has none.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`]: the issuer was asked and did not answer yet, so that
    /// nobody can say whether the token is good.
    pub async fn newer_than(&self, known: &Rc<KeySet>) -> Result<Option<Rc<KeySet>>, Error> {
        if Rc::ptr_eq(known, &self.kept()) {
            self.renew().await;
            self.wait().await;
        }
        let kept = self.kept();
        if !Rc::ptr_eq(known, &kept) {
            return Ok(Some(kept));
        }
        if self.times.get().answered() {
            return Ok(None);
        }
        Err(Error::unavailable(
            ISSUER,
            "the key of a token is not known, and newer ones could not be fetched",
        ))
    }

    fn kept(&self) -> Rc<KeySet> {
        Rc::clone(&self.keys.borrow())
    }

    /// Looks again while somebody fetches, for no longer than a fetch may take.
    async fn wait(&self) {
        for _ in 0..LOOKS {
            if self.times.get().answered() {
                return;
            }
            if !self.fetching.get() && !self.take_cached().await {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes what another instance fetched, else fetches, if that is allowed now.
    async fn renew(&self) {
        let began = self.times.get();
        // Without a fetch to spare nothing newer can be worth a read: what others fetched came by then.
        if !began.may_fetch(now()) {
            return;
        }
        self.take_cached().await;
        let known = self.times.get();
        let newer = known.fetched_at > began.fetched_at && known.fresh(now());
        if newer || !known.may_fetch(now()) {
            return;
        }
        // Set before anything is awaited: no second request of this instance comes here.
        self.times.set(Times { tried_at: Some(now()), ..known });
        self.fetching.set(true);
        if !self.fetch_and_share().await {
            // Theirs counts, not ours: it was a little earlier or later.
            self.times.set(Times { tried_at: known.tried_at, ..self.times.get() });
            self.take_cached().await;
        }
        self.fetching.set(false);
    }

    /// Says whether it fetched, or left it to another instance.
    async fn fetch_and_share(&self) -> bool {
        let mut cached = self.read_cached().await.unwrap_or_default();
        cached.url.clone_from(&self.url);
        cached.tried_at = Some(now());
        cached.fetching = true;
        cached.attempt = random_bytes();
        write_cached(&cached).await;
        sleep(SETTLE).await;
        // A store that forgot it says nothing about others.
        if self.read_cached().await.is_some_and(|now| now.attempt != cached.attempt) {
            return false;
        }
        match self.fetch().await {
            Ok((document, keys)) => {
                cached.document = document;
                cached.fetched_at = Some(now());
                let Cached { fetched_at, tried_at, .. } = cached;
                self.keep(keys, Times { fetched_at, tried_at });
            }
            Err(error) => log::warn("the public keys of the issuer were not fetched", &error),
        }
        cached.fetching = false;
        write_cached(&cached).await;
        true
    }

    fn keep(&self, keys: KeySet, times: Times) {
        self.keys.replace(Rc::new(keys));
        self.times.set(times);
    }

    async fn read_cached(&self) -> Option<Cached> {
        let value = kv::cached(CACHE_KEY).await?;
        let cached: Cached = serde_json::from_slice(&value).ok()?;
        (cached.url == self.url).then_some(cached)
    }

    /// Takes what another instance found; says whether one is fetching, as far as the store tells.
    async fn take_cached(&self) -> bool {
        let Some(cached) = self.read_cached().await else {
            return self.times.get().under_way(now());
        };
        let times = Times { fetched_at: cached.fetched_at, tried_at: cached.tried_at };
        if times.fetched_at > self.times.get().fetched_at
            && let Ok(keys) = KeySet::parse(cached.document.as_bytes(), self.algorithm)
        {
            self.keep(keys, times);
        }
        let known = self.times.get();
        self.times.set(Times { tried_at: known.tried_at.max(times.tried_at), ..known });
        cached.fetching && times.under_way(now())
    }

    async fn fetch(&self) -> Result<(String, KeySet), Error> {
        let body = within(FETCH_LIMIT, get(&self.url))
            .await
            .unwrap_or_else(|| Err(Error::unavailable(ISSUER, "no answer within 5 s")))?;
        let unusable = |cause: String| Error::unavailable(ISSUER, cause);
        let document = String::from_utf8(body).map_err(|error| unusable(error.to_string()))?;
        let keys = KeySet::parse(document.as_bytes(), self.algorithm)
            .map_err(|error| unusable(error.to_string()))?;
        Ok((document, keys))
    }
}

async fn get(url: &str) -> Result<Vec<u8>, Error> {
    let uri: Uri = url.parse().map_err(Error::internal)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Error::internal("jwt_jwks_url has no host"));
    };
    let head = Head {
        method: "GET",
        scheme,
        authority: authority.as_str(),
        path_and_query: uri.path_and_query().map_or("/", |path| path.as_str()),
        headers: &[("accept".to_owned(), "application/jwk-set+json, application/json".to_owned())],
        first_byte_limit: FETCH_LIMIT,
    };
    let response = head.send_bytes(None).await.map_err(|failure| failure.into_error(ISSUER))?;
    // One byte more than is taken, so that a longer one shows.
    let answer = Answer::read(response, MAX_DOCUMENT_BYTES + 1)
        .await
        .map_err(|code| Error::unavailable(ISSUER, format!("{code:?}")))?;
    if answer.status != 200 {
        return Err(Error::unavailable(ISSUER, format!("status {}", answer.status)));
    }
    Ok(answer.body)
}

async fn write_cached(cached: &Cached) {
    match serde_json::to_vec(cached) {
        Ok(value) => kv::cache(CACHE_KEY, &value).await,
        Err(error) => log::warn("a value was not cached", &error),
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
