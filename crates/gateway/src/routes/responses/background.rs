//! A response that is made while nobody listens.
//!
//! In: a call that has been read. Out: the response as it stands at first, `queued`; it goes the same walk as all calls, in
//! a task of its own, and is kept as it ends, whatever that end is. Fails: as any call that is not let in; of that nothing is
//! kept. Holds: one of a bounded number of places.

use axum::response::Response;
use base::tasks;
use http_body_util::{BodyExt as _, Limited};
use wire::scan;

use super::json_answer;
use crate::Gateway;
use crate::call::Call;
use crate::error::Error;
use crate::kept::Ticket;
use crate::prompt::Prompts;
use crate::walk::{go_on, open};

/// What of an error is read.
const MOST_ERROR: usize = 1 << 20;

/// Lets it be made; the answer tells the limits of its caller, as every answer does.
pub(super) async fn start(gateway: &Gateway, call: Box<Call>, prompts: Prompts, ticket: &Ticket) -> Result<Response, Error> {
    let running = ticket.kept.run(&ticket.id, &ticket.owner)?;
    let opened = open(gateway, &call, prompts).await;
    if opened.is_refused() {
        return Ok(go_on(gateway.clone(), call, opened).await);
    }
    let queued = ticket.object.standing("queued");
    ticket.keep(&queued);
    let mut response = json_answer(queued.to_string().into());
    opened.put_limits(response.headers_mut());
    let (gateway, ticket) = (gateway.clone(), ticket.clone());
    let making = async move {
        let cancelled = running.cancelled.clone();
        tokio::select! {
            response = go_on(gateway, call, opened) => ended(&ticket, response).await,
            () = cancelled.cancelled() => ticket.keep(&ticket.object.standing("cancelled")),
        }
        drop(running);
    };
    tasks::spawn("background-response", making).detach();
    Ok(response)
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
