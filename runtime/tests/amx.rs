//! What the process may do: AMX is asked of Linux once, and never where another back end is chosen. A program of its
//! own, because what one test has asked for all of them have.
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(unsafe_code, reason = "a system call")]

mod common;

use std::arch::asm;

use common::random::{Rng, Shape};
use xsfm_runtime::{Backend, LoadError, LoadOptions, Mode, Model};
use zerocopy::IntoBytes;

/// Whether this process may use the tiles: `arch_prctl(ARCH_GET_XCOMP_PERM)`, bit 18; `None` where the system knows
/// nothing of it.
fn may_use_tiles() -> Option<bool> {
    let mut features = 0_u64;
    let result: isize;
    // SAFETY: the call writes a number of 64 bits.
    unsafe {
        asm!(
            "syscall",
            inout("rax") 158_usize => result,
            in("rdi") 0x1022_usize,
            in("rsi") &raw mut features,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    (result == 0).then_some(features >> 18 & 1 == 1)
}

#[test]
fn amx_is_asked_for_where_it_is_wanted_alone() {
    let file = Shape::random(&mut Rng(1), Mode::Int8).draft(&mut Rng(1)).write();
    let before = may_use_tiles();
    assert_ne!(before, Some(true), "nobody has asked");
    for backend in Backend::ALL.into_iter().filter(|&backend| backend != Backend::Avx512Amx) {
        let loaded = Model::from_bytes_with(file.as_bytes(), LoadOptions::on(backend));
        match loaded {
            Ok(model) => assert_eq!((model.backend(), backend.is_available()), (backend, true)),
            Err(error) => {
                assert_eq!((error, backend.is_available()), (LoadError::Backend { backend }, false));
            }
        }
    }
    let fastest = Backend::detect_without_amx();
    let options = LoadOptions { skip_checksum: true, ..LoadOptions::on(fastest) };
    assert_eq!(Model::from_bytes_with(file.as_bytes(), options).unwrap().backend(), fastest);
    assert_eq!(may_use_tiles(), before, "another back end was chosen");
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    assert_eq!(model.backend(), Backend::detect());
    let has_amx = Backend::Avx512Amx.is_available();
    if has_amx {
        assert_eq!((model.backend(), may_use_tiles()), (Backend::Avx512Amx, Some(true)));
    } else {
        println!("NOT TESTED with AMX: this CPU or this system lacks it");
        assert_eq!(model.backend(), fastest);
        let refused = Model::from_bytes_with(file.as_bytes(), LoadOptions::on(Backend::Avx512Amx));
        assert_eq!(refused.unwrap_err(), LoadError::Backend { backend: Backend::Avx512Amx });
    }
}
