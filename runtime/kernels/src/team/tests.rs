use super::*;
use std::sync::atomic::AtomicU32;

/// Every index of an operation is handed out once.
fn check_covers(team: &Team, n: usize, chunk: usize) {
    let seen: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
    team.for_each(n, chunk, |range| {
        assert!(range.len() <= chunk && !range.is_empty());
        for i in range {
            seen[i].fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1), "n {n}, chunk {chunk}");
}

fn team(n_threads: usize) -> Team {
    Team::new(n_threads, Isa::Scalar).unwrap()
}

#[test]
fn every_index_is_handed_out_once() {
    for n_threads in [1, 2, 3, 5, 16] {
        let team = team(n_threads);
        assert_eq!(team.n_threads(), n_threads);
        for n in [0, 1, 2, 7, 100, 1001] {
            for chunk in [1, 3, 64, 5000] {
                check_covers(&team, n, chunk);
            }
        }
    }
}

#[test]
fn pieces_are_disjoint_and_whole() {
    for n_threads in [1, 3] {
        let mut data = vec![0usize; 1003];
        team(n_threads).for_each_piece(&mut data, 10, |i, piece| {
            assert_eq!(piece.len(), if i == 100 { 3 } else { 10 });
            piece.iter_mut().for_each(|x| *x += i + 1);
        });
        assert!(data.iter().enumerate().all(|(at, &x)| x == at / 10 + 1));
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_goes_on() {
    let team = team(3);
    for at in [0, 57, 99] {
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.for_each(100, 1, |range| assert!(range.start != at, "broken at {at}"));
        }));
        let message = *result.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(message, format!("broken at {at}"));
        check_covers(&team, 100, 1);
    }
}

#[test]
fn an_operation_inside_an_operation_runs_on_its_own_thread() {
    let team = team(2);
    let total = AtomicU32::new(0);
    team.for_each(8, 1, |_| {
        let here = std::thread::current().id();
        team.for_each(8, 1, |range| {
            assert_eq!(std::thread::current().id(), here);
            total.fetch_add(range.len() as u32, Ordering::Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 64);
}

#[test]
fn callers_take_turns() {
    let team = team(3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|i| check_covers(&team, 1 + i % 40, 1)));
        }
    });
}

#[test]
fn helpers_wake_from_sleep_and_go_home() {
    for _ in 0..50 {
        let team = team(4);
        check_covers(&team, 64, 1);
        std::thread::sleep(std::time::Duration::from_micros(100));
        check_covers(&team, 64, 1);
    }
}
