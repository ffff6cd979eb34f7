//! Lets the programs find libtorch where they were built with it, without `LD_LIBRARY_PATH`.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let uses_torch = env::var_os("CARGO_FEATURE_TORCH").is_some();
    if let (true, Some(folder)) = (uses_torch && cfg!(unix), env::var_os("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}/lib", folder.display());
    }
}
