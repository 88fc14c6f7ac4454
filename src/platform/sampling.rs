//! Log sampling: which plain passes are logged, and how many requests each line counts for.

use std::cell::Cell;

/// Counts plain passes and picks those to log: the first one of an isolate, then one in every `LOG_SAMPLE`.
#[derive(Debug, Default)]
pub struct PlainPasses {
    has_logged: Cell<bool>,
    unlogged: Cell<u32>,
}

impl PlainPasses {
    /// Counts one more pass. Returns the number of passes that its log line counts for, or `None` if it is not logged.
    pub fn count(&self, sample: u32) -> Option<u32> {
        let passes = self.unlogged.get().saturating_add(1);
        if passes < sample && self.has_logged.replace(true) {
            self.unlogged.set(passes);
            return None;
        }
        self.has_logged.set(true);
        self.unlogged.set(0);
        Some(passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_lines_count_every_pass() {
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
