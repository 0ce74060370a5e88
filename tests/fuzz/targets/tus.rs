//! See [`holdfast_fuzz::tus`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::tus::check(data));
