//! Which plain passes are logged, and how many requests each line stands for.

use std::cell::Cell;

/// Counts plain passes, and picks those that are logged: the first one of an isolate, then one in every `LOG_SAMPLE`.
#[derive(Debug, Default)]
pub struct PlainPasses {
    is_begun: Cell<bool>,
    unlogged: Cell<u32>,
}

impl PlainPasses {
    /// Counts one more. Returns how many its line stands for, if it is to be logged.
    pub fn count(&self, sample: u32) -> Option<u32> {
        let passes = self.unlogged.get().saturating_add(1);
        if passes < sample && self.is_begun.replace(true) {
            self.unlogged.set(passes);
            return None;
        }
        self.is_begun.set(true);
        self.unlogged.set(0);
        Some(passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_plain_passes_stand_for_all_of_them() {
        for (sample, want) in [
            (1, vec![Some(1), Some(1), Some(1), Some(1)]),
            (2, vec![Some(1), None, Some(2), None, Some(2)]),
            (3, vec![Some(1), None, None, Some(3), None, None, Some(3)]),
        ] {
            let passes = PlainPasses::default();
            let got: Vec<_> = want.iter().map(|_| passes.count(sample)).collect();
            assert_eq!(got, want, "{sample}");
        }
    }
}
