//! Hooks of Postgres, which extensions put in front of one another.

use std::cell::Cell;

/// A hook, and the one that it was put in front of.
pub struct Hook<F: 'static> {
    /// Another extension may have put its own in front of it, which then goes on calling it.
    is_installed: Cell<bool>,
    previous: Cell<Option<F>>,
}

impl<F: Copy> Hook<F> {
    pub const fn new() -> Self {
        Hook { is_installed: Cell::new(false), previous: Cell::new(None) }
    }

    /// The one to pass calls on to.
    pub fn previous(&self) -> Option<F> {
        self.previous.get()
    }

    /// Puts `hook` in front.
    ///
    /// # Safety
    /// `place` must be the variable of a hook that calls `self.previous`.
    pub unsafe fn install(&self, place: *mut Option<F>, hook: F) {
        if !self.is_installed.replace(true) {
            // SAFETY: see above; a backend has one thread.
            unsafe {
                self.previous.set(*place);
                *place = Some(hook);
            }
        }
    }

    /// Takes it away, unless another one is in front of it: then it stays, and only passes on.
    ///
    /// # Safety
    /// As for `install`.
    pub unsafe fn remove(&self, place: *mut Option<F>, is_ours: impl FnOnce(F) -> bool) {
        // SAFETY: see above.
        unsafe {
            if (*place).is_some_and(is_ours) {
                *place = self.previous.take();
                self.is_installed.set(false);
            }
        }
    }
}
