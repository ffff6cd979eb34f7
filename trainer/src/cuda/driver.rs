//! The boundary to libraries that are opened when the program runs: libtorch's part for GPUs, and NVIDIA's driver.

#![allow(unsafe_code, reason = "opening libraries, and calls to C")]

use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use serde::Serialize;

/// The driver's library, which comes with the kernel module, not with CUDA or libtorch.
pub(super) const DRIVER: &str = "libcuda.so.1";

/// What a function of the driver gives: 0 where it did what it should.
type Status = c_int;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR` of `cuda.h`.
const COMPUTE_CAPABILITY: [c_int; 2] = [75, 76];

/// Opens a library of libtorch's, whose operations then are among those that libtorch knows. It stays open.
///
/// # Errors
/// What the loader says.
pub(super) fn open_for_good(path: &Path) -> Result<(), String> {
    std::mem::forget(open(path)?);
    Ok(())
}

fn open(path: &Path) -> Result<Library, String> {
    // SAFETY: what runs when it is opened are the constructors of NVIDIA's or libtorch's own libraries, which is what
    // is wanted of it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    library.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// NVIDIA's driver.
pub(super) struct Driver(Library);

/// A GPU that the driver shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// The generation of its instructions, `9.0`.
    pub compute_capability: String,
}

impl Driver {
    /// # Errors
    /// What the loader says.
    pub(super) fn open() -> Result<Self, String> {
        open(Path::new(DRIVER)).map(Driver)
    }

    fn function<F>(&self, name: &str) -> Result<Symbol<F>, String> {
        // SAFETY: callers name the type that cuda.h says.
        unsafe { self.0.get(name) }.map_err(|_| format!("{DRIVER} has no {name}"))
    }

    /// The newest CUDA that the driver knows: 13000 is 13.0.
    pub(super) fn version(&self) -> Result<i64, String> {
        let get = self.function::<unsafe extern "C" fn(*mut c_int) -> Status>("cuDriverGetVersion")?;
        let mut version = 0;
        // SAFETY: it writes a number.
        self.check("cuDriverGetVersion", unsafe { get(&raw mut version) })?;
        Ok(version.into())
    }

    /// The GPUs that this process may use; `CUDA_VISIBLE_DEVICES` hides the others.
    pub(super) fn gpus(&self) -> Result<Vec<Gpu>, String> {
        let init = self.function::<unsafe extern "C" fn(c_uint) -> Status>("cuInit")?;
        // SAFETY: its flags are 0.
        self.check("cuInit", unsafe { init(0) })?;
        let count = self.function::<unsafe extern "C" fn(*mut c_int) -> Status>("cuDeviceGetCount")?;
        let mut gpus = 0;
        // SAFETY: it writes a number.
        self.check("cuDeviceGetCount", unsafe { count(&raw mut gpus) })?;
        (0..gpus).map(|number| self.gpu(number)).collect()
    }

    fn gpu(&self, number: c_int) -> Result<Gpu, String> {
        let get = self.function::<unsafe extern "C" fn(*mut c_int, c_int) -> Status>("cuDeviceGet")?;
        let mut device = 0;
        // SAFETY: it writes the device's handle, a number.
        self.check("cuDeviceGet", unsafe { get(&raw mut device, number) })?;
        let get = self.function::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> Status>("cuDeviceGetName")?;
        let mut name = [0_u8; 256];
        // SAFETY: it writes at most so many bytes, the last of which stays 0.
        self.check("cuDeviceGetName", unsafe { get(name.as_mut_ptr().cast(), 255, device) })?;
        let get = self.function::<unsafe extern "C" fn(*mut usize, c_int) -> Status>("cuDeviceTotalMem_v2")?;
        let mut bytes = 0;
        // SAFETY: it writes a number.
        self.check("cuDeviceTotalMem_v2", unsafe { get(&raw mut bytes, device) })?;
        let get = self.function::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Status>("cuDeviceGetAttribute")?;
        let mut capability = [0; 2];
        for (value, attribute) in capability.iter_mut().zip(COMPUTE_CAPABILITY) {
            // SAFETY: it writes a number.
            self.check("cuDeviceGetAttribute", unsafe { get(value, attribute, device) })?;
        }
        let [major, minor] = capability;
        Ok(Gpu {
            name: CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned(),
            memory_bytes: bytes as u64,
            compute_capability: format!("{major}.{minor}"),
        })
    }

    fn check(&self, name: &str, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let get = self.function::<unsafe extern "C" fn(Status, *mut *const c_char) -> Status>("cuGetErrorString");
        let mut text = std::ptr::null();
        // SAFETY: it writes the place of a text that lives as long as the library, or null.
        let is_known = get.is_ok_and(|get| unsafe { get(status, &raw mut text) } == 0) && !text.is_null();
        // SAFETY: as above.
        let text = if is_known { unsafe { CStr::from_ptr(text) }.to_string_lossy() } else { "an unknown error".into() };
        Err(format!("{name}: {text} (error {status})"))
    }
}
