//! Where tensors live: chosen at run time, checked before any work starts.

use anyhow::{Result, bail};
use tch::{Cuda, Device};

/// Reads `cpu`, `cuda` or `cuda:N`, and checks that this machine has it.
///
/// # Errors
/// Another name, or a GPU that is not there; the message says what is.
pub fn parse(name: &str) -> Result<Device> {
    let number = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => 0,
        Some(("cuda", number)) => match number.parse::<usize>() {
            Ok(number) => number,
            Err(_) => bail!("device `{name}`: `{number}` is not the number of a GPU; write for example `cuda:0`"),
        },
        _ => bail!("device `{name}` is unknown; it is `cpu` or `cuda:N`, for example `cuda:0`"),
    };
    if !Cuda::is_available() {
        bail!("device `{name}`: libtorch finds no usable GPU on this machine (no NVIDIA driver?); use `--device cpu`");
    }
    let count = Cuda::device_count();
    if i64::try_from(number).is_ok_and(|number| number < count) {
        return Ok(Device::Cuda(number));
    }
    bail!("device `{name}`: this machine has {count} GPU(s), numbered from 0");
}

/// Checks that a device multiplies matrices of bfloat16 by instructions of its own; without them they take longer than those of f32.
///
/// # Errors
/// It does not; the message says what would.
pub fn check_bfloat16(device: Device) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    let has_instructions = is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has_instructions = false;
    if device == Device::Cpu && !has_instructions {
        bail!(
            "--mixed-precision: this CPU has no AVX512-BF16; use --device cuda:0 on a machine with a GPU, or leave it out"
        );
    }
    Ok(())
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
        if Cuda::is_available() {
            assert!(parse("cuda:4096").unwrap_err().to_string().contains("numbered from 0"));
        } else {
            let message = parse("cuda:0").unwrap_err().to_string();
            assert!(message.contains("no usable GPU") && message.contains("--device cpu"), "{message}");
        }
    }
}
