//! Plans of whole files.

mod case;
mod cases;
mod digest;
mod limits;
mod print;
mod properties;
