//! One partition's map, read from the topic alone: for commands that run beside no mirror.
//!
//! The whole topic is gone through once, and only what is about that partition is kept: spans of one partition, in memory.

use std::ops::ControlFlow;

use super::answer::{Answer, is_about};
use super::{RANGE, Unknown};
use crate::codec::Formats;
use crate::event::MirrorRange;
use crate::log::kafka::KafkaReader;
use crate::log::scan;
use crate::mirror::ranges::Ranges;
use crate::record::Topic;
use crate::runtime::{SchemaSource, Schemas};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    pub flow: String,
    /// Of the source; with `reverse` of the target.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reverse: bool,
}

/// Blocks on Kafka and on the registry.
pub fn answer(
    reader: &mut KafkaReader,
    ranges_topic: &Topic,
    (formats, schemas): (Formats, SchemaSource),
    question: &Question,
) -> anyhow::Result<Result<Answer, Unknown>> {
    let Question { flow, topic, partition, offset, reverse } = question;
    let (mut schemas, mut ranges, mut failed) = (Schemas::new(formats, schemas), Ranges::default(), None);
    let partitions = reader.partitions(ranges_topic)?;
    if partitions.is_empty() {
        return Ok(Err(Unknown::NotThere(format!("the topic {ranges_topic} is not there: the flow has not run yet"))));
    }
    let ends = reader.true_ends(&partitions)?;
    for (place, end) in partitions.iter().zip(ends) {
        let low = reader.watermarks(place)?.low;
        scan::scan(reader, place, low, end, |record| {
            let Some(value) = record.value else { return ControlFlow::Continue(()) };
            let learnt = schemas.learn_of(value, std::time::Duration::ZERO);
            let read = learnt
                .and_then(|()| schemas.formats.decode::<MirrorRange>(value, RANGE).map_err(|error| error.to_string()));
            let taken = match read {
                Ok(fact) if fact.flow == *flow && is_about(&fact, topic, *partition, *reverse) => {
                    ranges.insert(&fact).map_err(|refused| refused.to_string())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{place} at {}: {error}", record.offset.0)),
            };
            match taken {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
    }
    if let Some(failed) = failed {
        return Ok(Err(Unknown::Broken(failed)));
    }
    let (Some(head), translation) =
        (ranges.head(), if *reverse { ranges.back(*offset) } else { ranges.translate(*offset) })
    else {
        return Ok(Err(Unknown::NotThere(format!("nothing is known of {topic}/{partition} in the flow {flow}"))));
    };
    let Some(translation) = translation else { anyhow::bail!("a partition without a map") };
    let told = if *reverse { Answer::back } else { Answer::forward };
    Ok(Ok(told(flow, head, *offset, translation)))
}
