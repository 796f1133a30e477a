//! Template hashes in names and labels: 32-bit FNV-1a, spelled with letters and digits that make no words.

use serde::Serialize;

/// Letters and digits that upstream uses for generated suffixes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Hash of a template's canonical JSON and the number of collisions so far. Equal templates have equal hashes; the value
/// differs from upstream's, which nobody may rely on: sets are recognised by their template, not by the hash.
pub fn template<T: Serialize>(template: &T, collisions: i32) -> String {
    // Kubernetes types always serialize; were one not to, the empty text is as good a hash input as any.
    let text = serde_json::to_string(template).unwrap_or_default();
    let mut hash = fnv1a(0x811c_9dc5, text.as_bytes());
    if collisions > 0 {
        hash = fnv1a(hash, &collisions.to_le_bytes());
    }
    safe(hash)
}

/// A number in the safe alphabet: one character per decimal digit, as upstream's `SafeEncodeString` does.
pub fn safe(number: u32) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

fn fnv1a(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_stable_and_safe() {
        assert_eq!(template(&1, 0), template(&1, 0));
        assert_ne!(template(&1, 0), template(&1, 1));
        assert!(template(&"x", 0).bytes().all(|c| ALPHABET.contains(&c)));
        assert_eq!(fnv1a(0x811c_9dc5, b"a"), 0xe40c_292c);
    }
}
