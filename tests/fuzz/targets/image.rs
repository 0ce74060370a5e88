//! See [`holdfast_fuzz::image`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::image::check(data));
