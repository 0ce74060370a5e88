//! Buckets made and deleted, in the catalog and in the store.
//!
//! The catalog comes first: a bucket that is made takes no files before the store has it, and one that is deleted takes none
//! from before the store is looked into. Between any two steps everything may stop; whoever asks again, or the worker, goes on.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Code, Error};
use crate::limits::FORGET_STEPS;
use crate::names::BucketName;
use crate::ports::Caller;

/// How far a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The store may not have it yet.
    Creating,
    /// It takes files.
    Active,
    /// It takes none any more, and the store was not told.
    Deleting,
    /// The store may have been told: there is no way back.
    Dropping,
}

impl State {
    /// As the catalog names it.
    ///
    /// # Errors
    /// [`Code::InternalError`]: there is no such state.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "creating" => Ok(Self::Creating),
            "active" => Ok(Self::Active),
            "deleting" => Ok(Self::Deleting),
            "dropping" => Ok(Self::Dropping),
            other => Err(Error::internal(format!("unknown state {other}"))),
        }
    }
}

/// A bucket that shall be made.
#[derive(Clone, Debug)]
pub struct Create {
    /// Its name.
    pub bucket: BucketName,
    /// Its policy, checked.
    pub policy: Value,
    /// Who asks, and will own it.
    pub caller: Caller,
}

/// What the catalog made of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// It was not there before.
    pub created: bool,
    /// How far it is.
    pub state: State,
}

/// A bucket that shall be deleted.
#[derive(Clone, Debug)]
pub struct DeleteBucket {
    /// Its name.
    pub bucket: BucketName,
    /// The caller repeated it.
    pub confirmed: bool,
    /// Who asks.
    pub caller: Caller,
}

/// The steps in the catalog, one call of a SQL function each.
pub trait BucketCatalog {
    /// Makes the row, or finds the caller's own. `stored`: the store has a bucket of this name.
    ///
    /// # Errors
    /// [`Code::AccessDenied`], [`Code::BucketAlreadyExists`], [`Code::BucketNotActive`], [`Code::QuotaExceeded`].
    async fn create_bucket(&self, asked: &Create, stored: bool) -> Result<Created, Error>;

    /// The store has it. False where the catalog has it no more.
    ///
    /// # Errors
    /// The database's.
    async fn bucket_created(&self, bucket: &str) -> Result<bool, Error>;

    /// Closes an empty bucket.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`], [`Code::BucketNotActive`], [`Code::BucketNotEmpty`],
    /// [`Code::InvalidArgument`]: the name was not repeated.
    async fn delete_bucket(&self, asked: &DeleteBucket) -> Result<(), Error>;

    /// Decides that the store is told. False where it was decided before, or the bucket was opened again.
    ///
    /// # Errors
    /// The database's.
    async fn drop_bucket(&self, bucket: &str) -> Result<bool, Error>;

    /// Opens a closed bucket again. False where it was dropped or opened before.
    ///
    /// # Errors
    /// The database's.
    async fn reopen_bucket(&self, bucket: &str, caller: &Caller) -> Result<bool, Error>;

    /// Forgets a batch of what ended in a dropped bucket. True once nothing is left.
    ///
    /// # Errors
    /// The database's.
    async fn forget_bucket(&self, bucket: &str) -> Result<bool, Error>;
}

/// What is done to buckets in the store.
pub trait BucketStore {
    /// Whether it has the bucket.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn has_bucket(&self, bucket: &str) -> Result<bool, Error>;

    /// Makes it; fine if it is there.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn make_bucket(&self, bucket: &str) -> Result<(), Error>;

    /// How many objects it holds, counted up to a page of its listing; none where there is no such bucket.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn count_objects(&self, bucket: &str) -> Result<u64, Error>;

    /// Deletes it, and is sent once: where no answer comes nobody knows when it is done. Fine if it is not there, or holds
    /// what somebody put there since it was counted: the store then keeps it.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`].
    async fn remove_bucket(&self, bucket: &str) -> Result<(), Error>;
}

/// The use cases.
#[derive(Clone, Copy, Debug)]
pub struct Buckets<'a, C, S> {
    /// SQL.
    pub catalog: &'a C,
    /// SeaweedFS.
    pub store: &'a S,
}

impl<C: BucketCatalog, S: BucketStore> Buckets<'_, C, S> {
    /// Makes a bucket. True where it was not there before; asked again, the answer is false and the bucket the same.
    ///
    /// # Errors
    /// Those of [`BucketCatalog::create_bucket`], and [`Code::ServiceUnavailable`].
    pub async fn create(&self, asked: &Create) -> Result<bool, Error> {
        let name = asked.bucket.as_str();
        let stored = self.store.has_bucket(name).await?;
        let Created { created, state } = self.catalog.create_bucket(asked, stored).await?;
        if !stored {
            // Also for one that is active: whoever took it from the store took no file of ours that is whole.
            self.store.make_bucket(name).await?;
        }
        if state == State::Creating && !self.catalog.bucket_created(name).await? {
            return Err(not_active());
        }
        Ok(created)
    }

    /// Deletes an empty bucket. Asked again, it goes on until the store was told; from then on the worker does.
    ///
    /// # Errors
    /// Those of [`BucketCatalog::delete_bucket`]; [`Code::BucketNotEmpty`]: the store holds what the catalog does not know of;
    /// [`Code::ServiceUnavailable`].
    pub async fn delete(&self, asked: &DeleteBucket) -> Result<(), Error> {
        self.catalog.delete_bucket(asked).await?;
        self.take_down(asked.bucket.as_str(), &asked.caller).await
    }

    /// Goes on with a bucket that was claimed for the worker.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`], [`Code::BucketNotEmpty`]: it was opened again.
    pub async fn settle(&self, bucket: &str, state: State, caller: &Caller) -> Result<(), Error> {
        match state {
            State::Creating => {
                self.store.make_bucket(bucket).await?;
                self.catalog.bucket_created(bucket).await.map(drop)
            }
            State::Active => Ok(()),
            State::Deleting => self.take_down(bucket, caller).await,
            State::Dropping => self.remove(bucket).await,
        }
    }

    async fn take_down(&self, bucket: &str, caller: &Caller) -> Result<(), Error> {
        let unknown = self.store.count_objects(bucket).await?;
        if unknown > 0 {
            if !self.catalog.reopen_bucket(bucket, caller).await? {
                return Err(not_active());
            }
            let message = "The store holds objects in this bucket that are not registered: adopt them, or take them away";
            return Err(Error::new(Code::BucketNotEmpty, message)
                .rule("store")
                .counts(BTreeMap::from([("unknown".to_owned(), unknown)])));
        }
        if !self.catalog.drop_bucket(bucket).await? {
            return Err(not_active());
        }
        self.remove(bucket).await
    }

    async fn remove(&self, bucket: &str) -> Result<(), Error> {
        self.store.remove_bucket(bucket).await?;
        for _ in 0..FORGET_STEPS {
            if self.catalog.forget_bucket(bucket).await? {
                break;
            }
        }
        Ok(())
    }
}

fn not_active() -> Error {
    let message = "The bucket is being made or deleted; try again in a while";
    Error::new(Code::BucketNotActive, message).rule("bucket.state")
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::principal::Principal;

    /// A catalog and a store that keep a diary, and stop at one step of it.
    #[derive(Default)]
    struct World {
        diary: RefCell<Vec<&'static str>>,
        /// The step that fails.
        broken: &'static str,
        stored: bool,
        objects: u64,
        state: Option<State>,
        reopened_by_others: bool,
        batches: Cell<u32>,
    }

    impl World {
        fn step<T>(&self, name: &'static str, answer: T) -> Result<T, Error> {
            self.diary.borrow_mut().push(name);
            if self.broken == name {
                return Err(Error::unavailable("It", "broken"));
            }
            Ok(answer)
        }

        fn run(&self, what: What) -> (Result<bool, Error>, Vec<&'static str>) {
            let principal = Principal { sub: "alice".into(), ..Principal::anonymous() };
            let caller =
                Caller { principal, ip: String::new(), request_id: String::new(), grant: None };
            let buckets = Buckets { catalog: self, store: self };
            let bucket = BucketName::parse("kelp").expect("a name");
            let work = async {
                match what {
                    What::Create => {
                        let policy = Value::Null;
                        buckets.create(&Create { bucket, policy, caller }).await
                    }
                    What::Delete => {
                        let asked = DeleteBucket { bucket, confirmed: true, caller };
                        buckets.delete(&asked).await.map(|()| true)
                    }
                    What::Settle(state) => {
                        buckets.settle("kelp", state, &caller).await.map(|()| true)
                    }
                }
            };
            let Poll::Ready(answer) = pin!(work).poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("it waits for nothing")
            };
            (answer, self.diary.take())
        }
    }

    enum What {
        Create,
        Delete,
        Settle(State),
    }

    impl BucketCatalog for World {
        async fn create_bucket(&self, _: &Create, _: bool) -> Result<Created, Error> {
            let state = self.state.unwrap_or(State::Creating);
            self.step("create row", Created { created: self.state.is_none(), state })
        }

        async fn bucket_created(&self, _: &str) -> Result<bool, Error> {
            self.step("active", true)
        }

        async fn delete_bucket(&self, _: &DeleteBucket) -> Result<(), Error> {
            self.step("close", ())
        }

        async fn drop_bucket(&self, _: &str) -> Result<bool, Error> {
            self.step("drop", !self.reopened_by_others)
        }

        async fn reopen_bucket(&self, _: &str, _: &Caller) -> Result<bool, Error> {
            self.step("reopen", !self.reopened_by_others)
        }

        async fn forget_bucket(&self, _: &str) -> Result<bool, Error> {
            let left = self.batches.get();
            self.batches.set(left.saturating_sub(1));
            self.step("forget", left == 0)
        }
    }

    impl BucketStore for World {
        async fn has_bucket(&self, _: &str) -> Result<bool, Error> {
            self.step("look", self.stored)
        }

        async fn make_bucket(&self, _: &str) -> Result<(), Error> {
            self.step("make", ())
        }

        async fn count_objects(&self, _: &str) -> Result<u64, Error> {
            self.step("count", self.objects)
        }

        async fn remove_bucket(&self, _: &str) -> Result<(), Error> {
            self.step("remove", ())
        }
    }

    #[test]
    fn it_takes_files_once_the_store_has_it() {
        let (answer, diary) = World::default().run(What::Create);
        assert!(answer.expect("made"));
        assert_eq!(diary, ["look", "create row", "make", "active"]);
        // The store does not answer: nobody can write yet, and the worker goes on.
        let world = World { broken: "make", ..World::default() };
        let (answer, diary) = world.run(What::Create);
        assert_eq!(answer.expect_err("broken").code, Code::ServiceUnavailable);
        assert_eq!(diary, ["look", "create row", "make"]);
        let (answer, diary) = World::default().run(What::Settle(State::Creating));
        assert!(answer.is_ok());
        assert_eq!(diary, ["make", "active"]);
    }

    #[test]
    fn a_repeated_creation_makes_whole_what_is_missing() {
        let world = World { state: Some(State::Active), stored: true, ..World::default() };
        let (answer, diary) = world.run(What::Create);
        assert!(!answer.expect("there"));
        assert_eq!(diary, ["look", "create row"]);
        let world = World { state: Some(State::Creating), stored: true, ..World::default() };
        assert_eq!(world.run(What::Create).1, ["look", "create row", "active"]);
        let world = World { state: Some(State::Active), ..World::default() };
        assert_eq!(world.run(What::Create).1, ["look", "create row", "make"]);
    }

    #[test]
    fn the_store_is_told_after_it_was_decided_and_never_before_it_was_looked_into() {
        let (answer, diary) = World::default().run(What::Delete);
        assert!(answer.is_ok());
        assert_eq!(diary, ["close", "count", "drop", "remove", "forget"]);
        for (broken, told) in
            [("close", false), ("count", false), ("drop", false), ("remove", true)]
        {
            let (answer, diary) = World { broken, ..World::default() }.run(What::Delete);
            assert!(answer.is_err(), "{broken}");
            assert_eq!(diary.contains(&"remove"), told, "{broken}");
            assert!(
                !diary.contains(&"forget") && !diary.contains(&"reopen"),
                "{broken}: {diary:?}"
            );
        }
    }

    #[test]
    fn what_the_store_holds_opens_the_bucket_again() {
        let (answer, diary) = World { objects: 3, ..World::default() }.run(What::Delete);
        let error = answer.expect_err("not empty");
        assert_eq!(error.code, Code::BucketNotEmpty);
        assert_eq!(error.counts.expect("counts")["unknown"], 3);
        assert_eq!(diary, ["close", "count", "reopen"]);
        // Somebody else saw it empty first, and told the store.
        let world = World { objects: 3, reopened_by_others: true, ..World::default() };
        assert_eq!(world.run(What::Delete).0.expect_err("gone on").code, Code::BucketNotActive);
    }

    #[test]
    fn a_bucket_that_was_opened_again_meanwhile_is_left_alone() {
        let world = World { reopened_by_others: true, ..World::default() };
        let (answer, diary) = world.run(What::Delete);
        assert_eq!(answer.expect_err("open").code, Code::BucketNotActive);
        assert_eq!(diary, ["close", "count", "drop"]);
    }

    #[test]
    fn a_dropped_bucket_goes_on_whatever_the_store_holds() {
        let world = World { objects: 3, ..World::default() };
        let (answer, diary) = world.run(What::Settle(State::Dropping));
        assert!(answer.is_ok());
        assert_eq!(diary, ["remove", "forget"]);
        // And leaves to the worker what is too much for one call.
        let world = World { batches: Cell::new(1_000), ..World::default() };
        let (answer, diary) = world.run(What::Delete);
        assert!(answer.is_ok());
        assert_eq!(diary.iter().filter(|step| **step == "forget").count(), FORGET_STEPS);
    }
}
