//! The tree as text, for snapshots.
