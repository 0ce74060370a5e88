//! What must hold for any bytes from outside. Each target asserts properties, beside that nothing panics;
//! `cargo xtask fuzz` builds and runs them.
//!
//! A `check` takes any input. Where it needs more than one, it cuts the input itself, so that a seed is a
//! file that can be written by hand.

pub mod bodies;
pub mod conditional;
pub mod digest_header;
pub mod form_data;
pub mod image;
pub mod jwt;
pub mod key;
pub mod policy;
pub mod range;
pub mod requests;
pub mod signed_url;
pub mod sigv4;
pub mod tus;

/// Up to `N` pieces between line feeds; the last has the rest.
fn lines<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut pieces = data.splitn(N, |&b| b == b'\n');
    std::array::from_fn(|_| pieces.next().unwrap_or_default())
}
