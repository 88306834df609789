//! An engine behind HTTP that does, byte by byte, what real ones do badly.
//!
//! In: scripts, by the model that a call names. Out: a server on a free port of loopback, HTTP/1.1 and
//! h2c, and a book of every call: its head, the very bytes of its body, when it came and when its
//! caller went away. A model without a script is answered as a good engine would. Fails: when no
//! port is to be had. Holds: a task for each connection, which ends with the value.

mod book;
mod good;
mod http1;
mod http2;
mod script;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::tasks::{self, Task};
use tokio::net::{TcpListener, TcpStream};

pub use book::Ask;
use book::Book;
pub use script::{Gate, Head, Script, Step};

/// What a model does with a call.
type Play = Arc<dyn Fn(&Ask) -> Script + Send + Sync>;

/// The engine; it ends when dropped.
pub struct Upstream {
    address: SocketAddr,
    stage: Arc<Stage>,
    _door: Task,
}

/// What the connections share.
#[derive(Default)]
struct Stage {
    book: Book,
    plays: Mutex<HashMap<String, Plays>>,
}

#[derive(Default)]
struct Plays {
    once: VecDeque<Script>,
    always: Option<Play>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Opens it.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stage = Arc::new(Stage::default());
        let shared = Arc::clone(&stage);
        let door = tasks::spawn("upstream", async move {
            let mut guests = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.book.connected();
                guests.retain(|guest: &Task| !guest.is_finished());
                guests.push(tasks::spawn("upstream-connection", serve(Arc::clone(&shared), stream, number)));
            }
        });
        Ok(Self { address, stage, _door: door })
    }

    /// Its base URL, with `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// From now on calls of this model are answered so.
    pub fn plays(&self, model: &str, script: Script) {
        self.plays_with(model, move |_| script.clone());
    }

    /// From now on calls of this model are answered by what this says.
    pub fn plays_with(&self, model: &str, play: impl Fn(&Ask) -> Script + Send + Sync + 'static) {
        self.stage.plays().entry(model.to_owned()).or_default().always = Some(Arc::new(play));
    }

    /// The next calls of this model, one each, before what it always does.
    pub fn next(&self, model: &str, scripts: impl IntoIterator<Item = Script>) {
        self.stage.plays().entry(model.to_owned()).or_default().once.extend(scripts);
    }

    /// Every call so far.
    pub fn asks(&self) -> Vec<Ask> {
        self.stage.book.asks()
    }

    /// The calls of this model so far.
    pub fn asks_of(&self, model: &str) -> Vec<Ask> {
        self.asks().into_iter().filter(|ask| ask.model == model).collect()
    }

    /// Connections that were opened so far, those for probes included.
    pub fn connections(&self) -> usize {
        self.stage.book.connections()
    }

    /// Waits until the book reads so; for ever, if it never does.
    pub async fn saw(&self, is: impl FnMut(&[Ask]) -> bool) {
        self.stage.book.until(is).await;
    }

    /// Forgets all calls.
    pub fn forget(&self) {
        self.stage.book.forget();
    }
}

impl Stage {
    fn plays(&self) -> MutexGuard<'_, HashMap<String, Plays>> {
        self.plays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is done with this call.
    fn script(&self, ask: &Ask) -> Script {
        let play = {
            let mut plays = self.plays();
            let of_model = plays.get_mut(&ask.model);
            match of_model {
                Some(plays) if !plays.once.is_empty() => return plays.once.pop_front().unwrap_or_default(),
                Some(plays) => plays.always.clone(),
                None => None,
            }
        };
        play.map_or_else(|| good::answer(ask), |play| play(ask))
    }
}

/// An address where nobody listens.
pub async fn nobody() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(format!("http://{}/v1", listener.local_addr()?))
}

async fn serve(stage: Arc<Stage>, stream: TcpStream, number: usize) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    drop(stream.set_nodelay(true)); // each piece by itself
    let mut start = [0; PREFACE.len()];
    match stream.peek(&mut start).await {
        Ok(count) if count > 0 && PREFACE.starts_with(&start[..count]) => http2::serve(stage, stream, number).await,
        Ok(_) => http1::serve(&stage, stream, number).await,
        Err(_gone) => {}
    }
}

#[cfg(test)]
mod tests;
