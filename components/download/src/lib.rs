//! `GET|HEAD /v1/download/{bucket}/{key...}`: the bytes of a version, spliced from the store, for whoever the token
//! or the signature of the URL says; `GET|HEAD /s/{token}`: the same by a share link.

mod cache;

use std::rc::Rc;
use std::time::Instant;

use holdfast_core::download::{SANDBOX_CSP, cache_tag};
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::SMALL_BODY_BYTES;
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::ports::{Resolved, Target};
use holdfast_platform::access::{Access, record};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::Wanted;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::outbound::header;
use holdfast_platform::{grants, reply};
use holdfast_web::conditional::{self, ETag, Evaluation, Preconditions, Validators};
use holdfast_web::digests::{REPR_DIGEST, repr_digest};
use holdfast_web::http_date::HttpDate;
use holdfast_web::link::{SHARES, Secret};
use holdfast_web::path::{Query, Target as Path};
use holdfast_web::range::{self, RangeOutcome};
use holdfast_web::signed_url::SignedUrl;
use holdfast_web::{disposition, metadata};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use time::OffsetDateTime;
use wasip3::http::types::{Request, Response};

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

const ROUTE: &str = "/v1/download/";

/// The longest User-Agent that is kept, in characters.
const USER_AGENT_CHARS: usize = 255;

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, download).await
}

async fn download(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    inbound.allow(&["GET", "HEAD"])?;
    if inbound.path.starts_with(SHARES) {
        return share(context, &inbound).await;
    }
    let path = Path::parse(&inbound.path, ROUTE)?;
    let query = Query::parse(Some(&inbound.query))?;
    let asked = Asked {
        bucket: BucketName::parse(&path.bucket)?,
        key: ObjectKey::parse(&path.key)?,
        version: query.get("version")?.map(VersionId::parse).transpose()?,
        save_as: query.get("download")?.map(str::to_owned),
        head_only: inbound.method == Method::HEAD,
    };
    let mut served = Served::default();
    let (grant, answer) = match signed(context, &query, &path) {
        Ok(grant) => {
            let answer = asked.answer(context, &inbound, grant.as_ref(), &mut served).await;
            (grant, answer)
        }
        Err(error) => (None, Err(error)),
    };
    Ok(finish(context, &inbound, &asked, served, grant, answer))
}

/// `GET|HEAD /s/{token}`: what a share link gives. Every link that gives nothing looks like every other.
async fn share(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let nothing =
        || Error::new(Code::NoSuchKey, "There is nothing behind this link, or not any more");
    let secret = inbound.path.strip_prefix(SHARES).and_then(Secret::parse).ok_or_else(nothing)?;
    let head_only = inbound.method == Method::HEAD;
    let url = &context.app.config.database_url;
    let used = grants::use_share(url, secret, !head_only, &context.caller).await;
    let shared =
        used.map_err(|error| if error.code == Code::NoSuchKey { nothing() } else { error })?;
    let asked = Asked {
        bucket: shared.bucket,
        key: shared.key,
        version: None,
        save_as: shared.save_as,
        head_only,
    };
    let mut served = Served::default();
    let answer = asked.respond(context, inbound, &shared.file, None, &mut served).await;
    let grant = Grant { id: shared.grant, max_age: None };
    Ok(finish(context, inbound, &asked, served, Some(grant), answer))
}

/// Writes down what was answered.
fn finish(
    context: &Context,
    inbound: &Inbound,
    asked: &Asked,
    mut served: Served,
    grant: Option<Grant>,
    answer: Result<Response, Error>,
) -> Response {
    let (response, outcome, rule) = match answer {
        Ok(response) => (response, "ok", None),
        Err(error) => {
            served.bytes = 0;
            (context.trace.refuse(&error), error.code.as_str(), error.rule)
        }
    };
    record(
        &context.app.config.database_url,
        Access {
            bucket: asked.bucket.to_string(),
            key: asked.key.to_string(),
            version: served.version,
            sub: context.caller.principal.sub.clone(),
            method: inbound.method.to_string(),
            status: response.get_status_code(),
            bytes: served.bytes,
            outcome,
            rule,
            ip: context.caller.ip.clone(),
            request_id: context.caller.request_id.clone(),
            user_agent: inbound
                .header("user-agent")
                .map(|agent| agent.chars().take(USER_AGENT_CHARS).collect())
                .unwrap_or_default(),
            grant_id: grant.map(|grant| grant.id),
        },
    );
    response
}

/// What was served, for the count.
#[derive(Default)]
struct Served {
    version: Option<String>,
    bytes: u64,
}

/// What is asked for.
struct Asked {
    bucket: BucketName,
    key: ObjectKey,
    version: Option<VersionId>,
    save_as: Option<String>,
    head_only: bool,
}

/// A URL whose signature is good.
struct Grant {
    id: String,
    /// How long caches may keep the answer, in seconds, if they may.
    max_age: Option<i64>,
}

/// Looks at the signature, before anything is asked of the database.
fn signed(context: &Context, query: &Query, path: &Path) -> Result<Option<Grant>, Error> {
    let Some((url, signature)) = SignedUrl::of_get(query, &path.bucket, &path.key)? else {
        return Ok(None);
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    url.verify(signature, context.app.url_secret()?, now, &context.caller.ip)?;
    let max_age = url.cacheable.then_some(url.expires - now);
    Ok(Some(Grant { id: url.id.to_owned(), max_age }))
}

impl Asked {
    async fn answer(
        &self,
        context: &Context,
        inbound: &Inbound,
        grant: Option<&Grant>,
        served: &mut Served,
    ) -> Result<Response, Error> {
        let file = self.resolve(context, inbound, grant).await?;
        let max_age = grant.and_then(|grant| grant.max_age);
        self.respond(context, inbound, &file, max_age, served).await
    }

    /// Answers with a version, or the part of it that is asked for.
    async fn respond(
        &self,
        context: &Context,
        inbound: &Inbound,
        file: &Resolved,
        max_age: Option<i64>,
        served: &mut Served,
    ) -> Result<Response, Error> {
        served.version = Some(file.version.to_string());

        let validators = Validators {
            etag: ETag::strong(&file.etag),
            last_modified: HttpDate::from_unix(file.last_modified()),
        };
        let mut headers = self.headers(context, file, &validators)?;
        if let Some(seconds) = max_age {
            let kept = format!("public, max-age={seconds}");
            headers.insert(CACHE_CONTROL, HeaderValue::try_from(kept).map_err(Error::internal)?);
        }
        let preconditions = Preconditions::from_headers(&inbound.headers)?;
        match preconditions.evaluate(&inbound.method, Some(&validators)) {
            Evaluation::Proceed => {}
            Evaluation::NotModified => {
                for name in [CONTENT_TYPE, CONTENT_DISPOSITION, ACCEPT_RANGES] {
                    headers.remove(name);
                }
                return Ok(reply::empty(304, &headers));
            }
            Evaluation::PreconditionFailed => {
                return Err(Error::new(
                    Code::PreconditionFailed,
                    "The current version is not the one that the request names",
                ));
            }
        }
        if self.head_only {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(file.size));
            return Ok(reply::empty(200, &headers));
        }
        let range = if conditional::range_applies(&inbound.headers, &validators) {
            range::parse(range::header(&inbound.headers), file.size)
        } else {
            RangeOutcome::Full
        };
        if range == RangeOutcome::Unsatisfiable {
            let message = format!("The object has {} bytes; ask for a range within it", file.size);
            return Err(Error::new(Code::InvalidRange, message).size(file.size));
        }
        if let Some(part) = range.content_range(file.size) {
            headers.insert(CONTENT_RANGE, HeaderValue::try_from(part).map_err(Error::internal)?);
        }
        served.bytes = range.content_length(file.size);
        self.send(context, file, range, headers).await
    }

    /// Finds the version. What anybody may read is asked for once a second, unless the client wants it fresh.
    async fn resolve(
        &self,
        context: &Context,
        inbound: &Inbound,
        grant: Option<&Grant>,
    ) -> Result<Rc<Resolved>, Error> {
        let anybody = grant.is_none()
            && context.caller.principal.is_anonymous()
            && self.version.is_none()
            && !inbound.headers.contains_key(CACHE_CONTROL);
        if anybody && let Some(file) = cache::public(|kept| kept.get(&inbound.path)) {
            return Ok(file);
        }
        let since = Instant::now();
        let wanted = Wanted {
            bucket: &self.bucket,
            key: &self.key,
            version: self.version,
            grant: grant.map(|grant| grant.id.as_str()),
        };
        let file = Rc::new(context.app.resolve(&context.caller.principal, &wanted).await?);
        if anybody && file.public {
            cache::public(|kept| kept.keep(inbound.path.clone(), since, Rc::clone(&file)));
        }
        Ok(file)
    }

    /// The headers of a 200, 206 or 304.
    fn headers(
        &self,
        context: &Context,
        file: &Resolved,
        validators: &Validators,
    ) -> Result<HeaderMap, Error> {
        let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
        let mut headers = context.headers();
        headers.insert(CONTENT_TYPE, text(file.content_type.clone())?);
        headers.insert(ETAG, text(validators.etag.to_string())?);
        headers.insert(LAST_MODIFIED, text(validators.last_modified.to_string())?);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, text(file.cache_control().into_owned())?);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers
            .insert(HeaderName::from_static("x-amz-version-id"), text(file.version.to_string())?);
        if let Some(crc) = &file.crc64nvme {
            headers.insert(HeaderName::from_static("x-amz-checksum-crc64nvme"), text(crc.clone())?);
        }
        if let Some(value) = repr_digest(file.digests.sha256.as_ref(), file.digests.sha512.as_ref())
        {
            headers.insert(REPR_DIGEST, value);
        }
        if let Some(language) = &file.headers.content_language {
            headers.insert(CONTENT_LANGUAGE, text(language.clone())?);
        }
        if file.public {
            headers.insert(CACHE_TAG, text(cache_tag(&self.bucket, &self.key))?);
        }
        let own_name = || Resolved::file_name(self.key.as_str());
        match (&self.save_as, &file.headers.content_disposition) {
            (Some(name), _) => {
                let name = if name.is_empty() { own_name() } else { name };
                headers.insert(CONTENT_DISPOSITION, disposition::attachment(name));
            }
            // Whatever its uploader says: a page must not run here.
            (None, _) if file.is_active_content() => {
                headers.insert(CONTENT_DISPOSITION, disposition::attachment(own_name()));
            }
            (None, Some(stored)) => {
                headers.insert(CONTENT_DISPOSITION, text(stored.clone())?);
            }
            (None, None) => {}
        }
        if file.is_active_content() {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX_CSP));
        }
        metadata::to_headers(&file.user_metadata, &mut headers);
        Ok(headers)
    }

    /// Sends the bytes: small ones from memory, in one write; others host to host.
    async fn send(
        &self,
        context: &Context,
        file: &Resolved,
        range: RangeOutcome,
        mut headers: HeaderMap,
    ) -> Result<Response, Error> {
        let status = if range == RangeOutcome::Full { 200 } else { 206 };
        let length = range.content_length(file.size);
        if length == 0 {
            return Ok(reply::bytes(status, headers, Vec::new()));
        }
        let at = Target { bucket: self.bucket.as_str(), s3_key: &file.s3_key };
        let wanted = range.to_header();
        let blobs = context.app.blobs()?;
        if file.size <= SMALL_BODY_BYTES {
            let body = small(&blobs, at, file).await?;
            return Ok(reply::bytes(status, headers, range.part_of(&body).to_vec()));
        }
        if length <= SMALL_BODY_BYTES {
            let limit = SMALL_BODY_BYTES as usize;
            let body = blobs.read(at, wanted.as_deref(), limit).await.map_err(lost)?;
            return Ok(reply::bytes(status, headers, whole(body, length)?));
        }
        let upstream = blobs.open(at, wanted.as_deref()).await.map_err(lost)?;
        let promised = header(&upstream.get_headers(), "content-length");
        if upstream.get_status_code() != status || promised != Some(length.to_string()) {
            return Err(lost(Error::unavailable(
                "The object store",
                "another range than asked for",
            )));
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        Ok(reply::spliced(status, &headers, upstream))
    }
}

/// The whole body of a small version, from this instance or from the store.
async fn small(blobs: &S3Blobs<'_>, at: Target<'_>, file: &Resolved) -> Result<Rc<Vec<u8>>, Error> {
    if let Some(body) = cache::body(file.version) {
        return Ok(body);
    }
    let body = blobs.read(at, None, SMALL_BODY_BYTES as usize).await.map_err(lost)?;
    let body = Rc::new(whole(body, file.size)?);
    cache::keep_body(file.version, Rc::clone(&body));
    Ok(body)
}

/// As long as it was promised, or not at all.
fn whole(body: Vec<u8>, length: u64) -> Result<Vec<u8>, Error> {
    if body.len() as u64 == length {
        return Ok(body);
    }
    Err(lost(Error::unavailable("The object store", "another length than stored")))
}

/// A version that resolved has its bytes; where they are missing the client may only try again.
fn lost(error: Error) -> Error {
    if error.code == Code::NoSuchKey {
        return Error::unavailable("The object store", error);
    }
    error
}
