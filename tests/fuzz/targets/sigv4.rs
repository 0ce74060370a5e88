//! See [`holdfast_fuzz::sigv4`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::sigv4::check(data));
