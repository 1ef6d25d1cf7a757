//! Ports that containers are reached at.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use image::config::{ContainerConfig, Empty};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Returns the protocol of a name in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of ports. A range may be all there are, so they get their names, as a configuration has them, only at the end, and
/// stages that are made from one share its ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(Arc<BTreeSet<(Protocol, u16)>>);

impl Ports {
    pub(crate) fn add(&mut self, ports: RangeInclusive<u16>, protocol: Protocol) {
        Arc::make_mut(&mut self.0).extend(ports.map(|port| (protocol, port)));
    }

    /// Adds them to those of the base.
    pub(crate) fn put(&self, config: &mut ContainerConfig) {
        config.exposed_ports.extend(self.0.iter().map(|(protocol, port)| (format!("{port}/{protocol}"), Empty {})));
    }
}
