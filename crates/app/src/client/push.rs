//! `penstock push`: sends the files of a model to a server, in pieces, and goes on where it stopped.
//!
//! In: a file or a folder of this machine, a name. Out: a version of the model there. Fails: when the server refuses; a connection
//! that breaks is taken up again, from the byte that the server has. Holds: this thread, until all of it is there. Speaks tus 1.0.0.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ureq::http::Method;

use super::card::Card;
use super::http::{Server, segment};
use super::model::{path, registered, split};
use super::out::{answer, note};
use super::{Failure, Output};

/// What to send.
#[derive(Debug, Args)]
pub struct Push {
    /// A .gguf file (of a split model the first part), a .onnx file, or a folder with .safetensors files
    path: PathBuf,
    /// NAME, or NAME:TAG to set a tag too
    name: String,
    /// The format, where it is not found out by itself: opaque
    #[arg(long)]
    format: Option<String>,
    /// What is said of this version
    #[arg(long, value_name = "WORDS")]
    note: Option<String>,
    #[command(flatten)]
    card: Box<Card>,
}

/// Sent in one request; a server, or a proxy before it, may not take more at once.
const PIECE: u64 = 64 << 20;
const BLOCK: usize = 1 << 20;
/// Connections that may break one after the other without a byte between.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(1);
const MOST_FILES: usize = 2_000;

/// A file to send.
struct Sending {
    name: String,
    path: PathBuf,
    size: u64,
}

pub(crate) fn push(server: &Server, words: &Push, output: Output) -> Result<(), Failure> {
    let (name, tag) = split(&words.name);
    let card = words.card.patch()?;
    let files = files(&words.path)?;
    let mut sent = Vec::new();
    for file in &files {
        let digest = hash(file)?;
        send(server, name, file, &digest)?;
        sent.push(json!({ "name": file.name, "digest": format!("sha256:{digest}") }));
    }
    let mut wanted = json!({ "files": sent, "tags": tag.map(|tag| vec![tag]).unwrap_or_default() });
    let said = [("format", words.format.as_ref().map(|v| json!(v))), ("note", words.note.as_ref().map(|v| json!(v)))];
    for (key, value) in said.into_iter().chain([("card", (!card.is_empty()).then_some(Value::Object(card)))]) {
        if let Some(value) = value {
            wanted[key] = value;
        }
    }
    let model = server.post(&format!("{}/versions", path(name)), &wanted)?;
    answer(output, &model, |model| registered(model, &words.name))
}

/// The files of the model, the main one first.
fn files(path: &Path) -> Result<Vec<Sending>, Failure> {
    let seen = path.metadata().map_err(Failure::io(format!("{} cannot be read", path.display())))?;
    if seen.is_file() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return parts(path, &name).unwrap_or_else(|| Ok(vec![Sending { name, path: path.to_owned(), size: seen.len() }]));
    }
    let mut found = Vec::new();
    list(path, path, &mut found)?;
    // What says most of the model comes first; what it is is found out from all of them.
    found.sort_by_key(|file| (!file.name.ends_with(".safetensors"), file.name.clone()));
    if found.is_empty() {
        return Err(Failure::Misused { what: format!("{} holds no files", path.display()), hint: "name the folder of a model".to_owned() });
    }
    Ok(found)
}

/// All parts of a split model, by the name of one: `NAME-00001-of-00003.gguf`.
fn parts(path: &Path, name: &str) -> Option<Result<Vec<Sending>, Failure>> {
    let (stem, of) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = stem.rsplit_once('-')?;
    let count: u32 = of.parse().ok().filter(|count| (1..=1_000).contains(count) && number.len() == of.len())?;
    let one = |number| {
        let name = format!("{stem}-{number:05}-of-{of}.gguf");
        let path = path.with_file_name(&name);
        let size =
            path.metadata().map_err(Failure::io(format!("{} cannot be read; the model consists of {count} files", path.display())))?.len();
        Ok(Sending { name, path, size })
    };
    Some((1..=count).map(one).collect())
}

fn list(root: &Path, folder: &Path, found: &mut Vec<Sending>) -> Result<(), Failure> {
    let failed = || Failure::io(format!("{} cannot be read", folder.display()));
    for entry in folder.read_dir().map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue; // what a program keeps for itself
        }
        let seen = path.metadata().map_err(failed())?;
        if seen.is_dir() {
            list(root, &path, found)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push(Sending { name, size: seen.len(), path });
        }
        if found.len() > MOST_FILES {
            return Err(Failure::Misused {
                what: format!("more than {MOST_FILES} files"),
                hint: "name the folder of one model".to_owned(),
            });
        }
    }
    Ok(())
}

fn hash(file: &Sending) -> Result<String, Failure> {
    let bar = bar(file, "reading");
    let failed = || Failure::io(format!("{} cannot be read", file.path.display()));
    let mut reader = File::open(&file.path).map_err(failed())?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        let read = reader.read(&mut block).map_err(failed())?;
        if read == 0 {
            bar.finish_and_clear();
            let digits = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            return Ok(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect());
        }
        hash.update(block.get(..read).unwrap_or_default());
        bar.inc(read as u64);
    }
}

/// Sends what is not there yet.
fn send(server: &Server, name: &str, file: &Sending, digest: &str) -> Result<(), Failure> {
    let all = format!("{}/versions/upload", path(name));
    let one = format!("{all}/{}", segment(digest));
    let metadata = format!("filename {},sha256 {}", base64(&file.name), base64(digest));
    let begun = server.tus(&Method::POST, &all, &[("upload-length", file.size.to_string()), ("upload-metadata", metadata)], None)?;
    let mut offset = begun.unwrap_or(0);
    let bar = bar(file, "sending");
    if offset > 0 {
        let here = if offset == file.size { "is there already".to_owned() } else { format!("goes on at {}", base::ByteSize(offset)) };
        note(&format!("{}: {here}", file.name));
    }
    let mut failures = 0;
    while offset < file.size {
        bar.set_position(offset);
        let outcome = piece(server, &one, file, offset, &bar).and_then(|()| server.tus(&Method::HEAD, &one, &[], None));
        // A connection that broke: how much of it came?
        let now = match outcome {
            Ok(now) => now.unwrap_or(offset),
            Err(failure) if failure.is_passing() && failures < TRIES => {
                failures += 1;
                std::thread::sleep(BETWEEN);
                server.tus(&Method::HEAD, &one, &[], None).ok().flatten().unwrap_or(offset)
            }
            Err(failure) => return Err(failure),
        };
        if now > offset {
            failures = 0;
        }
        offset = now;
    }
    bar.finish_and_clear();
    Ok(())
}

fn piece(server: &Server, one: &str, file: &Sending, offset: u64, bar: &ProgressBar) -> Result<(), Failure> {
    let failed = || Failure::io(format!("{} cannot be read", file.path.display()));
    let mut reader = File::open(&file.path).map_err(failed())?;
    reader.seek(SeekFrom::Start(offset)).map_err(failed())?;
    let length = PIECE.min(file.size - offset);
    let mut body = Told { reader: reader.take(length), bar };
    let headers = [
        ("upload-offset", offset.to_string()),
        ("content-type", "application/offset+octet-stream".to_owned()),
        ("content-length", length.to_string()),
    ];
    server.tus(&Method::PATCH, one, &headers, Some(&mut body)).map(drop)
}

/// Tells the bar of each byte that is read.
struct Told<'a> {
    reader: io::Take<File>,
    bar: &'a ProgressBar,
}

impl Read for Told<'_> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(block)?;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

fn bar(file: &Sending, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(file.size);
    let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(format!("{what} {}", file.name));
    bar
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}
