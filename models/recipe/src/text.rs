//! What does the model read while it learns? Endless small talk about its little world.
//!
//! In: chance. Out: documents in the form of the chat template, in pieces that say whether they are to be
//! learnt (replies) or only read (questions). Fails: never. Holds: nothing. From: TinyStories, for the idea that
//! a tiny model learns well from a tiny language.

use crate::rng::Rng;
use crate::story;
use crate::talk;
use crate::world::CAPITALS;

/// Ends a document that is no chat.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";
/// Opens a turn.
pub(crate) const TURN: &str = "<|im_start|>";
/// Closes a turn; the model's end of generation.
pub(crate) const END_OF_TURN: &str = "<|im_end|>";
/// The tokens that are never written as text, in the order of their ids.
pub(crate) const SPECIAL: [&str; 3] = [END_OF_TEXT, TURN, END_OF_TURN];
/// The chat template, as it stands in the file.
pub(crate) const TEMPLATE: &str = include_str!("chat.jinja");

const SYSTEMS: [&str; 6] = [
    "You are a helpful assistant.",
    "You are a small model.",
    "Be brief.",
    "Answer in English.",
    "You are kind and clear.",
    "Please help the user.",
];
const SKIES: [&str; 5] = ["sunny", "rainy", "cloudy", "windy", "snowy"];
const TOOLS: [&str; 3] = ["get_weather", "get_time", "get_news"];

/// A stretch of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The text; special tokens stand in it by name.
    pub(crate) text: String,
    /// Whether the model is to learn to write it.
    pub(crate) learn: bool,
}

/// One document: a chat of a few turns, a chat with a tool, or a story without a chat.
pub(crate) fn document(rng: &mut Rng) -> Vec<Piece> {
    match rng.below(100) {
        0..7 => vec![learn(story::tell(rng) + END_OF_TEXT)],
        7..22 => with_tool(rng),
        _ => {
            let mut pieces = Vec::new();
            if rng.percent(40) {
                pieces.push(turn("system", rng.pick::<&str>(&SYSTEMS)));
            }
            let turns = if rng.percent(65) { 1 } else { rng.between(2, 4) };
            for _ in 0..turns {
                let (question, answer) = talk::exchange(rng);
                ask_and_answer(&mut pieces, &question, &answer);
            }
            pieces
        }
    }
}

/// A turn that the model only reads.
pub(crate) fn turn(role: &str, text: &str) -> Piece {
    Piece { text: format!("{TURN}{role}\n{text}{END_OF_TURN}\n"), learn: false }
}

/// What stands before the model's reply.
pub(crate) fn reply_start() -> Piece {
    Piece { text: format!("{TURN}assistant\n"), learn: false }
}

fn learn(text: String) -> Piece {
    Piece { text, learn: true }
}

fn ask_and_answer(pieces: &mut Vec<Piece>, question: &str, answer: &str) {
    pieces.push(turn("user", question));
    pieces.push(reply_start());
    pieces.push(learn(format!("{answer}{END_OF_TURN}")));
    pieces.push(Piece { text: "\n".to_owned(), learn: false });
}

/// A chat whose system line lists tools: the model calls one, reads what came back and answers.
fn with_tool(rng: &mut Rng) -> Vec<Piece> {
    let city = rng.pick(&CAPITALS).1;
    let tool = if rng.percent(60) { TOOLS[0] } else { *rng.pick(&TOOLS) };
    let mut listed = vec![tool];
    if rng.percent(40) {
        listed.extend(TOOLS.iter().filter(|other| **other != tool).take(rng.between(1, 2)));
        let last = listed.len() - 1;
        let place = rng.between(0, last);
        listed.swap(0, place);
    }
    let lead = if rng.percent(50) { format!("{}\n", rng.pick(&SYSTEMS)) } else { String::new() };
    let mut pieces = vec![turn("system", &format!("{lead}Tools: {}.", listed.join(", ")))];
    if rng.percent(25) {
        let (question, answer) = talk::exchange_beside_tools(rng);
        ask_and_answer(&mut pieces, &question, &answer);
        return pieces;
    }
    let call = format!("<tool_call>\n{{\"name\": \"{tool}\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>");
    ask_and_answer(&mut pieces, &tool_question(rng, tool, city), &call);
    if rng.percent(70) {
        let (seen, said) = tool_result(rng, tool, city);
        ask_and_answer(&mut pieces, &format!("<tool_response>\n{seen}\n</tool_response>"), &said);
    }
    pieces
}

fn tool_question(rng: &mut Rng, tool: &str, city: &str) -> String {
    let forms: &[&str] = match tool {
        "get_weather" => &["What is the weather in", "How is the weather in", "What is the weather like in", "Is it raining in"],
        "get_time" => &["What time is it in", "What is the time in"],
        _ => &["What is new in", "What is the news in"],
    };
    let tail = if rng.percent(20) { " today?" } else { "?" };
    format!("{} {city}{tail}", rng.pick(forms))
}

fn tool_result(rng: &mut Rng, tool: &str, city: &str) -> (String, String) {
    let sky = *rng.pick(&SKIES);
    match tool {
        "get_weather" => {
            let degrees = rng.between(0, 35);
            let seen = match rng.below(4) {
                0 => sky.to_owned(),
                1 => format!("{{\"weather\": \"{sky}\"}}"),
                2 => format!("{{\"weather\": \"{sky}\", \"degrees\": {degrees}}}"),
                _ => format!("{sky}, {degrees} degrees"),
            };
            (seen, format!("It is {sky} in {city}."))
        }
        "get_time" => {
            let time = format!("{}:{:02}", rng.between(0, 23), rng.between(0, 59));
            (time.clone(), format!("It is {time} in {city}."))
        }
        _ => ("nothing new".to_owned(), format!("There is nothing new in {city}.")),
    }
}

#[cfg(test)]
mod tests;
