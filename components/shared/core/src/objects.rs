//! What is done to objects apart from their bytes.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use crate::error::Error;
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::ports::Caller;

/// A deletion that is asked for.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The object's bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// The If-Match header in its one spelling, if any.
    pub if_match: Option<String>,
    /// Who asks.
    pub caller: Caller,
}

/// A version that went to the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was current.
    pub version: VersionId,
    /// When it went, in microseconds of Unix time.
    pub deleted_at_us: i64,
    /// Before this its bytes stay, in microseconds of Unix time.
    pub purge_after_us: i64,
}

/// The steps on objects, one call of a SQL function each.
pub trait ObjectCatalog {
    /// Moves the current version of an object to the trash.
    ///
    /// # Errors
    /// * [`crate::error::Code::NoSuchKey`]: there is none, or the caller may neither delete nor see it.
    /// * [`crate::error::Code::NoSuchBucket`]: there is no such bucket.
    /// * [`crate::error::Code::AccessDenied`]: the caller may see it, and not delete it.
    /// * [`crate::error::Code::PreconditionFailed`]: If-Match names another version.
    async fn trash(&self, asked: &Delete) -> Result<Deleted, Error>;
}

/// The use cases.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a, C> {
    /// SQL.
    pub catalog: &'a C,
}

impl<C: ObjectCatalog> Objects<'_, C> {
    /// Deletes an object softly. Its answer lost, it is not repeated: the second call could only say that there is
    /// nothing, and so can the client's own.
    ///
    /// # Errors
    /// * [`crate::error::Code::MissingAuthentication`]: nobody asks. Deleting is for no anonymous caller, in a public bucket too.
    /// * Those of [`ObjectCatalog::trash`].
    pub async fn delete(&self, asked: &Delete) -> Result<Deleted, Error> {
        let principal = &asked.caller.principal;
        principal.require("Send a bearer token in the Authorization header to delete")?;
        self.catalog.trash(asked).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use time::OffsetDateTime;

    use super::*;
    use crate::error::Code;
    use crate::principal::Principal;

    #[derive(Default)]
    struct Asked(Cell<u32>);

    impl ObjectCatalog for Asked {
        async fn trash(&self, _: &Delete) -> Result<Deleted, Error> {
            self.0.set(self.0.get() + 1);
            let version = VersionId::generate(OffsetDateTime::UNIX_EPOCH, &[0; 10]);
            Ok(Deleted { version, deleted_at_us: 1, purge_after_us: 2 })
        }
    }

    fn delete(principal: Principal) -> (Result<Deleted, Error>, u32) {
        let asked = Delete {
            bucket: BucketName::parse("documents").expect("a name"),
            key: ObjectKey::parse("k").expect("a key"),
            if_match: None,
            caller: Caller { principal, ip: String::new(), request_id: String::new(), grant: None },
        };
        let catalog = Asked::default();
        let objects = Objects { catalog: &catalog };
        let answer = pin!(objects.delete(&asked)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(answer) = answer else { panic!("it waits for nothing") };
        (answer, catalog.0.get())
    }

    #[test]
    fn nobody_deletes_nothing() {
        let (answer, calls) = delete(Principal::anonymous());
        assert_eq!(answer.expect_err("refused").code, Code::MissingAuthentication);
        assert_eq!(calls, 0);
        let (answer, calls) = delete(Principal { sub: "alice".into(), ..Principal::anonymous() });
        assert_eq!(answer.expect("deleted").purge_after_us, 2);
        assert_eq!(calls, 1);
    }
}
