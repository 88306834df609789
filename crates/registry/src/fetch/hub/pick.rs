//! Which files of a repository are the model that somebody means?
//!
//! In: the paths of a repository, and a file, a folder or a quantisation, or none. Out: the files in the order in which they are served, the main
//! one first. Fails: with what there is instead. Pure. From: llama.cpp's `-hf`: without a word Q4_K_M, else the first GGUF file.

use std::path::Path;

use super::{Entry, Place};
use crate::error::Error;
use crate::parts;

/// What people take who say nothing.
const USUAL: &str = "Q4_K_M";
/// Names that are told when none fits.
const MOST_NAMED: usize = 8;
/// Files beside the weights that engines read.
const BESIDE: [&str; 4] = [".json", ".jinja", ".model", ".txt"];

/// Why nothing was picked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No such file or folder.
    File(String),
    /// No file of this quantisation.
    Quant(String),
    /// No model in a known format.
    Model,
}

pub(super) fn pick<'a>(place: &Place, paths: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Why> {
    let mut paths: Vec<&str> = paths.collect();
    paths.sort_unstable();
    if let Some(file) = &place.file {
        return by_name(file, place.quant.as_deref(), &paths);
    }
    let ggufs = models(&paths);
    match &place.quant {
        Some(quant) => of_quant(quant, &ggufs).map(|path| whole(path, &paths)).ok_or_else(|| Why::Quant(quant.clone())),
        None => match of_quant(USUAL, &ggufs).or_else(|| ggufs.first().copied()) {
            Some(path) => Ok(whole(path, &paths)),
            None => snapshot("", &paths).or_else(|| onnx(&paths)).ok_or(Why::Model),
        },
    }
}

/// What turns images or sounds into what the model reads, where it lies beside the model or at the top; as with llama.cpp's `-hf`, the one in 16 bits
/// if there are several. Who names one file means that one.
pub(super) fn projector(place: &Place, picked: &[String], paths: &[&str]) -> Option<String> {
    const USUAL_OF_THESE: [&str; 2] = ["f16", "bf16"];
    let main = picked.first().filter(|main| has_ending(main, "gguf") && place.file.as_ref() != Some(main))?;
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let beside = |path: &&&str| folder(path).is_empty() || folder(path) == folder(main);
    let mut found: Vec<&str> = paths.iter().filter(|path| parts::is_projector(path)).filter(beside).copied().collect();
    found.sort_unstable();
    let usual = USUAL_OF_THESE.iter().find_map(|quant| of_quant(quant, &found));
    usual.or_else(|| found.first().copied()).map(str::to_owned)
}

/// A file, or what lies in a folder.
fn by_name(file: &str, quant: Option<&str>, paths: &[&str]) -> Result<Vec<String>, Why> {
    if paths.contains(&file) {
        return Ok(whole(file, paths));
    }
    let folder = format!("{file}/");
    let inside: Vec<&str> = paths.iter().copied().filter(|path| path.starts_with(&folder)).collect();
    let ggufs = models(&inside);
    let picked = match quant {
        Some(quant) => of_quant(quant, &ggufs),
        None => of_quant(USUAL, &ggufs).or_else(|| ggufs.first().copied()),
    };
    let found = picked.map(|path| whole(path, &inside)).or_else(|| snapshot(&folder, &inside));
    found.ok_or_else(|| Why::File(file.to_owned()))
}

/// GGUF files that are models of their own: no projectors, no drafts of importance.
fn models<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let is_model = |path: &&&str| {
        let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_first = parts::numbered(Path::new(&name)).is_none_or(|(number, _)| number == 1);
        has_ending(&name, "gguf") && is_first && !name.starts_with("mmproj") && !name.contains("imatrix")
    };
    paths.iter().filter(is_model).copied().collect()
}

fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// The first whose name, or whose folder, has the quantisation as a word.
fn of_quant<'a>(quant: &str, ggufs: &[&'a str]) -> Option<&'a str> {
    let quant = quant.to_ascii_lowercase();
    let has = |path: &&&str| {
        let path = path.to_ascii_lowercase();
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        path.match_indices(&quant).any(|(at, word)| {
            edge(path.get(..at).and_then(|before| before.chars().next_back()))
                && edge(path.get(at + word.len()..).and_then(|after| after.chars().next()))
        })
    };
    ggufs.iter().find(has).copied()
}

/// All parts of the file that is named.
fn whole(path: &str, paths: &[&str]) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.strip_suffix(name).unwrap_or_default();
    match parts::siblings(Path::new(name)) {
        Some(names) => names.iter().map(|name| format!("{folder}{name}")).filter(|path| paths.contains(&path.as_str())).collect(),
        None => vec![path.to_owned()],
    }
}

/// The weights of a folder as safetensors, and what stands beside them.
fn snapshot(folder: &str, paths: &[&str]) -> Option<Vec<String>> {
    let is_here = |path: &&&str| path.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
    let here: Vec<&str> = paths.iter().filter(is_here).copied().collect();
    let weights = here.iter().filter(|path| path.ends_with(".safetensors"));
    let beside = here.iter().filter(|path| BESIDE.iter().any(|ending| path.ends_with(ending)));
    let has_weights = weights.clone().next().is_some();
    has_weights.then(|| weights.chain(beside).map(|path| (*path).to_owned()).collect())
}

/// The first ONNX file, with its weights where they lie beside it.
fn onnx(paths: &[&str]) -> Option<Vec<String>> {
    let main = paths.iter().find(|path| path.ends_with("/model.onnx") || **path == "model.onnx");
    let main = main.or_else(|| paths.iter().find(|path| has_ending(path, "onnx")))?;
    let beside = [format!("{main}_data"), format!("{main}.data")].into_iter().filter(|path| paths.contains(&path.as_str()));
    Some([(*main).to_owned()].into_iter().chain(beside).collect())
}

/// The names under which they are served: without the folders that all share.
pub(super) fn names(picked: &[String]) -> Vec<String> {
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let shared = picked.first().map(|path| folder(path)).unwrap_or_default();
    let all_share = picked.iter().all(|path| path.starts_with(&shared));
    let cut = |path: &String| if all_share { path.strip_prefix(&shared).unwrap_or(path) } else { path }.to_owned();
    picked.iter().map(cut).collect()
}

impl Why {
    /// As it is told.
    pub(super) fn at(self, place: &Place, entries: &[Entry]) -> Error {
        let host = format!("hf:{}", place.repo);
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let most = |names: Vec<&str>| names.into_iter().take(MOST_NAMED).map(str::to_owned).collect();
        match self {
            Self::File(file) => {
                let near = spec::suggest(&file, paths.iter().copied());
                let near = near.map_or_else(|| most(models(&paths)), |near| vec![near.to_owned()]);
                Error::NotThere { host, what: file, near }
            }
            Self::Quant(quant) => Error::NotThere { host, what: format!("file of {quant}"), near: most(models(&paths)) },
            Self::Model => Error::NotThere { host, what: "model as GGUF, safetensors or ONNX".to_owned(), near: most(paths) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPO: [&str; 9] = [
        "README.md",
        "mmproj-model-f16.gguf",
        "tiny-Q2_K.gguf",
        "tiny-Q4_K_M.gguf",
        "tiny-IQ4_XS.gguf",
        "tiny-Q8_0-00001-of-00002.gguf",
        "tiny-Q8_0-00002-of-00002.gguf",
        "UD-Q6_K_XL/tiny-00001-of-00002.gguf",
        "UD-Q6_K_XL/tiny-00002-of-00002.gguf",
    ];

    fn picked(text: &str, paths: &[&str]) -> Result<Vec<String>, Why> {
        pick(&Place::parse(text).unwrap(), paths.iter().copied())
    }

    #[test]
    fn the_quantisation_that_is_meant_is_found_whole() {
        assert_eq!(picked("o/r", &REPO).unwrap(), ["tiny-Q4_K_M.gguf"]);
        assert_eq!(picked("o/r:q2_k", &REPO).unwrap(), ["tiny-Q2_K.gguf"]);
        assert_eq!(picked("o/r:Q8_0", &REPO).unwrap(), ["tiny-Q8_0-00001-of-00002.gguf", "tiny-Q8_0-00002-of-00002.gguf"]);
        assert_eq!(names(&picked("o/r:UD-Q6_K_XL", &REPO).unwrap()), ["tiny-00001-of-00002.gguf", "tiny-00002-of-00002.gguf"]);
        assert_eq!(picked("o/r:Q4_K", &REPO), Err(Why::Quant("Q4_K".to_owned())), "not the first letters of another");
        assert_eq!(picked("o/r:Q4_XS", &REPO), Err(Why::Quant("Q4_XS".to_owned())), "not the last letters of another");
        assert_eq!(picked("o/r", &["a.gguf", "mmproj-a.gguf"]).unwrap(), ["a.gguf"], "the first where the usual one is not there");
    }

    #[test]
    fn what_sees_for_a_model_comes_with_it_unless_one_file_is_named() {
        let projector = |text: &str, paths: &[&str]| {
            let place = Place::parse(text).unwrap();
            projector(&place, &pick(&place, paths.iter().copied()).unwrap(), paths)
        };
        assert_eq!(projector("o/r:Q2_K", &REPO).as_deref(), Some("mmproj-model-f16.gguf"));
        assert_eq!(projector("o/r:UD-Q6_K_XL", &REPO).as_deref(), Some("mmproj-model-f16.gguf"), "from the top for a folder");
        assert_eq!(projector("o/r/tiny-Q2_K.gguf", &REPO), None);
        assert_eq!(projector("o/r", &["a.gguf", "b/mmproj-x.gguf"]), None, "of another model");
        let several = ["a.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"];
        assert_eq!(projector("o/r", &several).as_deref(), Some("mmproj-F16.gguf"));
        assert_eq!(projector("o/r", &["config.json", "model.safetensors", "mmproj-F16.gguf"][..2]), None);
    }

    #[test]
    fn files_and_folders_are_found_by_name() {
        assert_eq!(picked("o/r/tiny-Q2_K.gguf", &REPO).unwrap(), ["tiny-Q2_K.gguf"]);
        assert_eq!(picked("o/r/tiny-Q8_0-00002-of-00002.gguf", &REPO).unwrap().len(), 2);
        assert_eq!(picked("o/r/UD-Q6_K_XL", &REPO).unwrap().len(), 2);
        assert_eq!(picked("o/r/mmproj-model-f16.gguf", &REPO).unwrap().len(), 1, "what is named is taken");
        assert_eq!(picked("o/r/tiny-Q3.gguf", &REPO), Err(Why::File("tiny-Q3.gguf".to_owned())));
    }

    #[test]
    fn without_gguf_the_safetensors_and_what_stands_beside_them_are_meant() {
        let repo = ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "original/x.pth", "onnx/model.onnx"];
        assert_eq!(picked("o/r", &repo).unwrap(), ["model.safetensors", "config.json", "tokenizer.json"]);
        assert_eq!(picked("o/r", &["onnx/model.onnx", "onnx/model.onnx_data"]).unwrap().len(), 2);
        assert_eq!(picked("o/r", &["pytorch_model.bin"]), Err(Why::Model), "a pickle is no model");
    }
}
