//! What the engine has seen.
//!
//! In: calls as they come, and how they go. Out: the same, to be looked at or waited for. Fails: never.
//! Holds: every call until it is told to forget.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// A call as the engine saw it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Calls are counted from 1.
    pub number: usize,
    /// `POST`, mostly.
    pub method: String,
    /// The path.
    pub path: String,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's own bytes.
    pub body: Bytes,
    /// The model that the body names, else nothing.
    pub model: String,
    /// 1 or 2.
    pub http: u8,
    /// Connections are counted from 1.
    pub connection: usize,
    /// When its last byte was here.
    pub came: Instant,
    /// When its caller was seen to go away before the answer's end.
    pub left: Option<Instant>,
    /// When the last byte of the answer was out.
    pub done: Option<Instant>,
}

impl Ask {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A head and its body.
pub(super) struct Came {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) http: u8,
    pub(super) connection: usize,
}

pub(super) struct Book {
    asks: Mutex<Vec<Ask>>,
    connections: AtomicUsize,
    changed: watch::Sender<()>,
}

impl Default for Book {
    fn default() -> Self {
        Self { asks: Mutex::default(), connections: AtomicUsize::new(0), changed: watch::Sender::new(()) }
    }
}

impl Book {
    pub(super) fn asks(&self) -> Vec<Ask> {
        self.lock().clone()
    }

    /// Another connection; its number.
    pub(super) fn connected(&self) -> usize {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Writes a call down.
    pub(super) fn enter(&self, came: Came) -> Ask {
        let Came { method, path, headers, body, http, connection } = came;
        // Numbers beyond all sizes and halves of surrogates are no reason not to know the model.
        let model = wire::scan::object(&body).ok().and_then(|body| Some(body.str("model")?.into_owned())).unwrap_or_default();
        let ask = {
            let mut asks = self.lock();
            let number = asks.len() + 1;
            let ask = Ask { number, method, path, headers, body, model, http, connection, came: Instant::now(), left: None, done: None };
            asks.push(ask.clone());
            ask
        };
        self.changed.send_replace(());
        ask
    }

    /// Notes how a call ended.
    pub(super) fn ended(&self, number: usize, end: End) {
        if let Some(ask) = self.lock().iter_mut().find(|ask| ask.number == number) {
            let place = if end == End::Left { &mut ask.left } else { &mut ask.done };
            *place = Some(Instant::now());
        }
        self.changed.send_replace(());
    }

    pub(super) async fn until(&self, mut is: impl FnMut(&[Ask]) -> bool) {
        let mut changed = self.changed.subscribe();
        while !is(&self.lock()) {
            if changed.changed().await.is_err() {
                return; // the book itself is gone
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ask>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As its script says.
    Done,
    /// Its caller went away.
    Left,
}
