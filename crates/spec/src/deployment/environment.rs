//! Which variables may a deployment give its engine?
//!
//! In: a wish. Out: nothing, or what is wrong with `env`. Some variables are not settings of an engine but another way to say what is said elsewhere, or to
//! put code of somebody's into it; those are refused whoever asks.

use super::Deployment;
use crate::check::Problem;

/// Names that begin so, and what to do instead.
const REFUSED: [(&str, &str); 3] = [
    ("LD_", "it decides which code the engine loads; set it in the environment of penstock itself, which hands LD_LIBRARY_PATH on"),
    ("DYLD_", "it decides which code the engine loads; set it in the environment of penstock itself"),
    ("LLAMA_", "it is a flag of the engine by another name; write the flag in args, or the field of the deployment that stands for it"),
];

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
}

fn refused(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    REFUSED.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, instead)| *instead)
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
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LLAMA_ARG_TOOLS", "LLAMA_API_KEY", "llama_arg_tools", "", "A=B"] {
            wish.env = [(name.to_owned(), "1".to_owned())].into();
            let wrong = wish.check().unwrap_err();
            assert_eq!((wrong.0.len(), wrong.0[0].field.as_str()), (1, "env"), "{name}");
        }
    }
}
