//! Adoption: objects that lie in the store's bucket already are registered in place, a page at a time.
//!
//! The next page is listed while the one before is written down. Every page is one SQL call and may be repeated, so a cursor is
//! all the state there is.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{join, join_all};
use time::OffsetDateTime;

use crate::error::{Code, Error};
use crate::limits::{ADOPT_AT_ONCE, ADOPT_NAMED, ADOPT_PAGE};
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::ports::{Caller, ContentHeaders};

/// What the keys of our own blobs begin with.
const OURS: &str = "hf/";

/// The same as the store's listing has it: behind this key come those that follow the folder.
const OURS_AS_FOLDER: &str = "hf";

/// The first line of a cursor; another format gets another one.
const FORMAT: &str = "adopt1";

/// Where a page of the listing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the beginning.
    Start,
    /// Where the page before says.
    Token(String),
    /// Behind this key, and what lies below it as a folder.
    After(String),
}

impl Place {
    /// Reads a cursor of [`Place::encode`].
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: it is none.
    pub fn parse(cursor: &str) -> Result<Self, Error> {
        let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|it| String::from_utf8(it).ok());
        let read = |text: &str| {
            let (kind, place) = text.strip_prefix(FORMAT)?.strip_prefix('\n')?.split_once('\n')?;
            match kind {
                "token" if !place.is_empty() => Some(Self::Token(place.to_owned())),
                "after" if !place.is_empty() => Some(Self::After(place.to_owned())),
                _ => None,
            }
        };
        decoded.as_deref().and_then(read).ok_or_else(|| {
            Error::new(Code::InvalidArgument, "cursor is what the answer before had as nextCursor")
        })
    }

    /// The cursor of a place; `None` at the beginning.
    #[must_use]
    pub fn encode(&self) -> Option<String> {
        let (kind, place) = match self {
            Self::Start => return None,
            Self::Token(token) => ("token", token),
            Self::After(key) => ("after", key),
        };
        Some(URL_SAFE_NO_PAD.encode(format!("{FORMAT}\n{kind}\n{place}")))
    }
}

/// What the listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its key there.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag without quotes.
    pub etag: String,
    /// When it was stored.
    pub stored_at: Option<OffsetDateTime>,
}

/// A page of the listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its objects.
    pub objects: Vec<Found>,
    /// Where the next one begins, if there is one.
    pub next: Option<String>,
}

/// What is kept of an object's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its content type.
    pub content_type: String,
    /// Cache-Control and its like.
    pub headers: ContentHeaders,
    /// `x-amz-meta-*`, names without that.
    pub metadata: BTreeMap<String, String>,
}

/// An object that may be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The version that it becomes.
    pub version: VersionId,
    /// What the listing says.
    pub found: Found,
    /// What its headers say, or its name.
    pub kept: Kept,
}

/// A request for adoption.
#[derive(Clone, Debug)]
pub struct Adopt {
    /// The bucket, there as here.
    pub bucket: BucketName,
    /// What the keys begin with; empty for all.
    pub prefix: String,
    /// Whose the objects become; `None` is the bucket's owner.
    pub owner: Option<String>,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Ask for the headers of each object.
    pub headers: bool,
    /// Where to begin.
    pub from: Place,
    /// How many objects to look at, at the most; whole pages are looked at.
    pub limit: u32,
    /// Who asks.
    pub caller: Caller,
}

/// What became of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Objects that were adopted, or would be.
    pub adopted: u64,
    /// Objects that were known.
    pub known: u64,
    /// Keys that have another object.
    pub taken: Vec<String>,
}

/// What a request did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Objects that were adopted, or would be.
    pub adopted: u64,
    /// Objects that were known.
    pub skipped: u64,
    /// Objects that can not be adopted.
    pub refused: u64,
    /// The first [`ADOPT_NAMED`] of them: key, and why.
    pub named: Vec<(String, String)>,
    /// Where to go on; `None`: there is nothing left.
    pub next: Option<String>,
}

impl Outcome {
    fn refuse(&mut self, key: String, why: impl Into<String>) {
        self.refused += 1;
        if self.named.len() < ADOPT_NAMED {
            self.named.push((key, why.into()));
        }
    }
}

/// The store's side.
pub trait AdoptStore {
    /// A page of [`ADOPT_PAGE`] objects.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn page(&self, bucket: &str, prefix: &str, from: &Place) -> Result<Page, Error>;

    /// The headers of an object; `None` where it is gone. The inner error says why it can not be adopted.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn headers(&self, bucket: &str, key: &str)
    -> Result<Option<Result<Kept, String>>, Error>;
}

/// The catalog's side.
pub trait AdoptCatalog {
    /// Registers a page; without any object it only says whether the caller may.
    ///
    /// # Errors
    /// [`Code::AccessDenied`], [`Code::NoSuchBucket`], [`Code::BucketNotActive`].
    async fn adopt(&self, asked: &Adopt, page: &[Candidate]) -> Result<Adopted, Error>;
}

/// The use case.
pub struct Adopter<'a, C, S> {
    /// SQL.
    pub catalog: &'a C,
    /// SeaweedFS.
    pub store: &'a S,
    /// A new version id each time.
    pub new_version: &'a dyn Fn() -> VersionId,
    /// The content type of a name.
    pub guess: &'a dyn Fn(&str) -> String,
}

impl<C: AdoptCatalog, S: AdoptStore> Adopter<'_, C, S> {
    /// Adopts what a request asks for, page by page.
    ///
    /// # Errors
    /// * [`Code::InvalidArgument`]: the prefix is our own.
    /// * Those of [`AdoptCatalog::adopt`] and [`AdoptStore`]; what was adopted before stays so.
    pub async fn adopt(&self, asked: &Adopt) -> Result<Outcome, Error> {
        if asked.prefix.starts_with(OURS) {
            return Err(Error::new(Code::InvalidArgument, "Below hf/ lies what is registered")
                .rule("prefix"));
        }
        self.catalog.adopt(asked, &[]).await?;
        let bucket = asked.bucket.as_str();
        let mut outcome = Outcome::default();
        let mut left = asked.limit;
        let mut page = self.store.page(bucket, &asked.prefix, &asked.from).await?;
        loop {
            left = left.saturating_sub(ADOPT_PAGE.into());
            let next = behind(&page);
            let work = self.take(asked, page.objects, &mut outcome);
            let Some(from) = next else {
                work.await?;
                return Ok(outcome);
            };
            if left == 0 {
                work.await?;
                outcome.next = from.encode();
                return Ok(outcome);
            }
            let (taken, listed) = join(work, self.store.page(bucket, &asked.prefix, &from)).await;
            taken?;
            page = listed?;
        }
    }

    /// One page.
    async fn take(
        &self,
        asked: &Adopt,
        objects: Vec<Found>,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let mut candidates = Vec::with_capacity(objects.len());
        for found in objects.into_iter().filter(|found| !found.key.starts_with(OURS)) {
            match refusal(&found) {
                Some(why) => outcome.refuse(found.key, why),
                None => candidates.push(found),
            }
        }
        let candidates = if asked.headers {
            self.with_headers(asked, candidates, outcome).await?
        } else {
            candidates.into_iter().map(|found| self.named(found)).collect()
        };
        if candidates.is_empty() {
            return Ok(());
        }
        let adopted = self.catalog.adopt(asked, &candidates).await?;
        outcome.adopted += adopted.adopted;
        outcome.skipped += adopted.known;
        for key in adopted.taken {
            outcome.refuse(key, "The key has another object, or had one that is not forgotten yet");
        }
        Ok(())
    }

    fn named(&self, found: Found) -> Candidate {
        let content_type = (self.guess)(&found.key);
        let kept = Kept { content_type, ..Kept::default() };
        Candidate { version: (self.new_version)(), found, kept }
    }

    async fn with_headers(
        &self,
        asked: &Adopt,
        found: Vec<Found>,
        outcome: &mut Outcome,
    ) -> Result<Vec<Candidate>, Error> {
        let mut candidates = Vec::with_capacity(found.len());
        let mut found = found.into_iter();
        loop {
            let group: Vec<_> = found.by_ref().take(ADOPT_AT_ONCE).collect();
            if group.is_empty() {
                return Ok(candidates);
            }
            let asks =
                group.iter().map(|found| self.store.headers(asked.bucket.as_str(), &found.key));
            let answers = join_all(asks).await;
            for (found, kept) in group.into_iter().zip(answers) {
                match kept? {
                    None => {}
                    Some(Err(why)) => outcome.refuse(found.key, why),
                    Some(Ok(mut kept)) => {
                        if kept.content_type.is_empty() {
                            kept.content_type = (self.guess)(&found.key);
                        }
                        candidates.push(Candidate { version: (self.new_version)(), found, kept });
                    }
                }
            }
        }
    }
}

/// Where the next page begins. A page that ends among our own blobs is followed by what lies behind all of them.
fn behind(page: &Page) -> Option<Place> {
    let token = page.next.as_ref()?;
    let in_ours = page.objects.last().is_some_and(|last| last.key.starts_with(OURS));
    Some(if in_ours {
        Place::After(OURS_AS_FOLDER.to_owned())
    } else {
        Place::Token(token.clone())
    })
}

/// Why an object can not be one of ours.
fn refusal(found: &Found) -> Option<String> {
    if found.key.ends_with('/') {
        return Some("It is the mark of a folder".to_owned());
    }
    if found.etag.is_empty() || found.etag.len() > 256 || found.etag.contains('"') {
        return Some("It has no entity tag".to_owned());
    }
    ObjectKey::parse(&found.key).err().map(|error| error.message)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::principal::Principal;

    /// A store that lists as SeaweedFS does, in pages of `page`; and a catalog of keys.
    struct World {
        keys: Vec<&'static str>,
        page: usize,
        listed: RefCell<Vec<Place>>,
        known: RefCell<BTreeSet<String>>,
        headers: bool,
        denied: bool,
        versions: Cell<u8>,
    }

    fn world(keys: &[&'static str], page: usize) -> World {
        World {
            keys: keys.to_vec(),
            page,
            listed: RefCell::default(),
            known: RefCell::default(),
            headers: false,
            denied: false,
            versions: Cell::new(0),
        }
    }

    impl AdoptStore for World {
        async fn page(&self, _: &str, prefix: &str, from: &Place) -> Result<Page, Error> {
            self.listed.borrow_mut().push(from.clone());
            let start = match from {
                Place::Start => 0,
                Place::Token(token) => {
                    self.keys.iter().position(|key| key == token).expect("a token") + 1
                }
                Place::After(folder) => {
                    let below = format!("{folder}/");
                    self.keys.iter().rposition(|key| key.starts_with(&below)).map_or(0, |at| at + 1)
                }
            };
            let all: Vec<_> =
                self.keys[start..].iter().filter(|key| key.starts_with(prefix)).collect();
            let objects = all.iter().take(self.page).map(|key| Found {
                key: (**key).to_owned(),
                size: 1,
                etag: if key.contains("untagged") { String::new() } else { "e".to_owned() },
                stored_at: None,
            });
            let next = (all.len() > self.page).then(|| (*all[self.page - 1]).to_owned());
            Ok(Page { objects: objects.collect(), next })
        }

        async fn headers(&self, _: &str, key: &str) -> Result<Option<Result<Kept, String>>, Error> {
            Ok(match key {
                "gone" => None,
                "packed" => Some(Err("It is packed".to_owned())),
                "untyped" => Some(Ok(Kept::default())),
                _ => Some(Ok(Kept { content_type: "a/b".into(), ..Kept::default() })),
            })
        }
    }

    impl AdoptCatalog for World {
        async fn adopt(&self, asked: &Adopt, page: &[Candidate]) -> Result<Adopted, Error> {
            if self.denied {
                return Err(Error::new(Code::AccessDenied, "no"));
            }
            let mut adopted = Adopted::default();
            for candidate in page {
                let expected = match (self.headers, candidate.found.key.as_str()) {
                    (false, _) | (true, "untyped") => "guess/d",
                    (true, _) => "a/b",
                };
                assert_eq!(candidate.kept.content_type, expected);
                let key = candidate.found.key.clone();
                if key.contains("taken") {
                    adopted.taken.push(key);
                } else if self.known.borrow().contains(&key) {
                    adopted.known += 1;
                } else {
                    adopted.adopted += 1;
                    if !asked.dry_run {
                        self.known.borrow_mut().insert(key);
                    }
                }
            }
            Ok(adopted)
        }
    }

    impl World {
        fn adopt(&self, from: Place, limit: u32, dry_run: bool) -> Result<Outcome, Error> {
            self.adopt_below("", from, limit, dry_run)
        }

        fn adopt_below(
            &self,
            prefix: &str,
            from: Place,
            limit: u32,
            dry_run: bool,
        ) -> Result<Outcome, Error> {
            let caller = Caller {
                principal: Principal::anonymous(),
                ip: String::new(),
                request_id: String::new(),
                grant: None,
            };
            let asked = Adopt {
                bucket: BucketName::parse("kelp").expect("a name"),
                prefix: prefix.to_owned(),
                owner: None,
                dry_run,
                headers: self.headers,
                from,
                limit,
                caller,
            };
            let adopter = Adopter {
                catalog: self,
                store: self,
                new_version: &|| {
                    self.versions.set(self.versions.get().wrapping_add(1));
                    VersionId::generate(OffsetDateTime::UNIX_EPOCH, &[self.versions.get(); 10])
                },
                guess: &|_| "guess/d".to_owned(),
            };
            let work = pin!(adopter.adopt(&asked));
            let Poll::Ready(answer) = work.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("it waits for nothing")
            };
            answer
        }
    }

    #[test]
    fn every_object_is_adopted_once_however_often_it_is_asked() {
        let world = world(&["a", "b/c", "d", "e", "f"], 2);
        let dry = world.adopt(Place::Start, 10_000, true).expect("told");
        assert_eq!((dry.adopted, dry.skipped, dry.next), (5, 0, None));
        let first = world.adopt(Place::Start, 10_000, false).expect("adopted");
        assert_eq!((first.adopted, first.skipped, first.refused), (5, 0, 0));
        let again = world.adopt(Place::Start, 10_000, false).expect("adopted");
        assert_eq!((again.adopted, again.skipped, again.refused), (0, 5, 0));
    }

    #[test]
    fn a_cursor_goes_on_where_the_limit_ended() {
        let world = world(&["a", "b", "c", "d", "e"], 2);
        let mut from = Place::Start;
        let mut adopted = 0;
        for _ in 0..3 {
            // Whole pages, however small the limit is.
            let outcome = world.adopt(from.clone(), 1, false).expect("adopted");
            adopted += outcome.adopted;
            match outcome.next {
                Some(next) => from = Place::parse(&next).expect("a cursor"),
                None => break,
            }
        }
        assert_eq!(adopted, 5);
        assert_eq!(world.listed.borrow().len(), 3);
    }

    #[test]
    fn our_own_blobs_are_leapt_over() {
        let keys =
            ["a", "hf/2026/1", "hf/2026/2", "hf/2026/3", "hf/2026/4", "hf/2026/5", "hf-x", "z"];
        let world = world(&keys, 2);
        let outcome = world.adopt(Place::Start, 10_000, false).expect("adopted");
        assert_eq!((outcome.adopted, outcome.refused), (3, 0));
        let listed = world.listed.borrow();
        assert_eq!(*listed, [Place::Start, Place::After("hf".to_owned())]);
        assert!(!world.known.borrow().iter().any(|key| key.starts_with("hf/")));
    }

    #[test]
    fn what_can_not_be_an_object_is_refused_by_its_name() {
        let world = world(&["folder/", "a/../b", "untagged", "taken", "fine"], 9);
        let outcome = world.adopt(Place::Start, 10_000, false).expect("adopted");
        assert_eq!((outcome.adopted, outcome.refused), (1, 4));
        let named: Vec<_> = outcome.named.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(named, ["folder/", "a/../b", "untagged", "taken"]);
    }

    #[test]
    fn headers_are_asked_for_where_it_is_wished() {
        let world = World { headers: true, ..world(&["gone", "packed", "typed", "untyped"], 9) };
        let outcome = world.adopt(Place::Start, 10_000, false).expect("adopted");
        assert_eq!((outcome.adopted, outcome.refused), (2, 1));
        assert_eq!(outcome.named, [("packed".to_owned(), "It is packed".to_owned())]);
    }

    #[test]
    fn who_may_not_makes_nobody_list() {
        let world = World { denied: true, ..world(&["a"], 9) };
        let error = world.adopt(Place::Start, 10_000, false).expect_err("denied");
        assert_eq!((error.code, world.listed.borrow().len()), (Code::AccessDenied, 0));
        let error = world.adopt_below("hf/2026", Place::Start, 1, true).expect_err("ours");
        assert_eq!(error.code, Code::InvalidArgument);
    }

    #[test]
    fn cursors_are_read_as_they_were_written() {
        for place in [Place::Token("a\nb/ü".to_owned()), Place::After("hf".to_owned())] {
            let cursor = place.encode().expect("a cursor");
            assert_eq!(Place::parse(&cursor).expect("read"), place);
        }
        assert_eq!(Place::Start.encode(), None);
        for wrong in ["", "x", "YWRvcHQx", "YWRvcHQxCnRva2VuCg", "%%%"] {
            assert_eq!(Place::parse(wrong).expect_err(wrong).code, Code::InvalidArgument);
        }
    }
}
