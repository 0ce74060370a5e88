//! The database of Holdfast: tables, functions and first rows.
//!
//! [`migrate`] brings a database of any age to this version, [`seed`] gives it the default buckets. Both
//! may run at any time, by several at once.

mod apply;
mod error;
mod functions;
mod ledger;
mod sources;

pub use apply::{Report, migrate, seed};
pub use error::Error;
