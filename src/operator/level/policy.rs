//! Whom an alert may wake: the one place where a mention is made, and the proof that a configuration cannot make another.
//!
//! What a mention depends on is finite (the level and the mention of a rule or of `otherwise`, whether a raise holds, whether
//! the alert fires), so every way through a configuration is walked with the very function that decides. What rules and
//! raises look at, labels and annotations too, decides which way is taken and nothing else.

use super::Levels;
use crate::event::{AlertStatus, Level, Mention};

/// A Low alert wakes nobody, and neither does a resolve.
pub fn may_mention(level: Level, status: AlertStatus) -> bool {
    level > Level::Low && status == AlertStatus::Firing
}

pub fn mention(level: Level, ruled: Mention, raised: bool, status: AlertStatus) -> Mention {
    match (may_mention(level, status), raised) {
        (false, _) => Mention::Nobody,
        (true, false) => ruled,
        (true, true) => one_step_up(ruled),
    }
}

/// By repetition alone nobody wakes a whole channel.
fn one_step_up(mention: Mention) -> Mention {
    match mention {
        Mention::Nobody => Mention::Owner,
        Mention::Owner => Mention::Sre,
        widest => widest,
    }
}

/// One way through the rules to a mention.
struct Way<'a> {
    /// Where the rule stands, and its name.
    rule: &'a str,
    level: Level,
    asked: Mention,
    /// The name of the raise that holds.
    raise: Option<&'a str>,
    status: AlertStatus,
}

impl Way<'_> {
    fn mention(&self) -> Mention {
        mention(self.level, self.asked, self.raise.is_some(), self.status)
    }

    fn problem(&self) -> Option<String> {
        if self.level == Level::Low && self.asked != Mention::Nobody {
            let rule = self.rule;
            return Some(format!("{rule}: level low never mentions: raise the level or leave the mention out"));
        }
        let silent = self.level == Level::Low || self.status == AlertStatus::Resolved;
        let raise = self.raise.map(|raise| format!(" by rule {raise}")).unwrap_or_default();
        (silent && self.mention() != Mention::Nobody)
            .then(|| format!("{}: a low or resolved alert would mention {:?}{raise}", self.rule, self.mention()))
    }
}

/// How many ways lead through the rules and raises of a configuration, and how many of them to a mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    pub all: usize,
    pub waking: usize,
}

impl Levels {
    /// Every way was walked: of a configuration without problems none that wakes begins at a Low alert or a resolve.
    pub fn mention_ways(&self) -> Ways {
        let mut ways = Ways { all: 0, waking: 0 };
        self.walk(|way| {
            ways.all += 1;
            ways.waking += usize::from(way.mention() != Mention::Nobody);
        });
        ways
    }

    fn walk(&self, mut visit: impl FnMut(&Way<'_>)) {
        let rules = self.rules.iter().enumerate().filter_map(|(at, rule)| {
            Some((format!("rules[{at}]: rule {}", rule.name), rule.level?, rule.mention.unwrap_or_default()))
        });
        let otherwise = ("otherwise".to_owned(), self.otherwise.level, self.otherwise.mention);
        for (rule, level, asked) in rules.chain([otherwise]) {
            for raise in self.raises.iter().map(|raise| Some(&*raise.name)).chain([None]) {
                for status in [AlertStatus::Firing, AlertStatus::Resolved] {
                    visit(&Way { rule: &rule, level, asked, raise, status });
                }
            }
        }
    }
}

/// Every rule that leads, or asks to lead, to a mention that must not be.
pub fn problems(levels: &Levels) -> Vec<String> {
    let mut problems = Vec::new();
    levels.walk(|way| problems.extend(way.problem().filter(|problem| problems.last() != Some(problem))));
    problems
}

/// Words of the configuration that look like a mention: they are shown as words and wake nobody.
pub fn warnings(levels: &Levels) -> Vec<String> {
    let rules = levels.rules.iter().enumerate().map(|(at, rule)| {
        let words = [Some(&*rule.name), rule.reason.as_deref(), rule.drop.as_deref()];
        (format!("rules[{at}]: rule {}: ", rule.name), words)
    });
    let raises = levels.raises.iter().enumerate().map(|(at, raise)| {
        (format!("raises[{at}]: rule {}: ", raise.name), [Some(&*raise.name), Some(&*raise.reason), None])
    });
    let otherwise = [("otherwise: ".to_owned(), [Some(&*levels.otherwise.reason), None, None])];
    let warnings = rules.chain(raises).chain(otherwise).filter_map(|(place, words)| {
        let token = words.iter().flatten().find_map(|text| slack_token(text))?;
        Some(format!("{place}`{token}` in words wakes nobody; say `mention: owner|sre|here|channel`"))
    });
    warnings.collect()
}

/// What Slack would take for a mention, were it not escaped.
fn slack_token(text: &str) -> Option<&str> {
    let start = ["<!", "<@", "<#"].iter().filter_map(|mark| text.find(mark)).min()?;
    Some(text[start..].split_inclusive('>').next().unwrap_or_default())
}
