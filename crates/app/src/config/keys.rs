//! All keys, each with its flag, its variable, its type and its words.
//!
//! In: the structs of [`super::settings`]. Out: one list, from which the flags of `serve`, the
//! `PENSTOCK_...` variables and the reference page are made.

use super::settings::{Auth, Blobs, Config, Engines, Limits, Log, Memory, Metrics, Otlp, Outbound, Program, Pull, Responses, Tls, Usage};

/// One key.
#[derive(Debug, Clone)]
pub struct Key {
    /// As it stands in the file, with dots between groups.
    pub path: String,
    /// What it takes.
    pub kind: Kind,
    /// What it does.
    pub words: String,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A path.
    Path,
    /// A word or a path.
    Place,
    /// `true` or `false`.
    Truth,
    /// A number.
    Number,
    /// A duration such as `30s`.
    Duration,
    /// A size such as `8GiB`.
    Size,
    /// A list, with commas between.
    List,
    /// The list of deployments.
    Deployments,
    /// The list of routes.
    Routes,
    /// The list of receivers of events.
    Webhooks,
    /// The list of identity providers.
    Providers,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text | Self::Place => "text",
            Self::Path => "path",
            Self::Truth => "true or false",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::List => "list",
            Self::Deployments => "list of deployments",
            Self::Routes => "list of routes",
            Self::Webhooks => "list of webhooks",
            Self::Providers => "list of providers",
        }
    }
    fn of(rust: &str) -> Self {
        match rust.trim_start_matches("Option<").trim_end_matches('>') {
            "PathBuf" => Self::Path,
            "AccessLog" => Self::Place,
            "bool" => Self::Truth,
            "u32" | "u64" | "f64" => Self::Number,
            "Duration" => Self::Duration,
            "ByteSize" => Self::Size,
            "Vec<String" | "Vec<Range" | "Vec<Allowed" => Self::List,
            "Vec<Deployment" => Self::Deployments,
            "Vec<Route" => Self::Routes,
            "Vec<Webhook" => Self::Webhooks,
            "Vec<ProviderConfig" => Self::Providers,
            _ => Self::Text,
        }
    }
}

impl Key {
    /// The flag of `serve`, without its dashes; none for what only a file can say well.
    pub fn flag(&self) -> Option<String> {
        (!matches!(self.kind, Kind::Deployments | Kind::Routes | Kind::Webhooks | Kind::Providers))
            .then(|| self.path.replace(['.', '_'], "-"))
    }
    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("PENSTOCK_{}", self.path.replace('.', "__").replace('-', "_").to_ascii_uppercase())
    }
    /// The keys on the way to it.
    pub(super) fn steps(&self) -> Vec<&str> {
        self.path.split('.').collect()
    }
}

/// Name, type and words, as they are declared.
pub(super) type Declared = (&'static str, &'static str, &'static str);

/// All keys, in the order of the reference.
pub fn all() -> Vec<Key> {
    let groups: [(&str, &[Declared]); 14] = [
        ("tls", Tls::KEYS),
        ("limits", Limits::KEYS),
        ("outbound", Outbound::KEYS),
        ("auth", Auth::KEYS),
        ("blobs", Blobs::KEYS),
        ("pull", Pull::KEYS),
        ("log", Log::KEYS),
        ("metrics", Metrics::KEYS),
        ("otlp", Otlp::KEYS),
        ("usage", Usage::KEYS),
        ("responses", Responses::KEYS),
        ("memory", Memory::KEYS),
        ("engines", Engines::KEYS),
        ("engines.llama-server", Program::KEYS),
    ];
    let is_group = |name: &str| groups.iter().any(|(group, _)| *group == name || group.ends_with(&format!(".{}", name.replace('_', "-"))));
    let single = Config::KEYS.iter().filter(|(name, ..)| !is_group(name)).map(|key| one("", key));
    let grouped = groups.iter().flat_map(|(group, keys)| keys.iter().filter(|(name, ..)| !is_group(name)).map(|key| one(group, key)));
    single.chain(grouped).collect()
}

fn one(group: &str, (name, rust, words): &Declared) -> Key {
    let path = if group.is_empty() { (*name).to_owned() } else { format!("{group}.{name}") };
    Key { path, kind: Kind::of(rust), words: words.trim().to_owned() }
}
