//! What does a template of an Ollama-style registry say, in Jinja, which engines read?
//!
//! In: its text, in the language of Go's `text/template`. Out: the same for a whole conversation, as Jinja. Fails: with nothing, where it says
//! more than `.System`, `.Prompt`, `.Response` and conditions on them. Pure. From: Ollama's reference of its Modelfile: such a template is that of
//! one turn (what the system says, a question, an answer); the last turn ends where the answer begins.

use std::fmt::Write as _;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    If { of: Field, then: Vec<Piece>, otherwise: Vec<Piece> },
}

/// What a turn consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    System,
    Prompt,
    Response,
}

/// Blocks within blocks.
const DEEPEST: usize = 16;

/// As Jinja.
pub(super) fn jinja(text: &str) -> Option<String> {
    let pieces = parse(text)?;
    let turn = written(&pieces);
    let (last, _) = until_answer(&pieces);
    let last = written(&last);
    Some(format!(
        "{{%- set turn = namespace(system='', prompt='', response='') -%}}{{%- for message in messages -%}}\
         {{%- if message.role == 'system' -%}}{{%- if turn.prompt or turn.response -%}}{turn}{RESET}{{%- endif -%}}\
         {{%- set turn.system = message.content -%}}\
         {{%- elif message.role == 'assistant' -%}}{{%- set turn.response = message.content -%}}\
         {{%- else -%}}{{%- if turn.response -%}}{turn}{RESET}{{%- endif -%}}{{%- set turn.prompt = message.content -%}}{{%- endif -%}}\
         {{%- endfor -%}}{last}{{{{- turn.response -}}}}"
    ))
}

/// A text that is Jinja itself.
pub(super) fn is_jinja(text: &str) -> bool {
    text.contains("{%")
}

const RESET: &str = "{%- set turn.system = '' -%}{%- set turn.prompt = '' -%}{%- set turn.response = '' -%}";

impl Field {
    fn parse(text: &str) -> Option<Self> {
        match text {
            ".System" => Some(Self::System),
            ".Prompt" => Some(Self::Prompt),
            ".Response" => Some(Self::Response),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::System => "turn.system",
            Self::Prompt => "turn.prompt",
            Self::Response => "turn.response",
        }
    }
}

/// A block that is not closed yet.
#[derive(Default)]
struct Open {
    of: Option<Field>,
    then: Vec<Piece>,
    otherwise: Option<Vec<Piece>>,
}

impl Open {
    fn push(&mut self, piece: Piece) {
        self.otherwise.as_mut().unwrap_or(&mut self.then).push(piece);
    }
}

fn parse(text: &str) -> Option<Vec<Piece>> {
    let mut open = vec![Open::default()];
    let (mut rest, mut trims) = (text, false);
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, behind) = after.split_once("}}")?;
        let before = if trims { before.trim_start() } else { before };
        let (action, cuts) = action.strip_prefix('-').map_or((action, false), |action| (action, true));
        let before = if cuts { before.trim_end() } else { before };
        let (action, cut) = action.strip_suffix('-').map_or((action, false), |action| (action, true));
        (rest, trims) = (behind, cut);
        if !before.is_empty() {
            open.last_mut()?.push(Piece::Text(before.to_owned()));
        }
        act(&mut open, action.trim())?;
    }
    let rest = if trims { rest.trim_start() } else { rest };
    let mut whole = open.pop().filter(|_| open.is_empty())?;
    if !rest.is_empty() {
        whole.push(Piece::Text(rest.to_owned()));
    }
    if !has_answer(&whole.then) {
        whole.push(Piece::Field(Field::Response));
    }
    Some(whole.then)
}

/// One `{{ action }}`; nothing where it is more than we know.
fn act(open: &mut Vec<Open>, action: &str) -> Option<()> {
    let words: Vec<&str> = action.split_whitespace().collect();
    match words[..] {
        ["if", field] if open.len() < DEEPEST => open.push(Open { of: Some(Field::parse(field)?), ..Open::default() }),
        ["else"] if open.len() > 1 => {
            let last = open.last_mut()?;
            if last.otherwise.is_some() {
                return None;
            }
            last.otherwise = Some(Vec::new());
        }
        ["end"] if open.len() > 1 => {
            let Open { of, then, otherwise } = open.pop()?;
            open.last_mut()?.push(Piece::If { of: of?, then, otherwise: otherwise.unwrap_or_default() });
        }
        [field] => open.last_mut()?.push(Piece::Field(Field::parse(field)?)),
        _ => return None,
    }
    Some(())
}

fn has_answer(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| match piece {
        Piece::Text(_) => false,
        Piece::Field(field) => *field == Field::Response,
        Piece::If { then, otherwise, .. } => has_answer(then) || has_answer(otherwise),
    })
}

/// What comes before the answer, and whether one comes.
fn until_answer(pieces: &[Piece]) -> (Vec<Piece>, bool) {
    let mut before = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Field(Field::Response) => return (before, true),
            Piece::If { of: Field::Response, then, .. } => {
                // There will be one.
                let (inside, ends) = until_answer(then);
                before.extend(inside);
                if ends {
                    return (before, true);
                }
            }
            Piece::If { of, then, otherwise } => {
                let ((then, one), (otherwise, other)) = (until_answer(then), until_answer(otherwise));
                before.push(Piece::If { of: *of, then, otherwise });
                if one || other {
                    return (before, true);
                }
            }
            piece => before.push(piece.clone()),
        }
    }
    (before, false)
}

/// As Jinja that trims nothing but itself.
fn written(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        let _ = match piece {
            Piece::Text(said) => write!(text, "{{{{- {} -}}}}", serde_json::Value::from(said.as_str())),
            Piece::Field(field) => write!(text, "{{{{- {} -}}}}", field.name()),
            Piece::If { of, then, otherwise } => {
                let (then, otherwise) = (written(then), written(otherwise));
                write!(text, "{{%- if {} -%}}{then}{{%- else -%}}{otherwise}{{%- endif -%}}", of.name())
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use minijinja::value::{Serde, Value};
    use minijinja::{Environment, context};
    use serde_json::json;

    use super::*;

    const CHATML: &str = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n\
                          {{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";

    fn said(template: &str, messages: &serde_json::Value) -> String {
        let text = jinja(template).expect("a template");
        Environment::new().render_str(&text, context! { messages => Value::from(Serde(messages)) }).expect("Jinja")
    }

    #[test]
    fn a_template_of_one_turn_becomes_that_of_a_conversation() {
        let messages = json!([{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "One?"},
            {"role": "assistant", "content": " 1 "}, {"role": "user", "content": "Two?"}]);
        assert_eq!(
            said(CHATML, &messages),
            "<|im_start|>system\nBe \"brief\".<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n 1 <|im_end|>\n\
             <|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
        );
        let one = json!([{"role": "user", "content": "Hi"}]);
        assert_eq!(
            said("[INST] {{ if .System }}<<SYS>>{{ .System }}<</SYS>>{{ else }}none {{ end }}{{ .Prompt }} [/INST]", &one),
            "[INST] none Hi [/INST]"
        );
        assert_eq!(said("{{- if .Prompt }}  Q: {{ .Prompt -}}   \n{{ end }}\n", &one), "  Q: Hi\n", "what is trimmed is trimmed");
        assert_eq!(said("{{ .Prompt }}{{ if .Response }}|{{ .Response }}|{{ end }}", &one), "Hi|", "the answer is to come");
    }

    #[test]
    fn what_says_more_than_a_turn_is_left_alone() {
        for text in [
            "{{ range .Messages }}{{ .Content }}{{ end }}",
            "{{ if and .System .Prompt }}x{{ end }}",
            "{{ if .System }}x",
            "{{ end }}",
            "{{ .Tools }}",
            "{{ .Prompt",
            "{{ if .System }}a{{ else }}b{{ else }}c{{ end }}",
        ] {
            assert_eq!(jinja(text), None, "{text}");
        }
        assert!(is_jinja("{% for m in messages %}{{ m.content }}{% endfor %}") && !is_jinja(CHATML));
    }
}
