//! See [`holdfast_fuzz::form_data`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::form_data::check(data));
