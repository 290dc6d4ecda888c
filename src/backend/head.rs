//! The beginning of a key as a number: what a search compares before it looks at the bytes.

/// The first eight bytes as a number; zeros where there are fewer. Of two keys with different numbers the one with the
/// lesser number is the lesser key; equal numbers say nothing.
pub(crate) fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(padded)
        }
    }
}
