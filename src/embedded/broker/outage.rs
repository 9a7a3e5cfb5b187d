//! Saying that something does not work once, instead of at every attempt.

use std::fmt::Display;

#[derive(Debug, Default)]
pub struct Outage {
    lasts: bool,
}

impl Outage {
    /// Takes note of how an attempt to do `what` ended; says when failure begins and when it is over.
    pub fn note<T, E: Display>(&mut self, what: impl Display, attempt: &Result<T, E>) {
        match attempt {
            Err(error) if !self.lasts => tracing::error!(%error, "cannot {what}; tried again, and said when it can"),
            Ok(_) if self.lasts => tracing::info!("can {what} again"),
            _ => {}
        }
        self.lasts = attempt.is_err();
    }
}
