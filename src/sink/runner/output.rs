//! The end of what is printed or answered, as text without secrets.

use std::collections::VecDeque;

/// Shorter ones would be found in any text.
const SECRET_CHARS_MIN: usize = 4;

/// The last bytes.
pub struct Tail {
    bytes: VecDeque<u8>,
    max: usize,
    /// More than these came.
    pub cut: bool,
}

impl Tail {
    pub fn new(max: usize) -> Self {
        Self { bytes: VecDeque::new(), max, cut: false }
    }

    pub fn push(&mut self, more: &[u8]) {
        self.bytes.extend(more);
        let excess = self.bytes.len().saturating_sub(self.max);
        self.cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// `None` if nothing came. Whatever is no UTF-8 is shown as such; each of `secrets` is left out, a piece at the cut too.
    pub fn text<'s>(&self, secrets: impl Iterator<Item = &'s str>) -> Option<String> {
        let (front, back) = self.bytes.as_slices();
        let mut text = String::from_utf8_lossy(&[front, back].concat()).into_owned();
        for secret in secrets.filter(|secret| secret.chars().count() >= SECRET_CHARS_MIN) {
            text = text.replace(secret, "•••");
            let piece = (SECRET_CHARS_MIN..secret.len()).rev().find_map(|length| {
                let piece = secret.get(secret.len() - length..)?;
                (self.cut && text.starts_with(piece)).then_some(length)
            });
            if let Some(length) = piece {
                text.replace_range(..length, "•••");
            }
        }
        let text = text.trim();
        (!text.is_empty()).then(|| if self.cut { format!("…{text}") } else { text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_no_secret_is_in_it() {
        let mut tail = Tail::new(10);
        tail.push(b"0123456789");
        assert_eq!(tail.text([].into_iter()).as_deref(), Some("0123456789"));
        tail.push(b"ab");
        assert_eq!(tail.text([].into_iter()).as_deref(), Some("…23456789ab"));
        let mut tail = Tail::new(30);
        tail.push(b"token is hunter22, and hunter22\xff");
        let text = tail.text(["hunter22", "is"].into_iter()).unwrap();
        assert!(!text.contains("hunter22") && text.contains("is •••") && text.contains('\u{fffd}'), "{text}");
        // Cut in the middle of it.
        let mut tail = Tail::new(9);
        tail.push(b"hunter22 end");
        assert_eq!(tail.text(["hunter22"].into_iter()).as_deref(), Some("…••• end"));
        assert_eq!(Tail::new(9).text([].into_iter()), None);
    }
}
