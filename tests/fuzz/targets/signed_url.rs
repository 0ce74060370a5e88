//! See [`holdfast_fuzz::signed_url`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::signed_url::check(data));
