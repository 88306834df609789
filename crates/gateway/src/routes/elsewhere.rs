//! What is asked for in vain: the rest of the APIs whose models are served, and paths of other servers, with what to do in their place.
//!
//! In: a path that no route has. Out: an error that names what was asked for and leads on; nothing for a path that nobody has. An entry
//! speaks for its path and all that lies below it.

use crate::error::Error;

/// Paths, what is asked for there, what to do in its place.
type Entry = (&'static [&'static str], &'static str, &'static str);

const ELSEWHERE: &[Entry] = &[
    (
        &["/v1/rerank", "/v1/reranking", "/v2/rerank", "/v1/score", "/rerank", "/reranking", "/score"],
        "reranking",
        "compare vectors of /v1/embeddings, or call the server of the ranking model itself",
    ),
    (&["/v1/moderations"], "moderation", "ask a model that judges texts at /v1/chat/completions, or call the moderation's own server"),
    (&["/v1/audio"], "audio", "call the server of the audio model itself; texts and images are served at /v1/chat/completions"),
    (
        &["/v1/images"],
        "making images",
        "call the server of the image model itself; images are read as parts of messages at /v1/chat/completions",
    ),
    (&["/v1/videos"], "making videos", "call the server of the video model itself"),
    (&["/v1/realtime"], "a realtime session", "stream an answer with `stream: true` at /v1/chat/completions or /v1/responses"),
    (
        &["/v1/files", "/v1/uploads", "/v1/containers"],
        "keeping files of callers",
        "send texts and images within the messages; the files of a model go to /api/v1/models",
    ),
    (
        &["/v1/batches", "/v1/messages/batches"],
        "a batch of calls",
        "send each call by itself, many at once: those for which there is no room yet wait in line",
    ),
    (&["/v1/fine_tuning", "/v1/fine-tunes"], "training", "train elsewhere, and register the model's files with /api/v1/models"),
    (&["/v1/evals"], "an evaluation", "call the model for each case at /v1/chat/completions"),
    (
        &["/v1/assistants", "/v1/threads", "/v1/conversations"],
        "a kept conversation under this path",
        "use /v1/responses, which goes on from `previous_response_id`",
    ),
    (&["/v1/vector_stores"], "a store of vectors", "keep vectors of /v1/embeddings in a database of your own"),
    (&["/v1/complete"], "the older completion of Anthropic", "use /v1/messages"),
    (
        &["/v1/engines", "/openai/deployments"],
        "a model within the path",
        "name it as `model` in the body, at /v1/chat/completions, /v1/completions or /v1/embeddings",
    ),
    (&["/v1beta"], "the API of Gemini", "use /v1/chat/completions, /v1/responses or /v1/messages"),
    (&["/v1/v1"], "a path with `/v1` twice", "let the client's base URL end where its documentation says: with /v1 or before it"),
    (
        &["/chat/completions", "/completions", "/embeddings", "/responses", "/messages"],
        "a path without its `/v1`",
        "let the client's base URL end with /v1, as in /v1/chat/completions",
    ),
    (&["/completion"], "the completion of llama-server", "use /v1/completions"),
    (&["/embedding"], "the embedding of llama-server", "use /v1/embeddings"),
    (&["/infill"], "filling in the middle", "put the text into the model's own form and use /v1/completions"),
    (
        &["/tokenize", "/detokenize", "/apply-template"],
        "the tokens of a text",
        "count them with /v1/messages/count_tokens or /v1/responses/input_tokens",
    ),
    (&["/props", "/slots", "/health", "/running"], "the state of one engine", "look at /readyz, /status or /metrics"),
];

/// The error for a path that others have and we have not.
pub(super) fn at(path: &str) -> Option<Error> {
    let is_within = |of: &&str| path.strip_prefix(*of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let (_, what, instead) = ELSEWHERE.iter().find(|(paths, ..)| paths.iter().any(is_within))?;
    Some(Error::NotHere { what, instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_speaks_for_all_below_its_path_and_for_nothing_beside_it() {
        for path in ["/v1/rerank", "/v1/audio/speech", "/v1/images/generations", "/v1/messages/batches/b1/results", "/v1/v1/models"] {
            assert!(at(path).is_some(), "{path}");
        }
        for path in ["/v1/reranked", "/v1/audiobook", "/v1", "/", "/v1/completely", "/nothing"] {
            assert!(at(path).is_none(), "{path}");
        }
    }
}
