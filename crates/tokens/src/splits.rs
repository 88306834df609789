//! Where is a text cut before its pieces are merged into tokens?
//!
//! In: the name under `tokenizer.ggml.pre`. Out: regular expressions, applied one after the other:
//! each match and each gap between matches is a piece. Fails: `None` for a name that is not here.
//! From: the names and expressions of llama.cpp (`llama-vocab.cpp`); the engine counts by these, also
//! where the model's maker wrote slightly different ones.

/// How one family of models cuts text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Applied in this order.
    pub(crate) splits: Vec<String>,
    /// A piece that is a token is taken whole, whatever the merges say.
    pub(crate) whole_pieces: bool,
    /// The engine puts the first token before a prompt unless the file says otherwise.
    pub(crate) add_bos: bool,
}

/// What GPT-2 did.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
/// The short forms of English, in any case.
const SHORT: &str = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
/// Line breaks with the space before them, then the space before a word, then the rest.
const BREAKS: &str = r"\s*[\r\n]+|\s+(?!\S)|\s+";
/// Letters of which none is a small one of ASCII, and of which none is a capital one.
const UPPER: &str = r"(?:(?=\p{L})[^a-z])";
const LOWER: &str = r"(?:(?=\p{L})[^A-Z])";

/// Digits in groups of up to three, or one by one.
const BY_THREE: &str = r"\p{N}{1,3}";
const BY_ONE: &str = r"\p{N}";

/// How text is cut under this name; without a name, as the engine does for old files.
pub(crate) fn cut(pre: Option<&str>) -> Option<Cut> {
    let plain = |splits: Vec<String>| Cut { splits, whole_pieces: false, add_bos: false };
    let whole = |splits: Vec<String>| Cut { whole_pieces: true, ..plain(splits) };
    Some(match pre.unwrap_or("default") {
        "default" => plain(punctuation_first(r"[\p{P}\$\+<=>\^~\|]+", &[r"\p{N}+", "[0-9][0-9][0-9]"])),
        "falcon" => plain(punctuation_first(r"[\p{P}\$\+<=>\^~\|`]+", &["[0-9][0-9][0-9]"])),
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "gigachat" | "jina-v2-es" | "jina-v2-de" | "a.x-4.0" | "mellum" | "modern-bert"
        | "exaone4" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling" | "jina-v1-en" | "jina-v2-code" | "roberta-bpe" => {
            plain(vec![GPT2.into()])
        }
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
            plain(vec![BY_ONE.into(), GPT2.into()])
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" | "jina-v5-nano" => {
            Cut { add_bos: true, ..whole(vec![modern(BY_THREE)]) }
        }
        "dbrx" | "smaug-bpe" | "chatglm-bpe" => plain(vec![modern(BY_THREE)]),
        "glm4" | "glm5" => whole(vec![modern(BY_THREE)]),
        "minicpm5" => whole(vec![BY_THREE.into(), modern(r"\p{N}+")]),
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "stablelm2" | "hunyuan" | "solar-open" | "megrez" | "grok-2" => {
            plain(vec![modern(BY_ONE)])
        }
        "qwen35" => plain(vec![with_marks()]),
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => plain(deepseek()),
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => plain(vec![cased(&format!("(?:{SHORT})?"), BY_THREE)]),
        "tekken" => Cut { add_bos: true, ..whole(vec![cased("", BY_ONE)]) },
        _ => return None,
    })
}

fn punctuation_first(punctuation: &str, then: &[&str]) -> Vec<String> {
    let first = [punctuation, GPT2];
    first.iter().chain(then).map(|split| (*split).to_owned()).collect()
}

/// As Llama 3 and Qwen 2 do; they differ in the digits.
fn modern(digits: &str) -> String {
    format!(r"(?:{SHORT})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{BREAKS}")
}

/// As Qwen 3.5 does: accents belong to their letters.
fn with_marks() -> String {
    format!(r"(?:{SHORT})|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{BREAKS}")
}

/// As GPT-4o and Mistral's Tekken do: a word is cut where small letters turn to capital ones.
fn cased(short: &str, digits: &str) -> String {
    let lead = r"[^\r\n\p{L}\p{N}]?";
    format!(r"{lead}{UPPER}*{LOWER}+{short}|{lead}{UPPER}+{LOWER}*{short}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{BREAKS}")
}

/// As DeepSeek V3 does: digits by three, then Chinese and Japanese, then the rest.
fn deepseek() -> Vec<String> {
    let mark = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"##;
    let rest = format!(r"{mark}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{BREAKS}");
    vec![BY_THREE.into(), "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+".into(), rest]
}
