//! Whether what was copied so far still fits what is there: a topic that was created anew, records that are gone, a copy that somebody
//! else wrote to. Each is told with what to do, and is not copied meanwhile.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use super::super::selection::{Pair, listed};
use super::{Flow, Frontier, Observed, Plan, Topic};

/// What helps whenever a flow's past no longer fits: its ranges are never changed.
const ANEW: &str = "exclude it here, and copy it by a mirror of another name into a topic of another name";

pub fn check(plan: &mut Plan, flow: &Flow<'_>, observed: &Observed) {
    let none = BTreeMap::new();
    for pair in plan.pairs.clone() {
        let Some(source) = observed.source.get(&pair.source) else { continue };
        let frontiers = observed.frontiers.get(&pair.source).unwrap_or(&none);
        let told = match frontiers.is_empty() {
            true => target_is_free(&pair, flow, observed),
            false => source_is_the_same(flow.name, &pair, source, frontiers)
                .or_else(|| target_is_the_same(&pair, frontiers, observed)),
        };
        if let Some(message) = told.or_else(|| written_by_another(&pair, flow, observed)) {
            plan.problem(&pair.source, message);
        }
    }
    plan.drop_refused();
}

fn source_is_the_same(flow: &str, pair: &Pair, source: &Topic, frontiers: &BTreeMap<i32, Frontier>) -> Option<String> {
    let name = &pair.source;
    frontiers.iter().find_map(|(number, frontier)| {
        if let (Some(known), Some(now)) = (&frontier.source_id, &source.id)
            && known != now
        {
            return Some(format!(
                "`{name}` was deleted on the source and created anew (id {known}, now {now}); what was copied of the former stays in \
                 `{}`; {ANEW}",
                frontier.target_topic
            ));
        }
        let copied = frontier.source_end;
        let Some(ends) = usize::try_from(*number).ok().and_then(|number| source.partitions.get(number)) else {
            return Some(format!(
                "partition {number} of `{name}` was copied up to offset {copied}, and is gone: it was created anew; {ANEW}"
            ));
        };
        if ends.start > copied {
            return Some(format!(
                "the source no longer has what partition {number} of `{name}` held from offset {copied} to {}: it was deleted before it was \
                 copied, by retention or by hand; raise retention.ms there, and go on without it by `fairlead mirror skip --flow {flow} \
                 --topic {name} --partition {number} --to {}`",
                ends.start - 1,
                ends.start
            ));
        }
        (ends.end < copied).then(|| {
            format!(
                "partition {number} of `{name}` ends at offset {} and was copied up to {copied}: the source has lost its end, by an unclean \
                 election or by being created anew; what was written since has offsets that were copied before; {ANEW}",
                ends.end
            )
        })
    })
}

fn target_is_the_same(pair: &Pair, frontiers: &BTreeMap<i32, Frontier>, observed: &Observed) -> Option<String> {
    frontiers.iter().find_map(|(number, frontier)| {
        let Frontier { target_topic, target_partition, target_end, source_end, .. } = frontier;
        if *target_topic != pair.target {
            return Some(format!(
                "it was copied to `{target_topic}` so far, and `topics` now says `{}`; write the former, or copy it by a mirror of another \
                 name",
                pair.target
            ));
        }
        let partition = usize::try_from(*target_partition).ok();
        let ends = observed.target.get(target_topic).and_then(|topic| topic.partitions.get(partition?));
        let lost = format!(
            "what was copied of partition {number} up to offset {source_end} should lie in `{target_topic}` before offset {target_end}"
        );
        match ends {
            None => Some(format!("{lost}, but that is gone: it was deleted on the target; {ANEW}")),
            Some(ends) if ends.end < *target_end => Some(format!(
                "{lost}, but that ends at {}: it was created anew, or has lost its end; {ANEW}",
                ends.end
            )),
            Some(_) => None,
        }
    })
}

/// A copy begins in an empty topic, or in one that is the origin of what is copied back.
fn target_is_free(pair: &Pair, flow: &Flow<'_>, observed: &Observed) -> Option<String> {
    let target = observed.target.get(&pair.target)?;
    let merges = flow.mirror.merge && observed.writers.get(&pair.target).is_some_and(|flows| flows.contains(flow.name));
    (target.has_records && !pair.reverse && !merges).then(|| {
        format!(
            "`{}` holds records on the target that this mirror did not write; choose another name, or delete that topic if nobody needs it",
            pair.target
        )
    })
}

fn written_by_another(pair: &Pair, flow: &Flow<'_>, observed: &Observed) -> Option<String> {
    let writers = observed.writers.get(&pair.target)?;
    let others: Vec<_> = writers.iter().map(String::as_str).filter(|writer| *writer != flow.name).collect();
    (!others.is_empty() && !flow.mirror.merge)
        .then(|| format!("`{}` is where the mirror {} copies to; choose another name", pair.target, listed(&others)))
}
