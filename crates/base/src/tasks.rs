//! Tasks that have a name and do not die unseen.
//!
//! In: a name and a future. Out: a guard; dropping it ends the task. Fails: a panic inside is
//! logged with the task's name and ends that task only. Holds: nothing. From: structured
//! concurrency; `tokio::spawn` itself is banned elsewhere so that every task passes here.

use std::future::Future;

use tokio::task::JoinHandle;

/// A running task; dropping this ends it.
#[derive(Debug)]
#[must_use = "dropping the guard ends the task"]
pub struct Task(Option<JoinHandle<()>>);

impl Task {
    /// Lets the task run on by itself, to its own end.
    pub fn detach(mut self) {
        self.0.take();
    }
    /// Waits until the task has ended.
    pub async fn join(mut self) {
        if let Some(handle) = self.0.take() {
            let _ = handle.await;
        }
    }
    /// True when the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            handle.abort();
        }
    }
}

/// Starts a task under a name; a panic in it is logged and goes no further.
pub fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Task {
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are born")]
    let inner = tokio::spawn(future);
    #[expect(clippy::disallowed_methods, reason = "watches the task so that a panic is seen")]
    let outer = tokio::spawn(Watched { name, inner }.watch());
    Task(Some(outer))
}

/// Runs CPU-bound or blocking work off the async threads; `None` when it panicked.
pub async fn blocking<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(task = name, %error, "blocking work failed");
            None
        }
    }
}

/// A thread of its own; dropping this lets it run on to its own end.
#[derive(Debug)]
pub struct Thread(std::thread::JoinHandle<()>);

impl Thread {
    /// Waits until the thread has ended; blocks.
    pub fn join(self) {
        // A panic has been logged where it happened.
        let _ = self.0.join();
    }
    /// True when the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Starts a thread under a name, for work that blocks for as long as the house stands; a panic in it is
/// logged and goes no further.
pub fn thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> std::io::Result<Thread> {
    let watched = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            tracing::error!(task = name, "thread panicked");
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(watched).map(Thread)
}

struct Watched {
    name: &'static str,
    inner: JoinHandle<()>,
}

impl Watched {
    async fn watch(mut self) {
        if let Err(error) = (&mut self.inner).await
            && error.is_panic()
        {
            tracing::error!(task = self.name, %error, "task panicked");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.inner.abort();
    }
}
