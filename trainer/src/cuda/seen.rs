//! What libtorch, the driver and this machine show of GPUs, and why none can be used: a sentence for each cause.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::Serialize;
use tch::{Cuda, Device, Kind, TchError, Tensor, utils};

pub use super::driver::Gpu;
use super::{driver, libtorch};

/// libtorch's part for GPUs, beside `libtorch_cpu.so`.
const LIBRARY: &str = "libtorch_cuda.so";
/// Numbers of the GPUs that a process may use, in its order.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// What there is to compute on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// libtorch, and its part for GPUs.
    pub libtorch: Libtorch,
    /// NVIDIA's driver.
    pub driver: Driver,
    /// `/dev/nvidia*`: the kernel's doors to GPUs, which a container must be given.
    pub device_nodes: Vec<String>,
    /// The environment variable `CUDA_VISIBLE_DEVICES`.
    pub cuda_visible_devices: Option<String>,
    /// GPUs that the driver shows to this process.
    pub gpus: Vec<Gpu>,
    /// GPUs that libtorch shows.
    pub libtorch_gpus: i64,
}

/// A libtorch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Libtorch {
    /// Its version.
    pub version: String,
    /// Where its libraries are.
    pub folder: Option<PathBuf>,
    /// The instructions that its kernels use on this CPU.
    pub cpu_capability: String,
    /// Whether there is a part for GPUs.
    pub has_cuda: bool,
    /// Why that part cannot be opened.
    pub cuda_error: Option<String>,
    /// The CUDA that it was built with, `13.0`, where it could be opened.
    pub cuda: Option<Version>,
}

/// A driver, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// The newest CUDA that it knows.
    pub cuda: Option<Version>,
    /// What the kernel's module says of itself.
    pub module: Option<String>,
    /// Why it shows no GPU.
    pub error: Option<String>,
}

/// A version of CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 13 of 13.0.
    pub major: i64,
    /// 0 of 13.0.
    pub minor: i64,
}

impl Version {
    /// As CUDA's functions give it: 13000 is 13.0.
    pub fn of(number: i64) -> Self {
        Version { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Opens libtorch's part for GPUs, where it is there and not yet open. `None` where there is none.
fn open_library() -> &'static Option<Result<(), String>> {
    static OPENED: OnceLock<Option<Result<(), String>>> = OnceLock::new();
    OPENED.get_or_init(|| {
        let path = libtorch::folder()?.join(LIBRARY);
        path.exists().then(|| driver::open_for_good(&path))
    })
}

impl Seen {
    /// Looks. Half a second, most of which is opening libtorch's part for GPUs.
    pub fn look() -> Self {
        let opened = open_library();
        // It must be open before libtorch is asked the first time.
        let is_known = utils::has_cudart();
        let cuda_error = match opened {
            Some(Err(error)) => Some(error.clone()),
            Some(Ok(())) if !is_known => Some("this process had used libtorch before".to_owned()),
            _ => None,
        };
        let driver = driver::Driver::open();
        let version = driver.as_ref().map_err(Clone::clone).and_then(driver::Driver::version);
        let gpus = driver.as_ref().map_err(Clone::clone).and_then(driver::Driver::gpus);
        Seen {
            libtorch: Libtorch {
                version: libtorch::version(),
                folder: libtorch::folder(),
                cpu_capability: libtorch::cpu_capability(),
                has_cuda: opened.is_some() || is_known,
                cuda_error,
                cuda: is_known.then(|| Version::of(utils::version_cudart())),
            },
            driver: Driver {
                error: version.clone().err().or(gpus.clone().err()),
                cuda: version.ok().map(Version::of),
                module: fs::read_to_string("/proc/driver/nvidia/version")
                    .ok()
                    .and_then(|text| text.lines().next().map(str::to_owned)),
            },
            device_nodes: device_nodes(),
            cuda_visible_devices: std::env::var_os(VISIBLE).map(|value| value.to_string_lossy().into_owned()),
            // Where the driver shows none, libtorch would only warn of that in its own words.
            libtorch_gpus: if is_known && gpus.as_ref().is_ok_and(|gpus| !gpus.is_empty()) {
                Cuda::device_count()
            } else {
                0
            },
            gpus: gpus.unwrap_or_default(),
        }
    }

    /// Why a GPU, or (without a number) any GPU, cannot be used; `None` where it can, as far as can be told without
    /// using it.
    pub fn why_not(&self, number: Option<usize>) -> Option<String> {
        let Seen { libtorch, driver, .. } = self;
        if !libtorch.has_cuda {
            let folder =
                libtorch.folder.as_ref().map_or("its folder".to_owned(), |folder| folder.display().to_string());
            return Some(format!(
                "this libtorch is for CPUs alone: {folder} has no {LIBRARY}; build with LIBTORCH naming one that has \
                 it, such as that of `cargo xtask setup torch`"
            ));
        }
        if let Some(error) = &libtorch.cuda_error {
            return Some(format!("libtorch's part for GPUs, {LIBRARY}, cannot be opened: {error}"));
        }
        let Some(known) = driver.cuda else {
            let error = driver.error.as_deref().unwrap_or("its version is unknown");
            return Some(format!("there is no NVIDIA driver, or none that this process can open: {error}"));
        };
        if let Some(built) = libtorch.cuda
            && known.major < built.major
        {
            return Some(format!(
                "the driver is too old: it knows CUDA up to {known}, and this libtorch was built with CUDA {built}; \
                 install a newer driver, or a libtorch for CUDA {}",
                known.major
            ));
        }
        if self.gpus.is_empty() {
            let error = driver.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            return Some(match &self.cuda_visible_devices {
                Some(value) => format!("the driver shows no GPU{error}; {VISIBLE} is `{value}`, which may hide them"),
                None if self.device_nodes.is_empty() => {
                    format!("the driver shows no GPU{error}: there is no /dev/nvidia0; a container must be given it")
                }
                None => format!(
                    "the driver shows no GPU{error}, although there is {}; a container must be given /dev/nvidiactl \
                     and /dev/nvidia-uvm too",
                    self.device_nodes.join(", ")
                ),
            });
        }
        if self.libtorch_gpus == 0 {
            return Some(format!("the driver shows {} GPU(s), but libtorch none", self.gpus.len()));
        }
        let number = number.filter(|&number| i64::try_from(number).is_ok_and(|number| number >= self.libtorch_gpus))?;
        let hidden = self.cuda_visible_devices.as_ref().map(|value| format!(" ({VISIBLE} is `{value}`)"));
        Some(format!(
            "there is no GPU {number}: this process sees {}, numbered from 0{}",
            self.libtorch_gpus,
            hidden.unwrap_or_default()
        ))
    }
}

fn device_nodes() -> Vec<String> {
    let Ok(folder) = fs::read_dir("/dev") else { return Vec::new() };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut nodes: Vec<String> =
        names.filter(|name| name.starts_with("nvidia")).map(|name| format!("/dev/{name}")).collect();
    nodes.sort();
    nodes
}

/// Multiplies two small matrices on a device: whether its memory and its kernels work.
///
/// # Errors
/// What libtorch says, in one line.
pub fn try_out(device: Device) -> Result<(), String> {
    let compute = || -> Result<bool, TchError> {
        let numbers = Tensor::f_arange(16, (Kind::Float, Device::Cpu))?.f_view([4, 4])?;
        let there = numbers.f_to_device(device)?;
        let product = there.f_matmul(&there)?.f_to_device(Device::Cpu)?;
        Ok(product == numbers.f_matmul(&numbers)?)
    };
    match compute() {
        Ok(true) => Ok(()),
        Ok(false) => Err("a product of two small matrices is wrong".to_owned()),
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A machine on which all is well.
    fn well() -> Seen {
        let gpu = Gpu { name: "GPU".to_owned(), memory_bytes: 1 << 37, compute_capability: "9.0".to_owned() };
        Seen {
            libtorch: Libtorch {
                version: "2.13.0".to_owned(),
                folder: Some(PathBuf::from("/opt/torch/lib")),
                cpu_capability: "AVX2".to_owned(),
                has_cuda: true,
                cuda_error: None,
                cuda: Some(Version::of(13000)),
            },
            driver: Driver { cuda: Some(Version::of(13010)), module: None, error: None },
            device_nodes: vec!["/dev/nvidia0".to_owned(), "/dev/nvidiactl".to_owned()],
            cuda_visible_devices: None,
            gpus: vec![gpu.clone(), gpu],
            libtorch_gpus: 2,
        }
    }

    #[test]
    fn each_cause_has_its_own_sentence() {
        assert_eq!(well().why_not(None), None);
        assert_eq!(well().why_not(Some(1)), None);
        type Change = fn(&mut Seen);
        let causes: [(&str, Change, &[&str]); 12] = [
            ("CPU alone", |s| s.libtorch.has_cuda = false, &["for CPUs alone", "/opt/torch/lib", "libtorch_cuda.so"]),
            (
                "cannot be opened",
                |s| s.libtorch.cuda_error = Some("libcudart.so.13: cannot open shared object file".to_owned()),
                &["cannot be opened: libcudart.so.13"],
            ),
            (
                "no driver",
                |s| s.driver = Driver { cuda: None, module: None, error: Some("libcuda.so.1: none".to_owned()) },
                &["no NVIDIA driver", "libcuda.so.1: none"],
            ),
            (
                "too old",
                |s| s.driver.cuda = Some(Version::of(12080)),
                &["too old", "up to 12.8", "CUDA 13.0", "CUDA 12"],
            ),
            (
                "an older minor version will do",
                |s| {
                    s.libtorch.cuda = Some(Version::of(12090));
                    s.driver.cuda = Some(Version::of(12040));
                },
                &[],
            ),
            (
                "hidden",
                |s| {
                    s.gpus.clear();
                    s.cuda_visible_devices = Some("-1".to_owned());
                },
                &["shows no GPU", "CUDA_VISIBLE_DEVICES is `-1`"],
            ),
            (
                "no nodes",
                |s| {
                    s.gpus.clear();
                    s.device_nodes.clear();
                    s.driver.error = Some("cuInit: no device (error 100)".to_owned());
                },
                &["shows no GPU (cuInit: no device (error 100))", "no /dev/nvidia0"],
            ),
            ("some nodes", |s| s.gpus.clear(), &["although there is /dev/nvidia0, /dev/nvidiactl", "/dev/nvidia-uvm"]),
            ("libtorch sees none", |s| s.libtorch_gpus = 0, &["the driver shows 2 GPU(s), but libtorch none"]),
            ("one too many", |s| s.libtorch_gpus = 1, &["there is no GPU 1: this process sees 1, numbered from 0"]),
            (
                "one too many of those shown",
                |s| {
                    s.libtorch_gpus = 1;
                    s.cuda_visible_devices = Some("3".to_owned());
                },
                &["sees 1", "(CUDA_VISIBLE_DEVICES is `3`)"],
            ),
            ("all is well", |_| (), &[]),
        ];
        let mut sentences = Vec::new();
        for (name, change, expected) in causes {
            let mut seen = well();
            change(&mut seen);
            let why = seen.why_not(Some(1));
            assert_eq!(why.is_none(), expected.is_empty(), "{name}: {why:?}");
            for part in expected {
                assert!(why.as_ref().unwrap().contains(part), "{name}: {why:?} has no {part:?}");
            }
            sentences.extend(why);
        }
        let all = sentences.len();
        sentences.sort();
        sentences.dedup();
        assert_eq!(sentences.len(), all, "two causes have the same sentence");
    }

    #[test]
    fn versions_are_those_of_cuda() {
        for (number, text) in [(13000, "13.0"), (12080, "12.8"), (12040, "12.4"), (11080, "11.8")] {
            assert_eq!(Version::of(number).to_string(), text);
        }
        assert!(Version::of(12090) < Version::of(13000));
    }

    #[test]
    fn what_is_there_can_be_tried_out() {
        assert_eq!(try_out(Device::Cpu), Ok(()));
        let seen = Seen::look();
        if seen.why_not(None).is_some() {
            assert!(!try_out(Device::Cuda(0)).unwrap_err().contains('\n'));
        }
    }
}
