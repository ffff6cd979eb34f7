//! Valid files with extreme numbers, in every mode and layout: what one reader refuses all refuse, and all that read a
//! file score it with the same bits (`tests/structured.rs`, which a fuzzer's bytes steer here, and seeds in `cargo
//! xtask fuzz`).
//!
//! `cd runtime && cargo fuzz run numbers`

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use xsfm_tests::structured::{Fuzzer, Numbers};

thread_local! {
    static FUZZER: (Fuzzer, RefCell<Vec<xsfm_runtime::ScratchBlock>>) = (Fuzzer::new(40), RefCell::default());
}

fuzz_target!(|bytes: &[u8]| {
    FUZZER.with(|(fuzzer, room)| fuzzer.run(&mut Numbers::of_bytes(bytes), &mut room.borrow_mut()));
});
