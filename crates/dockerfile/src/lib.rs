//! Dockerfile text to an AST in which every node knows its span.
//!
//! Pure: no I/O, no environment. [`parse`] goes on after a mistake and reports all it finds.

// For the parsers that pest generates.
extern crate alloc;

pub mod ast;
pub mod diagnostic;
mod grammar;
pub mod ignore;
mod lines;
pub mod lint;
mod parse;
pub mod print;
pub mod source;
pub mod word;

pub use ast::Dockerfile;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use lint::lint;
pub use source::{Source, SourceId, Sources, Span, Spanned};
pub use word::Word;

/// Largest text that is read, in bytes.
pub const MAX_SOURCE: usize = 4 << 20;

/// Reads a whole Dockerfile. Mistakes go to `diagnostics`; what could be understood is returned all the same, so that
/// later mistakes are found too. Callers stop when `diagnostics` holds an error.
pub fn parse(source: &Source, diagnostics: &mut Diagnostics) -> Dockerfile {
    parse::dockerfile(source, diagnostics)
}

/// Reads one `ONBUILD` trigger: a single instruction without `FROM`, in a source of its own.
pub fn parse_trigger(source: &Source, diagnostics: &mut Diagnostics) -> Option<ast::Instruction> {
    parse::trigger(source, diagnostics)
}
