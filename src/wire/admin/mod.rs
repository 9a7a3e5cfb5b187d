//! The calls of an administrator, one file a kind of call.
//!
//! A call that asks for many things tells what became of each; what a broker puts off (`NOT_CONTROLLER`, `COORDINATOR_LOAD_IN_PROGRESS`,
//! a leader that moved) is asked for again until the deadline, alone. Requests are of a bounded size: one call may make several.

mod acls;
mod configs;
mod describe;
mod group_offsets;
mod groups;
mod offsets;
mod records;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::{Request, StrBytes};

use super::cluster::{Cluster, Patience, Whom};
use super::error::{Error, Refusal};
use crate::log::client::Connection;

/// An administrator of one cluster. Clones share connections.
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
}

/// What became of each item of a call.
pub type Outcomes<K> = BTreeMap<K, Result<(), Refusal>>;

impl Admin {
    /// Connects to nobody yet: only properties that cannot be used are told.
    pub fn new(connection: &Connection) -> Result<Admin, Error> {
        Ok(Admin { cluster: Cluster::new(connection)? })
    }

    /// Asks `whom` for all `items`, and again for those that were put off. `read` names each answered item by [`Named::name`].
    async fn settle<Q: Request, T: Named>(
        &self,
        whom: Whom,
        right: Right,
        mut items: Vec<T>,
        make: impl Fn(i16, &[T]) -> Q,
        read: impl Fn(Q::Response) -> Vec<Outcome>,
    ) -> Result<Outcomes<String>, Error> {
        let mut outcomes = BTreeMap::new();
        let mut patience = Patience::to(right.what);
        while !items.is_empty() {
            let answer = self.cluster.insist(whom, &mut patience, |version| make(version, &items)).await?;
            let mut put_off = None;
            for (name, code, message) in read(answer) {
                match Refusal::check(code, message.as_deref()) {
                    Err(refusal) if refusal.passes() && !patience.is_over() => put_off = Some(refusal),
                    outcome => {
                        let outcome = outcome.map_err(|refusal| right.explain(refusal, &name));
                        outcomes.insert(name, outcome);
                    }
                }
            }
            items.retain(|item| !outcomes.contains_key(item.name()));
            match put_off {
                Some(refusal) => {
                    self.cluster.doubt();
                    patience.after_refusal(&refusal).await?;
                }
                None if items.is_empty() => {}
                None => return Err(unanswered(right.what, items[0].name())),
            }
        }
        Ok(outcomes)
    }
}

/// Name, code and message of one answered item.
type Outcome = (String, i16, Option<StrBytes>);

/// An item of a call.
trait Named {
    fn name(&self) -> &str;
}

impl Named for String {
    fn name(&self) -> &str {
        self
    }
}

impl<V> Named for (&String, V) {
    fn name(&self) -> &str {
        self.0
    }
}

/// What a call does, and which right it needs on each of its items.
#[derive(Clone, Copy)]
struct Right {
    /// As in "to create topics".
    what: &'static str,
    operation: &'static str,
    /// `topic`, `group`
    resource: &'static str,
}

impl Right {
    /// A denial with the right that is to be granted.
    fn explain(self, refusal: Refusal, name: &str) -> Refusal {
        use ResponseError::*;
        let denied = [TopicAuthorizationFailed, GroupAuthorizationFailed, ClusterAuthorizationFailed];
        if !denied.iter().any(|denial| refusal.is(*denial)) {
            return refusal;
        }
        let message = crate::log::denied(self.operation, &format!("{} {name}", self.resource));
        Refusal { message, ..refusal }
    }

    fn error(self, refusal: Refusal, name: &str) -> Error {
        let resource = format!("{} {name}", self.resource);
        refusal.into_error(&format!("to {} ({resource})", self.what), self.operation, &resource)
    }
}

/// A broker that breaks the protocol.
fn unanswered(what: &str, name: &str) -> Error {
    Error::Unavailable(format!("to {what}: the broker does not answer for {name}"))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// −1 stands for none.
fn known(number: i32) -> Option<i32> {
    Some(number).filter(|number| *number >= 0)
}
