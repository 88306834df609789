//! From one revision to the next, by verbs.

use super::said::Terminal;
use crate::process::Process;
use crate::rollouts::reaches;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_followed_paused_resumed_and_undone_from_the_command_line() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let server = Process::start(&stage, "").await;
    terminal.does(&["deploy", "m", "--engine", "echo", "--min", "1", "--wait"]);
    reaches(&server.client, "m", "complete", 1).await;
    terminal.does(&["rollout", "status", "m", "--watch"]);
    terminal.does(&["rollout", "pause", "m"]);
    terminal.does(&["deploy", "m", "--parallel", "2"]);
    reaches(&server.client, "m", "paused", 2).await;
    terminal.does(&["rollout", "status", "m"]);
    terminal.does(&["rollout", "resume", "m"]);
    terminal.does(&["rollout", "resume", "m"]);
    reaches(&server.client, "m", "complete", 2).await;
    terminal.does(&["rollout", "status", "m", "--watch"]);
    terminal.does(&["rollout", "undo", "m"]);
    reaches(&server.client, "m", "complete", 3).await;
    terminal.does(&["rollout", "undo", "m", "--to", "9"]);
    terminal.does(&["rollout", "history", "m"]);
    terminal.does(&["scale", "m", "--replicas", "2"]);
    terminal.does(&["scale", "m", "--min", "1", "--max", "3"]);
    terminal.does(&["scale", "m"]);
    terminal.does(&["rollout", "promote", "nobody"]);
    insta::assert_snapshot!(terminal.transcript());
}
