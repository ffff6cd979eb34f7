//! Where tensors live: chosen at run time, checked before any work starts.

use anyhow::{Result, bail};
use tch::Device;

use crate::cuda::seen::{Seen, try_out};

/// Reads `cpu`, `cuda` or `cuda:N`, and checks that this machine has it, and that it computes.
///
/// # Errors
/// Another name, or a GPU that cannot be used; the message says why.
pub fn parse(name: &str) -> Result<Device> {
    let device = check(name)?;
    if device != Device::Cpu
        && let Err(error) = try_out(device)
    {
        bail!("device `{name}`: the GPU is there, but does not compute: {error}");
    }
    Ok(device)
}

/// As [`parse`], without any use of a GPU, which takes memory there: for programs whose children use it.
///
/// # Errors
/// Those of [`parse`].
pub fn check(name: &str) -> Result<Device> {
    let number = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => 0,
        Some(("cuda", number)) => match number.parse::<usize>() {
            Ok(number) => number,
            Err(_) => bail!("device `{name}`: `{number}` is not the number of a GPU; write for example `cuda:0`"),
        },
        _ => bail!("device `{name}` is unknown; it is `cpu` or `cuda:N`, for example `cuda:0`"),
    };
    match Seen::look().why_not(Some(number)) {
        None => Ok(Device::Cuda(number)),
        Some(why) => {
            bail!("device `{name}`: {why}. `xsfm-train devices` shows what is there; `--device cpu` needs none of it")
        }
    }
}

/// Threads that prepare batches for a device, beside the one that trains or scores. One has 900,000 rows of Criteo's 39
/// fields ready in a second, more than a CPU takes.
pub fn preparing_threads(device: Device) -> usize {
    const MOST: usize = 8;
    match device {
        Device::Cpu => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from).min(MOST),
    }
}

/// Checks that a device multiplies matrices of bfloat16 by instructions of its own; without them they take longer than
/// those of f32.
///
/// # Errors
/// It does not; the message says what would.
pub fn check_bfloat16(device: Device) -> Result<()> {
    if device == Device::Cpu && !cpu_has_bfloat16() {
        bail!(
            "--mixed-precision: this CPU has no AVX512-BF16; use --device cuda:0 on a machine with a GPU, or leave it \
             out"
        );
    }
    Ok(())
}

/// Whether this CPU multiplies bfloat16 by instructions of its own.
pub fn cpu_has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_instructions = is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has_instructions = false;
    has_instructions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn devices_are_named_and_checked() {
        assert_eq!(parse("cpu").unwrap(), Device::Cpu);
        for (name, says) in [("gpu", "`cpu` or `cuda:N`"), ("cuda:x", "not the number of a GPU"), ("", "unknown")] {
            let message = parse(name).unwrap_err().to_string();
            assert!(message.contains(says), "{name}: {message}");
        }
        let message = check("cuda:4096").unwrap_err().to_string();
        let expected = Seen::look().why_not(Some(4096)).unwrap();
        assert!(message.contains(&expected) && message.contains("`--device cpu`"), "{message}");
    }
}
