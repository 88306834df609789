//! How does a chat read once the model's template has written it out?
//!
//! In: the Jinja template of a GGUF file; messages and tools as JSON. Out: the text that the engine would give to
//! the model. Fails: silently, since an estimate does: templates are programs of their makers, and some ask for what
//! we do not have. Holds: the compiled template. A template is not trusted: it has fuel for about a second, and no files.

use std::fmt;

use gguf::Vocabulary;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::Value as Json;

const NAME: &str = "chat";
/// Steps of one rendering; a chat of a thousand messages takes about a tenth.
const FUEL: u64 = 5_000_000;

/// A model's chat template.
pub(crate) struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

impl Template {
    /// Compiles it; `None` when we cannot.
    pub(crate) fn new(source: &str, vocabulary: &Vocabulary) -> Option<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().ok()?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |words: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, words))
        });
        // Dates are of one length, so any will do.
        environment.add_function("strftime_now", |form: String| if form.len() > 2 { "01 Jan 2026" } else { "01" });
        environment.add_template_owned(NAME, source.to_owned()).ok()?;
        let token = |id: Option<u32>| id.and_then(|id| vocabulary.tokens.get(id as usize)).cloned().unwrap_or_default();
        Some(Self { environment, bos: token(vocabulary.bos), eos: token(vocabulary.eos) })
    }

    /// Whether the text begins with the token that begins every text.
    pub(crate) fn begins(&self, text: &str) -> bool {
        !self.bos.is_empty() && text.starts_with(&self.bos)
    }

    /// The text of a chat.
    pub(crate) fn write(&self, messages: &str, tools: Option<&str>) -> Option<String> {
        let mut messages: Vec<Json> = serde_json::from_str(messages).ok()?;
        messages.iter_mut().for_each(plain);
        let tools: Option<Json> = tools.and_then(|tools| serde_json::from_str(tools).ok());
        let context = context! {
            messages => Value::from(Serde(&messages)),
            tools => tools.map(|tools| Value::from(Serde(&tools))),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        self.environment.get_template(NAME).ok()?.render(context).ok()
    }
}

/// A message as templates expect it: text instead of parts, arguments of tools as objects.
fn plain(message: &mut Json) {
    if let Some(parts) = message["content"].as_array() {
        let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        message["content"] = texts.join("\n").into();
    }
    if message["content"].is_null() {
        message["content"] = "".into();
    }
    for call in message.get_mut("tool_calls").and_then(Json::as_array_mut).into_iter().flatten() {
        let Some(arguments) = call.get_mut("function").and_then(|function| function.get_mut("arguments")) else { continue };
        if let Some(object) = arguments.as_str().and_then(|text| serde_json::from_str(text).ok()) {
            *arguments = object;
        }
    }
}

/// As Python writes it: without the escapes that a web page would need. `indent` changes only space.
#[expect(clippy::needless_pass_by_value, reason = "so the library hands it over")]
fn to_json(value: &Value, more: Kwargs) -> Result<String, Error> {
    let indented = more.get::<Option<usize>>("indent").ok().flatten().is_some();
    let text = if indented { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|source| Error::new(ErrorKind::BadSerialization, "a value that is no JSON").with_source(source))
}
