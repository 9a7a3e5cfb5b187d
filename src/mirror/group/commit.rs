//! Whether a position may be committed for a group on the target.
//!
//! Invariants: only while the group has no members there, which Kafka itself insists on. Never backwards, unless the group was
//! rewound on the source, which the mark of the last commit shows. What somebody else has committed is moved on only while members
//! on the source go on, so that who was set back on the target on purpose stays there. Force overrules all but members.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use super::{Position, Why};

/// Who is in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// No such group, or nobody in it.
    None,
    Some(Vec<String>),
}

/// A group on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    pub members: Members,
    pub is_share: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    pub metadata: String,
}

/// What a commit of a flow carries: the partition's key, and the source position that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    pub flow_partition: &'a str,
    pub place: i64,
}

const NAME: &str = "fairlead ";

impl<'a> Mark<'a> {
    /// `None`: somebody else has committed that.
    pub fn parse(metadata: &'a str) -> Option<Self> {
        let (flow_partition, place) = metadata.strip_prefix(NAME)?.rsplit_once('@')?;
        Some(Self { flow_partition, place: place.parse().ok()? })
    }
}

impl std::fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{NAME}{}@{}", self.flow_partition, self.place)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stands there already.
    Stays {
        offset: i64,
    },
    /// `rewound`: the source position that it stood for, when it goes backwards with the source.
    Commit {
        offset: i64,
        rewound: Option<i64>,
    },
    Waits(Why),
    Blocked(Why),
}

/// `mark` is of the position asked for. `goes_on`: the group has members on the source.
pub fn decide(
    position: &Position,
    mark: &Mark<'_>,
    goes_on: bool,
    group: &TargetGroup,
    committed: Option<&Committed>,
    force: bool,
) -> Action {
    let offset = match position {
        Position::Exact(offset) => *offset,
        Position::Blocked { nothing_skipped, .. } if force => *nothing_skipped,
        Position::Blocked { why, .. } => return Action::Blocked(why.clone()),
        Position::Waiting(why) => return Action::Waits(why.clone()),
    };
    if group.is_share {
        return Action::Blocked(Why::Share);
    }
    if let Members::Some(members) = &group.members {
        return Action::Blocked(Why::Active(members.clone()));
    }
    let Some(Committed { offset: stands, metadata }) = committed else {
        return Action::Commit { offset, rewound: None };
    };
    let own = Mark::parse(metadata).filter(|before| before.flow_partition == mark.flow_partition);
    let rewound = own.as_ref().map(|before| before.place).filter(|place| *place > mark.place && offset < *stands);
    match (offset, own) {
        (offset, _) if offset == *stands => Action::Stays { offset },
        (offset, _) if force || rewound.is_some() => Action::Commit { offset, rewound },
        (offset, _) if offset < *stands => Action::Blocked(Why::Backwards { committed: *stands }),
        (offset, Some(_)) => Action::Commit { offset, rewound },
        (offset, None) if goes_on => Action::Commit { offset, rewound },
        (_, None) => Action::Blocked(Why::Others { committed: *stands }),
    }
}
