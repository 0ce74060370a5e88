use super::Action;
use crate::Request;

/// Reads an object, or one range of it.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct GetObject<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// One `bytes=` range. SeaweedFS answers several ranges, and any other unit, with everything.
    pub range: Option<&'a str>,
    /// The `Content-Type` of the answer, in place of the stored one.
    pub response_content_type: Option<&'a str>,
    /// The `Content-Disposition` of the answer.
    pub response_content_disposition: Option<&'a str>,
}

impl Action for GetObject<'_> {
    fn request(&self) -> Request<'_> {
        let mut request = Request::on_object("GET", self.bucket, self.key);
        if let Some(range) = self.range {
            request = request.with_header("range", range);
        }
        if let Some(value) = self.response_content_type {
            request = request.with_query("response-content-type", value);
        }
        if let Some(value) = self.response_content_disposition {
            request = request.with_query("response-content-disposition", value);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = GetObject { bucket: "b", key: "é + 1", ..GetObject::default() };
        assert_eq!(wire(&action), "GET /b/%C3%A9%20%2B%201");
        let action = GetObject {
            range: Some("bytes=-5"),
            response_content_type: Some("text/plain; charset=utf-8"),
            response_content_disposition: Some("attachment"),
            ..action
        };
        assert_eq!(
            wire(&action),
            "GET /b/%C3%A9%20%2B%201?response-content-disposition=attachment\
             &response-content-type=text%2Fplain%3B%20charset%3Dutf-8\nrange: bytes=-5"
        );
    }
}
