//! The closed sets of words that numbers are told apart by.

/// The stages of the walk. All but [`Stage::Body`] and [`Stage::Engine`] are time of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// From the first byte in until it was known who asks.
    Identify,
    /// Until the client had sent its body.
    Body,
    /// Scanning the body.
    Read,
    /// May they now; how long is the prompt.
    Admit,
    /// Finding a slot, less the time in line.
    Choose,
    /// Splicing the body and writing the call.
    Send,
    /// The engine's time.
    Engine,
}

impl Stage {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
    /// In the order of the walk.
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Identify, Self::Body, Self::Read, Self::Admit, Self::Choose, Self::Send, Self::Engine];
    /// Those that are time of our own, up to the engine.
    pub(crate) const OURS: [Self; 5] = [Self::Identify, Self::Read, Self::Admit, Self::Choose, Self::Send];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Body => "body",
            Self::Read => "read",
            Self::Admit => "admit",
            Self::Choose => "choose",
            Self::Send => "send",
            Self::Engine => "engine",
        }
    }
}

/// Why a call was sent away from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// The line was full.
    QueueFull,
    /// The caller's patience ended in line.
    WaitTimeout,
}

impl Why {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::QueueFull, Self::WaitTimeout];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WaitTimeout => "wait_timeout",
        }
    }
}

/// Methods, since a client may send any word.
pub(crate) const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "OTHER"];

/// The method's word, `OTHER` for those that nobody knows.
pub(crate) fn method(method: &http::Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}
