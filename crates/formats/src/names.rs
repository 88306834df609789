//! May a file of a model be called so?
//!
//! In: a name that somebody else chose. Out: nothing, or why not. A name that passes lies below the folder that it is joined to,
//! on every system.

use crate::error::Error;

const LONGEST: usize = 512;
const LONGEST_PART: usize = 200;
const DEEPEST: usize = 8;

/// Refuses what leads anywhere but below the folder.
pub fn safe_name(name: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::Name { name: name.chars().take(LONGEST).collect(), why });
    if name.is_empty() || name.len() > LONGEST {
        return refuse("it is empty or longer than 512 bytes");
    }
    if name.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
        return refuse("it has a control character, a backslash or a colon in it");
    }
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > DEEPEST {
        return refuse("it lies too deep");
    }
    for part in parts {
        match part {
            "" => return refuse("it is absolute, or has an empty part"),
            "." | ".." => return refuse("it leads out of its folder"),
            part if part.starts_with('.') => return refuse("a part of it is hidden"),
            part if part.len() > LONGEST_PART => return refuse("a part of it is longer than 200 bytes"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::safe_name;

    #[test]
    fn a_name_that_leads_out_of_its_folder_is_refused() {
        for good in ["model.safetensors", "onnx/model.onnx", "a b.json", "model-00001-of-00002.safetensors", "ü.txt"] {
            assert!(safe_name(good).is_ok(), "{good}");
        }
        let deep = "a/".repeat(9) + "b";
        let long = "x".repeat(201);
        for bad in
            ["", "/etc/passwd", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a\\b", "C:x", "a\0b", "a\nb", ".git/config", &deep, &long]
        {
            assert!(safe_name(bad).is_err(), "{bad:?}");
        }
    }
}
