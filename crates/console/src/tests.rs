//! The pages are there, complete in themselves, and nothing else is reachable by their paths.

use crate::{Web, page};

fn text(path: &str) -> String {
    String::from_utf8(page(path).unwrap().body.into_owned()).unwrap()
}

#[test]
fn the_first_page_is_at_the_root_and_at_console() {
    let first = page("/").unwrap();
    assert_eq!(first.content_type, "text/html; charset=utf-8");
    assert_eq!(Some(&first), page("/console").as_ref());
    assert_eq!(Some(&first), page("/console/").as_ref());
    let html = text("/");
    for link in ["/docs", "/v1/models", "/api/v1/openapi.json"] {
        assert!(html.contains(&format!("href=\"{link}\"")), "no link to {link}");
    }
}

#[test]
fn every_file_that_the_page_names_is_carried() {
    let html = text("/");
    let names: Vec<_> = html.split('"').filter(|part| part.starts_with("/console/")).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        assert!(page(name).is_some(), "{name} is missing");
    }
}

#[test]
fn every_file_has_a_type_and_a_tag_of_its_own() {
    let mut tags = Vec::new();
    for name in Web::iter() {
        let file = page(&format!("/console/{name}")).unwrap();
        assert_ne!(file.content_type, "application/octet-stream", "{name}");
        assert!(file.etag.starts_with('"') && file.etag.ends_with('"') && file.etag.len() == 26, "{}", file.etag);
        tags.push(file.etag);
    }
    let all = tags.len();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), all);
}

#[test]
fn no_page_asks_another_host_for_anything() {
    for name in Web::iter() {
        let text = text(&format!("/console/{name}")).replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src=\"//"), "{name}");
    }
}

#[test]
fn the_page_obeys_its_own_policy() {
    let html = text("/");
    for inline in ["<style", "style=\"", "onclick", "onload", "javascript:", "<script>"] {
        assert!(!html.contains(inline), "{inline} would be blocked");
    }
    assert!(!text("/console/console.js").contains("innerHTML"));
}

#[test]
fn other_paths_have_no_page() {
    for path in ["", "/index.html", "/console/none", "/console/../src/lib.rs", "/console//etc/passwd", "/consoleX", "console"] {
        assert!(page(path).is_none(), "{path}");
    }
}
