//! How a machine's programs are linked: with its own `memory.x`, the start-up code's script, and defmt's table of
//! strings.

fn main() -> Result<(), std::env::VarError> {
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR")?);
    let scripts: &[&str] = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        // riscv-rt's script takes the memory's regions from ours.
        "riscv32" => &["-Tmemory.x", "-Tlink.x", "-Tdefmt.x", "--nmagic"],
        _ => &["-Tlink.x", "-Tdefmt.x", "--nmagic"],
    };
    scripts.iter().for_each(|argument| println!("cargo::rustc-link-arg-bins={argument}"));
    Ok(())
}
