//! Dry runs: all decisions about a request, without doing anything.

use std::cell::RefCell;

use super::step::Step;

/// Dry runs: all decisions about a request, without doing anything.
pub trait DryRuns {
    /// Returns a dry-run view with a [`DryRun`]: objects and KV can be read, writes are suppressed, and neither
    /// upstream nor an external service is called.
    #[must_use]
    fn dry_run(&self) -> Self
    where
        Self: Sized;

    /// Returns the [`DryRun`] if this is a dry-run view.
    fn as_dry_run(&self) -> Option<&DryRun>;
}

/// The steps that a dry run assumed to pass because it could not check them, for example because they call an external
/// service.
#[derive(Debug, Default)]
pub struct DryRun(RefCell<Vec<Step>>);

impl DryRun {
    /// Records that a step was assumed to pass.
    pub fn assume(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }

    /// Checks whether a step was assumed to pass.
    #[must_use]
    pub fn has_assumed(&self, step: Step) -> bool {
        self.0.borrow().contains(&step)
    }
}
