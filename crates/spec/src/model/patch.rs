//! How does a document say what is to change of another one?
//!
//! In: a document and a merge patch. Out: the document with what the patch says. Fails: never. From: RFC 7396.

use serde_json::Value;

/// A JSON merge patch (RFC 7396): objects merge, `null` removes, all else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.shift_remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), change);
        }
    }
}
