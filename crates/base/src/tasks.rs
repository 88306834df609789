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
