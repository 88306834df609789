//! A response that is made while nobody listens.
//!
//! In: a call that has been read. Out: the response as it stands at first, `queued`; it goes the same walk as all calls, in
//! a task of its own, and is kept as it ends, whatever that end is. Holds: one of a bounded number of places.

use axum::response::Response;
use base::tasks;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use wire::scan;

use crate::Gateway;
use crate::call::Call;
use crate::error::Error;
use crate::kept::Ticket;
use crate::prompt::Prompts;
use crate::walk::carry;

/// What of an error is read.
const MOST_ERROR: usize = 1 << 20;

/// Lets it be made.
pub(super) fn start(gateway: &Gateway, call: Box<Call>, prompts: Prompts, ticket: &Ticket) -> Result<Bytes, Error> {
    let running = ticket.kept.run(&ticket.id)?;
    let queued = ticket.object.standing("queued");
    ticket.keep(&queued);
    let (gateway, ticket) = (gateway.clone(), ticket.clone());
    let making = async move {
        let cancelled = running.cancelled.clone();
        tokio::select! {
            response = carry(gateway, call, prompts) => ended(&ticket, response).await,
            () = cancelled.cancelled() => ticket.keep(&ticket.object.standing("cancelled")),
        }
        drop(running);
    };
    tasks::spawn("background-response", making).detach();
    Ok(queued.to_string().into())
}

/// A success has been kept as its answer was written; an error is kept here.
async fn ended(ticket: &Ticket, response: Response) {
    if response.status().is_success() {
        return;
    }
    let body = Limited::new(response.into_body(), MOST_ERROR).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let scan = scan::object(&body).ok();
    let error = scan.as_ref().and_then(|scan| scan.object("error"));
    let word = |key| error.as_ref().and_then(|error| error.str(key));
    let message = word("message").unwrap_or_else(|| "the response could not be made".into());
    ticket.keep(&ticket.object.failed(Vec::new(), word("code").as_deref(), &message));
}
