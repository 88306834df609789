//! One ask and its answer over a keeper's socket.
//!
//! In: an ask. Out: the keeper's reply, or an open connection behind it. Fails: when nobody listens,
//! the answer does not come in time, or is no answer. Holds: no connection longer than the talk.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::Error;
use crate::folder::Folder;
use crate::protocol::{self, Ask, Reply};

/// How to reach a keeper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk<'a> {
    pub(super) folder: &'a Folder,
    pub(super) answer: Duration,
}

/// A connection on which more will come.
pub(super) type Line = BufReader<UnixStream>;

impl Talk<'_> {
    /// Asks and takes the answer.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Reply, Error> {
        self.open(ask).await.map(|(reply, _)| reply)
    }

    /// Asks, takes the answer and keeps the connection open.
    pub(super) async fn open(&self, ask: &Ask) -> Result<(Reply, Line), Error> {
        let asked = timeout(self.answer, self.connect(ask)).await;
        asked.unwrap_or_else(|_| Err(Error::Silent { id: self.folder.id().clone(), waited: self.answer }))
    }

    async fn connect(&self, ask: &Ask) -> Result<(Reply, Line), Error> {
        let talk = |source| Error::Talk { id: self.folder.id().clone(), source };
        let mut stream = UnixStream::connect(self.folder.socket()).await.map_err(talk)?;
        stream.write_all(&protocol::line(ask)).await.map_err(talk)?;
        let mut line = BufReader::new(stream);
        match self.next(&mut line).await? {
            Some(Reply::Refused { why }) => {
                Err(talk(io::Error::new(io::ErrorKind::Unsupported, format!("the keeper does not understand: {why}"))))
            }
            Some(reply) => Ok((reply, line)),
            None => Err(talk(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The next answer on an open connection; `None` when the keeper has closed it.
    pub(super) async fn next(&self, line: &mut Line) -> Result<Option<Reply>, Error> {
        let mut bytes = Vec::new();
        let read = line.take(protocol::LONGEST_LINE as u64).read_until(b'\n', &mut bytes).await;
        read.map_err(|source| Error::Talk { id: self.folder.id().clone(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Garbled { path: self.folder.socket(), source })
    }
}
