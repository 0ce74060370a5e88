use quick_xml::escape::escape;

use super::Action;
use crate::Request;

/// Says which pages of other origins may use a bucket; what was said before is gone.
///
/// Its body is [`PutBucketCors::body`]. AWS wants the body's digest in a header besides, SeaweedFS does not.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct PutBucketCors<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

/// What pages of some origins may do. The first rule of a bucket that has the page's origin counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsRule {
    /// The origins; `*` is any, and `https://*.example.org` any name below it. Servers take no rule without one.
    pub allowed_origins: Vec<String>,
    /// Of GET, HEAD, PUT, POST and DELETE, in capitals.
    pub allowed_methods: Vec<String>,
    /// The headers that a request may have; `*` is any.
    pub allowed_headers: Vec<String>,
    /// What a page may read of an answer, besides what it always may.
    pub expose_headers: Vec<String>,
    /// How long a browser may keep the answer to a preflight, in seconds.
    pub max_age_seconds: Option<u32>,
}

impl Action for PutBucketCors<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("PUT", self.bucket)
            .with_query("cors", "")
            .with_body()
            .with_header("content-type", "application/xml")
    }
}

impl PutBucketCors<'_> {
    /// The body: all rules of the bucket, of which there is at least one.
    #[must_use]
    pub fn body(rules: &[CorsRule]) -> String {
        let rules: String = rules.iter().map(rule).collect();
        format!(
            "<CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rules}</CORSConfiguration>"
        )
    }
}

fn rule(rule: &CorsRule) -> String {
    let age = rule.max_age_seconds.map(|seconds| seconds.to_string());
    let fields = [
        elements("AllowedHeader", &rule.allowed_headers),
        elements("AllowedMethod", &rule.allowed_methods),
        elements("AllowedOrigin", &rule.allowed_origins),
        elements("ExposeHeader", &rule.expose_headers),
        elements("MaxAgeSeconds", age.as_slice()),
    ];
    format!("<CORSRule>{}</CORSRule>", fields.concat())
}

fn elements(name: &str, values: &[String]) -> String {
    values.iter().map(|value| format!("<{name}>{}</{name}>", escape(value.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        assert_eq!(
            wire(&PutBucketCors { bucket: "b" }),
            "PUT /b?cors=\ncontent-type: application/xml\nx-amz-content-sha256: UNSIGNED-PAYLOAD"
        );
    }

    #[test]
    fn the_body_has_all_that_was_said_and_nothing_else() {
        let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let rule = CorsRule {
            allowed_origins: list(&["https://a.example.org", "https://*.b&c"]),
            allowed_methods: list(&["GET", "PUT"]),
            allowed_headers: list(&["*"]),
            expose_headers: list(&["ETag"]),
            max_age_seconds: Some(60),
        };
        assert_eq!(
            PutBucketCors::body(&[rule, CorsRule::default()]),
            "<CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><CORSRule>\
             <AllowedHeader>*</AllowedHeader><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
             <AllowedOrigin>https://a.example.org</AllowedOrigin><AllowedOrigin>https://*.b&amp;c</AllowedOrigin>\
             <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
             <CORSRule></CORSRule></CORSConfiguration>"
        );
    }
}
