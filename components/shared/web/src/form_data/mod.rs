//! `multipart/form-data`, parsed as it streams, in constant memory.
//!
//! [`Parser::next`] takes chunks as they come from the client and gives [`Event`]s; it does no I/O:
//!
//! ```
//! # use holdfast_core::error::Error;
//! # use holdfast_web::form_data::{Boundary, Event, Parser};
//! # fn upload(content_type: &str, chunks: Vec<Vec<u8>>) -> Result<(), Error> {
//! let mut parser = Parser::new(&Boundary::parse(content_type)?);
//! for chunk in &chunks {
//!     let mut rest = &chunk[..];
//!     while let Some(event) = parser.next(&mut rest)? {
//!         match event {
//!             Event::Part(part) => { /* `part.filename` says whether it is a file or a field */ }
//!             Event::Data(bytes) => { /* on to the store, or into a `FieldValue` */ }
//!             Event::PartEnd => { /* the part is whole */ }
//!             Event::End => { /* the form is whole; what follows may stay unread */ }
//!         }
//!     }
//! }
//! parser.finish()
//! # }
//! ```
//!
//! Spec: RFC 7578, on RFC 2046 (section 5.1) for the delimiters; names and file names as the HTML
//! standard encodes them, see [`Part`].

mod boundary;
mod field;
mod line_end;
mod parameters;
mod parser;
mod part;
mod scan;

pub use boundary::{Boundary, MAX_BOUNDARY_BYTES};
pub use field::FieldValue;
pub use parser::{Event, MAX_HEADER_BLOCK_BYTES, MAX_PARTS, MAX_PREAMBLE_BYTES, Parser};
pub use part::{MAX_FILENAME_BYTES, MAX_NAME_BYTES, Part};

use holdfast_core::error::{Code, Error};

/// A form that is refused, and why; the message says what to do.
fn malformed(why: impl Into<String>) -> Error {
    Error::new(Code::MalformedForm, why)
}

#[cfg(test)]
mod tests;
