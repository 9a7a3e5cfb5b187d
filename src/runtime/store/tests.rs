use super::*;
use crate::record::{Headers, Record};
use crate::record::{Partition, Topic};
use crate::runtime::task::CommitRecord;
use crate::topology::stage::StateChange;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn open(path: &Path, stages: &[&str]) -> Store {
    Store::open(path, &names(stages), &Memory::new(0)).unwrap()
}

fn commit(sequence: i64) -> LastCommit {
    LastCommit { sequence, acted_at_ms: sequence }
}

fn change(key: &str, state: Option<&str>, wakes_at: Option<i64>) -> StateChange {
    StateChange {
        key: key.into(),
        state: state.map(|state| state.as_bytes().to_vec()),
        wakes_at: wakes_at.map(EventTime),
    }
}

fn apply(store: &mut Store, sequence: i64, changes: Vec<(StageIndex, StateChange)>) {
    apply_effects(store, sequence, &Effects { changes, ..Effects::default() });
}

fn apply_effects(store: &mut Store, sequence: i64, effects: &Effects) {
    let inputs = inputs(sequence * 10);
    store.apply(effects, &Standing { last: commit(sequence), inputs: &inputs, at: EventTime(sequence) }).unwrap();
}

fn piece(states: &[(&str, Option<&str>)]) -> Batch {
    let mut piece = Batch::default();
    for (key, state) in states {
        piece.push(&Record {
            topic: &Topic::from("changelog"),
            partition: Partition(3),
            offset: Offset(0),
            timestamp: EventTime(0),
            key: Some(key.as_bytes()),
            value: state.map(str::as_bytes),
            headers: Headers::NONE,
        });
    }
    piece
}

fn inputs(next: i64) -> BTreeMap<TopicPartition, Offset> {
    [(TopicPartition::new(&Topic::from("in"), Partition(3)), Offset(next))].into()
}

fn get(store: &Store, stage: StageIndex, key: &str) -> Option<Vec<u8>> {
    store.get_many(&[(key.as_bytes(), stage)]).unwrap().remove(0)
}

#[test]
fn a_commit_comes_back_whole_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level", "incident"]);
    apply(
        &mut store,
        1,
        vec![
            (0, change("a", Some("one"), Some(50))),
            (1, change("a", Some("two"), Some(-7))),
            (1, change("b", Some("gone"), None)),
        ],
    );
    apply(&mut store, 2, vec![(1, change("b", None, None))]);
    store.note_changelog(1, Offset(9));
    apply(&mut store, 3, vec![]);
    drop(store);
    let store = open(dir.path(), &["level", "incident"]);
    assert_eq!((store.meta().sequence, store.meta().inputs()), (3, inputs(30)));
    assert_eq!((store.changelog(0), store.changelog(1)), (None, Some(Offset(9))));
    assert_eq!((get(&store, 0, "a"), get(&store, 1, "a")), (Some(b"one".to_vec()), Some(b"two".to_vec())));
    assert_eq!(get(&store, 1, "b"), None);
    assert_eq!(store.first_timer(), Some(EventTime(-7)));
}

#[test]
fn a_disk_without_room_for_a_folder_or_a_lock_is_full_and_no_fault_of_another_kind() {
    let told = |kind: std::io::ErrorKind| Error::io(Path::new("state"), &kind.into());
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
        assert!(matches!(told(kind), Error::Full { .. }), "{kind}");
    }
    assert!(matches!(told(std::io::ErrorKind::PermissionDenied), Error::Io { .. }));
}

#[test]
fn a_reordered_topology_reads_each_stage_its_own_state_and_a_removed_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level", "incident"]);
    apply(&mut store, 1, vec![(0, change("a", Some("level"), None)), (1, change("a", Some("incident"), None))]);
    drop(store);
    let store = open(dir.path(), &["suspects", "incident", "level"]);
    assert_eq!((get(&store, 0, "a"), get(&store, 1, "a")), (None, Some(b"incident".to_vec())));
    drop(store);
    let store = open(dir.path(), &["incident"]);
    assert_eq!(store.states().count(), 1);
    drop(store);
    assert_eq!(get(&open(dir.path(), &["level"]), 0, "a"), None, "a stage that comes back is restored, not remembered");
}

#[test]
fn timers_fire_in_order_move_and_the_first_is_always_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    let timers: Vec<_> = (0..100).map(|n| (0, change(&format!("k{n:02}"), Some("s"), Some(100 + n)))).collect();
    apply(&mut store, 1, timers);
    assert_eq!(store.first_timer(), Some(EventTime(100)));
    let due = store.due(EventTime(102)).unwrap();
    assert_eq!(
        due,
        [(EventTime(100), 0, b"k00".into()), (EventTime(101), 0, b"k01".into()), (EventTime(102), 0, b"k02".into())]
    );
    // The first of them is over, the second woke too early, another was brought forward.
    let woken = |at: i64, key: &str, deadline: Option<i64>| Woken {
        timer: (EventTime(at), 0, key.into()),
        deadline: deadline.map(EventTime),
    };
    let changes = vec![(0, change("k00", None, None)), (0, change("k50", Some("s"), Some(90)))];
    let woken_now = vec![woken(100, "k00", None), woken(101, "k01", Some(500))];
    apply_effects(&mut store, 2, &Effects { changes, woken: woken_now, ..Effects::default() });
    assert_eq!(store.first_timer(), Some(EventTime(90)));
    apply_effects(&mut store, 3, &Effects { woken: vec![woken(90, "k50", None)], ..Effects::default() });
    assert_eq!(store.first_timer(), Some(EventTime(102)));
    assert_eq!(store.due(EventTime(101)).unwrap(), []);
    let last = store.due(EventTime(500)).unwrap().pop();
    assert_eq!(last, Some((EventTime(500), 0, b"k01".into())), "noted anew for when it is time");
}

#[test]
fn a_store_that_is_being_restored_equals_no_commit_until_it_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    apply(&mut store, 1, vec![(0, change("a", Some("1"), Some(1))), (0, change("b", Some("2"), Some(2)))]);
    store.begin_restore().unwrap();
    let tail = piece(&[("a", None), ("c", Some("3"))]);
    let deadline = |_, state: &[u8]| Ok(Some(EventTime(i64::from(state[0] - b'0'))));
    store.restore(0, &tail, deadline, Offset(40)).unwrap();
    drop(store);
    let mut store = open(dir.path(), &["level"]);
    assert!(store.meta().sequence < 0);
    assert_eq!(store.changelog(0), Some(Offset(40)));
    let due: Vec<_> = store.due(EventTime(9)).unwrap().into_iter().map(|(at, _, key)| (at.0, key)).collect();
    let early = (1, b"a".to_vec());
    assert_eq!(due, [early, (2, b"b".to_vec()), (3, b"c".to_vec())], "the deleted state is woken for nothing, once");
    let inputs = inputs(70);
    store.finish_restore(&Standing { last: commit(7), inputs: &inputs, at: EventTime(7) }).unwrap();
    assert_eq!((store.meta().sequence, store.meta().inputs()), (7, inputs));
    store.rebuild_timers("new", |_, _| Ok(Some(EventTime(5)))).unwrap();
    assert_eq!(store.first_timer(), Some(EventTime(5)));
    assert_eq!(store.due(EventTime(9)).unwrap().len(), 2);
}

#[test]
fn a_store_of_another_layout_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    store.meta.layout = 0;
    apply(&mut store, 1, vec![(0, change("a", Some("1"), None))]);
    drop(store);
    let opened = Store::open(dir.path(), &names(&["level"]), &Memory::new(0));
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{:?}", opened.err());
}

#[test]
fn a_store_in_use_is_locked_and_a_damaged_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    apply(&mut store, 1, vec![(0, change("a", Some("1"), None))]);
    let second = Store::open(dir.path(), &names(&["level"]), &Memory::new(0));
    assert!(matches!(second, Err(Error::Locked { .. })), "{:?}", second.err());
    drop(store);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().contains("MANIFEST") {
            std::fs::write(&path, b"rubbish").unwrap();
        }
    }
    let damaged = Store::open(dir.path(), &names(&["level"]), &Memory::new(0));
    assert!(matches!(damaged, Err(Error::Corrupt { .. })), "{:?}", damaged.err());
    Store::wipe(dir.path()).unwrap();
    assert_eq!(open(dir.path(), &["level"]).meta().sequence, 0);
}

/// What is on the disk at any moment is what a kill leaves behind: some earlier commit, whole.
#[test]
fn a_copy_of_the_running_store_is_an_earlier_commit() {
    let (dir, images) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path(), &["level"]);
    let filler = "x".repeat(64 << 10);
    for sequence in 1..=400 {
        let states = [format!("a{sequence}"), format!("b{sequence}")];
        let put = |key: &String| (0, change(key, Some(&filler), None));
        apply(&mut store, sequence, states.iter().map(put).collect());
        if sequence % 80 == 0 {
            let image = images.path().join(sequence.to_string());
            std::fs::create_dir(&image).unwrap();
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let path = file.unwrap().path();
                // A file may be removed by a compaction meanwhile: then the image has no whole copy, as after a kill it would.
                let _ = std::fs::copy(&path, image.join(path.file_name().unwrap()));
            }
            let copy = match Store::open(&image, &names(&["level"]), &Memory::new(0)) {
                Err(Error::Corrupt { .. }) => continue, // wiped and restored: never believed
                opened => opened.unwrap(),
            };
            let stands_at = copy.meta().sequence;
            assert!(stands_at <= sequence);
            let kept: Vec<_> = copy.states().map(|state| state.unwrap().1).collect();
            assert_eq!(kept.len() as i64, 2 * stands_at, "both states of every commit up to {stands_at}, no other");
        }
    }
}

#[test]
fn the_last_commit_in_a_changelog_is_no_state_and_is_known_until_the_restore_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    store.begin_restore().unwrap();
    let last = (
        std::str::from_utf8(LAST_COMMIT).unwrap(),
        Some(r#"{"sequence":7,"acted_at_ms":70,"inputs":[["alerts",3,9]]}"#),
    );
    let tail = piece(&[("a", Some("1")), last]);
    store.fill(0, &tail, Offset(40)).unwrap();
    drop(store);
    let mut store = open(dir.path(), &["level"]);
    let inputs = vec![(Topic::from("alerts"), Partition(3), Offset(9))];
    let read = Some(CommitRecord { sequence: 7, acted_at_ms: 70, inputs });
    assert_eq!(store.meta().commit_read, read, "a crash does not forget it");
    assert_eq!(store.states().map(|state| state.unwrap().1).collect::<Vec<_>>(), [b"a"]);
    store.finish_restore(&Standing { last: commit(7), inputs: &super::tests::inputs(70), at: EventTime(7) }).unwrap();
    assert_eq!(store.meta().commit_read, None);
}

#[test]
fn a_record_of_the_last_commit_that_cannot_be_read_is_told_and_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), &["level"]);
    store.begin_restore().unwrap();
    let key = std::str::from_utf8(LAST_COMMIT).unwrap();
    for value in [Some("{"), Some(r#"{"sequence":7}"#), None] {
        let error = store.fill(0, &piece(&[(key, value)]), Offset(40)).unwrap_err().to_string();
        assert!(error.contains("record of the last commit cannot be read"), "{error}");
    }
}
