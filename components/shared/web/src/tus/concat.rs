//! `Upload-Concat`: whether an upload is a piece of a later one, or made of pieces.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_CONCAT;
use holdfast_core::names::VersionId;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat {
    /// `partial`
    Partial,
    /// `final;url url ...`
    Final(Vec<Upload>),
}

/// An upload by its URL, absolute or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: VersionId,
    /// As the client wrote it.
    pub url: String,
}

impl Concat {
    /// Reads the header's value.
    ///
    /// Only the last segment of a URL counts: an upload is looked up here, wherever the URL leads.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: neither of the two, a URL without an upload's id, none, or more than [`MAX_CONCAT`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(Code::InvalidArgument, message);
        let text = text.trim();
        if text == "partial" {
            return Ok(Self::Partial);
        }
        let urls = text.strip_prefix("final;").ok_or_else(|| {
            invalid("Upload-Concat is partial, or final; and the URLs of the pieces".to_owned())
        })?;
        let mut uploads = Vec::new();
        for url in urls.split(' ').filter(|url| !url.is_empty()) {
            if uploads.len() == MAX_CONCAT {
                return Err(invalid(format!("Upload-Concat has at most {MAX_CONCAT} pieces")));
            }
            let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
            let id = path.rsplit('/').next().and_then(|id| VersionId::parse(id).ok());
            let id = id.ok_or_else(|| invalid(format!("{url:?} is the URL of no upload")))?;
            uploads.push(Upload { id, url: url.to_owned() });
        }
        if uploads.is_empty() {
            return Err(invalid("Upload-Concat: final names the URLs of its pieces".to_owned()));
        }
        Ok(Self::Final(uploads))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";

    #[test]
    fn urls_are_absolute_or_paths() {
        assert_eq!(Concat::parse(" partial ").expect("one"), Concat::Partial);
        let text = format!("final;/v1/tus/{ID} https://files.example/a/v1/t/x/tus/{ID}?y ");
        let Concat::Final(uploads) = Concat::parse(&text).expect("two") else { panic!("final") };
        assert_eq!(uploads.len(), 2);
        assert!(uploads.iter().all(|upload| upload.id.to_string() == ID));
        assert_eq!(uploads[0].url, format!("/v1/tus/{ID}"));
    }

    #[test]
    fn what_names_no_upload_is_refused() {
        let many = format!("final;{}", format!("/{ID} ").repeat(MAX_CONCAT + 1));
        for text in ["", "final", "final;", "final; ", "final;/v1/tus/x", "Partial", &many] {
            assert_eq!(Concat::parse(text).expect_err("none").code, Code::InvalidArgument);
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(final;)?\\PC*") {
            let _ = Concat::parse(&text);
        }
    }
}
