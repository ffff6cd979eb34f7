//! Compiles the boundary to libtorch, and lets the programs find libtorch where they were built with it, without
//! `LD_LIBRARY_PATH`.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    #[cfg(feature = "torch")]
    compile_boundary();
    let uses_torch = env::var_os("CARGO_FEATURE_TORCH").is_some();
    if let (true, Some(folder)) = (uses_torch && cfg!(unix), env::var_os("LIBTORCH")) {
        // libtorch_cuda is not among what is linked: nothing here names its symbols, and opening it takes 0.4 s.
        // `src/cuda` opens it.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}/lib", folder.display());
    }
}

/// As torch-sys compiles its own: headers where it looks for them, threads by OpenMP.
#[cfg(feature = "torch")]
fn compile_boundary() {
    const SOURCES: [&str; 2] = ["src/cpu/libtorch.cpp", "src/cuda/libtorch.cpp"];
    SOURCES.iter().for_each(|source| println!("cargo::rerun-if-changed={source}"));
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let include = match env::var_os("LIBTORCH_INCLUDE") {
        Some(folder) => std::path::Path::new(&folder).join("include"),
        None => {
            let libraries = env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch is");
            std::path::Path::new(&libraries).with_file_name("include")
        }
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .includes([include.join("torch/csrc/api/include"), include])
        .flag_if_supported("-fopenmp")
        .files(SOURCES)
        .compile("xsfm_libtorch");
}
