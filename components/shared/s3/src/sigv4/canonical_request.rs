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

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::sigv4::vectors::{VECTORS, with_request};

    #[test]
    fn aws_vectors() {
        for vector in &VECTORS {
            with_request(vector, |request| {
                assert_eq!(canonical_request(request), vector.canonical_request, "{}", vector.name);
            });
        }
    }

    #[test]
    fn a_value_is_trimmed_and_its_spaces_are_one() {
        let mut out = String::new();
        push_trimmed(&mut out, " \ta  b \u{3000} c\u{a0}");
        assert_eq!(out, "a b c");
    }

    #[test]
    fn a_query_is_sorted_as_it_is_encoded() {
        // Raw, 'é' is the last of them.
        let pairs = [("a", "2"), ("é", ""), ("a", "1"), ("a-b", "x y"), ("B", "+")];
        assert_eq!(canonical_query(&pairs), "%C3%A9=&B=%2B&a=1&a=2&a-b=x%20y");
        assert_eq!(canonical_query::<&str, &str>(&[]), "");
    }

    fn decoded(query: &str) -> Vec<(String, String)> {
        let text = |part| percent_decode_str(part).decode_utf8().unwrap().into_owned();
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    proptest! {
        #[test]
        fn query_order_does_not_depend_on_the_input(
            (pairs, shuffled) in prop::collection::vec(any::<(String, String)>(), 0..8)
                .prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))
        ) {
            let query = canonical_query(&pairs);
            prop_assert_eq!(&query, &canonical_query(&shuffled));

            let encoded: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
            prop_assert!(encoded.is_sorted(), "{query}");

            let (mut found, mut expected) = (decoded(&query), pairs);
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
