//! Each check on a small tree of its own: green when good, red when one thing is wrong.

use std::fs;

use super::findings;
use crate::scratch::Scratch;

const TABLE: &str = r#"
skip = ["target"]
limits = { file = 20, function = 3, room = 30 }
status = { files = ["crates/upper/src/error.rs"] }
words = [
    { text = "dbg!(", place = "code", instead = "log it" },
    { text = "/home/me", place = "anywhere", instead = "use a relative path" },
]
allow = []

[rooms]
base = { level = 0, uses = [] }
upper = { level = 1, uses = ["base"] }
kit = { level = 1, uses = ["base"], only_for = ["tests"] }

[quarantine]
sqlx = ["base"]
anyhow = ["tests"]
"#;

const WORKSPACE: &str = r#"
[workspace]
members = ["crates/*"]

[workspace.package]
publish = false

[workspace.dependencies]
base = { path = "crates/base" }
upper = { path = "crates/upper" }
kit = { path = "crates/kit" }
sqlx = "1"
anyhow = "1"
serde = "1"
"#;

/// A tree that is good until a test spoils it.
struct Tree(Scratch);

impl Tree {
    fn good() -> Self {
        let tree = Self(Scratch::new("tidy").unwrap());
        tree.write("Cargo.toml", WORKSPACE);
        tree.write("xtask/tidy.toml", TABLE);
        tree.write("README.md", "A tree.\n");
        for (name, dependencies) in [
            ("base", "sqlx.workspace = true"),
            ("upper", "base.workspace = true\nserde.workspace = true\n[dev-dependencies]\nkit.workspace = true\nanyhow.workspace = true"),
            ("kit", "base.workspace = true"),
        ] {
            tree.room(name, name, dependencies);
            tree.write(&format!("crates/{name}/src/lib.rs"), "//! Life of a test.\n\nfn f() {}\n");
        }
        tree
    }

    fn room(&self, folder: &str, name: &str, dependencies: &str) {
        let manifest = format!(
            "[package]\nname = \"{name}\"\npublish.workspace = true\n\n[lints]\nworkspace = true\n\n[dependencies]\n{dependencies}\n"
        );
        self.write(&format!("crates/{folder}/Cargo.toml"), &manifest);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Changes a piece of a file that is there.
    fn change(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.path().join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replace(from, to));
    }

    fn findings(&self) -> Vec<String> {
        findings(self.0.path()).unwrap().iter().map(ToString::to_string).collect()
    }

    /// Exactly one finding, that begins and goes on like this.
    #[track_caller]
    fn is_red(&self, begins: &str, holds: &str) {
        let found = self.findings();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(begins) && found[0].contains(holds), "{found:#?}");
    }
}

#[test]
fn a_good_tree_is_green() {
    assert_eq!(Tree::good().findings(), Vec::<String>::new());
}

#[test]
fn a_crate_with_another_name_than_its_folder_is_red() {
    let tree = Tree::good();
    fs::rename(tree.0.path().join("crates/kit"), tree.0.path().join("crates/tools")).unwrap();
    tree.is_red("crates/tools/Cargo.toml:2: crate `kit` lies in folder `tools` [member]", "same name");
}

#[test]
fn a_crate_that_could_be_published_is_red() {
    let tree = Tree::good();
    tree.change("crates/kit/Cargo.toml", "publish.workspace = true", "publish = true");
    tree.is_red("crates/kit/Cargo.toml:3: could be published [member]", "publish.workspace");
    tree.change("crates/kit/Cargo.toml", "publish = true", "publish.workspace = true");
    tree.change("Cargo.toml", "publish = false", "publish = true");
    assert_eq!(tree.findings().len(), 3, "every crate inherits it");
}

#[test]
fn a_crate_without_the_lints_is_red() {
    let tree = Tree::good();
    tree.change("crates/base/Cargo.toml", "[lints]\nworkspace = true", "");
    tree.is_red("crates/base/Cargo.toml:1: does not take the workspace's lints", "[lints]");
}

#[test]
fn a_crate_that_the_table_does_not_know_is_red() {
    let tree = Tree::good();
    tree.room("cellar", "cellar", "");
    tree.is_red("crates/cellar/Cargo.toml:2: room `cellar` does not stand in xtask/tidy.toml [edge]", "level");
}

#[test]
fn a_room_of_the_table_that_is_not_there_is_red() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "[rooms]", "[rooms]\nattic = { level = 2, uses = [] }");
    tree.is_red("xtask/tidy.toml:12: room `attic` does not exist", "remove");
}

#[test]
fn an_edge_that_does_not_stand_in_the_table_is_red() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "upper = { level = 1, uses = [\"base\"] }", "upper = { level = 1, uses = [] }");
    tree.is_red("crates/upper/Cargo.toml:9: edge `upper` -> `base` does not stand in", "lower room");
}

#[test]
fn an_edge_that_does_not_go_down_is_red_in_table_and_manifest() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "base = { level = 0", "base = { level = 1");
    let found = tree.findings();
    assert!(found.iter().any(|f| f.contains("edge `upper` (level 1) -> `base` (level 1) does not go down")), "{found:#?}");
    assert!(found.iter().any(|f| f.contains("room `upper` (level 1) may use `base` (level 1)")), "{found:#?}");
}

#[test]
fn a_table_that_names_no_room_is_red() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "uses = [\"base\"] }\nkit", "uses = [\"base\", \"bass\"] }\nkit");
    tree.is_red("xtask/tidy.toml:13: room `upper` may use `bass`, which is no room", "correct");
}

#[test]
fn a_room_for_tests_is_red_in_what_is_shipped() {
    let tree = Tree::good();
    tree.change("crates/upper/Cargo.toml", "[dev-dependencies]\n", "");
    tree.change("crates/upper/Cargo.toml", "anyhow.workspace = true", "");
    tree.is_red("crates/upper/Cargo.toml:11: `upper` uses `kit`, which is only for: tests", "dev-dependencies");
}

#[test]
fn what_only_tests_use_is_red_in_what_is_shipped() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "upper = { level = 1, uses = [\"base\"] }", "upper = { level = 1, uses = [], tests_use = [\"base\"] }");
    tree.room("upper", "upper", "[dev-dependencies]\nbase.workspace = true");
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.room("upper", "upper", "base.workspace = true");
    tree.is_red("crates/upper/Cargo.toml:9: edge `upper` -> `base` does not stand in", "[edge]");
}

#[test]
fn the_star_lets_a_room_use_all_but_what_is_kept_for_others() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "upper = { level = 1, uses = [\"base\"] }", "upper = { level = 2, uses = [\"*\"] }");
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.change("crates/upper/Cargo.toml", "[dev-dependencies]\n", "");
    tree.change("crates/upper/Cargo.toml", "anyhow.workspace = true", "");
    tree.is_red("crates/upper/Cargo.toml:11: `upper` uses `kit`", "only for: tests");
}

#[test]
fn a_heavy_dependency_outside_its_room_is_red_also_for_one_platform_or_in_tests() {
    for section in ["[build-dependencies]", "[target.'cfg(unix)'.dependencies]", "[dev-dependencies]"] {
        let tree = Tree::good();
        tree.room("kit", "kit", &format!("{section}\nsqlx.workspace = true"));
        tree.is_red("crates/kit/Cargo.toml:10: `kit` has `sqlx`, which is kept to: base [quarantine]", "room that has it");
    }
}

#[test]
fn a_heavy_dependency_under_another_name_is_red() {
    let tree = Tree::good();
    tree.change("Cargo.toml", "sqlx = \"1\"", "sqlx = \"1\"\nlight = { package = \"sqlx\", version = \"1\" }");
    tree.room("kit", "kit", "light.workspace = true");
    tree.is_red("crates/kit/Cargo.toml:9: `kit` has `sqlx`", "[quarantine]");
}

#[test]
fn what_is_kept_to_tests_is_red_outside_them() {
    let tree = Tree::good();
    tree.room("kit", "kit", "anyhow.workspace = true");
    tree.is_red("crates/kit/Cargo.toml:9: `kit` has `anyhow`, which is kept to: tests", "[quarantine]");
}

#[test]
fn a_quarantine_for_what_nobody_has_is_red() {
    let tree = Tree::good();
    tree.change("Cargo.toml", "anyhow = \"1\"\n", "");
    tree.change("crates/upper/Cargo.toml", "anyhow.workspace = true", "");
    tree.is_red("xtask/tidy.toml:18: `anyhow` is in quarantine, but nobody has it", "remove");
}

#[test]
fn a_version_outside_the_workspace_table_is_red() {
    for entry in ["serde = \"1\"", "serde = { version = \"1\", features = [\"derive\"] }", "serde = { path = \"../serde\" }"] {
        let tree = Tree::good();
        tree.room("kit", "kit", entry);
        tree.is_red("crates/kit/Cargo.toml:9: states its own source or version of `serde` [version]", "root Cargo.toml");
    }
}

#[test]
fn a_file_over_its_size_is_red_and_a_test_file_is_not() {
    let tree = Tree::good();
    let long = format!("//! Long.\n{}", "// more\n".repeat(20));
    tree.write("crates/base/src/tests.rs", &long);
    tree.write("crates/base/tests/all.rs", &long);
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.write("crates/base/src/long.rs", &long);
    tree.is_red("crates/base/src/long.rs:21: 21 lines without tests, over 20 [file]", "split");
}

#[test]
fn a_function_over_its_size_is_red_with_its_name_and_line() {
    let tree = Tree::good();
    tree.write("crates/base/src/lib.rs", "//! Doc.\n\nfn short() { a() }\nfn long() {\n    a();\n    b();\n    c();\n    d();\n}\n");
    let length = tree.findings();
    assert_eq!(length.len(), 1, "{length:#?}");
    assert!(length[0].starts_with("crates/base/src/lib.rs:4: fn long has 4 lines, over 3 [function]"), "{length:#?}");
}

#[test]
fn a_crate_over_its_size_is_red() {
    let tree = Tree::good();
    for name in ["one", "two"] {
        tree.write(&format!("crates/base/src/{name}.rs"), &format!("//! Doc.\n{}", "//\n".repeat(17)));
    }
    tree.is_red("crates/base:1: 39 lines without tests, over 30 [crate]", "second noun");
}

#[test]
fn a_file_without_a_doc_is_red() {
    for text in ["fn f() {}\n", "// A comment.\n", "//!\nfn f() {}\n", ""] {
        let tree = Tree::good();
        tree.write("crates/base/src/bare.rs", text);
        tree.is_red("crates/base/src/bare.rs:1: does not begin with `//!` [doc]", "question");
    }
}

#[test]
fn a_word_of_code_is_red_in_code_only() {
    let tree = Tree::good();
    tree.write("crates/base/src/word.rs", "//! Not `dbg!(x)`.\nconst S: &str = \"dbg!(x)\";\n");
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.write("crates/base/src/word.rs", "//! Doc.\nfn f() { dbg!(1); }\n");
    tree.is_red("crates/base/src/word.rs:2: `dbg!(` stands here [word]", "log it");
}

#[test]
fn a_word_that_may_stand_nowhere_is_red_in_any_text() {
    for path in ["README.md", "docs/a/b.yaml", ".ci/run", "crates/base/src/tests.rs"] {
        let tree = Tree::good();
        tree.write(path, "//! See /home/me/notes.\n");
        tree.is_red(&format!("{path}:1: `/home/me` stands here [word]"), "relative path");
    }
}

#[test]
fn what_is_skipped_or_hidden_is_not_looked_into() {
    let tree = Tree::good();
    for path in ["target/a.md", "crates/base/target/b.rs", ".git/c.md", "picture.png"] {
        tree.write(path, "/home/me\n");
    }
    assert_eq!(tree.findings(), Vec::<String>::new());
}

#[test]
fn the_status_of_an_error_is_red_but_in_its_files_and_in_tests() {
    let tree = Tree::good();
    let text = "//! Doc.\n\nfn f() { StatusCode::NOT_FOUND }\n";
    for path in ["crates/upper/src/error.rs", "crates/upper/src/error/look.rs", "crates/upper/src/tests.rs"] {
        tree.write(path, text);
    }
    tree.write("crates/upper/src/ok.rs", "//! Doc.\nfn f() { StatusCode::OK }\n#[cfg(test)]\nmod tests { fn g() { StatusCode::GONE } }\n");
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.write("crates/upper/src/http.rs", text);
    tree.is_red("crates/upper/src/http.rs:3: names the error status NOT_FOUND [status]", "base::Kind");
}

#[test]
fn an_exception_excuses_its_finding_and_nothing_else() {
    let tree = Tree::good();
    let long = "//! Doc.\nfn long() {\n    a();\n    b();\n    c();\n    d();\n}\n";
    tree.write("crates/base/src/long.rs", long);
    let allow = "allow = [\n    { check = \"function\", at = \"crates/base/src/long.rs:long\", reason = \"one table\" },\n]";
    tree.change("xtask/tidy.toml", "allow = []", allow);
    assert_eq!(tree.findings(), Vec::<String>::new());
    tree.write("crates/base/src/long.rs", &long.replace("long()", "other()"));
    let found = tree.findings();
    assert_eq!(found.len(), 2, "the new function is red, and the old exception too: {found:#?}");
    assert!(
        found[1].starts_with("xtask/tidy.toml:10: exception `function` at crates/base/src/long.rs:long is no longer needed"),
        "{found:#?}"
    );
}

#[test]
fn an_exception_without_a_reason_is_red() {
    let tree = Tree::good();
    tree.write("crates/base/src/bare.rs", "fn f() {}\n");
    tree.change("xtask/tidy.toml", "allow = []", "allow = [{ check = \"doc\", at = \"crates/base/src/bare.rs\", reason = \" \" }]");
    tree.is_red("xtask/tidy.toml:9: exception at crates/base/src/bare.rs has no reason", "say why");
}

#[test]
fn a_table_with_an_unknown_key_is_refused() {
    let tree = Tree::good();
    tree.change("xtask/tidy.toml", "skip = ", "skips = ");
    let error = format!("{:#}", findings(tree.0.path()).unwrap_err());
    assert!(error.contains("skips"), "{error}");
}
