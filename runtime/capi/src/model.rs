//! Models: loaded in place, looked into, prepared.

use core::ffi::c_char;

use xsfm_runtime::{Backend, LoadOptions, Mode, Model, ScratchBlock};

use crate::error::{XsfmError, report, report_made};
use crate::failure::{Error, Problem};
use crate::handle::{self, Handle, fits};
use crate::pointer;
use crate::status::XsfmStatus;

/// Numbers of 64 bits in an `xsfm_model`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_MODEL_WORDS: usize = 34;
/// Numbers of 64 bits in an `xsfm_model`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_MODEL_WORDS: usize = 64;

/// A model: views into its file, which stays where it is. May be copied, and read by several threads.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmModel {
    opaque: [u64; XSFM_MODEL_WORDS],
}

const _: () = assert!(fits::<XsfmModel, Model<'static>>(), "XSFM_MODEL_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmModel {
    // The lifetime is the caller's to keep: the header says what must outlive what.
    type Value = Model<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmMod1");
}

/// 64 bytes of memory for scores, aligned for every vector register.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct XsfmBlock {
    /// Its bytes.
    pub bytes: [u8; 64],
}

const _: () =
    assert!(size_of::<XsfmBlock>() == ScratchBlock::LEN && align_of::<XsfmBlock>() == align_of::<ScratchBlock>());

/// The caller's memory as the runtime wants it.
///
/// # Safety
/// A pointer that is not NULL points to `blocks` blocks that nobody else uses during `'a`.
pub(crate) unsafe fn memory<'a>(
    name: &'static str,
    memory: *mut XsfmBlock,
    blocks: usize,
) -> Result<&'a mut [ScratchBlock], Error> {
    // SAFETY: the caller's promise; equal size and alignment, asserted above.
    let memory = unsafe { pointer::room(name, memory.cast::<ScratchBlock>(), blocks) }?;
    for block in memory.iter_mut() {
        block.write(ScratchBlock::ZERO);
    }
    // SAFETY: every block was just written.
    Ok(unsafe { core::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), memory.len()) })
}

/// Text that is not ended by a zero byte: printf("%.*s", (int)text.len, text.start). Lies in the model's file or in the
/// program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmText {
    /// Its first byte, UTF-8.
    pub start: *const c_char,
    /// Its bytes.
    pub len: usize,
}

impl From<&str> for XsfmText {
    fn from(text: &str) -> Self {
        XsfmText { start: text.as_ptr().cast(), len: text.len() }
    }
}

/// The arithmetic of a model.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XsfmMode {
    /// None of the others: a later version's.
    Other = 0,
    /// Weights and sums in f32.
    F32 = 1,
    /// Integers from the table to the logit: the same bits on every CPU.
    Int8 = 2,
    /// Integer weights; the outputs of layers get a scale for each row.
    Dynamic = 3,
}

/// The instructions that score a model. Codes keep their numbers; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XsfmBackend {
    /// The fastest that the CPU has.
    Fastest = 0,
    /// The fastest for which the system need not be asked: all but AMX.
    FastestWithoutAmx = 1,
    /// What the compiler made of plain code.
    Portable = 2,
    /// x86-64 with SSE4.1.
    Sse41 = 3,
    /// x86-64 with AVX2 and FMA.
    Avx2 = 4,
    /// x86-64 with AVX2, FMA and AVX-VNNI.
    AvxVnni = 5,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512Vnni = 6,
    /// The same with AMX, on Linux, which is asked for it once: that changes the process. The kernel sends signals with
    /// 8 KB more of registers, and refuses alternate signal stacks that have no room for them; where there is such a
    /// one already, AMX is not there. The system call is arch_prctl(ARCH_REQ_XCOMP_PERM), which a seccomp filter must
    /// know.
    Avx512Amx = 7,
    /// AArch64 with its baseline NEON.
    Neon = 8,
    /// AArch64 with NEON and the dot product.
    NeonDotprod = 9,
    /// AArch64 with NEON, the dot product and i8mm.
    NeonI8mm = 10,
    /// WebAssembly that was compiled for SIMD128.
    Simd128 = 11,
}

impl XsfmBackend {
    /// Those that have a name in the runtime.
    const NAMED: [(XsfmBackend, Backend); 10] = [
        (XsfmBackend::Portable, Backend::Portable),
        (XsfmBackend::Sse41, Backend::Sse41),
        (XsfmBackend::Avx2, Backend::Avx2),
        (XsfmBackend::AvxVnni, Backend::AvxVnni),
        (XsfmBackend::Avx512Vnni, Backend::Avx512Vnni),
        (XsfmBackend::Avx512Amx, Backend::Avx512Amx),
        (XsfmBackend::Neon, Backend::Neon),
        (XsfmBackend::NeonDotprod, Backend::NeonDotprod),
        (XsfmBackend::NeonI8mm, Backend::NeonI8mm),
        (XsfmBackend::Simd128, Backend::Simd128),
    ];

    /// What the runtime is told for a number.
    fn chosen(number: i32) -> Result<Option<Backend>, Problem> {
        if number == XsfmBackend::Fastest as i32 {
            return Ok(None);
        }
        if number == XsfmBackend::FastestWithoutAmx as i32 {
            return Ok(Some(Backend::detect_without_amx()));
        }
        let named = Self::NAMED.into_iter().find(|&(code, _)| code as i32 == number);
        named.map(|(_, backend)| Some(backend)).ok_or(Problem::NoSuchBackend { number })
    }
}

/// How xsfm_load_with loads a model; all zeros: as xsfm_load.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmLoadOptions {
    /// One of the codes XSFM_BACKEND_...
    pub backend: i32,
    /// Other than 0: not to read all bytes for their checksum.
    pub skip_checksum: i32,
}

/// What a model is and costs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmInfo {
    /// The arithmetic.
    pub mode: XsfmMode,
    /// Fields of a row.
    pub num_fields: usize,
    /// Length of a field's vector.
    pub embed_dim: usize,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Blocks that xsfm_scorer_new needs: all the RAM beside the stack.
    pub scratch_blocks: usize,
    /// Blocks with which xsfm_score_batch takes rows together, which is faster on CPUs with vector instructions.
    pub batch_scratch_blocks: usize,
    /// Blocks that xsfm_prepare needs; 0 where there is nothing to prepare.
    pub prepared_blocks: usize,
    /// Trained numbers.
    pub parameters: usize,
    /// Multiply-accumulates of one row in field vectors, pairs and layers.
    pub multiply_accumulates: usize,
    /// The instructions that score it, such as "avx2".
    pub backend: XsfmText,
}

/// A field of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmField {
    /// Its name in the training data.
    pub name: XsfmText,
    /// Valid indices are below this.
    pub features: u32,
    /// Whether a row may have several indices in this field.
    pub bag: bool,
    /// Whether each index has the word of its weight behind it.
    pub weighted: bool,
}

/// The newest version of the file's format that this library reads.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_format_version() -> u16 {
    xsfm_runtime::format::VERSION
}

/// Loads a model from `len` bytes at `bytes`, and checks all of them. They may go on after the file's end. `bytes` is
/// at a multiple of 4, best of 64: see XSFM_ALIGNED.
///
/// On x86-64 Linux the CPU is asked what it has, once in a process, and Linux for AMX where the CPU has it:
/// xsfm_load_with chooses.
///
/// # Safety
/// The bytes stay there, unchanged, as long as `model`, its copies, and what is made from them are used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_load(
    model: *mut XsfmModel,
    bytes: *const u8,
    len: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    // SAFETY: the caller's promise.
    unsafe { load(model, bytes, len, error, || Ok(LoadOptions::default())) }
}

/// As xsfm_load, but does not read all bytes for their checksum. Damaged weights make scores wrong, never unsafe.
///
/// # Safety
/// As xsfm_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_load_skipping_checksum(
    model: *mut XsfmModel,
    bytes: *const u8,
    len: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    // SAFETY: the caller's promise.
    unsafe { load(model, bytes, len, error, || Ok(LoadOptions { skip_checksum: true, ..LoadOptions::default() })) }
}

/// As xsfm_load, with what is chosen before; `options` may be NULL, and all zeros are what xsfm_load does.
///
/// # Safety
/// As xsfm_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_load_with(
    model: *mut XsfmModel,
    bytes: *const u8,
    len: usize,
    options: *const XsfmLoadOptions,
    error: *mut XsfmError,
) -> XsfmStatus {
    let chosen = || {
        if options.is_null() {
            return Ok(LoadOptions::default());
        }
        // SAFETY: the caller's promise.
        let XsfmLoadOptions { backend, skip_checksum } = *unsafe { pointer::shared("options", options) }?;
        let backend = XsfmBackend::chosen(backend).map_err(|problem| Error::argument("options.backend", problem))?;
        Ok(LoadOptions { skip_checksum: skip_checksum != 0, backend })
    };
    // SAFETY: the caller's promise.
    unsafe { load(model, bytes, len, error, chosen) }
}

/// # Safety
/// As [`xsfm_load`].
unsafe fn load(
    model: *mut XsfmModel,
    bytes: *const u8,
    len: usize,
    error: *mut XsfmError,
    options: impl FnOnce() -> Result<LoadOptions, Error>,
) -> XsfmStatus {
    let make = || {
        pointer::check("bytes", bytes)?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { pointer::array("bytes", bytes, len) }?;
        Ok(Model::from_bytes_with(bytes, options()?)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "model", model, make) }
}

/// Reads all bytes of a model for their checksum: what xsfm_load_skipping_checksum has left for later.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_verify_checksum(model: *const XsfmModel, error: *mut XsfmError) -> XsfmStatus {
    // SAFETY: the caller's promise.
    unsafe { report(error, || Ok(handle::shared("model", model)?.verify_checksum()?)) }
}

/// Tells what a model is and costs, before anything is scored.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_get_info(
    model: *const XsfmModel,
    info: *mut XsfmInfo,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (model, info) = unsafe { (handle::shared("model", model)?, pointer::place("info", info)?) };
        let statistics = model.statistics();
        info.write(XsfmInfo {
            mode: match statistics.mode {
                Mode::F32 => XsfmMode::F32,
                Mode::Int8 => XsfmMode::Int8,
                Mode::Dynamic => XsfmMode::Dynamic,
                _ => XsfmMode::Other,
            },
            num_fields: statistics.num_fields,
            embed_dim: statistics.embed_dim,
            file_bytes: statistics.file_bytes,
            scratch_blocks: model.scratch_blocks(),
            batch_scratch_blocks: model.batch_scratch_blocks(),
            prepared_blocks: model.prepared_blocks(),
            parameters: statistics.parameters,
            multiply_accumulates: statistics.multiply_accumulates,
            backend: model.backend().name().into(),
        });
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Tells the name and the size of field number `number`, from 0. The name lies in the model's file.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_get_field(
    model: *const XsfmModel,
    number: usize,
    field: *mut XsfmField,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (model, field) = unsafe { (handle::shared("model", model)?, pointer::place("field", field)?) };
        let problem = Problem::NoSuchField { field: number, num_fields: model.num_fields() };
        let found = model.fields().nth(number).ok_or(Error::argument("number", problem))?;
        let xsfm_runtime::schema::Field { features, bag, weighted, .. } = found;
        field.write(XsfmField { name: found.name.into(), features, bag, weighted });
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Lays the layers of a model as vector instructions want them, in `blocks` blocks of `memory` (prepared_blocks of its
/// info), and makes `prepared`, which may be the same struct; that then stays as it was where this fails, and can be
/// used. Scores are several times as fast on x86-64 and AArch64; those of int8 and dynamic mode keep their bits. Where
/// there is nothing to prepare, 0 blocks will do.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, and so do the
/// bytes of the model, as long as `prepared` and what is made from it are used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_prepare(
    model: *const XsfmModel,
    memory: *mut XsfmBlock,
    blocks: usize,
    prepared: *mut XsfmModel,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let (model, memory) = unsafe { (handle::shared("model", model)?, self::memory("memory", memory, blocks)?) };
        Ok(model.prepare(memory)?)
    };
    let in_place = || {
        let made = make()?;
        // SAFETY: `make` has read a model there; the rest is the caller's promise.
        unsafe { handle::put(prepared, made) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe {
        if core::ptr::eq(model, prepared) {
            report(error, in_place)
        } else {
            report_made(error, "prepared", prepared, make)
        }
    }
}
