//! The tar format: POSIX ustar and PAX, and what GNU tar writes.
//!
//! Headers are those of the `tar` crate. What goes around them is here, since a layer is read from whoever made it:
//! extension headers have a bound, PAX attributes and all sparse formats are known, and one rule decides which bytes are
//! written for an entry.

mod extension;
mod numeric;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use reader::{Data, Member, MemberKind, TarError, TarReader};
pub use writer::{TarWriter, WriteError};

/// Everything in a tar is a multiple of this.
const BLOCK: usize = 512;

/// Returns how many bytes follow `size` bytes of data to fill the block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
