//! What the engine does with one call, step by step.
//!
//! In: steps, put together by chaining. Out: the same for both versions of HTTP: a [`Head`] and pieces of
//! a body; [`Step::Raw`] and [`Step::Reset`] are HTTP/1.1's alone. A script that does not say how it
//! ends, ends as its head promised.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

/// Holds a script up until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// Closed.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one call through.
    pub fn open(&self) {
        self.0.add_permits(1);
    }

    /// Waits to be let through.
    pub(super) async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers, but for those that frame the body.
    pub headers: Vec<(String, String)>,
    /// The length that it promises; chunks when it promises none.
    pub length: Option<usize>,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// The head.
    Head(Head),
    /// A piece of the body, flushed by itself.
    Body(Bytes),
    /// Bytes on the wire as they are.
    Raw(Bytes),
    /// Waits for so long.
    Pause(Duration),
    /// Waits for the test.
    Wait(Gate),
    /// Says nothing until the caller has gone.
    Silence,
    /// Says this again and again until the caller has gone.
    Forever(Bytes, Duration),
    /// Hangs up, whatever was promised.
    Fin,
    /// Tears the connection down: the caller sees a reset.
    Reset,
}

/// The steps of one answer.
#[derive(Debug, Clone, Default)]
pub struct Script(Vec<Step>);

impl Script {
    /// A whole answer in JSON.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::whole(status, "application/json", body)
    }

    /// A whole answer of any type.
    pub fn whole(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self(vec![Step::Head(Head { status, headers, length: Some(body.len()) }), Step::Body(body)])
    }

    /// The head of a stream of events.
    pub fn stream() -> Self {
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        Self(vec![Step::Head(Head { status: 200, headers, length: None })])
    }

    /// A stream of these events, its end included.
    pub fn events<'a>(events: impl IntoIterator<Item = &'a str>) -> Self {
        events.into_iter().fold(Self::stream(), Self::event)
    }

    /// A stream of these bytes.
    pub fn says(bytes: impl Into<Bytes>) -> Self {
        Self::stream().body(bytes)
    }

    /// Nothing yet, not even a head.
    pub fn silent() -> Self {
        Self::default()
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(Step::Head(head)) = self.0.iter_mut().find(|step| matches!(step, Step::Head(_))) {
            head.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Promises so many bytes, whatever will come.
    #[must_use]
    pub fn promising(mut self, length: usize) -> Self {
        if let Some(Step::Head(head)) = self.0.iter_mut().find(|step| matches!(step, Step::Head(_))) {
            head.length = Some(length);
        }
        self
    }

    /// One event.
    #[must_use]
    pub fn event(self, data: &str) -> Self {
        self.body(format!("data: {data}\n\n"))
    }

    /// A piece of the body.
    #[must_use]
    pub fn body(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Body(bytes.into()))
    }

    /// One more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Before anything else.
    #[must_use]
    pub fn first(mut self, step: Step) -> Self {
        self.0.insert(0, step);
        self
    }

    /// This step between each two pieces of the body.
    #[must_use]
    pub fn between(self, step: &Step) -> Self {
        let steps = self.0.into_iter().flat_map(|old| if matches!(old, Step::Body(_)) { vec![step.clone(), old] } else { vec![old] });
        Self(steps.collect())
    }

    /// The same bytes in pieces of this size, wherever that cuts them.
    #[must_use]
    pub fn cut_every(self, size: usize) -> Self {
        let (mut steps, mut held) = (Vec::new(), BytesMut::new());
        for step in self.0 {
            if let Step::Body(bytes) = step {
                held.extend_from_slice(&bytes);
            } else {
                cut(&mut held, size, &mut steps);
                steps.push(step);
            }
        }
        cut(&mut held, size, &mut steps);
        Self(steps)
    }

    /// The steps.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

fn cut(held: &mut BytesMut, size: usize, steps: &mut Vec<Step>) {
    let mut bytes = std::mem::take(held).freeze();
    while !bytes.is_empty() {
        steps.push(Step::Body(bytes.split_to(size.clamp(1, bytes.len()))));
    }
}
