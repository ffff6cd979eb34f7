//! `xsfm-train devices`: what there is to compute on, and why a GPU cannot be used.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use tch::Device;
use xsfm_interchange::output;

use crate::cuda::seen::{Seen, try_out};
use crate::device;

/// Flags of `devices`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "No GPU is no failure: the exit status is 0, and the last line says why there is none.")]
pub struct Args {
    /// As JSON on standard output
    #[arg(long)]
    json: bool,
}

/// What there is.
#[derive(Debug, Serialize)]
struct Report {
    cpu: Cpu,
    #[serde(flatten)]
    seen: Seen,
    /// What `--device` may name.
    devices: Vec<String>,
    /// GPUs that libtorch shows, but that do not compute: name and reason.
    broken: Vec<(String, String)>,
    /// Why no GPU can be used.
    why_no_gpu: Option<String>,
}

/// What matters of the CPU.
#[derive(Debug, Serialize)]
struct Cpu {
    threads: usize,
    /// Whether `--mixed-precision` can be used.
    bfloat16: bool,
}

/// Runs the command.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let report = Report::look();
    if args.json {
        output::json(&report)?
    } else {
        output::print(&report)?
    }
    Ok(())
}

impl Report {
    fn look() -> Self {
        let seen = Seen::look();
        let mut why_no_gpu = seen.why_not(None);
        let (mut devices, mut broken) = (vec!["cpu".to_owned()], Vec::new());
        let gpus = if why_no_gpu.is_none() { usize::try_from(seen.libtorch_gpus).unwrap_or(0) } else { 0 };
        for number in 0..gpus {
            let name = format!("cuda:{number}");
            match try_out(Device::Cuda(number)) {
                Ok(()) => devices.push(name),
                Err(error) => broken.push((name, error)),
            }
        }
        if let (1, Some((name, error))) = (devices.len(), broken.first()) {
            why_no_gpu = Some(format!("{name} is there, but does not compute: {error}"));
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Report { cpu: Cpu { threads, bfloat16: device::cpu_has_bfloat16() }, seen, devices, broken, why_no_gpu }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| writeln!(f, "{name:<10} {text}");
        let Seen { libtorch, driver, device_nodes, cuda_visible_devices, gpus, .. } = &self.seen;
        let folder = libtorch.folder.as_ref().map(|folder| format!(" in {}", folder.display())).unwrap_or_default();
        line("libtorch", format!("{}{folder}", libtorch.version))?;
        let bfloat16 = if self.cpu.bfloat16 { ", bfloat16" } else { "" };
        line("CPU", format!("{} threads, kernels for {}{bfloat16}", self.cpu.threads, libtorch.cpu_capability))?;
        let cuda = match (&libtorch.cuda_error, libtorch.cuda) {
            (Some(error), _) => format!("libtorch's part for GPUs cannot be opened: {error}"),
            (None, Some(version)) => format!("libtorch's part for GPUs is open, built with CUDA {version}"),
            (None, None) => "this libtorch has no part for GPUs".to_owned(),
        };
        line("CUDA", cuda)?;
        let known = driver.cuda.map(|version| format!("knows CUDA up to {version}"));
        let parts = [known, driver.module.clone(), driver.error.clone()].into_iter().flatten();
        line("driver", parts.collect::<Vec<_>>().join("; "))?;
        let nodes = if device_nodes.is_empty() { "no /dev/nvidia*".to_owned() } else { device_nodes.join(" ") };
        line("nodes", nodes)?;
        let visible = cuda_visible_devices.as_ref().map_or("is not set".to_owned(), |value| format!("is `{value}`"));
        line("visible", format!("CUDA_VISIBLE_DEVICES {visible}"))?;
        for (number, gpu) in gpus.iter().enumerate() {
            let (name, capability) = (&gpu.name, &gpu.compute_capability);
            let memory = gpu.memory_bytes as f64 / f64::from(1 << 30);
            line(&format!("cuda:{number}"), format!("{name}, {memory:.1} GiB, compute capability {capability}"))?;
        }
        for (name, error) in &self.broken {
            line(name, format!("does not compute: {error}"))?;
        }
        line("--device", self.devices.join(", "))?;
        match &self.why_no_gpu {
            Some(why) => line("no GPU", why.clone()),
            None => Ok(()),
        }
    }
}
