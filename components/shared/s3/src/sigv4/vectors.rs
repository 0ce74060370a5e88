//! The examples that AWS publishes with every intermediate result.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html> and, the last,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>

use super::{CanonicalRequest, EMPTY_PAYLOAD, Headers, UNSIGNED_PAYLOAD};

pub(crate) const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const TIMESTAMP: &str = "20130524T000000Z";
pub(crate) const HOST: &str = "examplebucket.s3.amazonaws.com";
/// The SHA-256 of "Welcome to Amazon S3.".
pub(crate) const WELCOME_PAYLOAD: &str =
    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";

pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// Without `host`, and without `x-amz-content-sha256` and `x-amz-date`, which all but the
    /// presigned one sign too.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) payload_hash: &'static str,
    pub(crate) canonical_request: &'static str,
    pub(crate) canonical_request_hash: &'static str,
    pub(crate) signature: &'static str,
    pub(crate) presigned: bool,
}

pub(crate) const VECTORS: [Vector; 5] = [
    Vector {
        name: "GET Object",
        method: "GET",
        path: "/test.txt",
        query: &[],
        headers: &[("Range", "bytes=0-9")],
        payload_hash: EMPTY_PAYLOAD,
        canonical_request: "GET
/test.txt

host:examplebucket.s3.amazonaws.com
range:bytes=0-9
x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-amz-date:20130524T000000Z

host;range;x-amz-content-sha256;x-amz-date
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_request_hash: "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
        signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        presigned: false,
    },
    Vector {
        name: "PUT Object",
        method: "PUT",
        path: "/test$file.text",
        query: &[],
        headers: &[
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
        ],
        payload_hash: WELCOME_PAYLOAD,
        canonical_request: "PUT
/test%24file.text

date:Fri, 24 May 2013 00:00:00 GMT
host:examplebucket.s3.amazonaws.com
x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072
x-amz-date:20130524T000000Z
x-amz-storage-class:REDUCED_REDUNDANCY

date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class
44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        canonical_request_hash: "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
        signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        presigned: false,
    },
    Vector {
        name: "GET Bucket Lifecycle",
        method: "GET",
        path: "/",
        query: &[("lifecycle", "")],
        headers: &[],
        payload_hash: EMPTY_PAYLOAD,
        canonical_request: "GET
/
lifecycle=
host:examplebucket.s3.amazonaws.com
x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-amz-date:20130524T000000Z

host;x-amz-content-sha256;x-amz-date
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_request_hash: "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
        signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        presigned: false,
    },
    Vector {
        name: "GET Bucket (List Objects)",
        method: "GET",
        path: "/",
        query: &[("prefix", "J"), ("max-keys", "2")],
        headers: &[],
        payload_hash: EMPTY_PAYLOAD,
        canonical_request: "GET
/
max-keys=2&prefix=J
host:examplebucket.s3.amazonaws.com
x-amz-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-amz-date:20130524T000000Z

host;x-amz-content-sha256;x-amz-date
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_request_hash: "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
        signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        presigned: false,
    },
    Vector {
        name: "GET Object, presigned",
        method: "GET",
        path: "/test.txt",
        query: &[
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Expires", "86400"),
            ("X-Amz-Date", TIMESTAMP),
            ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ],
        headers: &[],
        payload_hash: UNSIGNED_PAYLOAD,
        canonical_request: "GET
/test.txt
X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host
host:examplebucket.s3.amazonaws.com

host
UNSIGNED-PAYLOAD",
        canonical_request_hash: "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04",
        signature: "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        presigned: true,
    },
];

impl Vector {
    /// All the headers that the example signs.
    pub(crate) fn signed_headers(&self) -> Headers<'_> {
        let mut headers = Headers::new();
        headers.set("host", HOST.into());
        if !self.presigned {
            headers.set("x-amz-content-sha256", self.payload_hash.into());
            headers.set("x-amz-date", TIMESTAMP.into());
        }
        for (name, value) in self.headers {
            headers.set(name, (*value).into());
        }
        headers
    }

    pub(crate) fn string_to_sign(&self) -> String {
        format!(
            "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{}",
            self.canonical_request_hash
        )
    }
}

/// Calls `check` with the input of step 1.
pub(crate) fn with_request(vector: &Vector, check: impl FnOnce(&CanonicalRequest<'_>)) {
    check(&CanonicalRequest {
        method: vector.method,
        path: &super::uri_encode_path(vector.path).to_string(),
        query: &super::canonical_query(vector.query),
        headers: &vector.signed_headers(),
        payload_hash: vector.payload_hash,
    });
}
