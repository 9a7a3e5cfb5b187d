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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn its_beginning_and_its_end_are_said_once_each() {
        let told = Told::default();
        let writer = told.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let mut outage = Outage::default();
            for attempt in [Ok(()), Err("full"), Err("full"), Err("full"), Ok(()), Ok(()), Err("full")] {
                outage.note("write", &attempt);
            }
        });
        let told = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
        let said: Vec<bool> = told.lines().map(|line| line.contains("cannot write")).collect();
        assert_eq!(said, [true, false, true], "{told}");
    }
}
