//! A reply that reaches the client in one piece.
//!
//! In: the engine's bytes. Out: the body of the answer. Fails: in time limits, a cut, a size beyond
//! reason, an error inside the stream. The caller drops this future when the client has gone, and
//! the connection to the engine with it.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use wire::fold::Fold;
use wire::openai::{Shape, Usage};
use wire::scan::{self, Kind, Member, Scan};
use wire::stream::Outcome;
use wire::unfold;

use super::shaper::Shaper;
use crate::account::Account;
use crate::clock::{Clock, until};
use crate::error::Error;
use crate::send::Flow;

/// The most that is held of a reply that comes whole: a batch of embeddings is large.
const MOST_REPLY: usize = 256 << 20;

/// A stream made into the reply that would have come without one.
pub(super) async fn fold(mut flow: Flow, mut fold: Fold, clock: &Clock, account: &mut Account) -> Result<Bytes, Error> {
    let (mut first, shape) = (true, fold.shape());
    let outcome = loop {
        match next(clock, &mut flow, first).await {
            Ok(None) => break Ok(()),
            Err(Error::Broken { .. }) if fold.summary().is_finished() => break Ok(()), // all has been said
            Err(error) => break Err(error),
            Ok(Some(mut bytes)) => {
                if std::mem::take(&mut first) {
                    bytes = put_right(&mut flow, clock, shape, bytes).await?;
                }
                let pushed = account.working(|| fold.push(&bytes));
                account.note(fold.summary());
                if let Err(error) = pushed {
                    break Err(error.into());
                }
                account.first_byte(); // an error in its place is no answer yet
                if fold.summary().done {
                    break Ok(());
                }
            }
        }
    };
    account.note(fold.summary());
    outcome?;
    flow.keep();
    Ok(account.working(|| fold.finish())?)
}

/// A stream of which the client wants the last line only.
pub(super) async fn last_line(
    mut flow: Flow,
    (shape, mut shaper): (Shape, Shaper),
    clock: &Clock,
    account: &mut Account,
) -> Result<Bytes, Error> {
    let (mut first, mut lines) = (true, Vec::new());
    while shaper.ended().is_none() {
        if let Some(mut bytes) = next(clock, &mut flow, first).await? {
            if std::mem::take(&mut first) {
                bytes = put_right(&mut flow, clock, shape, bytes).await?;
            }
            let pushed = account.working(|| shaper.push(&bytes, &mut lines));
            account.note(shaper.summary());
            pushed?;
            account.first_byte();
        } else {
            shaper.finish(&mut lines);
            account.note(shaper.summary());
        }
    }
    flow.keep();
    match (shaper.ended(), lines.pop()) {
        (Some(Outcome::Done), Some(last)) => Ok(last),
        _ => Err(wire::Error::Cut.into()),
    }
}

/// How a stream begins; a reply that came in one piece in its place is made into one.
pub(super) async fn put_right(flow: &mut Flow, clock: &Clock, shape: Shape, start: Bytes) -> Result<Bytes, Error> {
    if !unfold::is_whole(&start) {
        return Ok(start);
    }
    let reply = Box::pin(rest(flow, clock, MOST_REPLY, Some(start))).await?; // boxed: hardly any engine does so
    Ok(unfold::unfold(shape, &reply)?)
}

/// One reply as it is.
pub(super) async fn read(mut flow: Flow, shape: Shape, clock: &Clock, account: &mut Account) -> Result<Bytes, Error> {
    let start = next(clock, &mut flow, true).await?;
    if start.is_some() {
        account.first_byte();
    }
    let body = rest(&mut flow, clock, MOST_REPLY, start).await?;
    flow.keep();
    match Usage::of_reply(&body) {
        Ok(Some(usage)) => account.counted(usage),
        Ok(None) if shape != Shape::Embeddings => account.made(made(&body).unwrap_or(0)),
        Ok(None) => {}
        Err(error) => {
            account.began_with_an_error();
            return Err(error.into());
        }
    }
    Ok(body)
}

/// What the model made, by a guess at the texts of a reply that does not count them.
fn made(reply: &[u8]) -> Option<u64> {
    let reply = scan::object(reply).ok()?;
    let mut made = 0;
    let choices = reply.get("choices")?.value_span;
    let all = reply.rows(choices, ["text", "message"], |[text, message]| {
        made += text.map_or(0, |text| guess(&reply, text));
        let Some(Ok(message)) = message.map(|message| reply.inside(message.value_span)) else { return };
        made += in_message(&message);
    });
    all.ok().map(|()| made)
}

fn in_message(message: &Scan<'_>) -> u64 {
    let [calls, texts @ ..] = message.pick(["tool_calls", "content", "reasoning_content", "reasoning", "refusal"]);
    let mut made: u64 = texts.into_iter().flatten().map(|text| guess(message, text)).sum();
    if let Some(calls) = calls {
        // What is no list of calls holds none.
        let _ = message.rows(calls.value_span, ["function"], |[function]| {
            let Some(Ok(function)) = function.map(|function| message.inside(function.value_span)) else { return };
            made += function.pick(["name", "arguments"]).into_iter().flatten().map(|text| guess(&function, text)).sum::<u64>();
        });
    }
    made
}

/// Of a text, as it is written.
fn guess(scan: &Scan<'_>, text: Member) -> u64 {
    if text.kind == Kind::String { tokens::estimate(scan.raw(text).trim_matches('"')) } else { 0 }
}

/// All bytes, up to a bound.
pub(super) async fn collect(flow: &mut Flow, clock: &Clock, limit: usize) -> Result<Bytes, Error> {
    let start = next(clock, flow, true).await?;
    rest(flow, clock, limit, start).await
}

/// What follows on the first bytes, with them.
async fn rest(flow: &mut Flow, clock: &Clock, limit: usize, start: Option<Bytes>) -> Result<Bytes, Error> {
    let Some(start) = start else { return Ok(Bytes::new()) };
    let mut all: Option<BytesMut> = None;
    while let Some(bytes) = next(clock, flow, false).await? {
        let held = all.get_or_insert_with(|| BytesMut::from(start.as_ref()));
        if held.len() + bytes.len() > limit {
            return Err(wire::Error::ReplyTooLarge { limit }.into());
        }
        held.extend_from_slice(&bytes);
    }
    Ok(all.map_or(start, BytesMut::freeze))
}

/// The next bytes, in time; `first` while none has come.
pub(super) async fn next(clock: &Clock, flow: &mut Flow, first: bool) -> Result<Option<Bytes>, Error> {
    let by = || if first { clock.first_by } else { clock.total_by.min(Instant::now() + clock.idle) };
    match until(by, flow.next()).await {
        Some(Some(Ok(bytes))) => Ok(Some(bytes)),
        Some(None) => Ok(None),
        Some(Some(Err(source))) => Err(Error::Broken { source }),
        None => Err(clock.late(first)),
    }
}
