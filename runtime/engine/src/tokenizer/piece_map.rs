//! From the bytes of a piece to its token.
//!
//! A `HashMap<Vec<u8>, u32>` would hold every piece a second time in an allocation of its own (128 000 of them). This
//! table holds ids only and compares with the vocabulary's arena: 8 bytes a token at most. The hash is the standard
//! library's, keyed at random, so a file cannot be made whose pieces all collide.

use std::hash::{BuildHasher, RandomState};

const EMPTY: u32 = u32::MAX;

/// Ids by piece. The pieces themselves are the caller's: `piece_of` gives them.
#[derive(Debug)]
pub(super) struct PieceMap {
    /// Open addressing, at most half full, a power of two long.
    slots: Box<[u32]>,
    hasher: RandomState,
}

impl PieceMap {
    /// Maps `ids`. Of equal pieces the first stays.
    pub(super) fn new<'a>(ids: &[u32], piece_of: impl Fn(u32) -> &'a [u8]) -> Self {
        let n_slots = (ids.len() * 2).next_power_of_two().max(2);
        let mut map = Self { slots: vec![EMPTY; n_slots].into(), hasher: RandomState::new() };
        for &id in ids {
            let slot = map.slot(piece_of(id), &piece_of);
            if map.slots[slot] == EMPTY {
                map.slots[slot] = id;
            }
        }
        map
    }

    /// The id of `piece`.
    pub(super) fn get<'a>(&self, piece: &[u8], piece_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        let id = self.slots[self.slot(piece, &piece_of)];
        (id != EMPTY).then_some(id)
    }

    /// Where `piece` is or would be. Ends: half of the slots are empty.
    fn slot<'a>(&self, piece: &[u8], piece_of: &impl Fn(u32) -> &'a [u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(piece) as usize & mask;
        while self.slots[slot] != EMPTY && piece_of(self.slots[slot]) != piece {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_holds_and_the_first_of_equals() {
        let pieces: Vec<String> = (0..1000).map(|i| (i % 700).to_string()).collect();
        let piece_of = |id: u32| pieces[id as usize].as_bytes();
        let map = PieceMap::new(&(0..1000).collect::<Vec<_>>(), piece_of);
        for id in 0..1000 {
            assert_eq!(map.get(piece_of(id), piece_of), Some(id % 700));
        }
        assert_eq!(map.get(b"700", piece_of), None);
        assert_eq!(map.get(b"", piece_of), None);
    }

    #[test]
    fn an_empty_map_holds_nothing() {
        let map = PieceMap::new(&[], |_| &[]);
        assert_eq!(map.get(b"a", |_| unreachable!("no id is stored")), None);
    }
}
