//! Conditional requests: entity tags, dates, and the order in which they are asked.
//!
//! Spec: RFC 9110, sections 8.8 and 13.

use std::fmt;

use holdfast_core::error::{Code, Error};
use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::header;
use crate::http_date::HttpDate;

/// The longest list of entity tags that SQL is given, in bytes: it compares them under a lock, and keeps them.
const MAX_LIST_BYTES: usize = 8_192;

/// An entity tag.
///
/// The opaque part is kept as one `char` a byte: the grammar allows bytes above ASCII that are no
/// UTF-8, and such a tag must be skipped rather than refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag {
    weak: bool,
    opaque: String,
}

impl ETag {
    /// The strong tag of a stored digest, which has no quotes; a character that no tag may have is
    /// left out.
    #[must_use]
    pub fn strong(opaque: &str) -> Self {
        let visible = |c: &char| c.is_ascii_graphic() && *c != '"';
        Self { weak: false, opaque: opaque.chars().filter(visible).collect() }
    }

    /// Parses `"opaque"` or `W/"opaque"`; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        match quoted_tag(text)? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// Whether both are strong and the same (section 8.8.3.2).
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Whether they are the same, strong or weak (section 8.8.3.2).
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

impl fmt::Display for ETag {
    /// As a header carries it, with quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

/// The value of If-Match or If-None-Match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any current representation.
    Any,
    /// One or more tags.
    List(Vec<ETag>),
}

impl EntityTags {
    /// Parses the value of one header line.
    ///
    /// A single tag without quotes is taken as a strong one: S3 clients send it so, and S3 takes it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        match text {
            b"*" => Some(Self::Any),
            _ if is_bare(text) => {
                Some(Self::List(vec![ETag { weak: false, opaque: latin1(text) }]))
            }
            _ => tag_list(text).map(Self::List),
        }
    }

    /// The list in its one spelling, as SQL compares it.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: longer than SQL keeps.
    pub fn canonical(&self) -> Result<String, Error> {
        let list = self.to_string();
        if list.len() > MAX_LIST_BYTES {
            let message = format!("If-Match and If-None-Match have at most {MAX_LIST_BYTES} bytes");
            return Err(Error::new(Code::InvalidArgument, message));
        }
        Ok(list)
    }

    /// Whether one of them is `current`, as If-None-Match compares.
    #[must_use]
    pub fn match_weakly(&self, current: &ETag) -> bool {
        self.matches(Some(current), ETag::weak_eq)
    }

    fn matches(&self, current: Option<&ETag>, equal: fn(&ETag, &ETag) -> bool) -> bool {
        let Some(current) = current else { return false };
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| equal(tag, current)),
        }
    }
}

impl fmt::Display for EntityTags {
    /// In one spelling: `*`, or the tags with quotes, separated by `, `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::List(tags) => {
                let tags: Vec<_> = tags.iter().map(ETag::to_string).collect();
                f.write_str(&tags.join(", "))
            }
        }
    }
}

/// What a condition is asked of: the current representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// Its entity tag.
    pub etag: ETag,
    /// When it became current.
    pub last_modified: HttpDate,
}

/// What the conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// Do what the request asks.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    PreconditionFailed,
}

/// The conditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// If-Match.
    pub if_match: Option<EntityTags>,
    /// If-None-Match.
    pub if_none_match: Option<EntityTags>,
    /// If-Modified-Since.
    pub if_modified_since: Option<HttpDate>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<HttpDate>,
}

impl Preconditions {
    /// Reads the conditions of a request. A malformed date is ignored, as the RFC says.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](holdfast_core::error::Code::InvalidArgument): a malformed list of
    /// tags. To ignore it would run a conditional write without its condition.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Error> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH)?,
            if_none_match: tags(headers, &IF_NONE_MATCH)?,
            if_modified_since: date(headers, &IF_MODIFIED_SINCE),
            if_unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
        })
    }

    /// Asks the conditions in the order of section 13.2.2; `current` is `None` where nothing is
    /// stored.
    #[must_use]
    pub fn evaluate(&self, method: &Method, current: Option<&Validators>) -> Evaluation {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let etag = current.map(|validators| &validators.etag);
        let modified = current.map(|validators| validators.last_modified);

        let unchanged = match (&self.if_match, self.if_unmodified_since, modified) {
            (Some(tags), _, _) => tags.matches(etag, ETag::strong_eq),
            (None, Some(date), Some(modified)) => modified <= date,
            (None, _, _) => true,
        };
        if !unchanged {
            return Evaluation::PreconditionFailed;
        }
        match (&self.if_none_match, self.if_modified_since, modified) {
            (Some(tags), _, _) if tags.matches(etag, ETag::weak_eq) => {
                if is_read {
                    Evaluation::NotModified
                } else {
                    Evaluation::PreconditionFailed
                }
            }
            (None, Some(date), Some(modified)) if is_read && modified <= date => {
                Evaluation::NotModified
            }
            _ => Evaluation::Proceed,
        }
    }
}

/// Whether a Range header is to be honoured, as far as If-Range decides it (section 13.1.5).
///
/// Without If-Range it is. A date counts only if it is the very Last-Modified: a client may send
/// one only if it had seen the file at least a second after that date, so no two versions share it.
#[must_use]
pub fn range_applies(headers: &HeaderMap, current: &Validators) -> bool {
    let mut values = headers.get_all(IF_RANGE).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return true,
        (Some(value), None) => value.as_bytes().trim_ascii(),
        _ => return false,
    };
    if let Some(tag) = ETag::parse(value) {
        return tag.strong_eq(&current.etag);
    }
    let date = std::str::from_utf8(value).ok().and_then(HttpDate::parse);
    date == Some(current.last_modified)
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EntityTags>, Error> {
    let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    // Several lines are one list (section 5.3).
    let joined = lines.join(&b", "[..]);
    let tags = EntityTags::parse(&joined)
        .ok_or_else(|| header::malformed(name, "is `*` or a list of entity tags in quotes"))?;
    Ok(Some(tags))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    header::single(headers, name).ok().flatten().and_then(HttpDate::parse)
}

/// A list of tags in quotes; empty elements are allowed, an empty list is not.
fn tag_list(mut rest: &[u8]) -> Option<Vec<ETag>> {
    let mut tags = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => break,
            [b',', after @ ..] => rest = after,
            _ => {
                let (tag, after) = quoted_tag(rest)?;
                tags.push(tag);
                rest = after.trim_ascii_start();
                if !matches!(rest, [] | [b',', ..]) {
                    return None;
                }
            }
        }
    }
    (!tags.is_empty()).then_some(tags)
}

/// The tag that `text` begins with, and what follows it.
fn quoted_tag(text: &[u8]) -> Option<(ETag, &[u8])> {
    let (weak, text) = match text {
        [b'W', b'/', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let inner = text.strip_prefix(b"\"")?;
    let end = inner.iter().position(|&b| b == b'"')?;
    let (opaque, rest) = (&inner[..end], &inner[end + 1..]);
    let is_etagc = |b: &u8| matches!(b, 0x21 | 0x23..=0x7e | 0x80..=0xff);
    opaque.iter().all(is_etagc).then(|| (ETag { weak, opaque: latin1(opaque) }, rest))
}

/// A tag without quotes, as the digests that S3 uses for tags look.
fn is_bare(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
#[path = "conditional_tests.rs"]
mod tests;
