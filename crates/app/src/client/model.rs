//! Models of the registry: `model list`, `show`, `search`, `set`, `cp`, `tag`, `untag`, `history`, `rm`; and `import`.
//!
//! In: names, as deployments write them: `NAME`, `NAME:TAG`, `NAME@DIGEST`. Out: what the registry knows. Fails: as the server refuses.

use std::path::PathBuf;

use base::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::card::Card;
use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, count, note, pairs, size, table, text};
use super::{Failure, Output};

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// List models
    #[command(visible_alias = "ls")]
    List(Search),
    /// Look for models by words, labels, format or what they can do
    #[command(
        after_help = "Examples:\n  penstock model search llama instruct\n  penstock model search --label team=red --capability tools,vision"
    )]
    Search(Search),
    /// Show all that is known of a model
    Show {
        /// The model
        name: String,
    },
    /// Change what is said of a model, or of one of its versions
    #[command(
        after_help = "What an engine is started with (parameters, chat template, context limit) reaches the deployments by a rollout.\n\nExamples:\n  penstock model set tiny --description \"Knows capitals\" --licence Apache-2.0 --label team=red\n  penstock model set tiny --parameter temperature=0.2 --context-limit 4096\n  penstock model set tiny --deprecated \"use tiny-2\"\n  penstock model set tiny@sha256:0123456789ab --note \"trained on more\""
    )]
    Set(Box<Set>),
    /// Give a version a second name, with what is said of it
    Cp {
        /// NAME, NAME:TAG or NAME@DIGEST
        from: String,
        /// NAME or NAME:TAG
        to: String,
    },
    /// Let a tag point to a version; deployments that name the tag follow it
    #[command(
        after_help = "Examples:\n  penstock model tag tiny@sha256:0123456789ab prod\n  penstock model tag tiny:candidate prod\n  penstock model tag tiny:prod latest      `latest` stays there from now on"
    )]
    Tag {
        /// Where it shall point: NAME for the latest, NAME:TAG or NAME@DIGEST
        version: String,
        /// The tag
        tag: String,
    },
    /// Take a tag away; `latest` means the newest version again
    Untag {
        /// NAME:TAG
        tag: String,
    },
    /// Show how the tags of a model moved
    History {
        /// The model
        name: String,
    },
    /// Take away files that nothing refers to any more
    #[command(
        after_help = "What is in use, and what was used within the grace (blobs.grace), stays.\n\nExamples:\n  penstock model prune --dry-run\n  penstock model prune --grace 1h"
    )]
    Prune(super::pull::Prune),
    /// Forget a model, or with @DIGEST one of its versions
    Rm {
        /// NAME or NAME@DIGEST
        name: String,
    },
}

/// What to look for.
#[derive(Debug, Clone, Default, Args)]
pub struct Search {
    /// Words, all of which stand in the name, the description, a label, the architecture
    words: Vec<String>,
    /// A label: KEY or KEY=VALUE; may be given again
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// With a version of this format: gguf, safetensors, onnx or opaque
    #[arg(long)]
    format: Option<String>,
    /// That can do this: chat, completion, embedding, rerank, tools, reasoning, vision, audio; with commas between
    #[arg(long, value_name = "WHAT")]
    capability: Option<String>,
    /// That belong to this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only those that should not be used any more; `=false` for all others
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", hide_possible_values = true)]
    deprecated: Option<bool>,
}

/// What to change.
#[derive(Debug, Args)]
pub struct Set {
    /// NAME, or with --note NAME@DIGEST or NAME:TAG
    name: String,
    #[command(flatten)]
    card: Card,
    /// What is said of the version
    #[arg(long, value_name = "WORDS")]
    note: Option<String>,
}

/// A file of the server's machine.
#[derive(Debug, Args)]
pub struct Import {
    /// A .gguf or .onnx file, or a folder with .safetensors files, on the server's machine
    path: PathBuf,
    /// NAME, or NAME:TAG to set a tag too
    name: String,
    /// Read it where it is (the default)
    #[arg(long, conflicts_with_all = ["copy", "take"])]
    reference: bool,
    /// Keep a copy in the server's data directory
    #[arg(long, conflicts_with = "take")]
    copy: bool,
    /// Keep a copy, and remove the files
    #[arg(long = "move", id = "take")]
    take: bool,
    /// The format, where it is not found out by itself: opaque
    #[arg(long)]
    format: Option<String>,
    /// What is said of this version
    #[arg(long, value_name = "WORDS")]
    note: Option<String>,
    #[command(flatten)]
    card: Box<Card>,
}

const ALL: &str = "/api/v1/models";

pub(crate) fn model(server: &Server, verb: Model, output: Output) -> Result<(), Failure> {
    match verb {
        Model::List(search) | Model::Search(search) => list(server, &search, output),
        Model::Show { name } => answer(output, &server.get(&path(&name)).map_err(|failure| near(server, &name, failure))?, shown),
        Model::Set(words) => set(server, &words, output),
        Model::Cp { from, to } => {
            let (name, tag) = split(&to);
            let wanted = json!({ "name": name, "source": from, "tags": tag.map(|tag| vec![tag]).unwrap_or_default() });
            answer(output, &server.post(ALL, &wanted)?, |_| format!("{to}: the same as {from}\n"))
        }
        Model::Tag { version, tag } => {
            let (name, at) = named(&version);
            let told = server.put(&format!("{}/tags/{}", path(name), segment(&tag)), &json!({ "version": at }))?;
            answer(output, &told, |model| format!("{name}:{tag} points to {}\n", text(&model["status"]["tags"][&tag])))
        }
        Model::Untag { tag } => {
            let (name, Some(tag)) = split(&tag) else {
                return Err(Failure::Misused { what: format!("`{tag}` names no tag"), hint: "write NAME:TAG".to_owned() });
            };
            let told = server.delete(&format!("{}/tags/{}", path(name), segment(tag)))?;
            answer(output, &told, |_| format!("{name}:{tag}: removed\n"))
        }
        Model::History { name } => {
            let all = server.get(&format!("{}/history", path(&name))).map_err(|failure| near(server, &name, failure))?;
            answer(output, &all, |all| history(all, Timestamp::now()))
        }
        Model::Prune(words) => super::pull::prune(server, &words, output),
        Model::Rm { name } => remove(server, &name, output),
    }
}

fn list(server: &Server, search: &Search, output: Output) -> Result<(), Failure> {
    let mut parts = Vec::new();
    let mut say = |key: &str, value: String| parts.push(format!("{key}={}", segment(&value)));
    if !search.words.is_empty() {
        say("q", search.words.join(" "));
    }
    if !search.label.is_empty() {
        say("labels", search.label.join(","));
    }
    search.format.iter().for_each(|format| say("format", format.clone()));
    search.capability.iter().for_each(|what| say("capability", what.clone()));
    search.project.iter().for_each(|project| say("project", project.clone()));
    search.deprecated.iter().for_each(|is| say("deprecated", is.to_string()));
    let mut all = server.get(&format!("{ALL}?{}", parts.join("&")))?;
    // A person wants all of them, and so does a program that asks a command.
    while let Some(next) = all["next"].as_str().map(str::to_owned) {
        let mut page = server.get(&format!("{ALL}?{}&after={}", parts.join("&"), segment(&next)))?;
        if let (Some(items), Some(more)) = (all["items"].as_array_mut(), page["items"].as_array_mut()) {
            items.append(more);
        }
        all["next"] = page["next"].take();
    }
    if let Some(fields) = all.as_object_mut() {
        fields.shift_remove("next");
    }
    if output == Output::Table && items(&all).next().is_none() {
        note(if parts.is_empty() { "no model has a name yet; `penstock import PATH NAME` gives it one" } else { "no model is like that" });
    }
    answer(output, &all, |all| model_table(all, Timestamp::now()))
}

pub(super) fn model_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|model| {
        let (status, newest) = (&model["status"], &model["status"]["versions"][0]);
        let tags: Vec<&String> = status["tags"].as_object().into_iter().flat_map(Map::keys).collect();
        let name =
            if model["spec"]["deprecated"].is_null() { text(&model["name"]) } else { format!("{} (deprecated)", text(&model["name"])) };
        [
            name,
            text(&newest["format"]),
            text(&newest["architecture"]),
            text(&newest["quantisation"]),
            count(&newest["parameters"]),
            size(&newest["size"]),
            listed(tags),
            listed(strings(&status["capabilities"])),
            age(&model["updated_at"], now),
        ]
    });
    table(["NAME", "FORMAT", "ARCHITECTURE", "TYPE", "PARAMETERS", "SIZE", "TAGS", "CAN", "CHANGED"], rows)
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn listed<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(",")
}

pub(super) fn shown(model: &Value) -> String {
    let (spec, status) = (&model["spec"], &model["status"]);
    let labels = spec["labels"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    let parameters = spec["parameters"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    let head = pairs(&[
        ("name", text(&model["name"])),
        ("description", text(&spec["description"])),
        ("deprecated", text(&spec["deprecated"])),
        ("licence", text(&spec["licence"])),
        ("labels", listed(labels)),
        ("source", text(&spec["source"])),
        ("can", listed(strings(&status["capabilities"]))),
        ("context limit", text(&spec["context_limit"])),
        ("parameters", listed(parameters)),
        ("template", if spec["chat_template"].is_null() { String::new() } else { "its own, in place of the file's".to_owned() }),
        ("used by", listed(strings(&status["used_by"]))),
        ("generation", text(&model["generation"])),
        ("updated", text(&model["updated_at"])),
    ]);
    format!("{head}\n{}", version_table(status, Timestamp::now()))
}

fn version_table(status: &Value, now: Timestamp) -> String {
    const SHORT: usize = 19; // `sha256:` and twelve digits, which is enough to name it by
    let rows = status["versions"].as_array().into_iter().flatten().map(|version| {
        let tags = status["tags"].as_object().into_iter().flatten().filter(|(_, digest)| **digest == version["digest"]).map(|(tag, _)| tag);
        let files = version["contents"]["files"].as_array().map_or(0, Vec::len);
        [
            text(&version["digest"]).chars().take(SHORT).collect(),
            listed(tags),
            text(&version["format"]),
            text(&version["quantisation"]),
            size(&version["size"]),
            if files > 1 { files.to_string() } else { String::new() },
            text(&version["contents"]["keep"]),
            age(&version["added_at"], now),
            text(&version["note"]),
        ]
    });
    table(["VERSION", "TAGS", "FORMAT", "TYPE", "SIZE", "FILES", "KEPT BY", "AGE", "NOTE"], rows)
}

fn history(all: &Value, now: Timestamp) -> String {
    const SHORT: usize = 19;
    let short = |digest: &Value| text(digest).chars().take(SHORT).collect::<String>();
    let rows = items(all)
        .map(|moved| [age(&moved["at"], now), text(&moved["tag"]), short(&moved["from"]), short(&moved["to"]), text(&moved["cause"])]);
    table(["AGE", "TAG", "FROM", "TO", "BY"], rows)
}

fn set(server: &Server, words: &Set, output: Output) -> Result<(), Failure> {
    let (name, at) = named(&words.name);
    let card = words.card.patch()?;
    if let Some(said) = &words.note {
        let digest = digest_of(server, name, &at)?;
        server.patch(&format!("{}/versions/{}", path(name), segment(&digest)), &json!({ "note": said }))?;
    }
    let model = if card.is_empty() { server.get(&path(name)) } else { server.patch(&path(name), &Value::Object(card)) };
    answer(output, &model.map_err(|failure| near(server, name, failure))?, shown)
}

fn remove(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let told = match name.split_once('@') {
        Some((name, digest)) => server.delete(&format!("{}/versions/{}", path(name), segment(digest))),
        None => server.delete(&path(name)),
    };
    told.map_err(|failure| near(server, name, failure))?;
    answer(output, &json!({ "name": name, "removed": true }), |_| format!("{name}: removed\n"))
}

/// The digest that a tag points to.
fn digest_of(server: &Server, name: &str, at: &str) -> Result<String, Failure> {
    if at.starts_with("sha256:") {
        return Ok(at.to_owned());
    }
    let model = server.get(&path(name)).map_err(|failure| near(server, name, failure))?;
    let missing =
        || Failure::Failed { what: format!("`{name}` has no tag `{at}`"), hint: format!("`penstock model show {name}` lists them") };
    model["status"]["tags"][at].as_str().map(str::to_owned).ok_or_else(missing)
}

pub(crate) fn import(server: &Server, words: &Import, output: Output) -> Result<(), Failure> {
    let (name, tag) = split(&words.name);
    let path = std::path::absolute(&words.path).map_err(Failure::io("the path cannot be made absolute"))?;
    let mut wanted = words.card.patch()?;
    wanted.insert("name".to_owned(), json!(name));
    wanted.insert("source".to_owned(), json!(format!("file:{}", path.display())));
    wanted.insert("tags".to_owned(), json!(tag.map(|tag| vec![tag]).unwrap_or_default()));
    let keep = match words {
        Import { take: true, reference: false, .. } => "move",
        Import { copy: true, reference: false, .. } => "copy",
        _ => "reference",
    };
    wanted.insert("keep".to_owned(), json!(keep));
    wanted.extend(words.format.as_ref().map(|format| ("format".to_owned(), json!(format))));
    wanted.extend(words.note.as_ref().map(|note| ("note".to_owned(), json!(note))));
    let model = server.post(ALL, &Value::Object(wanted))?;
    answer(output, &model, |model| registered(model, &words.name))
}

/// What came of it, in a line.
pub(super) fn registered(model: &Value, name: &str) -> String {
    let newest = &model["status"]["versions"][0];
    let facts = [text(&newest["format"]), text(&newest["architecture"]), text(&newest["quantisation"]), size(&newest["size"])];
    let known: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty() && fact != "unknown").collect();
    format!("{name}: {}, {}\n", known.join(", "), text(&newest["digest"]))
}

/// A name and a tag, where there is one.
pub(super) fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() => (name, Some(tag)),
        _ => (text, None),
    }
}

/// A name, and which version of it: a digest or a tag.
fn named(text: &str) -> (&str, String) {
    if let Some((name, digest)) = text.split_once('@') {
        (name, if digest.starts_with("sha256:") { digest.to_owned() } else { format!("sha256:{digest}") })
    } else {
        let (name, tag) = split(text);
        (name, tag.unwrap_or(spec::LATEST).to_owned())
    }
}

/// The path of a model.
pub(super) fn path(name: &str) -> String {
    format!("{ALL}/{}", segment(name))
}

/// For a name that no model has: one that is near.
fn near(server: &Server, name: &str, failure: Failure) -> Failure {
    let Failure::Refused { status: 404, code, what, .. } = failure else { return failure };
    let all = server.get(ALL).unwrap_or_default();
    let names: Vec<String> = items(&all).map(|model| text(&model["name"])).collect();
    let lists = "`penstock model list` shows what there is".to_owned();
    let hint =
        spec::suggest(name, names.iter().map(String::as_str)).map_or(lists.clone(), |near| format!("did you mean `{near}`? {lists}"));
    Failure::Refused { status: 404, code, what, hint: Some(hint) }
}
