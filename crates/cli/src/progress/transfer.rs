//! Bytes on their way from or to a registry.

use std::collections::HashMap;
use std::sync::Mutex;

use image::Digest;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One bar over all blobs; hidden when nobody looks at stderr.
#[derive(Debug)]
pub(crate) struct Transfer {
    bar: ProgressBar,
    blobs: Mutex<HashMap<Digest, (u64, u64)>>,
}

impl Transfer {
    /// Shows a transfer, unless `quiet`. indicatif hides the bar by itself where stderr is no terminal.
    pub(crate) fn new(doing: &'static str, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{prefix} {bytes} / {total_bytes} {bar:30} {bytes_per_sec}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(doing);
        Self { bar, blobs: Mutex::default() }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl registry::Progress for Transfer {
    fn bytes(&self, digest: &Digest, done: u64, total: u64) {
        let Ok(mut blobs) = self.blobs.lock() else { return };
        blobs.insert(*digest, (done, total));
        let (done, total) = blobs.values().fold((0, 0), |(d, t), blob| (d + blob.0, t + blob.1));
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}
