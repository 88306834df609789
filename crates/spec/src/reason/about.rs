//! What each reason means, and what a person does about it.
//!
//! In: a code. Out: words; the reference page is made of them. A reason that says no remedy of its own has the one here, so that nobody
//! who has to act is left without.

use super::ReasonCode;

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// In one sentence.
    pub meaning: &'static str,
    /// What to do; empty where nothing has to be done.
    pub remedy: &'static str,
}

const fn by_itself(meaning: &'static str) -> About {
    About { meaning, remedy: "" }
}

const fn about(meaning: &'static str, remedy: &'static str) -> About {
    About { meaning, remedy }
}

impl ReasonCode {
    /// What it means, and what to do.
    pub const fn about(self) -> About {
        match self {
            Self::Idle => by_itself("Nobody has asked for it; the first call, or `penstock load`, starts it."),
            Self::Progressing => by_itself("It was asked for and is on its way."),
            Self::KeepAliveOver => by_itself("Nobody has called for its keep-alive; the next call loads it again."),
            Self::Asleep => by_itself("Nobody has called for its sleep_after: it has given back its memory, and the next call wakes it."),
            Self::ScaledDown => by_itself("There are more instances than its load is worth."),
            Self::Superseded => by_itself("Another revision takes its place, or its deployment goes."),
            Self::ShuttingDown => by_itself("Penstock is stopping; the next start brings it back when it is wanted."),
            Self::Unloaded => about("Somebody asked for it to be unloaded.", "call it, or `penstock load` it"),
            Self::Paused => about("Its rollout waits.", "`penstock rollout resume` lets it go on"),
            Self::Scheduled => about("Its schedule allows no instance now.", "call again when it does, or change replicas.schedule"),
            other => other.number(),
        }
    }

    /// Of those for a number of instances.
    const fn number(self) -> About {
        match self {
            Self::Bounds => {
                about("Its schedule, or its pin, sets how many instances there may be now.", "change replicas.schedule or pinned")
            }
            Self::Concurrency => about(
                "So many calls run or wait that its target asks for so many instances.",
                "raise replicas.target.concurrency to have fewer, lower it to have more",
            ),
            Self::Queue => about(
                "So many callers wait that its target asks for so many instances.",
                "raise replicas.target.queue to have fewer, lower it to have more",
            ),
            Self::KvUse => about(
                "So much of the KV cache is used that its target asks for so many instances.",
                "raise replicas.target.kv_use to have fewer, lower it to have more",
            ),
            Self::FirstToken => about(
                "First tokens take so long that its target asks for so many instances.",
                "raise replicas.target.first_token to have fewer, lower it to have more",
            ),
            Self::RecentLoad => about(
                "The most that was wanted of late counts, so that the number does not flap.",
                "lower replicas.down_after to give instances back sooner",
            ),
            Self::MaxReached => about("It may not have more instances.", "raise replicas.max"),
            Self::InUse => by_itself("So many instances work or are kept, and so many callers wait."),
            other => other.trouble(),
        }
    }

    /// Of those that somebody has to look into.
    const fn trouble(self) -> About {
        match self {
            Self::ModelMissing => about("The model's file is not there.", "put the file there, or change `model`"),
            Self::ModelCorrupt => about("The file is damaged, or is no model.", "fetch the file anew, and compare its digest"),
            Self::ModelUnknown => about("The engine does not know this architecture.", "use a newer engine, or another model"),
            Self::SourceUnreachable => about("The source cannot be fetched from here.", "check the network and the source's name"),
            Self::DiskFull => {
                about("There is no room on the disk for the model's files.", "`penstock model prune`, or put `data_dir` on a larger disk")
            }
            Self::EngineMissing => about("The engine's program cannot be found or started.", "run `penstock doctor`"),
            Self::EngineRejected => about(
                "The engine ended before it was ready, with a status.",
                "see `penstock logs`; often an argument that it does not know",
            ),
            Self::EngineExited => about("The engine ended by itself.", "it is started again; see `penstock logs` for what it said"),
            Self::OutOfMemory => about("The engine ran out of memory.", "lower context or parallel, or use a smaller quantisation"),
            Self::DoesNotFit => about(
                "It will never fit on this machine.",
                "lower context or parallel, use a smaller quantisation, or raise the memory budget",
            ),
            Self::NoRoom => about(
                "It would fit if something else left, or left for something else.",
                "wait; `penstock explain` says for whom, or raise the memory budget",
            ),
            Self::StartTimeout => {
                about("Its start showed no progress for too long.", "see `penstock logs`; raise timeouts.start for slow disks")
            }
            Self::Unresponsive => about(
                "It does not answer, or gives nothing to its callers.",
                "it is replaced if it does not come back; see `penstock logs`",
            ),
            Self::RemoteUnreachable => {
                about("The remote server does not answer, or refuses.", "check that it runs, its url and the key in api_key_env")
            }
            Self::KeyMissing => about("The environment variable with its key is not set.", "start penstock with it set"),
            Self::DeviceLost => {
                about("A device that it worked on is gone.", "check the device and its driver; it is placed elsewhere if there is room")
            }
            Self::RevisionFailed => about(
                "The new revision failed again and again; the one before it serves.",
                "see `penstock logs`, mend the deployment, deploy it again",
            ),
            Self::ProgressDeadline => about(
                "The new revision made no progress for too long; the one before it serves.",
                "see `penstock logs`, or raise rollout.progress_deadline",
            ),
            Self::CanaryErrors => about(
                "More of the new revision's calls failed than of the old one's.",
                "see `penstock logs`, mend the deployment, deploy it again",
            ),
            Self::CanarySlow => {
                about("The new revision is slower than the old one.", "mend the deployment, or raise rollout.canary.max_latency_ratio")
            }
            _ => by_itself(""),
        }
    }
}
