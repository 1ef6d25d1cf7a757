//! From layers and a configuration to the draft of an image, which the store packs when its bytes are needed.

use std::collections::BTreeMap;

use image::config::History;
use image::{Descriptor, ImageConfig, Platform};
use store::{DraftImage, LayerId};

/// What an image is made of.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) platform: Platform,
    /// With the base's `rootfs` and `history`.
    pub(crate) config: ImageConfig,
    /// The base's manifest.
    pub(crate) base: Option<Descriptor>,
    /// New layers, lowest first.
    pub(crate) layers: Vec<LayerId>,
    /// New lines of history.
    pub(crate) history: Vec<Line>,
    /// `SOURCE_DATE_EPOCH`: no new time is later than this.
    pub(crate) epoch: Option<i64>,
}

/// A line of history to add, and when its layer was made (`None`: an empty layer).
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) history: History,
    pub(crate) created: Option<i64>,
}

/// Completes the configuration, but for the digests of what is not packed yet.
pub(crate) fn image(assembly: Assembly) -> DraftImage {
    let Assembly { platform, mut config, base, layers, history, epoch } = assembly;
    add_history(&mut config, history, epoch);
    let (annotations, entry_annotations) = (BTreeMap::new(), BTreeMap::new());
    DraftImage { platform, config, base, layers, annotations, entry_annotations }
}

/// Adds the new lines. A line without a layer takes the time of the next layer, or of the one before it.
fn add_history(config: &mut ImageConfig, lines: Vec<Line>, epoch: Option<i64>) {
    let mut next = lines.iter().rev().find_map(|l| l.created);
    let mut times: Vec<Option<i64>> = lines
        .iter()
        .rev()
        .map(|line| {
            next = line.created.or(next);
            next
        })
        .collect();
    times.reverse();
    // What follows the last layer was given its time above, seen from the end; the same holds from the front.
    for (line, time) in lines.into_iter().zip(times) {
        let created = time.map(|t| epoch.map_or(t, |e| t.min(e))).or(epoch).map(rfc3339);
        config.history.push(History { created, ..line.history });
    }
    config.created = config.history.iter().rev().find_map(|h| h.created.clone()).or_else(|| epoch.map(rfc3339));
}

/// RFC 3339, as the configuration wants times.
pub(crate) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
