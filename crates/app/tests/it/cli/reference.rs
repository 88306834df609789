//! The page about the command line, made from what `--help` says.

use std::path::Path;

use app::config::Environment;

const HEAD: &str = "\
# The command line

Made from `penstock VERB --help`; write it anew with
`PENSTOCK_TEST_RENEW=1 cargo test -p app --test it the_page_about_the_command_line`.
Client verbs find the server of this machine by themselves: by `data_dir` of `./penstock.yaml` or of the user's config,
which holds its address and its first token.
";

#[test]
fn the_page_about_the_command_line_says_what_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let page = page();
    if Environment::of_process().get("PENSTOCK_TEST_RENEW").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stands == page,
        "docs/reference/cli.md is old: PENSTOCK_TEST_RENEW=1 cargo test -p app --test it the_page_about_the_command_line"
    );
}

#[test]
fn every_verb_and_every_word_of_it_is_explained() {
    let mut silent = Vec::new();
    walk(&app::cli::command(), &mut |name, command| {
        if command.get_about().is_none() {
            silent.push(name.to_owned());
        }
        let unexplained =
            command.get_arguments().filter(|arg| arg.get_help().is_none() && !["help", "version"].contains(&arg.get_id().as_str()));
        silent.extend(unexplained.map(|arg| format!("{name} {}", arg.get_id())));
    });
    assert_eq!(silent, Vec::<String>::new());
}

/// Of a line, whatever the terminal that the tests run in.
const WIDTH: usize = 100;

fn page() -> String {
    let mut page = HEAD.to_owned();
    walk(&app::cli::command(), &mut |name, command| {
        // What every verb understands is said once, at the top.
        let own = if name == "penstock" { command.clone() } else { without_globals(command) };
        let help: Vec<String> =
            own.bin_name(name).term_width(WIDTH).render_help().to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        page = format!("{page}\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    });
    page
}

fn without_globals(command: &clap::Command) -> clap::Command {
    command.clone().mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg })
}

fn walk(command: &clap::Command, visit: &mut impl FnMut(&str, &clap::Command)) {
    fn step(name: &str, command: &clap::Command, visit: &mut impl FnMut(&str, &clap::Command)) {
        visit(name, command);
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            step(&format!("{name} {}", verb.get_name()), verb, visit);
        }
    }
    let mut built = command.clone();
    built.build();
    step("penstock", &built, visit);
}
