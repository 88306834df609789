//! What an older client sets aside for an instance: accelerators, cores, memory.
//!
//! In: its words and amounts. Out: layers on the GPU, threads, environment. Fails: for what this
//! machine does not have, or what the model does not fit into, with the numbers.

use base::ByteSize;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spec::{Deployment, Invalid, Version};
use utoipa::ToSchema;

use crate::House;

/// What an instance runs on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Resources {
    /// `cpu`, or one of `gpu`, `cuda`, `nvidia`, `nvidia.com/gpu`, `NVIDIA GPU`.
    accelerator_type: String,
    /// How many of them; 0 or 1 for `cpu`.
    accelerator_count: u32,
    /// Cores of an instance: `4`, `1.5` or `500m`, rounded up to whole threads.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cpu: Option<Quantity>,
    /// Memory that an instance may take: `8Gi`, `512MiB` or a number of bytes. A model that needs more
    /// is refused.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    memory: Option<Quantity>,
}

/// A number, or a text with a unit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Quantity {
    Whole(u64),
    Part(f64),
    Text(String),
}

const GPU_WORDS: [&str; 5] = ["gpu", "cuda", "nvidia", "nvidia.com/gpu", "nvidia gpu"];
/// By this variable the engine sees only some of the cards.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

impl Resources {
    /// CPU threads of an instance.
    pub(super) fn threads(&self, house: &House) -> Result<Option<u32>, Invalid> {
        let wrong = |what: String, hint: &str| Err(Invalid::one("resourceRequirements.cpu", what, hint));
        let Some(cpu) = &self.cpu else { return Ok(None) };
        let Some(threads) = cpu.cores() else {
            return wrong(format!("`{cpu}` is no number of cores"), "write 4, 1.5 or 500m");
        };
        let cores = house.fleet.snapshot().nodes.iter().map(|seen| seen.node.cores).max();
        match cores {
            Some(cores) if threads > cores => wrong(format!("{threads} cores are asked for, {cores} are here"), "ask for fewer"),
            _ => Ok(Some(threads)),
        }
    }

    /// Puts the model where the client wants it.
    pub(super) fn accelerate(&self, house: &House, spec: &mut Deployment) -> Result<(), Invalid> {
        let Self { accelerator_type: word, accelerator_count: count, .. } = self;
        let wrong = |field: &str, what: String, hint: &str| Err(Invalid::one(format!("resourceRequirements.{field}"), what, hint));
        let lower = word.trim().to_ascii_lowercase();
        if lower == "cpu" {
            spec.gpu_layers = Some(0);
            return if *count <= 1 {
                Ok(())
            } else {
                wrong("acceleratorCount", format!("there are no {count} CPUs to choose from"), "use 0, and cpu for the number of cores")
            };
        }
        if !GPU_WORDS.contains(&lower.as_str()) {
            return wrong("acceleratorType", format!("`{word}` is no accelerator that this build knows"), "use cpu or gpu");
        }
        let here = cards(house);
        match *count {
            0 => wrong("acceleratorCount", "0 cards cannot work".to_owned(), "use 1 or more, or acceleratorType cpu"),
            n if n > here => wrong("acceleratorCount", format!("{n} cards are asked for, {here} are here"), "use acceleratorType cpu"),
            n => {
                spec.gpu_layers = None;
                if n < here {
                    let first = (0..n).map(|card| card.to_string()).collect::<Vec<_>>().join(",");
                    spec.env.entry(VISIBLE.to_owned()).or_insert(first);
                }
                Ok(())
            }
        }
    }

    /// Whether the model fits into what the client set aside for it.
    pub(super) fn check_memory(&self, house: &House, version: &Version, context: Option<u32>) -> Result<(), Invalid> {
        let wrong = |what: String, hint: String| Err(Invalid::one("resourceRequirements.memory", what, hint));
        let Some(memory) = &self.memory else { return Ok(()) };
        let Some(given) = memory.bytes() else {
            return wrong(format!("`{memory}` is no amount of memory"), "write 8Gi, 512MiB or a number of bytes".to_owned());
        };
        let context = context.unwrap_or(version.context_length);
        let needed = version.weights + ByteSize(version.kv_bytes_per_token.saturating_mul(context.into()));
        if given < needed {
            let hint = format!("set aside at least {needed}, or ask for a smaller contextLength than {context}");
            return wrong(format!("{given} is less than the {needed} that the model takes"), hint);
        }
        let most = house.fleet.snapshot().nodes.iter().flat_map(|seen| &seen.node.devices).map(|device| device.total).max();
        match most {
            Some(most) if given > most => wrong(format!("{given} is more than the {most} that are here"), "ask for less".to_owned()),
            _ => Ok(()),
        }
    }
}

fn cards(house: &House) -> u32 {
    let snapshot = house.fleet.snapshot();
    let cards = snapshot.nodes.iter().flat_map(|seen| &seen.node.devices).filter(|device| device.kind.is_card());
    u32::try_from(cards.count()).unwrap_or(u32::MAX)
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Part(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Quantity {
    /// Whole cores, rounded up; at least one.
    fn cores(&self) -> Option<u32> {
        const THOUSAND: f64 = 1000.0;
        let cores = match self {
            Self::Whole(number) => return u32::try_from(*number).ok().filter(|cores| *cores > 0),
            Self::Part(number) => *number,
            Self::Text(text) => match text.trim().strip_suffix('m') {
                Some(milli) => milli.parse::<f64>().ok()? / THOUSAND,
                None => text.trim().parse().ok()?,
            },
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below the limit")]
        (cores > 0.0 && cores < f64::from(u16::MAX)).then(|| cores.ceil() as u32)
    }
    /// Bytes, by our units or those of Kubernetes (`Gi` for `GiB`).
    fn bytes(&self) -> Option<ByteSize> {
        let text = self.to_string();
        let text = if text.ends_with('i') { format!("{text}B") } else { text };
        serde_json::from_value(json!(text)).ok()
    }
}
