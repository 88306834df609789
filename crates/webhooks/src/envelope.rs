//! An event as others read it: a CloudEvent in structured mode.
//!
//! In: an event of the story. Out: its JSON document. Pure. From: CloudEvents 1.0 and its JSON format.

use bytes::Bytes;
use serde_json::json;
use spec::Event;

/// What stands before the kind of an event in `type`: a name that is ours by its address.
const TYPE: &str = "com.github.penstock.";

/// The media type of the document.
pub(crate) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The document. `source` is this installation; with `id` it names the event among all there are.
pub(crate) fn envelope(event: &Event, source: &str) -> Bytes {
    let mut document = json!({
        "specversion": "1.0",
        "id": event.id.to_string(),
        "source": source,
        "type": format!("{TYPE}{}", event.kind),
        "time": event.at,
        "datacontenttype": "application/json",
        "data": event,
    });
    if let Some(subject) = subject(event) {
        document["subject"] = subject.into();
    }
    document.to_string().into()
}

/// What it is about, as a path of the API.
fn subject(event: &Event) -> Option<String> {
    let instance = event.instance.as_ref().map(|id| format!("instances/{id}"));
    instance.or_else(|| event.deployment.as_ref().map(|name| format!("deployments/{name}")))
}

/// The id of the message, the same for each try: who gets it twice knows it by that.
pub(crate) fn message_id(event: &Event, source: &str) -> String {
    format!("{}-{}", source.rsplit(':').next().unwrap_or_default(), event.id)
}
