//! See [`holdfast_fuzz::conditional`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::conditional::check(data));
