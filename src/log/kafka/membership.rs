//! A group member that reads nothing: who is assigned a partition has the work that stands for it.

use std::time::Duration;

use super::consumer::Member;
use crate::log::client::Connection;
use crate::log::{Error, Polled};
use crate::record::{Batch, Topic};

pub struct Membership(Member);

impl Membership {
    /// `instance`, of a static member: who comes back within the session's time finds its partitions as they were.
    pub fn join(connection: &Connection, group: &str, topic: &Topic, instance: Option<&str>) -> Result<Self, Error> {
        Member::join(connection, group, std::slice::from_ref(topic), instance).map(Self)
    }

    /// [`Polled::Assigned`] is acknowledged already, and nothing of it is read; the other changes by [`Membership::release`], once
    /// the work is laid down.
    pub fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let polled = self.0.poll(wait, 1, &mut Batch::default())?;
        if let Polled::Assigned(_) = polled {
            self.0.assign(&[])?;
        }
        Ok(polled)
    }

    pub fn release(&mut self) -> Result<(), Error> {
        self.0.release()
    }
}
