//! LiteRT through the C API of `libLiteRt.so`, which PyPI's wheel `ai-edge-litert` carries.
//!
//! The CPU accelerator, which is XNNPACK, with one thread. Input and output are this process's memory and are bound
//! once.
#![allow(unsafe_code, reason = "the boundary to a C library")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::null_mut;

use anyhow::{Context, Result, bail};
use libloading::Library;
use xsfm_benches::FEATURES;
use xsfm_runtime::ScratchBlock;
use zerocopy::{FromBytes, IntoBytes};

use crate::engine::Engine;

/// Any of the API's objects.
type Handle = *mut c_void;
/// `LiteRtStatus`; 0 is success.
type Status = c_int;

const CPU: c_int = 1;
const INT32: c_int = 2;
const FLOAT32: c_int = 1;

/// `LiteRtRankedTensorType`, with its `LiteRtLayout`.
#[repr(C)]
struct TensorType {
    element_type: c_int,
    /// `rank : 7`, `has_strides : 1`.
    rank: u32,
    dimensions: [i32; 8],
    strides: [u32; 8],
}

/// `LiteRtEnvOption` with an integer.
#[repr(C)]
struct EnvironmentOption {
    tag: c_int,
    value: Any,
}

/// `LiteRtAny` with an integer.
#[repr(C, align(8))]
struct Any {
    /// `LiteRtAnyType`.
    kind: c_int,
    value: i64,
}

/// `kLiteRtEnvOptionTagMinLoggerSeverity`: only errors are said.
const QUIET: EnvironmentOption = EnvironmentOption { tag: 25, value: Any { kind: 2, value: 3 } };

/// The functions in use, as `litert/c/*.h` of version 2.3 declares them.
struct Api {
    create_environment: unsafe extern "C" fn(c_int, *const EnvironmentOption, *mut Handle) -> Status,
    destroy_environment: unsafe extern "C" fn(Handle),
    create_model: unsafe extern "C" fn(Handle, *const c_char, *mut Handle) -> Status,
    destroy_model: unsafe extern "C" fn(Handle),
    create_options: unsafe extern "C" fn(*mut Handle) -> Status,
    destroy_options: unsafe extern "C" fn(Handle),
    set_accelerators: unsafe extern "C" fn(Handle, c_int) -> Status,
    create_opaque: unsafe extern "C" fn(*const c_char, *mut c_void, Option<Deleter>, *mut Handle) -> Status,
    add_opaque: unsafe extern "C" fn(Handle, Handle) -> Status,
    compile: unsafe extern "C" fn(Handle, Handle, Handle, *mut Handle) -> Status,
    destroy_compiled: unsafe extern "C" fn(Handle),
    resize: unsafe extern "C" fn(Handle, usize, usize, *const c_int, usize) -> Status,
    create_buffer: unsafe extern "C" fn(*const TensorType, *mut c_void, usize, Option<Deleter>, *mut Handle) -> Status,
    destroy_buffer: unsafe extern "C" fn(Handle),
    run: unsafe extern "C" fn(Handle, usize, usize, *mut Handle, usize, *mut Handle) -> Status,
}

/// Frees what the API was given.
type Deleter = unsafe extern "C" fn(*mut c_void);

impl Api {
    fn load(path: &Path) -> Result<Self> {
        // SAFETY: the library is the one from the pinned wheel; its initialisers have no preconditions.
        let library = unsafe { Library::new(path) }.with_context(|| path.display().to_string())?;
        // Never unloaded: its functions are kept as pointers, and its threads may outlive its objects.
        let library = ManuallyDrop::new(library);
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field's type is the declaration of the function with this name.
                *unsafe { library.get($name) }.with_context(|| format!("{}: {:?}", path.display(), $name))?
            };
        }
        Ok(Api {
            create_environment: function!(c"LiteRtCreateEnvironment"),
            destroy_environment: function!(c"LiteRtDestroyEnvironment"),
            create_model: function!(c"LiteRtCreateModelFromFile"),
            destroy_model: function!(c"LiteRtDestroyModel"),
            create_options: function!(c"LiteRtCreateOptions"),
            destroy_options: function!(c"LiteRtDestroyOptions"),
            set_accelerators: function!(c"LiteRtSetOptionsHardwareAccelerators"),
            create_opaque: function!(c"LiteRtCreateOpaqueOptions"),
            add_opaque: function!(c"LiteRtAddOpaqueOptions"),
            compile: function!(c"LiteRtCreateCompiledModel"),
            destroy_compiled: function!(c"LiteRtDestroyCompiledModel"),
            resize: function!(c"LiteRtCompiledModelResizeInputTensor"),
            create_buffer: function!(c"LiteRtCreateTensorBufferFromHostMemory"),
            destroy_buffer: function!(c"LiteRtDestroyTensorBuffer"),
            run: function!(c"LiteRtRunCompiledModel"),
        })
    }
}

/// A compiled model with its input and output.
pub(crate) struct LiteRt {
    api: Api,
    environment: Handle,
    model: Handle,
    options: Handle,
    compiled: Handle,
    input: Buffer,
    output: Buffer,
}

/// Memory, and the API's name for it.
struct Buffer {
    handle: Handle,
    /// At a multiple of 64, as the API asks.
    memory: Vec<ScratchBlock>,
}

impl LiteRt {
    /// Compiles a `.tflite` file for batches of `batch` samples.
    pub(crate) fn load(library: &Path, path: &Path, batch: usize) -> Result<Self> {
        // Filled step by step, so that an error half-way releases what is there.
        let mut engine = LiteRt {
            api: Api::load(library)?,
            environment: null_mut(),
            model: null_mut(),
            options: null_mut(),
            compiled: null_mut(),
            input: Buffer::new(batch * FEATURES.len()),
            output: Buffer::new(batch),
        };
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        let LiteRt { api, environment, model, options, compiled, input, output } = &mut engine;
        // SAFETY: every handle is passed on only after the call that made it succeeded; strings end with a zero; the
        // opaque options own a string that was leaked to them and that `release` takes back.
        unsafe {
            check("LiteRtCreateEnvironment", (api.create_environment)(1, &QUIET, environment))?;
            check("LiteRtCreateModelFromFile", (api.create_model)(*environment, name.as_ptr(), model))?;
            check("LiteRtCreateOptions", (api.create_options)(options))?;
            check("LiteRtSetOptionsHardwareAccelerators", (api.set_accelerators)(*options, CPU))?;
            let (mut opaque, threads) = (null_mut(), CString::from(c"num_threads = 1\n").into_raw());
            let created = (api.create_opaque)(c"xnnpack".as_ptr(), threads.cast(), Some(release), &mut opaque);
            check("LiteRtCreateOpaqueOptions", created)?;
            check("LiteRtAddOpaqueOptions", (api.add_opaque)(*options, opaque))?;
            check("LiteRtCreateCompiledModel", (api.compile)(*environment, *model, *options, compiled))?;
            let shape = [c_int::try_from(batch)?, c_int::try_from(FEATURES.len())?];
            let resized = (api.resize)(*compiled, 0, 0, shape.as_ptr(), shape.len());
            check("LiteRtCompiledModelResizeInputTensor", resized)?;
        }
        input.bind(api, INT32, &[batch, FEATURES.len()])?;
        output.bind(api, FLOAT32, &[batch])?;
        Ok(engine)
    }
}

impl Buffer {
    /// Room for `numbers` of 32 bits.
    fn new(numbers: usize) -> Self {
        Buffer { handle: null_mut(), memory: vec![ScratchBlock::ZERO; (4 * numbers).div_ceil(ScratchBlock::LEN)] }
    }

    fn bind(&mut self, api: &Api, element_type: c_int, shape: &[usize]) -> Result<()> {
        let mut kind = TensorType { element_type, rank: shape.len() as u32, dimensions: [0; 8], strides: [0; 8] };
        for (dimension, &size) in kind.dimensions.iter_mut().zip(shape) {
            *dimension = i32::try_from(size)?;
        }
        let bytes = 4 * shape.iter().product::<usize>();
        let memory = self.memory.as_mut_bytes();
        assert!(bytes <= memory.len(), "a buffer of {} bytes for {bytes}", memory.len());
        // SAFETY: `memory` has at least `bytes` bytes, and neither moves nor goes before the handle: `Drop` sees to
        // that.
        let created = unsafe { (api.create_buffer)(&kind, memory.as_mut_ptr().cast(), bytes, None, &mut self.handle) };
        check("LiteRtCreateTensorBufferFromHostMemory", created)
    }
}

impl Engine for LiteRt {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        let input = self.input.memory.as_mut_bytes().get_mut(..size_of_val(indices));
        // An index is below 2^31, so its bits are those of an i32.
        input.context("more indices than the batch has")?.copy_from_slice(indices.as_bytes());
        // SAFETY: all three handles are live, and their buffers have the size of the compiled batch.
        let status = unsafe { (self.api.run)(self.compiled, 0, 1, &mut self.input.handle, 1, &mut self.output.handle) };
        check("LiteRtRunCompiledModel", status)?;
        let output = <[f32]>::ref_from_prefix_with_elems(self.output.memory.as_bytes(), logits.len());
        logits.copy_from_slice(output.ok().context("more logits than the batch has")?.0);
        Ok(())
    }
}

impl Drop for LiteRt {
    fn drop(&mut self) {
        let api = &self.api;
        let handles = [
            (self.input.handle, api.destroy_buffer),
            (self.output.handle, api.destroy_buffer),
            (self.compiled, api.destroy_compiled),
            (self.options, api.destroy_options),
            (self.model, api.destroy_model),
            (self.environment, api.destroy_environment),
        ];
        for (handle, destroy) in handles.into_iter().filter(|(handle, _)| !handle.is_null()) {
            // SAFETY: the handle came from the API and is destroyed once, before what it depends on.
            unsafe { destroy(handle) };
        }
    }
}

/// Takes a string back that [`LiteRt::load`] leaked.
unsafe extern "C" fn release(string: *mut c_void) {
    // SAFETY: the API calls this once, with the pointer that `CString::into_raw` gave.
    drop(unsafe { CString::from_raw(string.cast()) });
}

fn check(function: &str, status: Status) -> Result<()> {
    if status != 0 {
        bail!("{function}: status {status}");
    }
    Ok(())
}
