use super::*;

fn join(member_id: &str, fresh: &str, instance: Option<&str>) -> Join {
    Join {
        member_id: member_id.into(),
        instance: instance.map(Into::into),
        fresh_id: fresh.into(),
        id_first: false,
        client_id: "c".into(),
        client_host: "/h".into(),
        session_ms: 10_000,
        rebalance_ms: 30_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from("m")), ("roundrobin".into(), Bytes::from("m"))],
    }
}

fn caller(member_id: &str, generation: i32) -> Caller<'_> {
    Caller { member_id, instance: None, generation }
}

fn sync(group: &mut Group, member_id: &str, generation: i32, given: &[(&str, &str)], waiter: Waiter) -> Answers {
    let given = given.iter().map(|(id, what)| (id.to_string(), Bytes::copy_from_slice(what.as_bytes()))).collect();
    group.sync(caller(member_id, generation), (None, None), given, waiter, 0)
}

fn assignment(answers: &Answers, waiter: Waiter) -> &[u8] {
    let answer = answers.iter().find(|(to, _)| *to == waiter);
    match answer {
        Some((_, Answer::Synced { assignment, .. })) => assignment,
        other => panic!("{other:?}"),
    }
}

fn refusal(answers: &Answers, waiter: Waiter) -> ResponseError {
    match answers.iter().find(|(to, _)| *to == waiter) {
        Some((_, Answer::Refused { error, .. })) => *error,
        other => panic!("{other:?}"),
    }
}

fn generation(answers: &Answers, waiter: Waiter) -> (i32, usize) {
    match answers.iter().find(|(to, _)| *to == waiter) {
        Some((_, Answer::Joined { generation, members, .. })) => (*generation, members.len()),
        other => panic!("{other:?}"),
    }
}

/// A stable group of `a` (leader) and `b`, generation 2.
fn two() -> Group {
    let mut group = Group::default();
    assert_eq!(generation(&group.join(join("", "a", None), 1, 0), 1), (1, 1));
    assert_eq!(assignment(&sync(&mut group, "a", 1, &[("a", "all")], 2), 2), b"all");
    // `b` waits until `a`, told by its heartbeat, joins again.
    assert_eq!(group.join(join("", "b", None), 3, 0), []);
    assert_eq!(group.heartbeat(caller("a", 1), 0), Err(ResponseError::RebalanceInProgress));
    let answers = group.join(join("a", "", None), 4, 0);
    assert_eq!((generation(&answers, 3), generation(&answers, 4)), ((2, 0), (2, 2)));
    assert_eq!(sync(&mut group, "b", 2, &[], 5), []);
    let answers = sync(&mut group, "a", 2, &[("a", "half"), ("b", "other")], 6);
    assert_eq!((assignment(&answers, 6), assignment(&answers, 5)), (&b"half"[..], &b"other"[..]));
    group
}

#[test]
fn a_second_member_makes_a_new_generation_and_both_get_their_part() {
    let mut group = two();
    assert_eq!(group.state_name(), "Stable");
    assert_eq!(group.heartbeat(caller("a", 2), 0), Ok(()));
    assert_eq!(group.heartbeat(caller("a", 1), 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.heartbeat(caller("z", 2), 0), Err(ResponseError::UnknownMemberId));
}

#[test]
fn newer_clients_get_an_id_first() {
    let mut group = Group::default();
    let first = Join { id_first: true, ..join("", "a", None) };
    let answers = group.join(first, 1, 0);
    let given = Answer::Refused { error: ResponseError::MemberIdRequired, member_id: "a".into() };
    assert_eq!(answers, [(1, given)]);
    assert_eq!(refusal(&group.join(join("b", "", None), 2, 0), 2), ResponseError::UnknownMemberId);
    assert_eq!(generation(&group.join(join("a", "", None), 3, 0), 3), (1, 1));
}

#[test]
fn who_leaves_or_falls_silent_is_replaced_by_a_rebalance() {
    let mut group = two();
    assert_eq!(group.leave("b", 0), (Ok(()), vec![]));
    assert_eq!(group.heartbeat(caller("a", 2), 0), Err(ResponseError::RebalanceInProgress));
    assert_eq!(generation(&group.join(join("a", "", None), 7, 0), 7), (3, 1));

    let mut group = two();
    group.heartbeat(caller("a", 2), 9_000).unwrap();
    assert_eq!(group.expire(9_999), []);
    assert_eq!(group.expire(10_000), []);
    assert!(!group.members.contains_key("b") && group.members.contains_key("a"));
    assert_eq!(group.expire(19_000), []);
    assert_eq!((group.state_name(), group.members.len()), ("Empty", 0));
}

#[test]
fn a_member_that_does_not_join_again_is_left_behind_when_time_is_up() {
    let mut group = two();
    let unchanged = group.join(join("b", "", None), 7, 0);
    assert_eq!(generation(&unchanged, 7), (2, 0), "nothing new, no rebalance");
    let other = Join { protocols: vec![("range".into(), Bytes::from("changed"))], ..join("b", "", None) };
    assert_eq!(group.join(other, 8, 0), []);
    // `a` still sends heartbeats but does not join.
    for now in [9_000, 18_000, 27_000] {
        assert_eq!(group.heartbeat(caller("a", 2), now), Err(ResponseError::RebalanceInProgress));
        assert_eq!(group.expire(now), []);
    }
    assert_eq!(generation(&group.expire(30_000), 8), (3, 1));
    assert_eq!(group.leader, "b");
}

#[test]
fn a_leader_that_never_assigns_is_dropped() {
    let mut group = two();
    let answers = group.join(join("a", "", None), 7, 0);
    assert_eq!(answers, []);
    let answers = group.join(join("b", "", None), 8, 0);
    assert_eq!((generation(&answers, 7).0, generation(&answers, 8).0), (3, 3));
    assert_eq!(sync(&mut group, "b", 3, &[], 9), []);
    group.heartbeat(caller("a", 3), 25_000).unwrap();
    let answers = group.expire(30_000);
    assert_eq!(refusal(&answers, 9), ResponseError::RebalanceInProgress);
    assert!(!group.members.contains_key("a"));
}

#[test]
fn a_static_member_returns_without_a_rebalance_and_its_double_is_fenced() {
    let mut group = Group::default();
    group.join(join("", "a", Some("one")), 1, 0);
    assert_eq!(assignment(&sync(&mut group, "a", 1, &[("a", "all")], 2), 2), b"all");
    let answers = group.join(join("", "a2", Some("one")), 3, 0);
    assert_eq!(generation(&answers, 3), (1, 0), "told as a follower, same generation");
    assert_eq!(assignment(&sync(&mut group, "a2", 1, &[], 4), 4), b"all");
    let old = Caller { instance: Some("one"), ..caller("a", 1) };
    assert_eq!(group.heartbeat(old, 0), Err(ResponseError::FencedInstanceId));
    assert_eq!(group.check_commit(old, false, 0), Err(ResponseError::FencedInstanceId));
    let answers = group.join(join("a", "", Some("one")), 5, 0);
    assert_eq!(refusal(&answers, 5), ResponseError::FencedInstanceId);
}

#[test]
fn protocols_must_have_something_in_common() {
    let mut group = two();
    let alien = Join { protocols: vec![("sticky".into(), Bytes::new())], ..join("", "c", None) };
    assert_eq!(refusal(&group.join(alien, 7, 0), 7), ResponseError::InconsistentGroupProtocol);
    let connect = Join { protocol_type: "connect".into(), ..join("", "c", None) };
    assert_eq!(refusal(&group.join(connect, 8, 0), 8), ResponseError::InconsistentGroupProtocol);
    let short = Join { session_ms: 5_999, ..join("", "c", None) };
    assert_eq!(refusal(&group.join(short, 9, 0), 9), ResponseError::InvalidSessionTimeout);
}

#[test]
fn the_protocol_that_all_know_and_most_like_is_used() {
    let mut group = Group::default();
    let likes = |names: &[&str]| names.iter().map(|name| (name.to_string(), Bytes::new())).collect::<Vec<_>>();
    group.join(Join { protocols: likes(&["x", "y", "z"]), ..join("", "a", None) }, 1, 0);
    group.join(Join { protocols: likes(&["z", "y"]), ..join("", "b", None) }, 2, 0);
    group.join(Join { protocols: likes(&["y", "z", "x"]), ..join("", "c", None) }, 3, 0);
    group.join(Join { protocols: likes(&["x", "y", "z"]), ..join("a", "", None) }, 4, 0);
    assert_eq!(group.protocol, "y");
}

#[test]
fn commits_are_for_members_of_this_generation_or_for_nobodys_group() {
    let mut empty = Group::default();
    assert_eq!(empty.check_commit(caller("", -1), false, 0), Ok(()));
    let mut group = two();
    assert_eq!(group.check_commit(caller("a", 2), false, 0), Ok(()));
    assert_eq!(group.check_commit(caller("a", 1), false, 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.check_commit(caller("a", 1), true, 0), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.check_commit(caller("", -1), false, 0), Err(ResponseError::UnknownMemberId));
    // A transactional producer that tells no membership is checked by its epoch alone.
    assert_eq!(group.check_commit(caller("", -1), true, 0), Ok(()));
}
