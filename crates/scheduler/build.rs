//! Folds functions that are equal after compilation into one: the same code for many types is most of this program, and its
//! resident memory. Only functions are folded, never data, so that addresses of statics keep their meaning.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PROFILE");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        // The toolchain links with its own LLD.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
