//! What machine it is, and how busy its GPU.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};
use fs_err as fs;

/// How often the GPU is asked.
const EVERY: Duration = Duration::from_millis(250);

/// Tells a machine without a GPU before anything is built: `xsfm-train devices` knows more.
///
/// # Errors
/// The kernel has no door to a GPU: neither `/dev/nvidia*` nor WSL's `/dev/dxg`.
pub(crate) fn expect_gpu() -> Result<()> {
    let is_door = |path: &Path| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with("nvidia") || name == "dxg"
        })
    };
    let is_there = Path::new("/dev").read_dir()?.flatten().any(|entry| is_door(&entry.path()));
    ensure!(
        is_there,
        "this machine has no NVIDIA GPU, or this container was not given it: there is no /dev/nvidia*; \
         `--device cpu` rehearses without one"
    );
    Ok(())
}

/// The processor's name and its cores.
pub(crate) fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
}

/// A name as that of a folder.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

/// Asks `nvidia-smi` now and then how busy a GPU is.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<[f64; 2]>>>,
}

/// How busy a GPU was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Utilisation {
    /// Mean share of the time in which a kernel ran, in percent, from the first kernel to the last.
    pub(crate) percent: f64,
    /// Most memory in use, by all programs.
    pub(crate) mib: f64,
}

impl Watch {
    pub(crate) fn begin(device: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let number = match device.split_once(':') {
            None if device == "cpu" => return Watch { over, thread: None },
            None => "0".to_owned(),
            Some((_, number)) => number.to_owned(),
        };
        let stop = over.clone();
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(sample) = sample(&number) else { break };
                samples.push(sample);
                thread::sleep(EVERY);
            }
            samples
        });
        Watch { over, thread: Some(thread) }
    }

    /// `None` where there is no `nvidia-smi`, or where it says nothing.
    pub(crate) fn end(self) -> Option<Utilisation> {
        self.over.store(true, Ordering::Relaxed);
        Utilisation::of(&self.thread?.join().ok()?)
    }
}

fn sample(number: &str) -> Option<[f64; 2]> {
    let mut ask = Command::new("nvidia-smi");
    ask.args(["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-i", number]);
    let output = ask.output().ok().filter(|output| output.status.success())?;
    numbers(&String::from_utf8_lossy(&output.stdout))
}

fn numbers(line: &str) -> Option<[f64; 2]> {
    let (percent, mib) = line.trim().split_once(", ")?;
    Some([percent.parse().ok()?, mib.parse().ok()?])
}

impl Utilisation {
    fn of(samples: &[[f64; 2]]) -> Option<Self> {
        let is_busy = |sample: &[f64; 2]| sample[0] > 0.0;
        let (first, last) = (samples.iter().position(is_busy)?, samples.iter().rposition(is_busy)?);
        let busy = &samples[first..=last];
        let percent = busy.iter().map(|[percent, _]| percent).sum::<f64>() / busy.len() as f64;
        Some(Utilisation { percent, mib: samples.iter().map(|[_, mib]| *mib).fold(0.0, f64::max) })
    }

    /// As the table shows it.
    pub(crate) fn words(&self) -> (String, String) {
        (format!("{:.0} %", self.percent), format!("{:.0} MiB", self.mib))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn utilisation_is_that_between_the_first_and_the_last_kernel() {
        let samples = ["0, 4", "80, 900", "0, 1000", "100, 700", "0, 600"].map(|line| numbers(line).unwrap());
        assert_eq!(Utilisation::of(&samples), Some(Utilisation { percent: 60.0, mib: 1000.0 }));
        assert_eq!(Utilisation::of(&samples[..1]), None);
        assert_eq!(numbers("[N/A], 4"), None);
    }

    #[test]
    fn a_cpu_is_not_watched() {
        assert_eq!(Watch::begin("cpu").end(), None);
    }

    #[test]
    fn names_become_folders() {
        assert_eq!(slug("NVIDIA H200 NVL (PCIe)"), "nvidia-h200-nvl-pcie");
    }
}
