//! Which actions of a partition are finished, so that the committed offset never passes one that is not.

use std::collections::BTreeSet;

use crate::record::Offset;

#[derive(Debug)]
pub struct Window {
    /// From where actions were read.
    start: Offset,
    /// One past the last action that was taken in.
    end: Offset,
    unfinished: BTreeSet<Offset>,
}

impl Window {
    pub fn from(start: Offset) -> Self {
        Self { start, end: start, unfinished: BTreeSet::new() }
    }

    pub fn start(&self) -> Offset {
        self.start
    }

    pub fn open(&mut self, offset: Offset) {
        self.end = Offset(offset.0 + 1);
        self.unfinished.insert(offset);
    }

    pub fn finish(&mut self, offset: Offset) {
        self.unfinished.remove(&offset);
    }

    /// Where a successor would have to start.
    pub fn committable(&self) -> Offset {
        self.unfinished.first().copied().unwrap_or(self.end)
    }

    pub fn unfinished(&self) -> usize {
        self.unfinished.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unfinished_action_holds_the_offset_back() {
        let mut window = Window::from(Offset(5));
        assert_eq!(window.committable(), Offset(5));
        [5, 6, 9].into_iter().for_each(|offset| window.open(Offset(offset)));
        window.finish(Offset(6));
        assert_eq!((window.committable(), window.unfinished()), (Offset(5), 2));
        window.finish(Offset(5));
        assert_eq!(window.committable(), Offset(9));
        window.finish(Offset(9));
        assert_eq!(window.committable(), Offset(10));
    }
}
