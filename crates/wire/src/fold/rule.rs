//! What becomes of a member that comes in several events?
//!
//! In: where the member stands and its name. Out: the rule. This table is the whole policy of [`super`].

use crate::scan::Kind;

/// Where in a chunk a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The chunk itself.
    Top,
    /// One of its choices.
    Choice,
    /// A choice's delta, which becomes its message.
    Message,
    /// One of the delta's tool calls.
    Call,
    /// The function of a tool call, or the older `function_call`.
    Function,
    /// The audio of a message.
    Audio,
    /// A choice's log probabilities.
    Logprobs,
}

/// What to do with a value when there is one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Keep the first that says something: names, which some engines repeat in each event.
    First,
    /// The last that is not null.
    Last,
    /// One text from all.
    Join,
    /// One list from all.
    Append,
    /// Member by member, by the rules of this place.
    Members(Place),
    /// Lists whose elements say by `index` which one they go on with.
    Calls,
}

/// The rule for a member.
pub(super) fn of(place: Place, key: &str, kind: Kind) -> Rule {
    match (place, key, kind) {
        (_, _, Kind::Null)
        | (Place::Message, "role", _)
        | (Place::Call | Place::Audio, "id" | "type", _)
        | (Place::Function, "name", _) => Rule::First,
        (Place::Choice, "delta", Kind::Object) => Rule::Members(Place::Message),
        (Place::Choice, "logprobs", Kind::Object) => Rule::Members(Place::Logprobs),
        (Place::Message, "tool_calls", Kind::Array) => Rule::Calls,
        (Place::Message, "function_call", Kind::Object) | (Place::Call, "function", Kind::Object) => Rule::Members(Place::Function),
        (Place::Message, "audio", Kind::Object) => Rule::Members(Place::Audio),
        (Place::Choice, "text", Kind::String) | (Place::Message | Place::Call | Place::Function | Place::Audio, _, Kind::String) => {
            Rule::Join
        }
        (Place::Choice | Place::Message | Place::Call | Place::Function | Place::Audio | Place::Logprobs, _, Kind::Array) => Rule::Append,
        _ => Rule::Last,
    }
}
