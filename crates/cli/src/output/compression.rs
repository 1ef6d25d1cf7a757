//! `compression=` and `compression-level=` of an output.

use dockerfile::diagnostic::nearest;
use image::layer::Compression;

const KINDS: [&str; 3] = ["uncompressed", "gzip", "zstd"];

/// What was said of the layers of an output.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) kind: Option<String>,
    pub(super) level: Option<String>,
}

impl Fields {
    /// Returns how layers are compressed, `None` if nothing was said. A level alone is one of gzip, as with buildx.
    pub(super) fn compression(self) -> Result<Option<Compression>, String> {
        let Self { kind, level } = self;
        let kind = match (kind, &level) {
            (Some(kind), _) => kind,
            (None, Some(_)) => "gzip".to_owned(),
            (None, None) => return Ok(None),
        };
        let level = level.as_deref();
        Ok(Some(match (kind.as_str(), level) {
            ("gzip", None) => Compression::GZIP,
            ("gzip", Some(text)) => Compression::Gzip { level: number("gzip", text, 9)?.into() },
            ("zstd", None) => Compression::ZSTD,
            ("zstd", Some(text)) => Compression::Zstd { level: number("zstd", text, 22)?.into() },
            ("uncompressed", None) => Compression::None,
            ("uncompressed", Some(_)) => return Err("compression-level is for gzip and zstd".to_owned()),
            ("estargz", _) => return Err("compression=estargz is not supported: use gzip or zstd".to_owned()),
            (other, _) => {
                let question = nearest(other, KINDS).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                return Err(format!("unknown compression `{other}`{question}: one of {}", KINDS.join(", ")));
            }
        }))
    }
}

/// Reads a level of 1 to `highest`.
fn number(kind: &str, text: &str, highest: u8) -> Result<u8, String> {
    let level = text.parse().ok().filter(|level| (1..=highest).contains(level));
    level.ok_or_else(|| format!("compression-level={text}: levels of {kind} are 1 to {highest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Option<&str>, level: Option<&str>, expected: Result<Option<Compression>, &str>) {
        let fields = Fields { kind: kind.map(str::to_owned), level: level.map(str::to_owned) };
        assert_eq!(fields.compression(), expected.map_err(str::to_owned), "{kind:?} {level:?}");
    }

    #[test]
    fn kinds_and_levels() {
        check(None, None, Ok(None));
        check(None, Some("9"), Ok(Some(Compression::Gzip { level: 9 })));
        check(Some("gzip"), None, Ok(Some(Compression::GZIP)));
        check(Some("zstd"), None, Ok(Some(Compression::ZSTD)));
        check(Some("zstd"), Some("22"), Ok(Some(Compression::Zstd { level: 22 })));
        check(Some("uncompressed"), None, Ok(Some(Compression::None)));
    }

    #[test]
    fn what_there_is_not() {
        check(Some("gzip"), Some("0"), Err("compression-level=0: levels of gzip are 1 to 9"));
        check(Some("gzip"), Some("fast"), Err("compression-level=fast: levels of gzip are 1 to 9"));
        check(Some("zstd"), Some("23"), Err("compression-level=23: levels of zstd are 1 to 22"));
        check(Some("uncompressed"), Some("1"), Err("compression-level is for gzip and zstd"));
        check(
            Some("zstdd"),
            None,
            Err("unknown compression `zstdd` (did you mean zstd?): one of uncompressed, gzip, zstd"),
        );
        check(Some("estargz"), None, Err("compression=estargz is not supported: use gzip or zstd"));
    }
}
