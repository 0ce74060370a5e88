//! What an instance keeps for all its requests: the configuration, the signer, a connection for reads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use holdfast_core::config::{Config, S3Access, VARIABLES};
use holdfast_core::error::Error;
use holdfast_core::ports::{Caller, Resolved};
use holdfast_core::principal::Principal;
use holdfast_s3::{Credentials, Endpoint, Signer};
use holdfast_web::client_addr::client_addr;
use holdfast_web::cors::{is_preflight, preflight_headers};
use holdfast_web::link::{split_token, without_secret};
use holdfast_web::problem::{self, Failed};
use holdfast_web::request_id::{RequestId, TraceParent};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Method};
use spin_sdk::pg::Connection;
use spin_sdk::variables;
use time::OffsetDateTime;
use wasip3::http::types::{Request, Response};

use crate::blobs::S3Blobs;
use crate::catalog::{Wanted, resolve};
use crate::clock::random_bytes;
use crate::grants::{self, Reach};
use crate::identity::Identity;
use crate::inbound::Inbound;
use crate::pg::Failure;
use crate::{cors, log, pg, reply};

/// The instance's own state.
pub struct App {
    /// The validated configuration.
    pub config: Config,
    signer: Option<Signer>,
    public_signer: Option<Signer>,
    identity: Option<Identity>,
    /// Reads share one connection, which pipelines them. It does not heal: see [`App::resolve`].
    reader: RefCell<Option<Rc<Connection>>>,
}

thread_local! {
    static APP: RefCell<Option<Rc<App>>> = const { RefCell::new(None) };
}

impl App {
    /// The state of this instance, made at its first request.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`]: a variable is missing or malformed; the log
    /// says which.
    pub async fn get() -> Result<Rc<Self>, Error> {
        if let Some(app) = APP.with_borrow(Option::clone) {
            return Ok(app);
        }
        // Requests that race here each make one; the last one stays.
        let mut values = BTreeMap::new();
        for name in VARIABLES {
            match variables::get(name).await {
                Ok(value) => {
                    values.insert(name, value);
                }
                Err(variables::Error::Undefined(_)) => {}
                Err(error) => {
                    return Err(Error::unavailable("The configuration", error.to_string()));
                }
            }
        }
        let app = Rc::new(Self::new(&values)?);
        APP.set(Some(Rc::clone(&app)));
        Ok(app)
    }

    fn new(values: &BTreeMap<&'static str, String>) -> Result<Self, Error> {
        let wrong = |cause: String| Error::unavailable("The configuration", cause);
        let config = Config::from_variables(|name| values.get(name).cloned())
            .map_err(|error| wrong(error.to_string()))?;
        let signer = |s3: &S3Access, variable: &str, endpoint: &str| -> Result<Signer, Error> {
            let endpoint = Endpoint::parse(endpoint, &s3.region)
                .map_err(|error| wrong(format!("variable `{variable}`: {error}")))?;
            let credentials = Credentials::new(&s3.access_key_id, &s3.secret_access_key);
            Ok(Signer::new(endpoint, credentials, OffsetDateTime::now_utc()))
        };
        let s3 = config.s3.as_ref();
        let public_signer =
            s3.map(|s3| signer(s3, "s3_public_endpoint", &s3.public_endpoint)).transpose()?;
        let signer = s3.map(|s3| signer(s3, "s3_endpoint", &s3.endpoint)).transpose()?;
        let identity = config.tokens.as_ref().map(Identity::new);
        Ok(Self { config, signer, public_signer, identity, reader: RefCell::new(None) })
    }

    /// The blob store.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`]: `spin.toml` gives this component no S3 variables.
    pub fn blobs(&self) -> Result<S3Blobs<'_>, Error> {
        let signer = self.signer.as_ref().ok_or_else(|| not_given("S3 keys"))?;
        Ok(S3Blobs { signer })
    }

    /// Signs URLs that clients send to SeaweedFS themselves, for the host by which they reach it.
    ///
    /// # Errors
    /// As [`App::blobs`].
    pub fn public_signer(&self) -> Result<&Signer, Error> {
        self.public_signer.as_ref().ok_or_else(|| not_given("S3 keys"))
    }

    /// The key of the URLs that we sign ourselves.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`]: `spin.toml` gives this component no `url_secret`.
    pub fn url_secret(&self) -> Result<&[u8], Error> {
        let secret = self.config.url_secret.as_ref().ok_or_else(|| not_given("`url_secret`"))?;
        Ok(secret.as_bytes())
    }

    /// Finds the version that a principal may read, on the instance's connection. A broken one is
    /// dropped, and the read repeated once on a new one.
    ///
    /// # Errors
    /// As [`resolve`].
    pub async fn resolve(
        &self,
        principal: &Principal,
        wanted: &Wanted<'_>,
    ) -> Result<Resolved, Error> {
        // Bound first: a borrow must not live across an await.
        let kept = self.reader.borrow().clone();
        if let Some(kept) = kept {
            match resolve(&kept, principal, wanted).await {
                Ok(answer) => return answer,
                Err(failure @ Failure::Refused(_)) => return Err(failure.into()),
                Err(Failure::Broken(_)) => {
                    // Another request may have replaced it already.
                    self.reader.take_if_same(&kept);
                }
            }
        }
        let fresh = Rc::new(pg::open(&self.config.database_url).await?);
        let answer = resolve(&fresh, principal, wanted).await?;
        self.reader.replace(Some(fresh));
        answer
    }
}

fn not_given(what: &str) -> Error {
    Error::unavailable("The configuration", format!("this component is not given {what}"))
}

/// Drops a kept value only if it is still the one that failed.
trait TakeIfSame<T> {
    fn take_if_same(&self, value: &Rc<T>);
}

impl<T> TakeIfSame<T> for RefCell<Option<Rc<T>>> {
    fn take_if_same(&self, value: &Rc<T>) {
        self.borrow_mut().take_if(|kept| Rc::ptr_eq(kept, value));
    }
}

/// A request whose caller is known.
pub struct Context {
    /// The instance's state.
    pub app: Rc<App>,
    /// Who asks, and from where.
    pub caller: Caller,
    /// What the upload token in the path reaches, if there is one.
    pub reach: Option<Reach>,
    /// What tells this request from others.
    pub trace: Trace,
}

impl Context {
    /// The headers that every answer has.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.trace.headers()
    }

    /// The headers of an answer that nobody keeps.
    #[must_use]
    pub fn no_store(&self) -> HeaderMap {
        let mut headers = self.headers();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers
    }
}

/// What tells a request from others: in its answer, in its error and in the log.
pub struct Trace {
    id: RequestId,
    parent: Option<TraceParent>,
    method: Method,
    path: String,
    /// What every answer of this component, or to this page, has besides.
    besides: HeaderMap,
}

impl Trace {
    /// Reads the ids of a request, or makes one.
    #[must_use]
    pub fn of(inbound: &Inbound) -> Self {
        Self {
            id: RequestId::from_headers(&inbound.headers, random_bytes()),
            parent: TraceParent::from_headers(&inbound.headers),
            method: inbound.method.clone(),
            path: without_secret(&inbound.path).into_owned(),
            besides: HeaderMap::new(),
        }
    }

    /// `x-request-id`, `traceparent` where one came in, and what every answer has besides.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.besides.clone();
        headers.insert("x-request-id", self.id.to_header());
        if let Some(Ok(parent)) = self.parent.as_ref().map(|p| HeaderValue::try_from(p.as_str())) {
            headers.insert("traceparent", parent);
        }
        headers
    }

    /// Whether nobody reads the body of the answer.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Renders an error, and logs it.
    #[must_use]
    pub fn refuse(&self, error: &Error) -> Response {
        log::error(self.id.as_str(), error);
        let failed = Failed { method: &self.method, request_id: &self.id, instance: &self.path };
        let (parts, body) = problem::render(error, failed).into_parts();
        let mut headers = self.headers();
        headers.extend(parts.headers);
        if !error.allow.is_empty()
            && let Ok(methods) = HeaderValue::try_from(error.allow.join(", "))
        {
            headers.insert(ALLOW, methods);
        }
        if let Some(size) = error.size
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        if self.method == Method::HEAD {
            return reply::empty(parts.status.as_u16(), &headers);
        }
        reply::bytes(parts.status.as_u16(), headers, body)
    }
}

/// Answers a request whose path may name an upload token: its creator is then who asks, and `handle` finds the path
/// without it.
pub async fn serve_by_token(
    request: Request,
    handle: impl AsyncFnOnce(&Context, Inbound) -> Result<Response, Error>,
) -> Response {
    serve_with(request, Front { by_token: true, ..Front::default() }, handle).await
}

/// Answers a request: reads its head, authenticates, handles, and renders what went wrong.
pub async fn serve(
    request: Request,
    handle: impl AsyncFnOnce(&Context, Inbound) -> Result<Response, Error>,
) -> Response {
    serve_with(request, Front::default(), handle).await
}

/// What a component does with requests before it handles them.
#[derive(Default)]
pub struct Front {
    /// Whether an upload token may stand in their paths.
    pub by_token: bool,
    /// What every answer has.
    pub headers: HeaderMap,
    /// Whether anybody may ask OPTIONS.
    pub open_options: bool,
}

/// The same, as `front` says. What a browser asks before a request of another origin is answered here.
pub async fn serve_with(
    request: Request,
    front: Front,
    handle: impl AsyncFnOnce(&Context, Inbound) -> Result<Response, Error>,
) -> Response {
    let mut inbound = Inbound::new(request);
    let mut trace = Trace::of(&inbound);
    trace.besides = front.headers;
    trace.besides.extend(cors::headers(&inbound).await);
    if is_preflight(&inbound.method, &inbound.headers) {
        let mut headers = trace.headers();
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.extend(preflight_headers(&inbound.headers));
        }
        return reply::empty(204, &headers);
    }
    let known = match split_token(&inbound.path).filter(|_| front.by_token) {
        token if front.open_options && inbound.method == Method::OPTIONS => {
            if let Some((_, rest)) = token {
                inbound.path = rest;
            }
            App::get().await.map(|app| (anonymous(&app, &inbound, &trace), None, app))
        }
        Some((token, rest)) => {
            let token = token.to_owned();
            inbound.path = rest;
            by_token(&inbound, &trace, &token).await
        }
        None => authenticate(&inbound, &trace).await,
    };
    let (rest, waits) = (inbound.body.rest(), inbound.waits_to_send());
    let may_have_body = !matches!(inbound.method, Method::GET | Method::HEAD);
    let response = match known {
        Ok((caller, reach, app)) => {
            let context = Context { app, caller, reach, trace };
            handle(&context, inbound).await.unwrap_or_else(|error| context.trace.refuse(&error))
        }
        Err(error) => {
            drop(inbound);
            trace.refuse(&error)
        }
    };
    if may_have_body {
        rest.linger(waits);
    }
    response
}

type Known = (Caller, Option<Reach>, Rc<App>);

async fn authenticate(inbound: &Inbound, trace: &Trace) -> Result<Known, Error> {
    let app = App::get().await?;
    let mut caller = anonymous(&app, inbound, trace);
    let identity = app.identity.as_ref().ok_or_else(|| not_given("what verifies tokens"))?;
    caller.principal =
        identity.principal(&inbound.headers, &caller, &app.config.database_url).await?;
    Ok((caller, None, app))
}

/// An upload token says who asks, and no header does.
async fn by_token(inbound: &Inbound, trace: &Trace, token: &str) -> Result<Known, Error> {
    let app = App::get().await?;
    let caller = anonymous(&app, inbound, trace);
    let (caller, reach) = grants::authenticate(&app.config.database_url, token, caller).await?;
    Ok((caller, Some(reach), app))
}

fn anonymous(app: &App, inbound: &Inbound, trace: &Trace) -> Caller {
    let ip = client_addr(&inbound.headers, app.config.trusted_proxies);
    Caller {
        principal: Principal::anonymous(),
        ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        request_id: trace.id.as_str().to_owned(),
        grant: None,
    }
}
