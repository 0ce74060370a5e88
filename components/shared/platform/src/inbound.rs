//! The head of a request that came in.

use holdfast_core::error::{Code, Error};
use http::{HeaderMap, Method};
use wasip3::http::types::{Method as WasiMethod, Request};

use crate::body::InboundBody;
use crate::outbound::header_map;

/// A request: its head, and its body still untouched.
pub struct Inbound {
    /// The method.
    pub method: Method,
    /// The host and port by which the client came; empty if nobody says.
    pub host: String,
    /// The path as it was sent, still percent-encoded.
    pub path: String,
    /// The query as it was sent, without `?`; empty if there is none.
    pub query: String,
    /// The headers; values that are no valid header values are left out.
    pub headers: HeaderMap,
    /// The body.
    pub body: InboundBody,
}

impl Inbound {
    /// Reads the head.
    #[must_use]
    pub fn new(request: Request) -> Self {
        let method = match request.get_method() {
            WasiMethod::Get => Method::GET,
            WasiMethod::Head => Method::HEAD,
            WasiMethod::Post => Method::POST,
            WasiMethod::Put => Method::PUT,
            WasiMethod::Delete => Method::DELETE,
            WasiMethod::Connect => Method::CONNECT,
            WasiMethod::Options => Method::OPTIONS,
            WasiMethod::Trace => Method::TRACE,
            WasiMethod::Patch => Method::PATCH,
            // No route answers TRACE either, so a name that is none is refused by its route.
            WasiMethod::Other(name) => Method::from_bytes(name.as_bytes()).unwrap_or(Method::TRACE),
        };
        let host = request.get_authority();
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers = header_map(&request.get_headers());
        // Which of the two it is, is the host's affair.
        let host = host.or_else(|| {
            let host = headers.get(http::header::HOST)?;
            host.to_str().ok().map(str::to_owned)
        });
        Self {
            method,
            host: host.unwrap_or_default(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: InboundBody::new(request),
        }
    }

    /// A header as text, if it was sent and is readable.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the client sends its body only when it is told to: `Expect: 100-continue`.
    #[must_use]
    pub fn waits_to_send(&self) -> bool {
        self.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    }

    /// The Content-Length.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: it is not a number.
    pub fn content_length(&self) -> Result<Option<u64>, Error> {
        self.header("content-length")
            .map(|length| {
                length.parse().map_err(|_| {
                    Error::new(Code::InvalidArgument, "Content-Length is a number of bytes")
                })
            })
            .transpose()
    }

    /// Refuses every method but these.
    ///
    /// # Errors
    /// [`Code::MethodNotAllowed`], naming the methods that are allowed.
    pub fn allow(&self, methods: &'static [&'static str]) -> Result<(), Error> {
        if methods.contains(&self.method.as_str()) {
            return Ok(());
        }
        Err(Error::new(
            Code::MethodNotAllowed,
            format!("This route answers {}, not {}", methods.join(", "), self.method),
        )
        .allow(methods))
    }
}
