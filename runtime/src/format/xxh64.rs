//! XXH64 (Collet, `doc/xxhash_spec.md` of xxHash 0.8), without a panic in it, for small programs.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// The hash of `bytes`.
pub(crate) fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = match stripes {
        [] => seed.wrapping_add(P5),
        stripes => of_stripes(stripes, seed),
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let (eights, rest) = rest.as_chunks::<8>();
    for eight in eights {
        hash = (hash ^ round(0, u64::from_le_bytes(*eight))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let (fours, rest) = rest.as_chunks::<4>();
    for four in fours {
        let four = u64::from(u32::from_le_bytes(*four));
        hash = (hash ^ four.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

#[inline(never)]
fn of_stripes(stripes: &[[u8; 32]], seed: u64) -> u64 {
    let mut lanes = [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
    for stripe in stripes {
        for (lane, eight) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = round(*lane, u64::from_le_bytes(*eight));
        }
    }
    let turned = |hash: u64, (lane, by): (&u64, u32)| hash.wrapping_add(lane.rotate_left(by));
    let mut hash = lanes.iter().zip([1, 7, 12, 18]).fold(0, turned);
    for &lane in &lanes {
        hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
    }
    hash
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::prelude::v1::*;

    #[test]
    fn hashes_are_those_of_the_library() {
        let bytes: Vec<u8> = (0..200_u32).map(|n| (n * n % 251) as u8).collect();
        for len in 0..bytes.len() {
            for seed in [0, 1, 0xFFFF_FFFF_FFFF_FFFF] {
                let expected = xxhash_rust::xxh64::xxh64(&bytes[..len], seed);
                assert_eq!(super::xxh64(&bytes[..len], seed), expected, "{len} bytes, seed {seed}");
            }
        }
    }
}
