//! See [`holdfast_fuzz::range`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::range::check(data));
