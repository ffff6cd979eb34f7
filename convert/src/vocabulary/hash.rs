//! Builds the perfect hash of a field's tokens: pilots, and which slot each token has (`docs/format.md`, "Raw values").
//!
//! Buckets are placed from the largest on. Where no pilot gives a bucket slots that are all free, the one is taken that
//! drives away least, and who was driven away is placed again (Groot Koerkamp 2025, "PtrHash", arXiv:2502.15539).

use std::collections::BinaryHeap;

use xsfm_runtime::format::vocabulary::TokenHash;

/// Tokens of a bucket on average: more make fewer pilots, which are harder to find.
const PER_BUCKET: f64 = 3.2;
/// Share of the slots that are taken.
const LOAD: f64 = 0.99;
/// How many buckets have been placed last and stay where they are, so that two do not drive each other away forever.
const RECENT: usize = 16;
const FREE: u32 = u32::MAX;

/// Pilots of all buckets, and the number of slots.
pub(super) struct Pilots {
    pub(super) pilots: Vec<u8>,
    pub(super) slots: u32,
}

impl Pilots {
    /// The slot of a token.
    pub(super) fn slot(&self, hash: TokenHash) -> u32 {
        hash.slot(self.pilots[hash.bucket(self.pilots.len() as u32) as usize], self.slots)
    }
}

/// `None` where these hashes have no such pilots, or they were not found: another seed gives other hashes.
/// `attempt` is how often that was so; it gives more room each time.
pub(super) fn find(hashes: &[TokenHash], attempt: u32) -> Option<Pilots> {
    let count = hashes.len();
    let slots = (count as f64 / LOAD * (1.0 + 0.01 * f64::from(attempt))).ceil() as u32;
    let buckets = ((count as f64 / PER_BUCKET).ceil() as u32).max(1);
    let mut search = Search::new(hashes, buckets, slots)?;
    // Far more than are ever needed where there is a solution.
    for _ in 0..100 + 20 * count {
        let Some((_, bucket)) = search.waiting.pop() else { return Some(Pilots { pilots: search.pilots, slots }) };
        search.place(bucket)?;
    }
    None
}

struct Search {
    /// By bucket: the tokens' hashes.
    members: Vec<Vec<TokenHash>>,
    pilots: Vec<u8>,
    slots: u32,
    /// By slot: the bucket that has it.
    owners: Vec<u32>,
    /// Number of tokens and bucket, the largest first.
    waiting: BinaryHeap<(usize, u32)>,
    recent: [u32; RECENT],
    placed: usize,
}

impl Search {
    /// `None` where two tokens have one bucket and can never have two slots.
    fn new(hashes: &[TokenHash], buckets: u32, slots: u32) -> Option<Self> {
        let mut members = vec![Vec::new(); buckets as usize];
        hashes.iter().for_each(|hash| members[hash.bucket(buckets) as usize].push(*hash));
        for members in &members {
            let low = |hash: &TokenHash| hash.0 as u32;
            if members.iter().enumerate().any(|(n, hash)| members[..n].iter().any(|other| low(other) == low(hash))) {
                return None;
            }
        }
        let waiting = members.iter().zip(0..).filter(|(members, _)| !members.is_empty());
        let waiting = waiting.map(|(members, bucket)| (members.len(), bucket)).collect();
        Some(Search {
            pilots: vec![0; buckets as usize],
            slots,
            owners: vec![FREE; slots as usize],
            waiting,
            recent: [FREE; RECENT],
            placed: 0,
            members,
        })
    }

    /// Gives a bucket the pilot that drives away the fewest tokens; `None` where there is none.
    fn place(&mut self, bucket: u32) -> Option<()> {
        let members = &self.members[bucket as usize];
        let mut taken: Vec<u32> = Vec::with_capacity(members.len());
        let mut best: Option<(usize, u8)> = None;
        // From another pilot each time: who is placed twice shall not end where it was driven away from.
        let first = (self.placed as u8).wrapping_mul(101);
        for pilot in (0..=u8::MAX).map(|n| n.wrapping_add(first)) {
            taken.clear();
            let mut driven = 0;
            let fits = members.iter().all(|hash| {
                let slot = hash.slot(pilot, self.slots);
                let owner = self.owners[slot as usize];
                let ok = !taken.contains(&slot) && (owner == FREE || !self.recent.contains(&owner));
                taken.push(slot);
                driven += if owner == FREE { 0 } else { self.members[owner as usize].len().pow(2) };
                ok && best.is_none_or(|(least, _)| driven < least)
            });
            if fits {
                best = Some((driven, pilot));
                if driven == 0 {
                    break;
                }
            }
        }
        let (_, pilot) = best?;
        for n in 0..self.members[bucket as usize].len() {
            let slot = self.members[bucket as usize][n].slot(pilot, self.slots);
            let owner = std::mem::replace(&mut self.owners[slot as usize], bucket);
            if owner != FREE && owner != bucket {
                self.drive_away(owner, bucket);
            }
        }
        self.pilots[bucket as usize] = pilot;
        self.recent[self.placed % RECENT] = bucket;
        self.placed += 1;
        Some(())
    }

    fn drive_away(&mut self, owner: u32, by: u32) {
        let pilot = self.pilots[owner as usize];
        for hash in &self.members[owner as usize] {
            let slot = &mut self.owners[hash.slot(pilot, self.slots) as usize];
            if *slot != by {
                *slot = FREE;
            }
        }
        self.waiting.push((self.members[owner as usize].len(), owner));
    }
}
