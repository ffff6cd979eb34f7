//! The boundary to libtorch's part for GPUs: `libtorch.cpp`.

#![allow(unsafe_code, reason = "calls to C++")]

use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::adam::{BETA_1, BETA_2, EPSILON};
use crate::tensors::size;

/// Where C++ writes a text.
#[repr(C)]
struct Text {
    to: *mut c_char,
    size: usize,
}

unsafe extern "C" {
    fn xsfm_torch_version(text: Text);
    fn xsfm_torch_cpu_capability(text: Text);
    fn xsfm_torch_file(text: Text);
    fn xsfm_allow_tf32(allowed: bool);
    fn xsfm_tf32_is_allowed() -> bool;
    fn xsfm_upload(numbers: *const c_void, count: i64, kind: i8, device: i8, error: Text) -> *mut C_tensor;
    fn xsfm_fused_adam(
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        means: *const *const C_tensor,
        squares: *const *const C_tensor,
        count: usize,
        step: *const C_tensor,
        learning_rate: f64,
        beta_1: f64,
        beta_2: f64,
        weight_decay: f64,
        epsilon: f64,
        error: Text,
    ) -> bool;
}

/// What `call` gives, and the text that it writes.
fn with_text<R>(call: impl FnOnce(Text) -> R) -> (R, String) {
    let mut memory = [0_u8; 2048];
    let result = call(Text { to: memory.as_mut_ptr().cast(), size: memory.len() });
    let text = CStr::from_bytes_until_nul(&memory).unwrap_or_default();
    (result, text.to_string_lossy().into_owned())
}

/// The version of libtorch that this program was built for, `2.13.0`.
pub(crate) fn version() -> String {
    // SAFETY: it writes a text into the memory it is given.
    with_text(|text| unsafe { xsfm_torch_version(text) }).1
}

/// The instructions that libtorch uses on this CPU, `AVX512`.
pub(crate) fn cpu_capability() -> String {
    // SAFETY: as above.
    with_text(|text| unsafe { xsfm_torch_cpu_capability(text) }).1
}

/// The folder of libtorch's libraries, where the system tells.
pub(crate) fn folder() -> Option<PathBuf> {
    // SAFETY: as above.
    let (_, file) = with_text(|text| unsafe { xsfm_torch_file(text) });
    PathBuf::from(file).parent().filter(|folder| folder.is_absolute()).map(PathBuf::from)
}

/// While it lives, GPUs may round the inputs of products of f32 matrices to TF32: 10 bits of mantissa, several times as
/// fast.
#[derive(Debug)]
pub(crate) struct Tf32 {
    before: bool,
}

impl Tf32 {
    /// Allows it or forbids it.
    pub(crate) fn allow(allowed: bool) -> Self {
        // SAFETY: they read and set a flag of libtorch's, which only the thread that trains uses.
        let before = unsafe { xsfm_tf32_is_allowed() };
        // SAFETY: as above.
        unsafe { xsfm_allow_tf32(allowed) };
        Tf32 { before }
    }
}

impl Drop for Tf32 {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { xsfm_allow_tf32(self.before) };
    }
}

/// Numbers as a tensor of a device. A GPU copies them from pinned memory while the caller goes on.
///
/// # Errors
/// There is no memory for them.
pub(crate) fn upload<T: Element>(numbers: &[T], device: Device) -> Result<Tensor> {
    // As c10/core/ScalarType.h numbers them.
    let kind = match T::KIND {
        Kind::Uint8 => 0,
        Kind::Int => 3,
        Kind::Int64 => 4,
        Kind::Float => 6,
        Kind::Double => 7,
        kind => bail!("numbers of kind {kind:?} are not copied"),
    };
    let device = match device {
        Device::Cpu => -1,
        Device::Cuda(number) => i8::try_from(number)?,
        device => bail!("{device:?} is neither a CPU nor a GPU"),
    };
    // SAFETY: so many numbers of that kind lie there; the result is null or a new tensor's handle.
    let (tensor, error) =
        with_text(|text| unsafe { xsfm_upload(numbers.as_ptr().cast(), size(numbers.len()), kind, device, text) });
    ensure!(!tensor.is_null(), "{} numbers for a batch: {error}", numbers.len());
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(tensor) })
}

/// Tensors of Adam, all of one shape and contiguous.
pub(crate) type Parts<'a> = [&'a Tensor; 4];

/// A step of Adam in place: parameters, gradients, means and squares of each, and the number of the step in a tensor
/// `[1]`.
///
/// # Errors
/// They do not fit each other.
pub(crate) fn fused_adam(all: &[Parts<'_>], step: &Tensor, learning_rate: f64, weight_decay: f64) -> Result<()> {
    // The kernel for CPUs looks at the first tensor's size alone.
    let is_plain = |tensor: &Tensor, of: &Tensor| {
        (tensor.kind(), tensor.device(), tensor.size()) == (Kind::Float, step.device(), of.size())
            && tensor.is_contiguous()
    };
    for parts @ [parameter, ..] in all {
        let is_fit = parts.iter().all(|part| is_plain(part, parameter));
        ensure!(is_fit, "Adam: not four f32 tensors of one shape on {:?}, one after another: {parts:?}", step.device());
    }
    let [parameters, gradients, means, squares] =
        [0, 1, 2, 3].map(|part| all.iter().map(|parts| parts[part].as_ptr()).collect::<Vec<_>>());
    // SAFETY: handles of tensors that outlive the call, as many as said.
    let (done, error) = with_text(|text| unsafe {
        xsfm_fused_adam(
            parameters.as_ptr(),
            gradients.as_ptr(),
            means.as_ptr(),
            squares.as_ptr(),
            all.len(),
            step.as_ptr(),
            learning_rate,
            BETA_1,
            BETA_2,
            weight_decay,
            EPSILON,
            text,
        )
    });
    ensure!(done, "Adam: {error}");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_become_tensors_of_their_kind() {
        fn check<T: Element + Copy + PartialEq + std::fmt::Debug>(numbers: &[T])
        where
            Vec<T>: TryFrom<Tensor, Error: std::fmt::Debug>,
        {
            let tensor = upload(numbers, Device::Cpu).unwrap();
            assert_eq!((tensor.kind(), tensor.size()), (T::KIND, vec![size(numbers.len())]));
            assert_eq!(Vec::<T>::try_from(tensor).unwrap(), numbers);
        }
        check::<u8>(&[0, 1, 255]);
        check::<i32>(&[i32::MIN, 7]);
        check::<i64>(&[]);
        check::<i64>(&[i64::MAX, -1, 0]);
        check::<f32>(&[0.5, f32::MIN_POSITIVE]);
        check::<f64>(&[1e300]);
        assert!(upload(&[true], Device::Cpu).is_err() && upload(&[1_i64], Device::Mps).is_err());
    }

    #[test]
    fn tensors_that_do_not_fit_are_an_error() {
        let of = |n: i64| Tensor::zeros([n], (Kind::Float, Device::Cpu));
        let (three, step) = (of(3), of(1));
        let with = |gradient: &Tensor| fused_adam(&[[&three, gradient, &three, &three]], &step, 0.1, 0.0);
        for gradient in [of(4), of(2), of(6).slice(0, 0, 6, 2), three.to_kind(Kind::Double)] {
            let error = with(&gradient).unwrap_err().to_string();
            assert!(error.starts_with("Adam: not four f32 tensors of one shape on Cpu"), "{error}");
        }
        with(&of(3)).unwrap();
    }

    #[test]
    fn tf32_is_allowed_for_a_while() {
        // SAFETY: reads a flag.
        let is_allowed = || unsafe { xsfm_tf32_is_allowed() };
        let before = is_allowed();
        for allowed in [true, false] {
            let _tf32 = Tf32::allow(allowed);
            assert_eq!(is_allowed(), allowed);
        }
        assert_eq!(is_allowed(), before);
    }

    #[test]
    fn libtorch_says_what_it_is() {
        assert!(version().starts_with("2."), "{}", version());
        assert!(!cpu_capability().is_empty());
        let folder = folder().unwrap();
        assert!(folder.join("libtorch_cpu.so").exists(), "{}", folder.display());
    }
}
