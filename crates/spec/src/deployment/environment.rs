//! Which variables may a deployment give its engine?
//!
//! In: a wish. Out: nothing, or what is wrong with `env`. Some variables are not settings of an engine but another way to say what is said elsewhere, or to
//! put code of somebody's into it; those are refused whoever asks. What names a file or a folder may do the same, and only the config says it.

use super::Deployment;
use crate::check::Problem;

/// Names that begin so, and what to do instead.
const REFUSED: [(&str, &str); 5] = [
    ("LD_", "it decides which code the engine loads; set it in the environment of penstock itself, which hands LD_LIBRARY_PATH on"),
    ("DYLD_", "it decides which code the engine loads; set it in the environment of penstock itself"),
    ("GGML_BACKEND_PATH", "it decides which code the engine loads; set it in the environment of penstock itself"),
    ("AIP_", "it has the engine listen elsewhere; use the gateway's address"),
    ("LLAMA_", "it is a flag of the engine by another name; write the flag in args, or the field of the deployment that stands for it"),
];

/// Ends of words of names that stand for files and folders: libraries to load, programs to run, places to write to.
const FILES: [&str; 14] =
    ["PATH", "PATHS", "FILE", "FILES", "FILENAMES", "DIR", "HOME", "CONF", "CONFIG", "LIB", "LIBRARIES", "PLUGIN", "LAYERS", "MODULES"];

impl Deployment {
    /// Whether an engine is given a variable of this name where a deployment has one.
    pub fn takes_variable(name: &str) -> bool {
        refused(name).is_none()
    }

    /// What is wrong with its environment.
    pub(super) fn environment_problems(&self) -> Vec<Problem> {
        let wrong = |name: &String| {
            let (what, hint) = if name.is_empty() || name.contains(['=', '\0']) {
                (format!("{name:?} cannot be the name of a variable"), "write NAME: value")
            } else {
                (format!("{name} is not taken from a deployment"), refused(name)?)
            };
            Some(Problem { field: "env".to_owned(), what, hint: hint.to_owned() })
        };
        self.env.keys().filter_map(wrong).collect()
    }

    /// What of it only the config may say, but for what is as it was before.
    pub(super) fn variables_of_the_config(&self, before: Option<&Self>) -> Vec<Problem> {
        let is_new = |(name, value): &(&String, &String)| before.is_none_or(|before| before.env.get(*name) != Some(*value));
        let wrong = |(name, _): (&String, &String)| {
            let what = format!("{name} may name a file or a folder that the engine reads, writes or takes code from");
            let hint = "leave it out, or write the deployment in the config, which may say it";
            Problem { field: "env".to_owned(), what, hint: hint.to_owned() }
        };
        self.env.iter().filter(is_new).filter(|(name, _)| names_a_file(name) && refused(name).is_none()).map(wrong).collect()
    }
}

fn refused(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    REFUSED.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, instead)| *instead)
}

fn names_a_file(name: &str) -> bool {
    name.to_ascii_uppercase().split('_').any(|word| FILES.iter().any(|end| word.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use crate::{Deployment, Name};

    #[test]
    fn a_variable_that_loads_code_or_is_a_flag_by_another_name_is_refused() {
        let mut wish = Deployment::named(Name::parse("a").unwrap());
        wish.engine = Some(crate::EngineKind::Echo);
        for name in ["GGML_NUMA", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MY_LLAMA_ARG"] {
            wish.env = [(name.to_owned(), "1".to_owned())].into();
            assert!(wish.check().is_ok(), "{name}");
        }
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LLAMA_ARG_TOOLS",
            "LLAMA_API_KEY",
            "llama_arg_tools",
            "GGML_BACKEND_PATH",
            "AIP_MODE",
            "",
            "A=B",
        ] {
            wish.env = [(name.to_owned(), "1".to_owned())].into();
            let wrong = wish.check().unwrap_err();
            assert_eq!((wrong.0.len(), wrong.0[0].field.as_str()), (1, "env"), "{name}");
        }
    }

    #[test]
    fn a_variable_that_names_a_file_stands_in_the_config_alone_and_stays_as_it_is() {
        let with = |name: &str, value: &str| {
            let mut wish = Deployment::named(Name::parse("a").unwrap());
            wish.engine = Some(crate::EngineKind::Echo);
            wish.env = [(name.to_owned(), value.to_owned())].into();
            wish
        };
        for name in
            ["GCONV_PATH", "PATH", "TMPDIR", "CUDA_INJECTION64_PATH", "OMP_TOOL_LIBRARIES", "VK_ICD_FILENAMES", "openssl_conf", "HOME"]
        {
            let wish = with(name, "/x");
            assert!(wish.check().is_ok(), "the config may say {name}");
            assert_eq!(wish.check_process(None).unwrap_err().0.len(), 1, "{name}");
            assert!(wish.check_process(Some(&wish)).is_ok() && wish.check_process(Some(&with(name, "/y"))).is_err(), "{name}");
        }
        for name in ["GGML_NUMA", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_TOKEN", "FAKE_ENGINE_LOAD", "GGML_CUDA_P2P"] {
            assert!(with(name, "1").check_process(None).is_ok(), "{name}");
        }
    }
}
