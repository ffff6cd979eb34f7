//! OpenVINO through the C API of `libopenvino_c.so`, which PyPI's wheel `openvino` carries.
//!
//! The CPU device, one stream of one thread, tuned for latency. Input and output are bound once. Left to itself it
//! rounds f32 models to bf16 where the CPU has that, so an f32 engine says that it wants f32.
#![allow(unsafe_code, reason = "the boundary to a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{null, null_mut};

use anyhow::{Context, Result, bail};
use libloading::Library;
use xsfm_benches::FEATURES;

use crate::engine::Engine;

/// Any of the API's objects.
type Handle = *mut c_void;
/// `ov_status_e`; 0 is success.
type Status = c_int;

/// `ov_element_type_e`.
const F32: c_int = 4;
const I64: c_int = 10;

/// `ov_shape_t`.
#[repr(C)]
struct Shape {
    rank: i64,
    dimensions: *mut i64,
}

/// `ov_partial_shape_t`: bounds of the rank, and of each dimension.
#[repr(C)]
#[derive(Clone, Copy)]
struct PartialShape {
    rank: [i64; 2],
    dimensions: *mut [i64; 2],
}

/// The functions in use, as `openvino/c/*.h` of version 2026.4 declares them.
struct Api {
    last_error: unsafe extern "C" fn() -> *const c_char,
    create_core: unsafe extern "C" fn(*mut Handle) -> Status,
    free_core: unsafe extern "C" fn(Handle),
    read_model: unsafe extern "C" fn(Handle, *const c_char, *const c_char, *mut Handle) -> Status,
    free_model: unsafe extern "C" fn(Handle),
    reshape: unsafe extern "C" fn(Handle, PartialShape) -> Status,
    /// Core, model, device, twice the number of properties, the compiled model, then keys and values.
    compile: unsafe extern "C" fn(Handle, Handle, *const c_char, usize, *mut Handle, ...) -> Status,
    free_compiled: unsafe extern "C" fn(Handle),
    create_request: unsafe extern "C" fn(Handle, *mut Handle) -> Status,
    free_request: unsafe extern "C" fn(Handle),
    create_tensor: unsafe extern "C" fn(c_int, Shape, *mut c_void, *mut Handle) -> Status,
    free_tensor: unsafe extern "C" fn(Handle),
    set_input: unsafe extern "C" fn(Handle, Handle) -> Status,
    set_output: unsafe extern "C" fn(Handle, Handle) -> Status,
    infer: unsafe extern "C" fn(Handle) -> Status,
}

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
            last_error: function!(c"ov_get_last_err_msg"),
            create_core: function!(c"ov_core_create"),
            free_core: function!(c"ov_core_free"),
            read_model: function!(c"ov_core_read_model"),
            free_model: function!(c"ov_model_free"),
            reshape: function!(c"ov_model_reshape_single_input"),
            compile: function!(c"ov_core_compile_model"),
            free_compiled: function!(c"ov_compiled_model_free"),
            create_request: function!(c"ov_compiled_model_create_infer_request"),
            free_request: function!(c"ov_infer_request_free"),
            create_tensor: function!(c"ov_tensor_create_from_host_ptr"),
            free_tensor: function!(c"ov_tensor_free"),
            set_input: function!(c"ov_infer_request_set_input_tensor"),
            set_output: function!(c"ov_infer_request_set_output_tensor"),
            infer: function!(c"ov_infer_request_infer"),
        })
    }

    fn check(&self, function: &str, status: Status) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function takes nothing; what it gives is null or a string that lives until the next error.
        let message = unsafe {
            let message = (self.last_error)();
            if message.is_null() { String::new() } else { CStr::from_ptr(message).to_string_lossy().into_owned() }
        };
        bail!("{function}: status {status}: {}", message.lines().last().unwrap_or_default())
    }
}

/// An inference request with its input and output.
pub(crate) struct OpenVino {
    api: Api,
    core: Handle,
    model: Handle,
    compiled: Handle,
    request: Handle,
    input: Handle,
    output: Handle,
    indices: Vec<i64>,
    logits: Vec<f32>,
}

impl OpenVino {
    /// Compiles an ONNX file for batches of `batch` samples; `exact` forbids bf16.
    pub(crate) fn load(library: &Path, path: &Path, batch: usize, exact: bool) -> Result<Self> {
        // Filled step by step, so that an error half-way releases what is there.
        let mut engine = OpenVino {
            api: Api::load(library)?,
            core: null_mut(),
            model: null_mut(),
            compiled: null_mut(),
            request: null_mut(),
            input: null_mut(),
            output: null_mut(),
            indices: vec![0; batch * FEATURES.len()],
            logits: vec![0.0; batch],
        };
        let name = CString::new(path.as_os_str().as_encoded_bytes())?;
        let OpenVino { api, core, model, compiled, request, input, output, indices, logits } = &mut engine;
        let (batch, num_fields) = (i64::try_from(batch)?, i64::try_from(FEATURES.len())?);
        let mut bounds = [[batch; 2], [num_fields; 2]];
        let partial = PartialShape { rank: [2; 2], dimensions: bounds.as_mut_ptr() };
        let (mut input_shape, mut output_shape) = ([batch, num_fields], [batch]);
        let input_shape = Shape { rank: 2, dimensions: input_shape.as_mut_ptr() };
        let output_shape = Shape { rank: 1, dimensions: output_shape.as_mut_ptr() };
        // SAFETY: every handle is passed on only after the call that made it succeeded; strings end with a zero; shapes
        // point at as many dimensions as their rank says, and are copied; the tensors' memory has the size of their
        // shapes, and neither moves nor goes before them: `Drop` sees to that.
        unsafe {
            api.check("ov_core_create", (api.create_core)(core))?;
            api.check("ov_core_read_model", (api.read_model)(*core, name.as_ptr(), null(), model))?;
            api.check("ov_model_reshape_single_input", (api.reshape)(*model, partial))?;
            let done = (api.compile)(
                *core,
                *model,
                c"CPU".as_ptr(),
                if exact { 8 } else { 6 },
                compiled,
                c"PERFORMANCE_HINT".as_ptr(),
                c"LATENCY".as_ptr(),
                c"INFERENCE_NUM_THREADS".as_ptr(),
                c"1".as_ptr(),
                c"NUM_STREAMS".as_ptr(),
                c"1".as_ptr(),
                // Read only where the count above says so.
                c"INFERENCE_PRECISION_HINT".as_ptr(),
                c"f32".as_ptr(),
            );
            api.check("ov_core_compile_model", done)?;
            api.check("ov_compiled_model_create_infer_request", (api.create_request)(*compiled, request))?;
            let made = (api.create_tensor)(I64, input_shape, indices.as_mut_ptr().cast(), input);
            api.check("ov_tensor_create_from_host_ptr", made)?;
            let made = (api.create_tensor)(F32, output_shape, logits.as_mut_ptr().cast(), output);
            api.check("ov_tensor_create_from_host_ptr", made)?;
            api.check("ov_infer_request_set_input_tensor", (api.set_input)(*request, *input))?;
            api.check("ov_infer_request_set_output_tensor", (api.set_output)(*request, *output))?;
        }
        Ok(engine)
    }
}

impl Engine for OpenVino {
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()> {
        self.indices.iter_mut().zip(indices).for_each(|(wide, &index)| *wide = i64::from(index));
        // SAFETY: the request is live, and so is the memory that it reads and writes.
        self.api.check("ov_infer_request_infer", unsafe { (self.api.infer)(self.request) })?;
        logits.copy_from_slice(&self.logits);
        Ok(())
    }
}

impl Drop for OpenVino {
    fn drop(&mut self) {
        let api = &self.api;
        let handles = [
            (self.request, api.free_request),
            (self.input, api.free_tensor),
            (self.output, api.free_tensor),
            (self.compiled, api.free_compiled),
            (self.model, api.free_model),
            (self.core, api.free_core),
        ];
        for (handle, free) in handles.into_iter().filter(|(handle, _)| !handle.is_null()) {
            // SAFETY: the handle came from the API and is freed once, before what it depends on.
            unsafe { free(handle) };
        }
    }
}
