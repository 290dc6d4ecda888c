//! Bytes, keys and ids as a person reads them.

/// Bytes as text where they are text, in quotes; else in hexadecimal. No longer than `max` characters between the
/// quotes; what is cut off is counted.
pub(super) fn shown(bytes: &[u8], max: usize) -> String {
    let is_text = |text: &str| text.chars().all(|c| !c.is_control());
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(text) => {
            let clipped: String = text.chars().take(max).collect();
            let rest = bytes.len() - clipped.len();
            // Cutting a byte or two off helps nobody.
            if rest <= 4 { format!("\"{text}\"") } else { format!("\"{clipped}…\" ({} bytes)", bytes.len()) }
        }
        _ => {
            let take = (max / 2).max(4);
            if bytes.len() <= take + 2 {
                hex(bytes)
            } else {
                format!("{}… ({} bytes)", hex(&bytes[..take]), bytes.len())
            }
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A key range as etcd's requests have it: `end` empty for one key, one zero byte for all from `key` on.
pub(super) fn range(key: &[u8], end: &[u8], max: usize) -> String {
    match end {
        [] => shown(key, max),
        [0] if key == [0] => "all keys".to_owned(),
        [0] => format!("{} and all behind", shown(key, max)),
        _ if is_prefix_end(key, end) => format!("prefix {}", shown(key, max)),
        _ => format!("[{}, {})", shown(key, max), shown(end, max)),
    }
}

/// Whether `[key, end)` is just what begins with `key`.
fn is_prefix_end(key: &[u8], end: &[u8]) -> bool {
    let Some(last) = key.iter().rposition(|&b| b < 0xff) else { return false };
    let (head, tail) = (&key[..last], key[last] + 1);
    end.len() == last + 1 && end[..last] == *head && end[last] == tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_text_if_they_are_some() {
        assert_eq!(shown(b"abc", 10), "\"abc\"");
        assert_eq!(shown(b"", 10), "\"\"");
        assert_eq!(shown("größer als zehn".as_bytes(), 5), "\"größe…\" (17 bytes)");
        assert_eq!(shown(&[0, 1, 255], 10), "0001ff");
        assert_eq!(shown(&[1; 100], 8), "01010101… (100 bytes)");
    }

    #[test]
    fn ranges_read_as_what_was_meant() {
        assert_eq!(range(b"a", b"", 9), "\"a\"");
        assert_eq!(range(b"a", b"b", 9), "prefix \"a\"");
        assert_eq!(range(b"a", b"c", 9), "[\"a\", \"c\")");
        assert_eq!(range(b"a", b"\0", 9), "\"a\" and all behind");
        assert_eq!(range(b"\0", b"\0", 9), "all keys");
        assert_eq!(range(b"a\xff", b"b", 9), "prefix 61ff");
    }
}
