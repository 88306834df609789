//! Tells cargo that the migrations are part of this crate: they are read by a macro, which cargo does not see.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
