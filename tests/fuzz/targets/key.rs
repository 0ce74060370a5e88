//! See [`holdfast_fuzz::key`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::key::check(data));
