use quick_xml::de;
use serde::Deserialize;

/// An S3 server's refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("S3 answered {status} {code}: {message}")]
pub struct S3Error {
    /// The HTTP status. An error body may arrive with 200, on copies and completions.
    pub status: u16,
    /// The body's `<Code>`, else the usual code of the status.
    pub code: String,
    /// The body's `<Message>`, for the log; often empty.
    pub message: String,
    /// The body's `<RequestId>`.
    pub request_id: Option<String>,
}

impl S3Error {
    /// Whether the same request, sent again later, may well succeed.
    ///
    /// SeaweedFS says 500 for much that passes: a restart, a volume being grown.
    pub fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
            || matches!(self.code.as_str(), "InternalError" | "RequestTimeout" | "SlowDown")
    }

    /// Whether the object or its bucket does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorBody {
    code: String,
    message: String,
    request_id: Option<String>,
}

/// Reads an answer that is no success: the body's `<Code>` first, the status second.
///
/// Answers to HEAD have no body, and proxies send HTML: both are named by their status.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
pub fn parse_error(status: u16, body: &[u8]) -> S3Error {
    let body: ErrorBody = de::from_reader(body).unwrap_or_default();
    let code = if body.code.is_empty() { code_of_status(status).to_owned() } else { body.code };
    S3Error { status, code, message: body.message, request_id: body.request_id }
}

fn code_of_status(status: u16) -> &'static str {
    match status {
        304 => "NotModified",
        403 => "AccessDenied",
        // A HEAD does not say whether the key or the bucket is missing.
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 => "RequestTimeout",
        409 => "OperationAborted",
        411 => "MissingContentLength",
        412 => "PreconditionFailed",
        413 => "EntityTooLarge",
        416 => "InvalidRange",
        429 | 503 => "SlowDown",
        501 => "NotImplemented",
        400..=499 => "InvalidRequest",
        _ => "InternalError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comes_from_the_body_before_the_status() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>NoSuchKey</Code><Message>a &lt;b&gt; &amp; &#34;c&#34;</Message>
            <Resource>/b/k</Resource><RequestId>1f</RequestId><Key>k</Key></Error>"#;
        assert_eq!(
            parse_error(200, body),
            S3Error {
                status: 200,
                code: "NoSuchKey".into(),
                message: "a <b> & \"c\"".into(),
                request_id: Some("1f".into()),
            }
        );
    }

    #[test]
    fn a_body_without_a_code_is_named_by_its_status() {
        for body in [
            &b""[..],
            b"<html><body>no</body></html>",
            b"\xff",
            b"<Error><Code/></Error>",
            b"<Error>",
        ] {
            let error = parse_error(404, body);
            assert_eq!((error.code.as_str(), error.request_id.as_ref()), ("NotFound", None));
            assert!(error.is_not_found());
        }
        assert_eq!(parse_error(418, b"").code, "InvalidRequest");
        assert_eq!(parse_error(599, b"").code, "InternalError");
    }

    #[test]
    fn transient_is_what_a_retry_may_mend() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(parse_error(status, b"").is_transient(), "{status}");
        }
        for status in [400, 403, 404, 409, 412, 416, 501] {
            assert!(!parse_error(status, b"").is_transient(), "{status}");
        }
        assert!(parse_error(200, b"<Error><Code>SlowDown</Code></Error>").is_transient());
    }
}
