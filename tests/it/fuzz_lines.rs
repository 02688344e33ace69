//! The property of the fuzz target `lines`, over its corpus and over random bytes.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use properties::{Plan, check, split};

#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/lines");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 12, "the corpus was not found");
    for file in files {
        let input = fs::read(&file).unwrap();
        let (plan, bytes) = split(&input);
        check(&plan, bytes);
        // Also with the limit at each place around the lengths of its lines.
        for max in 0..bytes.len().min(100) {
            check(&Plan { max, pieces: plan.pieces.clone() }, bytes);
        }
    }
}

/// Bytes that matter to a line reader more often than others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => Just(b'\n'),
        2 => Just(b'\r'),
        2 => Just(b' '),
        1 => Just(0),
        1 => Just(0xff),
        // The beginning and the rest of letters of two to four bytes.
        2 => prop_oneof![Just(0xc3), Just(0xa9), Just(0xe2), Just(0x80), Just(0xf0)],
        6 => b'a'..=b'z',
        2 => any::<u8>(),
    ]
}

proptest! {
    #[test]
    fn random_bytes_in_random_pieces_hold(
        input in vec(byte(), 0..400),
        max in 0_usize..80,
        pieces in vec(0_usize..20, 0..8),
    ) {
        check(&Plan { max, pieces }, &input);
    }

    #[test]
    fn what_a_fuzzer_makes_holds(input in vec(any::<u8>(), 0..300)) {
        let (plan, bytes) = split(&input);
        check(&plan, bytes);
    }
}
