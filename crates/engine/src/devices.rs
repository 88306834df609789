//! How an engine is shown just the devices that it was given.
//!
//! In: a grant. Out: variables that hide every other card from it, and the arguments by which llama.cpp
//! spreads a model's layers as the ledger has it. Pure. From: CUDA's and ROCm's pages on isolating
//! cards, and llama.cpp's `--device`, `--tensor-split` (counts of layers, in the order of the devices).

use std::collections::BTreeMap;

use spec::{DeviceKind, Grant, Share};

/// What stands between the kind of a device and its number or UUID in its id: `cuda:GPU-5a1f…`.
const KIND_ENDS: char = ':';
/// How the UUID of a card begins.
const UUID: &str = "GPU-";

/// The variables that show an engine its cards, in the order of its shares, and no other.
pub(crate) fn environment(grant: &Grant) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if grant.shares.is_empty() {
        return variables; // nothing is known of this machine
    }
    let cuda = ids(grant, DeviceKind::Cuda);
    variables.insert("CUDA_VISIBLE_DEVICES".to_owned(), cuda.join(","));
    let rocm = ids(grant, DeviceKind::Rocm);
    // Only the lower of ROCm's two layers takes UUIDs; it numbers what is left anew for the upper one.
    let by_uuid = rocm.iter().all(|id| id.starts_with(UUID));
    let variable = if by_uuid { "ROCR_VISIBLE_DEVICES" } else { "HIP_VISIBLE_DEVICES" };
    variables.insert(variable.to_owned(), rocm.join(","));
    variables
}

/// The arguments of llama.cpp for these shares; what the engine does not know is left out by the caller.
pub(crate) fn arguments(grant: &Grant) -> Vec<(&'static str, String)> {
    let shares: Vec<&Share> = grant.gpus().collect();
    let layers: u32 = shares.iter().map(|share| share.layers).sum();
    let mut arguments = vec![("--n-gpu-layers", layers.to_string())];
    if shares.is_empty() && !grant.shares.is_empty() {
        arguments.push(("--device", "none".to_owned()));
    }
    let names: Option<Vec<String>> = shares.iter().enumerate().map(|(at, share)| name(at, share, &shares)).collect();
    if let Some(names) = names.filter(|names| !names.is_empty()) {
        arguments.push(("--device", names.join(",")));
    }
    if shares.len() > 1 {
        let split: Vec<String> = shares.iter().map(|share| share.layers.to_string()).collect();
        arguments.push(("--split-mode", "layer".to_owned()));
        arguments.push(("--tensor-split", split.join(",")));
        arguments.push(("--main-gpu", "0".to_owned()));
    }
    arguments
}

/// What the cards of this kind are called by their driver.
fn ids(grant: &Grant, kind: DeviceKind) -> Vec<&str> {
    let of_it = grant.gpus().filter(|share| share.kind == kind);
    of_it.map(|share| share.device.split_once(KIND_ENDS).map_or(share.device.as_str(), |(_, id)| id)).collect()
}

/// What llama.cpp calls a device: its backend, and its number among those of the backend that it is shown.
fn name(at: usize, share: &Share, all: &[&Share]) -> Option<String> {
    let before = all.iter().take(at).filter(|other| other.kind == share.kind).count();
    match (&share.engine_name, share.kind) {
        (Some(name), _) => Some(name.clone()),
        (None, DeviceKind::Cuda) => Some(format!("CUDA{before}")),
        (None, DeviceKind::Rocm) => Some(format!("ROCm{before}")),
        (None, DeviceKind::Gpu | DeviceKind::Unified | DeviceKind::Ram) => None,
    }
}

#[cfg(test)]
mod tests {
    use base::ByteSize;

    use super::*;

    fn share(device: &str, kind: DeviceKind, layers: u32) -> Share {
        Share { device: device.into(), kind, bytes: ByteSize(1), layers, engine_name: None }
    }

    fn told(shares: Vec<Share>) -> String {
        let grant = Grant { node: "here".into(), shares };
        let variables = environment(&grant).into_iter().map(|(name, value)| format!("{name}={value}"));
        let arguments = arguments(&grant).into_iter().map(|(flag, value)| format!("{flag} {value}"));
        variables.chain(arguments).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_engine_sees_just_the_cards_that_it_was_given_in_the_order_of_its_layers() {
        let ram = || share("ram", DeviceKind::Ram, 0);
        let (one, two) = (share("cuda:GPU-b", DeviceKind::Cuda, 20), share("cuda:GPU-a", DeviceKind::Cuda, 13));
        insta::assert_snapshot!(told(vec![one.clone(), ram()]), @"CUDA_VISIBLE_DEVICES=GPU-b ROCR_VISIBLE_DEVICES= --n-gpu-layers 20 --device CUDA0");
        insta::assert_snapshot!(told(vec![one, two, ram()]), @"CUDA_VISIBLE_DEVICES=GPU-b,GPU-a ROCR_VISIBLE_DEVICES= --n-gpu-layers 33 --device CUDA0,CUDA1 --split-mode layer --tensor-split 20,13 --main-gpu 0");
        insta::assert_snapshot!(told(vec![share("rocm:1", DeviceKind::Rocm, 5), ram()]), @"CUDA_VISIBLE_DEVICES= HIP_VISIBLE_DEVICES=1 --n-gpu-layers 5 --device ROCm0");
        insta::assert_snapshot!(told(vec![ram()]), @"CUDA_VISIBLE_DEVICES= ROCR_VISIBLE_DEVICES= --n-gpu-layers 0 --device none");
        insta::assert_snapshot!(told(vec![]), @"--n-gpu-layers 0");
    }

    #[test]
    fn a_device_without_a_driver_of_ours_is_called_what_its_file_says() {
        let named = Share { engine_name: Some("Vulkan1".into()), ..share("arc", DeviceKind::Gpu, 9) };
        assert!(told(vec![named]).ends_with("--n-gpu-layers 9 --device Vulkan1"));
        assert!(told(vec![share("arc", DeviceKind::Gpu, 9)]).ends_with("--n-gpu-layers 9"), "it has to find it itself");
    }
}
