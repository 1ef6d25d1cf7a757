//! Id maps: `/proc/PID/uid_map`, `/etc/subuid`.

use std::fmt::Write as _;

/// A run of ids: `count` from `inside` on are those from `outside` on in the parent namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Extent {
    pub(crate) inside: u32,
    pub(crate) outside: u32,
    pub(crate) count: u32,
}

/// The ids of a user namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct IdMap(pub(crate) Vec<Extent>);

/// The kernel takes 340 extents; newuidmap reads them from its arguments.
const MAX_EXTENTS: usize = 300;

impl IdMap {
    pub(crate) fn read(path: &str) -> Self {
        std::fs::read_to_string(path).map(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Reads lines of `inside outside count` (`user_namespaces(7)`).
    pub(crate) fn parse(text: &str) -> Self {
        let extent = |line: &str| {
            let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
            Some(Extent { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
        };
        Self(text.lines().filter_map(extent).collect())
    }

    /// The caller's own id as 0, alone.
    pub(crate) fn single(own: u32) -> Self {
        Self(vec![Extent { inside: 0, outside: own, count: 1 }])
    }

    /// Every id of this map as itself.
    pub(crate) fn identical(&self) -> Self {
        Self(self.0.iter().map(|extent| Extent { outside: extent.inside, ..*extent }).collect())
    }

    /// The caller's own id as 0, then the ranges that `/etc/subuid` (or `subgid`) text gives to one of `names`. `None`
    /// if it gives none.
    pub(crate) fn subordinate(own: u32, text: &str, names: &[String]) -> Option<Self> {
        let mut map = Self::single(own);
        let mut next = 1u32;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(':');
            let (Some(name), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let (Ok(outside), Ok(count)) = (first.parse(), count.parse::<u32>()) else { continue };
            let Some(end) = next.checked_add(count) else { break };
            if count == 0 || map.0.len() == MAX_EXTENTS || !names.iter().any(|known| known == name) {
                continue;
            }
            map.0.push(Extent { inside: next, outside, count });
            next = end;
        }
        (map.0.len() > 1).then_some(map)
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|extent| id >= extent.inside && id - extent.inside < extent.count)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|extent| u64::from(extent.count)).sum()
    }

    pub(crate) fn first_extent(&self) -> u32 {
        self.0.first().map_or(0, |extent| extent.count)
    }

    /// The text that `/proc/PID/uid_map` takes.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for Extent { inside, outside, count } in &self.0 {
            let _ = writeln!(text, "{inside} {outside} {count}");
        }
        text
    }

    /// The words that newuidmap takes after the process id.
    pub(crate) fn to_words(&self) -> Vec<String> {
        self.0.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]).map(|n| n.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_proc_are_read() {
        let map = IdMap::parse("         0       1000          1\n         1     100000      65536\n");
        assert_eq!(map.0.len(), 2);
        assert_eq!(map.count(), 65_537);
        assert!(map.contains(0) && map.contains(65_536) && !map.contains(65_537));
        assert_eq!(map.to_text(), "0 1000 1\n1 100000 65536\n");
    }

    #[test]
    fn subordinate_ranges_follow_the_callers_own_id() {
        let text = "# comment\nother:500000:65536\nme:100000:10\nme:200000:5\n1000:300000:1\nme:bad:1\nme:1:0\nme:7\n";
        let map = IdMap::subordinate(1000, text, &["me".into(), "1000".into()]).unwrap();
        assert_eq!(map.to_text(), "0 1000 1\n1 100000 10\n11 200000 5\n16 300000 1\n");
        assert_eq!(IdMap::subordinate(1000, text, &["nobody".into()]), None);
    }

    #[test]
    fn a_range_past_the_last_id_is_left_out() {
        let map = IdMap::subordinate(1, "me:1:4000000000\nme:1:4000000000\n", &["me".into()]).unwrap();
        assert_eq!(map.0.len(), 2);
    }
}
