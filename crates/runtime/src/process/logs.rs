//! The log of an instance, from its keeper or from what it left.
//!
//! In: a talk and which part. Out: a stream of whole lines that ends when the keeper has no more to
//! send. Fails: when there is no such instance. Holds: one connection; dropping the stream closes it.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::AsyncReadExt as _;

use super::look;
use super::talk::{Line, Talk};
use crate::protocol::{Ask, Reply};
use crate::{Error, LogStream, LogsFrom};

/// One piece of the stream; holds the longest line of a keeper twice over.
const PIECE: usize = 16 << 10;

/// Opens it.
pub(super) async fn open(talk: &Talk<'_>, from: LogsFrom) -> Result<LogStream, Error> {
    let ask = Ask::Logs { tail: from.tail, follow: from.follow };
    match talk.open(&ask).await {
        Ok((Reply::Log, line)) => Ok(lines(line, talk.folder.id().clone())),
        Ok(_) => Err(Error::NotFound(talk.folder.id().clone())),
        Err(error) => match look::without_keeper(talk.folder.clone()).await? {
            None => Err(Error::NotFound(talk.folder.id().clone())),
            Some(seen) => match seen.state {
                spec::SeenState::Exited(exit) => Ok(last(&exit.last_lines, from.tail)),
                _ => Err(error),
            },
        },
    }
}

fn last(lines: &[String], tail: Option<usize>) -> LogStream {
    let skip = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    let pieces: Vec<_> = lines.iter().skip(skip).map(|line| Ok(Bytes::from(format!("{line}\n")))).collect();
    stream::iter(pieces).boxed()
}

fn lines(line: Line, id: spec::InstanceId) -> BoxStream<'static, Result<Bytes, Error>> {
    let state = Some((line, BytesMut::with_capacity(PIECE)));
    stream::unfold(state, move |state| {
        let id = id.clone();
        async move {
            let (mut line, mut held) = state?;
            loop {
                held.reserve(PIECE);
                match line.read_buf(&mut held).await {
                    Ok(0) if held.is_empty() => return None,
                    Ok(0) => return Some((Ok(held.freeze()), None)),
                    Ok(_) => {}
                    Err(source) => return Some((Err(Error::Talk { id, source }), None)),
                }
                if let Some(end) = held.iter().rposition(|byte| *byte == b'\n') {
                    let whole = held.split_to(end + 1).freeze();
                    return Some((Ok(whole), Some((line, held))));
                }
            }
        }
    })
    .boxed()
}
