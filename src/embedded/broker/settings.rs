//! Topic configuration: which keys there are, what they default to, and which values are legal.
//!
//! Pure. Keys of the second group are accepted and reported, so that tools which copy configurations between clusters work, but a
//! single node has nothing to do with them.

use std::collections::BTreeMap;

/// A topic's configuration, as far as it was set.
pub type Configs = BTreeMap<String, String>;

/// What the log acts on, read from a topic's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub compacted: bool,
    pub deleted: bool,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    pub segment_bytes: u64,
    pub segment_ms: i64,
    pub max_message_bytes: usize,
    pub broker_time: bool,
    pub min_cleanable_ratio: f64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
}

/// How a value is checked, and what `DescribeConfigs` calls its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Whole(i64),
    Ratio,
    Switch,
    One(&'static [&'static str]),
    Policy,
    Free,
}

#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
}

const fn key(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { name, default, kind }
}

/// Every key, sorted by name. The first group acts, see [`Settings`]; the rest is only kept.
pub const KEYS: &[Key] = &[
    key("cleanup.policy", "delete", Kind::Policy),
    key("delete.retention.ms", "86400000", Kind::Whole(0)),
    key("max.compaction.lag.ms", "9223372036854775807", Kind::Whole(1)),
    key("max.message.bytes", "1048588", Kind::Whole(0)),
    key("message.timestamp.type", "CreateTime", Kind::One(&["CreateTime", "LogAppendTime"])),
    key("min.cleanable.dirty.ratio", "0.5", Kind::Ratio),
    key("min.compaction.lag.ms", "0", Kind::Whole(0)),
    key("retention.bytes", "-1", Kind::Whole(-1)),
    key("retention.ms", "604800000", Kind::Whole(-1)),
    key("segment.bytes", "1073741824", Kind::Whole(14)),
    key("segment.ms", "604800000", Kind::Whole(1)),
    // Kept, without effect on a single node that stores batches as they come.
    key("compression.type", "producer", Kind::One(&["producer"])),
    key("file.delete.delay.ms", "60000", Kind::Whole(0)),
    key("flush.messages", "9223372036854775807", Kind::Whole(1)),
    key("flush.ms", "9223372036854775807", Kind::Whole(0)),
    key("follower.replication.throttled.replicas", "", Kind::Free),
    key("index.interval.bytes", "4096", Kind::Whole(0)),
    key("leader.replication.throttled.replicas", "", Kind::Free),
    key("message.timestamp.after.max.ms", "9223372036854775807", Kind::Whole(0)),
    key("message.timestamp.before.max.ms", "9223372036854775807", Kind::Whole(0)),
    key("min.insync.replicas", "1", Kind::Whole(1)),
    key("preallocate", "false", Kind::Switch),
    key("segment.index.bytes", "10485760", Kind::Whole(4)),
    key("segment.jitter.ms", "0", Kind::Whole(0)),
    key("unclean.leader.election.enable", "false", Kind::Switch),
];

pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// What is wrong with `value`, in words for the client.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let (legal, needed) = match self.kind {
            Kind::Whole(least) => {
                let legal = value.parse::<i64>().is_ok_and(|value| value >= least);
                (legal, format!("a whole number of at least {least} is needed"))
            }
            Kind::Ratio => {
                let legal = value.parse::<f64>().is_ok_and(|value| (0.0..=1.0).contains(&value));
                (legal, "a number from 0 to 1 is needed".to_owned())
            }
            Kind::Switch => (matches!(value, "true" | "false"), "true or false is needed".to_owned()),
            Kind::One(legal) => (legal.contains(&value), format!("this broker knows {}", legal.join(", "))),
            Kind::Policy => {
                let legal = value.split(',').all(|part| matches!(part.trim(), "delete" | "compact"));
                (legal, "delete, compact or both are needed".to_owned())
            }
            Kind::Free => return Ok(()),
        };
        if legal { Ok(()) } else { Err(format!("{}={value}: {needed}", self.name)) }
    }
}

/// Every key with the value it has.
pub fn effective(configs: &Configs) -> impl Iterator<Item = (&'static Key, &str)> {
    KEYS.iter().map(|key| (key, configs.get(key.name).map_or(key.default, String::as_str)))
}

/// Checks a topic's whole configuration.
pub fn check(configs: &Configs) -> Result<(), String> {
    configs.iter().try_for_each(|(name, value)| match find(name) {
        Some(key) => key.check(value),
        None => Err(format!("unknown topic configuration {name}")),
    })
}

impl Settings {
    /// Reads a configuration that [`check`] has passed.
    pub fn from_configs(configs: &Configs) -> Settings {
        let values: BTreeMap<&str, &str> = effective(configs).map(|(key, value)| (key.name, value)).collect();
        let text = |name| values.get(name).copied().unwrap_or_default();
        let whole = |name| text(name).parse::<i64>().unwrap_or(i64::MAX);
        Settings {
            compacted: text("cleanup.policy").contains("compact"),
            deleted: text("cleanup.policy").contains("delete"),
            retention_ms: whole("retention.ms"),
            retention_bytes: whole("retention.bytes"),
            segment_bytes: whole("segment.bytes") as u64,
            segment_ms: whole("segment.ms"),
            max_message_bytes: whole("max.message.bytes") as usize,
            broker_time: text("message.timestamp.type") == "LogAppendTime",
            min_cleanable_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
            delete_retention_ms: whole("delete.retention.ms"),
            min_compaction_lag_ms: whole("min.compaction.lag.ms"),
            max_compaction_lag_ms: whole("max.compaction.lag.ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Default for Settings {
        fn default() -> Settings {
            Settings::from_configs(&BTreeMap::new())
        }
    }

    #[test]
    fn every_default_is_legal() {
        for key in KEYS {
            assert_eq!(key.check(key.default), Ok(()));
        }
    }

    #[test]
    fn wrong_values_and_unknown_keys_are_named() {
        let wrong = [
            ("retention.ms", "-2"),
            ("cleanup.policy", "shrink"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "yes"),
            ("compression.type", "gzip"),
            ("retention.msec", "1"),
        ];
        for (name, value) in wrong {
            let error = check(&BTreeMap::from([(name.to_owned(), value.to_owned())])).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn settings_follow_the_configuration() {
        let configs = [("cleanup.policy", "compact,delete"), ("retention.ms", "5"), ("segment.bytes", "1000")];
        let configs = configs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let settings = Settings::from_configs(&configs);
        assert!(settings.compacted && settings.deleted && !settings.broker_time);
        assert_eq!((settings.retention_ms, settings.segment_bytes), (5, 1000));
    }
}
