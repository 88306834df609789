//! The whole walk through the router, with a hand-written board and engines that fail on demand.

mod books;
mod door;
mod fake;
mod fallbacks;
mod faults;
pub(crate) mod house;
mod limits;
mod lines;
mod messages;
mod observe;
mod ollama;
mod pass;
mod responses;
mod routes;
mod send;
mod stopping;
mod waiting;

use std::time::Duration;

/// A condition that must come true, with a deadline that only a defect can reach.
pub(crate) async fn soon<T>(condition: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), condition).await.expect("it did not come true")
}

/// Looks again until it is true.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
