//! Are programs found in the right order, and are broken ones named?

use base::Fault as _;

use super::*;

/// A program that answers like llama-server and counts how often it was asked.
fn program(dir: &Path, name: &str, body: &str) -> PathBuf {
    let path = dir.join(name);
    let count = dir.join("count");
    testkit::script(&path, &format!("echo x >> {}\n{body}", count.display())).unwrap();
    path
}

const ANSWERS: &str =
    "case $1 in --version) echo 'version: 1.0 (x)' >&2;; --help) echo '-c, --ctx-size N\n--no-ui';; esac; test -z \"$PENSTOCK_X\"";

fn asked_so_often(dir: &Path) -> usize {
    fs::read_to_string(dir.join("count")).unwrap_or_default().lines().count()
}

fn only(configured: Option<PathBuf>, path_var: Option<&Path>) -> Programs {
    let configured = configured.into_iter().map(|path| (EngineKind::LlamaServer, path)).collect();
    Programs::new(PathBuf::from("/nowhere/penstock"), configured, None, path_var.map(|path| path.as_os_str().to_owned()))
}

#[tokio::test]
async fn a_program_on_the_path_is_asked_once_until_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = program(dir.path(), LLAMA_SERVER, ANSWERS);
    let programs = only(None, Some(dir.path()));
    let found = programs.find(EngineKind::LlamaServer).await.unwrap();
    assert_eq!(found.program, Program::Path(path.clone()));
    assert_eq!(found.version, "1.0 (x)");
    assert!(found.flags.contains("--no-ui") && found.flags.contains("--ctx-size"), "{:?}", found.flags);
    assert_eq!(asked_so_often(dir.path()), 2, "once for the version, once for the flags");

    assert_eq!(programs.find(EngineKind::LlamaServer).await.unwrap(), found);
    assert_eq!(asked_so_often(dir.path()), 2);

    program(dir.path(), LLAMA_SERVER, &ANSWERS.replace("1.0", "2.0.0"));
    assert_eq!(programs.find(EngineKind::LlamaServer).await.unwrap().version, "2.0.0 (x)");
}

#[tokio::test]
async fn the_configured_program_goes_before_the_path() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    program(dir.path(), LLAMA_SERVER, ANSWERS);
    let mine = program(other.path(), "mine", ANSWERS);
    let found = only(Some(mine.clone()), Some(dir.path())).find(EngineKind::LlamaServer).await.unwrap();
    assert_eq!(found.program, Program::Path(mine));
}

#[tokio::test]
async fn a_missing_program_says_where_it_was_looked_for_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    // A folder and a file that cannot be executed are no programs.
    fs::create_dir(dir.path().join(LLAMA_SERVER)).unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "x").unwrap();
    for programs in [only(None, Some(dir.path())), only(None, None), only(Some(plain), Some(dir.path()))] {
        let error = programs.find(EngineKind::LlamaServer).await.unwrap_err();
        assert!(matches!(error, Error::EngineMissing { .. }), "{error}");
        assert!(error.hint().unwrap().contains("engines.llama-server.path"));
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_used_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    for (body, word) in [("echo no such library >&2; exit 127", "no such library"), ("exit 0", "it said nothing")] {
        let path = program(dir.path(), "bad", body);
        let error = only(Some(path), None).find(EngineKind::LlamaServer).await.unwrap_err();
        assert!(matches!(error, Error::EngineBroken { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let path = dir.path().join("no-interpreter");
    testkit::program(&path, "#!/nowhere/sh\n").unwrap();
    let error = only(Some(path), None).find(EngineKind::LlamaServer).await.unwrap_err();
    assert!(error.to_string().contains("does not start"), "{error}");
}

#[tokio::test]
async fn the_carried_engine_is_asked_through_this_binary_and_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let own = program(dir.path(), "penstock", &format!("test \"$1 $2\" = 'keep --carried' || exit 9; shift 2; {ANSWERS}"));
    let path = |folder: &Path| Some(folder.as_os_str().to_owned());
    let carries = |path_var| Programs::new(own.clone(), BTreeMap::new(), Some("0.5.0".to_owned()), path_var);
    let found = carries(None).find(EngineKind::LlamaServer).await.unwrap();
    assert_eq!((found.program, found.version.as_str()), (Program::Carried, "0.5.0"));
    assert!(found.flags.contains("--ctx-size"));

    let on_path = program(dir.path(), LLAMA_SERVER, "exit 1");
    let found = carries(path(dir.path())).find(EngineKind::LlamaServer).await.unwrap();
    assert_eq!(found.program, Program::Carried, "a broken one on the PATH is passed over");
    program(dir.path(), LLAMA_SERVER, ANSWERS);
    let found = carries(path(dir.path())).find(EngineKind::LlamaServer).await.unwrap();
    assert_eq!(found.program, Program::Path(on_path));
}

#[tokio::test]
async fn a_broken_program_on_the_path_is_named_when_there_is_no_other() {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), LLAMA_SERVER, "exit 1");
    let error = only(None, Some(dir.path())).find(EngineKind::LlamaServer).await.unwrap_err();
    assert!(matches!(error, Error::EngineBroken { .. }), "{error}");
}

#[tokio::test]
async fn a_script_that_is_not_waited_for_any_more_ends_with_all_that_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let child = dir.path().join("child");
    let path = program(dir.path(), "wrapper", &format!("sleep 777 & echo $! > {0}.new; mv {0}.new {0}; wait", child.display()));
    let programs = only(Some(path), None);
    let mut asks = Box::pin(programs.find(EngineKind::LlamaServer));
    let pid = loop {
        let waited = tokio::time::timeout(std::time::Duration::from_millis(5), &mut asks).await;
        assert!(waited.is_err(), "{waited:?}");
        if let Ok(pid) = fs::read_to_string(&child) {
            break pid.trim().to_owned();
        }
    };
    let lives = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    assert!(lives());
    drop(asks);
    let ended = async {
        while lives() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect("it is killed");
}

#[tokio::test]
async fn more_words_than_fit_are_read_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = program(dir.path(), "loud", "echo 'version: 3 --flag'; head -c 3000000 /dev/zero | tr '\\0' 'x' >&2");
    let found = only(Some(path), None).find(EngineKind::LlamaServer).await.unwrap();
    assert!(found.flags.contains("--flag"));
}

#[tokio::test]
async fn engines_without_a_program_of_their_own_need_no_file() {
    let programs = only(None, None);
    assert_eq!(programs.find(EngineKind::Openai).await.unwrap().program, Program::None);
    assert_eq!(programs.find(EngineKind::Echo).await.unwrap().program, Program::Own);
}
