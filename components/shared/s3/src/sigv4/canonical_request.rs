use super::{Headers, uri_encode};

/// What step 1 takes. `path` and `query` are already encoded, as they are sent.
pub(crate) struct CanonicalRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a Headers<'a>,
    pub(crate) payload_hash: &'a str,
}

/// Step 1: the request in the one form that both sides can rebuild.
pub(crate) fn canonical_request(request: &CanonicalRequest<'_>) -> String {
    let mut out = String::with_capacity(512 + request.path.len() + request.query.len());
    for line in [request.method, request.path, request.query] {
        out.push_str(line);
        out.push('\n');
    }
    for (name, value) in request.headers.iter() {
        out.push_str(name);
        out.push(':');
        push_trimmed(&mut out, value);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&request.headers.names());
    out.push('\n');
    out.push_str(request.payload_hash);
    out
}

/// Trims a header's value and makes one space of several. Servers in the line of SeaweedFS take
/// Unicode's spaces for spaces too.
fn push_trimmed(out: &mut String, value: &str) {
    for (n, word) in value.split_whitespace().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
}

/// The query in canonical form, which is also the form that is sent: encoded first, then sorted; a
/// name without a value keeps its `=`.
pub(crate) fn canonical_query<N: AsRef<str>, V: AsRef<str>>(parameters: &[(N, V)]) -> String {
    let mut pairs: Vec<(String, String)> = parameters
        .iter()
        .map(|(name, value)| (encoded(name.as_ref()), encoded(value.as_ref())))
        .collect();
    pairs.sort_unstable();
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&name);
        out.push('=');
        out.push_str(&value);
    }
    out
}

fn encoded(text: &str) -> String {
    uri_encode(text).to_string()
}
