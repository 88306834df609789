//! Which variables of our environment a child may see.
//!
//! In: all of them. Out: the few that programs need to run on this machine: where programs and
//! libraries are, home, language, time zone, and the settings of graphics drivers and of ggml. No
//! secret of ours passes, because what is not on the list does not. Fails: never.

use std::ffi::{OsStr, OsString};

const NAMES: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];
const PREFIXES: [&str; 6] = ["LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_"];

/// The variable by which a child of ours, and all that it starts, can be known.
pub(crate) const TAG: &str = "KEEPER_INSTANCE";

/// What passes of this process's own environment.
pub(crate) fn passed() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| passes(name))
}

fn passes(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_list_passes() {
        for name in ["PATH", "HOME", "LC_ALL", "CUDA_VISIBLE_DEVICES", "GGML_NUMA"] {
            assert!(passes(OsStr::new(name)), "{name}");
        }
        for name in ["PENSTOCK_ADMIN_TOKEN", "UPSTREAM_KEY", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "PATHS", ""] {
            assert!(!passes(OsStr::new(name)), "{name}");
        }
    }
}
