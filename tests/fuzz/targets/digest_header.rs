//! See [`holdfast_fuzz::digest_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::digest_header::check(data));
