//! What expansions may cost.

/// What is left to expansions, in characters compared. All words of a file share one: a few lines can ask for any amount
/// of work that leaves nothing behind (`${A##*x}` of a long value, a thousand times).
#[derive(Debug)]
pub struct Budget(usize);

/// The budget is spent.
#[derive(Debug)]
pub(super) struct Spent;

/// A file's, or that of a word on its own: what takes some tens of milliseconds.
const WHOLE: usize = 32 << 20;

impl Default for Budget {
    fn default() -> Self {
        Self(WHOLE)
    }
}

impl Budget {
    /// True if nothing is left: every expansion fails that has anything to do.
    pub fn is_spent(&self) -> bool {
        self.0 == 0
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.0
    }

    /// Bytes are copied faster than characters are compared, but memory that was never used is not faster than that.
    pub(super) fn copy(&mut self, text: &str) -> Result<(), Spent> {
        self.spend(text.len() / 2 + 1)
    }

    pub(super) fn spend(&mut self, work: usize) -> Result<(), Spent> {
        self.0 = self.0.saturating_sub(work);
        if self.is_spent() { Err(Spent) } else { Ok(()) }
    }
}
