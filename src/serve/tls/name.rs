//! The common name in a certificate: a client that shows one need not say more about who it is.
//!
//! ```text
//!   Certificate ─▶ TBSCertificate ─▶ [version] serial algorithm issuer validity *subject* …
//!                                    subject ─▶ sets of (2.5.4.3, text)
//! ```
//!
//! Everything in X.509's DER is a tag, a length and so many bytes. The certificate was verified before it is read here.

/// `commonName`, 2.5.4.3, as DER has it.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Tag of the version, which may be missing.
const VERSION: u8 = 0xa0;

/// The common name of a certificate's subject; of several the last. `None` if it has none.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let certificate = Element::first(certificate)?.0.content;
    let (mut next, mut rest) = Element::first(Element::first(certificate)?.0.content)?;
    let before_subject = if next.tag == VERSION { 5 } else { 4 };
    for _ in 0..before_subject {
        (next, rest) = Element::first(rest)?;
    }
    let pairs = next.children().flat_map(|set| set.children());
    let names = pairs.filter_map(|pair| {
        let (kind, rest) = Element::first(pair.content)?;
        let text = Element::first(rest)?.0.content;
        (kind.content == COMMON_NAME).then(|| String::from_utf8_lossy(text).into_owned())
    });
    names.last()
}

#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element, and what is behind it.
    fn first(bytes: &'a [u8]) -> Option<(Element<'a>, &'a [u8])> {
        let (&[tag, short], mut rest) = bytes.split_first_chunk()?;
        let mut length = usize::from(short);
        if short >= 0x80 {
            let (digits, behind) = rest.split_at_checked(length - 0x80)?;
            (length, rest) = (0, behind);
            for digit in digits {
                length = length.checked_mul(256)?.checked_add(usize::from(*digit))?;
            }
        }
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Element { tag, content }, rest))
    }

    fn children(self) -> impl Iterator<Item = Element<'a>> {
        let mut rest = self.content;
        std::iter::from_fn(move || {
            let (child, behind) = Element::first(rest)?;
            rest = behind;
            Some(child)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_name_is_found_and_garbage_has_none() {
        let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params.distinguished_name.push(DnType::OrganizationName, "o".repeat(200));
        params.distinguished_name.push(DnType::CommonName, "alice");
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        assert_eq!(common_name(certificate.der()).as_deref(), Some("alice"));
        for len in 0..certificate.der().len() {
            assert_eq!(common_name(&certificate.der()[..len]), None, "cut at {len}");
        }
    }
}
