//! Files, functions and crates stop at a size.
//!
//! In: the house and the limits. Out: a finding for each that is longer. Tests and benchmarks do
//! not count.

use super::Finding;
use super::code::Code;
use super::house::{File, House};
use super::table::Table;

pub(super) fn check(house: &House, table: &Table, found: &mut Vec<Finding>) {
    for (file, code) in house.rust().filter(|(file, _)| !file.is_test()) {
        check_file(file, code, table, found);
    }
    for room in &house.rooms {
        let inside = format!("{}/src/", room.folder);
        let counted = house.rust().filter(|(file, _)| file.path.starts_with(&inside) && !file.is_test());
        let lines: usize = counted.map(|(_, code)| code.lines()).sum();
        let most = table.limits.room;
        if lines > most {
            found.push(Finding {
                path: room.folder.clone(),
                line: 1,
                check: "crate",
                item: None,
                what: format!("{lines} lines without tests, over {most}"),
                advice: "find the second noun in it and give that a crate of its own".to_owned(),
            });
        }
    }
}

fn check_file(file: &File, code: &Code, table: &Table, found: &mut Vec<Finding>) {
    let (lines, most) = (code.lines(), table.limits.file);
    if lines > most {
        found.push(Finding {
            path: file.path.clone(),
            line: most + 1,
            check: "file",
            item: None,
            what: format!("{lines} lines without tests, over {most}"),
            advice: "split it where the thought changes".to_owned(),
        });
    }
    let most = table.limits.function;
    for function in code.functions().into_iter().filter(|function| function.length > most) {
        found.push(Finding {
            path: file.path.clone(),
            line: function.line,
            check: "function",
            what: format!("fn {} has {} lines, over {most}", function.name, function.length),
            item: Some(function.name),
            advice: "name its steps and make them functions".to_owned(),
        });
    }
}
