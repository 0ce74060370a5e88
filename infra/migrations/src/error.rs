/// Why a database was not brought up to date. What had been done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused, or went away.
    #[error("{step}: {}", explain(.source))]
    Database {
        /// What was being done: the file's name, or a step of ours.
        step: String,
        /// The driver's error.
        source: tokio_postgres::Error,
    },
    /// Not a server that the schema can live in.
    #[error("PostgreSQL {MINIMUM_VERSION} or later with encoding UTF8 is needed, found {found}")]
    Unsuitable {
        /// Version and encoding of the server.
        found: String,
    },
    /// The text of a file that was applied before is another one now. Write a new migration instead.
    #[error("{name} was changed after it had been applied to this database")]
    Changed {
        /// The file's name without `.sql`.
        name: String,
    },
    /// The database has migrations that this program does not know: it belongs to a later release.
    #[error("the database is newer than this program: it has {name}")]
    Newer {
        /// The unknown migration.
        name: String,
    },
}

/// The oldest server with all that the functions use; 18 is what the tests run on.
pub(crate) const MINIMUM_VERSION: i32 = 16;

/// The driver's own text ends at "db error".
fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

/// Names the step in which the driver failed.
pub(crate) trait Step<T> {
    fn step(self, step: &str) -> Result<T, Error>;
}

impl<T> Step<T> for Result<T, tokio_postgres::Error> {
    fn step(self, step: &str) -> Result<T, Error> {
        self.map_err(|source| Error::Database { step: step.to_owned(), source })
    }
}
