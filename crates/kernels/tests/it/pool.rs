use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::mpsc::channel;
use std::time::Duration;

use openledger_kernels::ThreadPool;

#[test]
fn every_task_runs_exactly_once_in_thousands_of_short_loops() {
    let pool = ThreadPool::new(4);
    for round in 0..3000 {
        let tasks = round % 17;
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        pool.run(tasks, |i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn loops_within_loops_and_from_several_threads_complete() {
    let pool = ThreadPool::new(3);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                pool.run(8, |_| {
                    pool.run(8, |_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    })
                })
            });
        }
    });
    assert_eq!(total.load(Ordering::Relaxed), 4 * 64);
}

#[test]
fn chunks_cover_a_slice_in_order() {
    let mut data = vec![0usize; 103];
    ThreadPool::new(2).chunks(&mut data, 10, |i, part| part.fill(i));
    assert!(data.iter().enumerate().all(|(i, value)| *value == i / 10));
}

#[test]
fn a_panic_in_a_task_reaches_the_caller_and_the_pool_goes_on() {
    let pool = ThreadPool::new(2);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.run(8, |i| assert_ne!(i, 5))));
    assert!(caught.is_err());
    let sum = AtomicUsize::new(0);
    pool.run(8, |i| {
        sum.fetch_add(i, Ordering::Relaxed);
    });
    assert_eq!(sum.load(Ordering::Relaxed), 28);
}

#[test]
fn a_panic_in_a_task_does_not_make_later_loops_serial() {
    let pool = ThreadPool::new(2);
    let panicking = || pool.run(2, |_| panic!("as it should"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    // Each task waits for word from the other, which it gets only if both run at once.
    let ((to_second, from_first), (to_first, from_second)) = (channel(), channel());
    let ends = [(to_second, from_second), (to_first, from_first)].map(|end| std::sync::Mutex::new(Some(end)));
    let met = AtomicUsize::new(0);
    pool.run(2, |task| {
        let (to, from) = ends[task].lock().unwrap().take().unwrap();
        to.send(()).unwrap();
        met.fetch_add(usize::from(from.recv_timeout(Duration::from_secs(20)).is_ok()), Ordering::Relaxed);
    });
    assert_eq!(met.load(Ordering::Relaxed), 2);
}
