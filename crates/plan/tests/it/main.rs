//! Plans of whole files.

mod case;
mod cases;
mod digest;
mod print;
mod properties;
