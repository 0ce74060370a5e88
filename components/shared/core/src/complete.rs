//! The end of a presigned PUT: the client wrote straight to the store, so what is there is looked at, as an upload's
//! bytes are, and committed.

use crate::error::{Code, Error};
use crate::image::ImageLimits;
use crate::limits::SNIFF_BYTES;
use crate::names::VersionId;
use crate::ports::{Blobs, Caller, Catalog, Clock, Commit, Committed, Looked, Target};
use crate::principal::Principal;
use crate::upload::{Terms, surely, validated};

/// A presigned PUT, as it was agreed.
#[derive(Clone, Debug)]
pub struct OpenPut {
    /// The pending version.
    pub version: VersionId,
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Where its bytes are expected.
    pub s3_key: String,
    /// Their number; the URL takes no other.
    pub size: u64,
    /// The content type that was declared.
    pub content_type: Option<String>,
    /// The content types that the bucket takes; `None` means all.
    pub allowed_types: Option<Vec<String>>,
    /// What it takes of images, where it takes nothing else.
    pub image: Option<ImageLimits>,
    /// Who asked for the URL, with the right that they had then.
    pub creator: Principal,
    /// What it was committed as, if it was.
    pub repeated: Option<(Commit, Committed)>,
}

/// Completes over a catalog, a blob store and a clock.
pub struct Completer<'a, C, B, K> {
    /// The SQL steps.
    pub catalog: &'a C,
    /// The store.
    pub blobs: &'a B,
    /// Time and randomness.
    pub clock: &'a K,
}

impl<C: Catalog, B: Blobs, K: Clock> Completer<'_, C, B, K> {
    /// Makes what was put current. Safe to repeat: the answer is the first one.
    ///
    /// What is refused stays where it is until the URL is over: deleting it here could hit what another call has
    /// just committed, and the URL could write it anew.
    ///
    /// # Errors
    /// * [`Code::NotUploaded`]: nothing is there yet.
    /// * [`Code::InvalidContentType`], [`Code::InvalidImage`], and what `commit` refuses.
    pub async fn complete(
        &self,
        caller: &Caller,
        put: &OpenPut,
    ) -> Result<(Commit, Committed), Error> {
        if let Some(first) = &put.repeated {
            return Ok(first.clone());
        }
        let at = Target { bucket: &put.bucket, s3_key: &put.s3_key };
        let looked = if put.size == 0 {
            let stored = self.blobs.head(at).await?;
            stored.map(|stored| Looked { stored, head: Vec::new() })
        } else {
            self.blobs.look(at, SNIFF_BYTES).await?
        };
        let Some(looked) = looked else {
            let message = "Nothing was put to the URL yet; send the file, then complete it";
            return Err(Error::new(Code::NotUploaded, message));
        };
        if looked.stored.size != Some(put.size) {
            return Err(Error::unavailable("The object store", "another length than was signed"));
        }
        let terms = Terms {
            version: put.version,
            size: put.size,
            declared: put.content_type.as_deref(),
            types: put.allowed_types.as_deref(),
            image: put.image.as_ref(),
        };
        let commit = validated(self.blobs, at, terms, looked).await?;
        let creator = Caller { principal: put.creator.clone(), ..caller.clone() };
        let committed =
            surely(self.clock, async || self.catalog.commit(&creator, &commit).await).await?;
        Ok((commit, committed))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use time::OffsetDateTime;

    use super::*;
    use crate::fakes::{FakeBlobs, FakeCatalog, FakeClock};

    fn put(size: u64) -> OpenPut {
        OpenPut {
            version: VersionId::generate(OffsetDateTime::UNIX_EPOCH, &[0; 10]),
            bucket: "documents".to_owned(),
            key: "k".to_owned(),
            s3_key: "hf/x".to_owned(),
            size,
            content_type: Some("text/plain".to_owned()),
            allowed_types: None,
            image: None,
            creator: Principal { sub: "alice".to_owned(), ..Principal::anonymous() },
            repeated: None,
        }
    }

    fn complete(
        put: &OpenPut,
        stored: Option<&[u8]>,
        catalog: &FakeCatalog,
    ) -> Result<(Commit, Committed), Error> {
        let blobs = FakeBlobs::default();
        if let Some(bytes) = stored {
            blobs.stored.borrow_mut().insert("hf/x".to_owned(), bytes.to_vec());
        }
        let clock = FakeClock { sleeps_end: true };
        let completer = Completer { catalog, blobs: &blobs, clock: &clock };
        let caller = Caller {
            principal: Principal::anonymous(),
            ip: String::new(),
            request_id: String::new(),
            grant: None,
        };
        let answer =
            pin!(completer.complete(&caller, put)).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(blobs.stored.borrow().len(), usize::from(stored.is_some()), "nothing goes");
        let Poll::Ready(answer) = answer else { panic!("it waits for nothing") };
        answer
    }

    #[test]
    fn what_was_put_is_committed() {
        for bytes in [&b"hello"[..], b""] {
            let catalog = FakeCatalog::default();
            let (commit, _) =
                complete(&put(bytes.len() as u64), Some(bytes), &catalog).expect("done");
            assert_eq!(commit.content_type, "text/plain");
            let step = format!("commit {} text/plain", bytes.len());
            assert_eq!(*catalog.steps.borrow(), [step]);
        }
    }

    #[test]
    fn a_commit_without_an_answer_is_repeated() {
        let catalog = FakeCatalog::default();
        catalog.commits.borrow_mut().push_back(Code::ServiceUnavailable);
        complete(&put(5), Some(b"hello"), &catalog).expect("done");
        assert_eq!(catalog.steps.borrow().len(), 2);
    }

    #[test]
    fn what_is_not_as_agreed_is_refused_and_stays() {
        let image = OpenPut { allowed_types: Some(vec!["image/png".to_owned()]), ..put(5) };
        for (put, stored, code) in [
            (put(5), None, Code::NotUploaded),
            (put(5), Some(&b"four"[..]), Code::ServiceUnavailable),
            (image, Some(b"hello"), Code::InvalidContentType),
        ] {
            let catalog = FakeCatalog::default();
            assert_eq!(complete(&put, stored, &catalog).expect_err("refused").code, code);
            assert!(catalog.steps.borrow().is_empty());
        }
    }

    #[test]
    fn an_image_is_looked_at_before_it_is_committed() {
        let png = include_bytes!("../../../../tests/images/rgb.png").as_slice();
        let max = ImageLimits {
            min_width: 1,
            min_height: 1,
            max_width: 48,
            max_height: 32,
            max_pixels: 48 * 32,
        };
        let limited =
            |image| OpenPut { content_type: None, image: Some(image), ..put(png.len() as u64) };
        let catalog = FakeCatalog::default();
        let (commit, _) = complete(&limited(max), Some(png), &catalog).expect("done");
        assert_eq!(commit.image.map(|image| (image.width, image.height)), Some((48, 32)));
        let catalog = FakeCatalog::default();
        let less = ImageLimits { max_pixels: 48 * 32 - 1, ..max };
        let error = complete(&limited(less), Some(png), &catalog).expect_err("refused");
        assert_eq!(error.code, Code::InvalidImage);
        assert!(catalog.steps.borrow().is_empty());
    }

    #[test]
    fn a_repeat_gets_the_first_answer() {
        let catalog = FakeCatalog::default();
        let first = complete(&put(5), Some(b"hello"), &catalog).expect("done");
        let again = OpenPut { repeated: Some(first.clone()), ..put(5) };
        assert_eq!(complete(&again, None, &catalog).expect("the same"), first);
        assert_eq!(catalog.steps.borrow().len(), 1);
    }
}
