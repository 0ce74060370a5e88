use quick_xml::{DeError, de};
use serde::Deserialize;

use super::{Action, CorsRule};
use crate::Request;

/// Tells which pages of other origins may use a bucket; 404 `NoSuchCORSConfiguration` where nothing was said.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketCors.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct GetBucketCors<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

impl Action for GetBucketCors<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("GET", self.bucket).with_query("cors", "")
    }
}

#[derive(Deserialize)]
struct CorsConfiguration {
    // Required: without one an error's body would read as a bucket without rules.
    #[serde(rename = "CORSRule")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(default)]
    allowed_origin: Vec<String>,
    #[serde(default)]
    allowed_method: Vec<String>,
    #[serde(default)]
    allowed_header: Vec<String>,
    #[serde(default)]
    expose_header: Vec<String>,
    max_age_seconds: Option<u32>,
}

impl GetBucketCors<'_> {
    /// Reads the body of a 200: the rules in their order.
    ///
    /// # Errors
    /// The body is no such configuration.
    pub fn parse(body: &[u8]) -> Result<Vec<CorsRule>, DeError> {
        let configuration: CorsConfiguration = de::from_reader(body)?;
        let rule = |rule: Rule| CorsRule {
            allowed_origins: rule.allowed_origin,
            allowed_methods: rule.allowed_method,
            allowed_headers: rule.allowed_header,
            expose_headers: rule.expose_header,
            max_age_seconds: rule.max_age_seconds,
        };
        Ok(configuration.rules.into_iter().map(rule).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PutBucketCors;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        assert_eq!(wire(&GetBucketCors { bucket: "b" }), "GET /b?cors=");
    }

    #[test]
    fn what_is_no_configuration_is_never_an_empty_one() {
        for body in [&b""[..], b"<Error><Code>SlowDown</Code></Error>", b"<CORSConfiguration>"] {
            assert!(GetBucketCors::parse(body).is_err(), "{}", body.escape_ascii());
        }
        let interleaved =
            b"<CORSConfiguration><CORSRule><ID>x</ID><AllowedOrigin>a</AllowedOrigin>\
            <AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";
        let rules = GetBucketCors::parse(interleaved).unwrap();
        assert_eq!(rules[0].allowed_origins, ["a"]);
        assert_eq!((rules.len(), rules[0].max_age_seconds), (1, None));
    }

    proptest! {
        #[test]
        fn rules_are_read_as_they_were_written(
            rules in prop::collection::vec(
                (prop::collection::vec("[!-~]{1,20}", 1..4), prop::option::of(0..9_u32)), 1..4)
        ) {
            let rule = |(values, age): (Vec<String>, Option<u32>)| CorsRule {
                allowed_origins: values.clone(),
                allowed_methods: values.clone(),
                allowed_headers: values.clone(),
                expose_headers: values,
                max_age_seconds: age,
            };
            let rules: Vec<_> = rules.into_iter().map(rule).collect();
            let body = PutBucketCors::body(&rules);
            prop_assert_eq!(GetBucketCors::parse(body.as_bytes()).unwrap(), rules);
        }
    }
}
