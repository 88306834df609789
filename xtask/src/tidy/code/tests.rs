//! What counts as code, and how long functions are.

use super::{Code, Function};

fn function(name: &str, line: usize, length: usize) -> Function {
    Function { name: name.to_owned(), line, length }
}

#[test]
fn braces_in_comments_and_strings_do_not_count() {
    let text = r##"
fn first() {
    // {
    let a = "{ \" {"; /* { /* { */ { */
    let b = r#"{ " {"#;
    let c = ('{', '\'', b'{', '\u{7b}');
}

fn second<'a>(x: &'a str) -> [u8; 2] { [1, 2] }
"##;
    let code = Code::scan(text);
    assert_eq!(code.functions(), [function("first", 2, 3), function("second", 9, 1)]);
    assert_eq!(code.bare.lines().count(), text.lines().count(), "no line is lost");
}

#[test]
fn blank_lines_and_comments_do_not_make_a_function_long() {
    let text = "fn f() {\n    a();\n\n    // why\n    /* or\n    not */\n    b(\"x\n    y\");\n}\n";
    assert_eq!(Code::scan(text).functions(), [function("f", 1, 3)], "a string of two lines is two lines");
}

#[test]
fn declarations_and_function_pointers_are_not_functions() {
    let text = "trait T { fn a(&self, x: [u8; 3]); fn b(&self) { c() } }\ntype P = fn(u8) -> u8;\n";
    assert_eq!(Code::scan(text).functions(), [function("b", 1, 1)]);
}

#[test]
fn an_inline_test_module_does_not_count() {
    let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn g() {\n        h();\n    }\n}\nfn i() {}\n";
    let code = Code::scan(text);
    assert_eq!(code.functions(), [function("f", 1, 0), function("i", 10, 0)]);
    assert_eq!(code.lines(), 3);
    assert!(code.in_tests(text.find("h()").unwrap()));
}

#[test]
fn a_test_module_in_a_file_of_its_own_takes_nothing_away() {
    let text = "#[cfg(test)]\nmod tests;\n\nfn f() {\n    g();\n}\n";
    let code = Code::scan(text);
    assert_eq!(code.lines(), 6);
    assert_eq!(code.functions(), [function("f", 4, 1)]);
}

#[test]
fn text_that_is_not_rust_does_no_harm() {
    for text in ["", "\"", "'", "/*", "r#\"", "fn", "fn f(", "fn f() {", "}}}", "'\\", "é'é", "#[cfg(test)] mod x {"] {
        let code = Code::scan(text);
        assert_eq!(code.bare.lines().count(), text.lines().count());
        code.functions();
        code.lines();
    }
}
