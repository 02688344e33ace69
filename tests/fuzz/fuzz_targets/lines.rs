//! Looks for input that `Lines` cuts wrongly.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (plan, bytes) = properties::split(input);
    properties::check(&plan, bytes);
});
