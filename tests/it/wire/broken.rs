//! Brokers that die, hang and come back between two calls of one client.

use std::time::{Duration, Instant};

use fairlead::wire::{At, Error};

use super::{admin, block_on, create, new_topic, view};
use crate::harness::apache::Kafka;

#[test]
fn a_call_outlives_the_broker_and_one_that_stays_away_is_told() {
    let mut kafka = Kafka::start_own(&[]);
    let admin = admin(kafka.bootstrap());
    create(&admin, &new_topic("kept", 1));
    let partitions = [("kept".to_owned(), 0)];
    let asks = || block_on(admin.offsets(&partitions, At::Earliest)).map(|offsets| offsets.len());
    let commits = |offset: i64| {
        let offsets = [(partitions[0].clone(), super::offset(offset))].into();
        block_on(admin.commit_group_offsets("a", &offsets)).map(|outcomes| outcomes.values().all(Result::is_ok))
    };
    assert_eq!((asks(), commits(1)), (Ok(1), Ok(true)));

    // Idle connections are dead, the group's coordinator has to load.
    kafka.kill();
    kafka.start();
    assert_eq!((commits(2), asks()), (Ok(true), Ok(1)));

    // Calls that begin while it is away; a broker on a busy machine may need longer than one call's patience.
    kafka.kill();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| with_more_patience(asks));
        let committed = scope.spawn(|| with_more_patience(|| commits(3)));
        std::thread::sleep(Duration::from_millis(300));
        kafka.start();
        assert_eq!((asked.join().unwrap(), committed.join().unwrap()), (1, true));
    });

    // Open connections that nobody answers on.
    kafka.freeze();
    std::thread::scope(|scope| {
        let asked = scope.spawn(asks);
        std::thread::sleep(Duration::from_secs(2));
        kafka.thaw();
        assert_eq!(asked.join().unwrap(), Ok(1));
    });
    assert!(view(&admin, "kept").is_some());

    kafka.kill();
    let began = Instant::now();
    let error = asks().unwrap_err();
    assert!(matches!(&error, Error::Unavailable(told) if told.contains(kafka.bootstrap())), "{error}");
    assert!((25..45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

fn with_more_patience<T>(call: impl Fn() -> Result<T, Error>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match call() {
            Ok(done) => return done,
            Err(Error::Unavailable(_)) if Instant::now() < until => {}
            Err(error) => panic!("{error}"),
        }
    }
}
