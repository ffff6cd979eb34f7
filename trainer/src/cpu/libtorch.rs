//! The boundary to libtorch: its threads, its gradients, and the numbers of a tensor as a slice.

#![allow(unsafe_code, reason = "calls to and from C++, and memory that it owns")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::slice;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::model::lookup::Uses;

unsafe extern "C" {
    fn xsfm_parallel_for(count: i64, body: extern "C" fn(*const c_void, i64, i64), context: *const c_void);
    fn xsfm_with_gradient(
        output: *const C_tensor,
        inputs: *const *const C_tensor,
        count: usize,
        closure: *mut c_void,
        call: extern "C" fn(*mut c_void, *mut C_tensor, *mut *mut C_tensor, usize),
        drop: extern "C" fn(*mut c_void),
    ) -> *mut C_tensor;
}

/// Calls `body` with every item, on the threads among which libtorch divides its operations: others would take the
/// cores from those, which wait without sleep. Each thread takes as many neighbours as the others, then what others,
/// who may have been interrupted, have not begun.
pub(crate) fn for_each<T: Send>(items: impl IntoIterator<Item = T>, body: impl Fn(T) + Sync) {
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let count = crate::tensors::size(items.len());
    each_range(count, &|begin, end| {
        for item in items[begin as usize..end as usize].iter().chain(items.iter().rev()) {
            // The lock is free again before the work begins.
            let taken = item.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(item) = taken {
                body(item);
            }
        }
    });
}

/// What `body` makes of each item, in their order; as [`for_each`].
pub(crate) fn map<T: Send, R: Send>(items: impl IntoIterator<Item = T>, body: impl Fn(T) -> R + Sync) -> Vec<R> {
    let items: Vec<T> = items.into_iter().collect();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    for_each(items.into_iter().zip(&mut results), |(item, result)| *result = Some(body(item)));
    results.into_iter().flatten().collect()
}

fn each_range<F: Fn(i64, i64) + Sync>(count: i64, body: &F) {
    extern "C" fn call<F: Fn(i64, i64) + Sync>(body: *const c_void, begin: i64, end: i64) {
        // SAFETY: `each_range` passes an `&F`, which lives until all calls have returned, and any thread may use it.
        let body = unsafe { &*body.cast::<F>() };
        body(begin, end);
    }
    // SAFETY: `call::<F>` takes what is passed beside it, as above.
    unsafe { xsfm_parallel_for(count, call::<F>, std::ptr::from_ref(body).cast()) };
}

/// `output`, which was computed from `inputs` without their gradients, as a function of them: `backward` turns its
/// gradient into theirs, in their order.
///
/// `backward` may not hold `output`, which would then hold itself.
pub(crate) fn with_gradient<F>(output: &Tensor, inputs: &[&Tensor], backward: F) -> Tensor
where
    F: FnOnce(&Tensor) -> Vec<Tensor> + Send + 'static,
{
    extern "C" fn call<F: FnOnce(&Tensor) -> Vec<Tensor>>(
        closure: *mut c_void,
        of_output: *mut C_tensor,
        of_inputs: *mut *mut C_tensor,
        count: usize,
    ) {
        // SAFETY: the closure is that of `with_gradient`, and libtorch computes the gradients of a graph in one thread.
        let closure = unsafe { &mut *closure.cast::<Option<F>>() };
        // SAFETY: a tensor of the caller's, of which this is another handle.
        let of_output = unsafe { Tensor::clone_from_ptr(of_output) };
        let backward = closure.take().expect("a gradient is computed once");
        let gradients = backward(&of_output);
        assert_eq!(gradients.len(), count, "a gradient for each input");
        for (n, mut gradient) in gradients.into_iter().enumerate() {
            // SAFETY: there is a place for each input.
            unsafe { *of_inputs.add(n) = gradient.as_mut_ptr() };
            // The caller deletes it.
            std::mem::forget(gradient);
        }
    }
    extern "C" fn drop<F>(closure: *mut c_void) {
        // SAFETY: it was made by `Box::into_raw` below, and its owner drops it once.
        std::mem::drop(unsafe { Box::from_raw(closure.cast::<Option<F>>()) });
    }
    let closure = Box::into_raw(Box::new(Some(backward)));
    let inputs: Vec<*const C_tensor> = inputs.iter().map(|input| input.as_ptr()).collect();
    // SAFETY: tensors that outlive the call, and a closure with the functions for its type; the result is a new
    // tensor's handle.
    unsafe {
        Tensor::from_ptr(xsfm_with_gradient(
            output.as_ptr(),
            inputs.as_ptr(),
            inputs.len(),
            closure.cast(),
            call::<F>,
            drop::<F>,
        ))
    }
}

fn check(tensor: &Tensor) {
    let is_plain = tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous();
    assert!(is_plain, "a kernel's tensor is {:?} in {:?}, or has gaps", tensor.kind(), tensor.device());
}

/// The numbers of a contiguous f32 tensor on the CPU.
///
/// # Panics
/// It is another.
pub(crate) fn numbers(tensor: &Tensor) -> &[f32] {
    check(tensor);
    // SAFETY: so many numbers lie there as long as the tensor lives, and no kernel writes those of another than its
    // own.
    unsafe { slice::from_raw_parts(pointer(tensor), tensor.numel()) }
}

/// The same, to be written.
pub(crate) fn numbers_mut(tensor: &mut Tensor) -> &mut [f32] {
    check(tensor);
    // SAFETY: as above; a kernel writes what it was given alone.
    unsafe { slice::from_raw_parts_mut(pointer(tensor), tensor.numel()) }
}

/// A tensor without numbers may have no memory.
fn pointer(tensor: &Tensor) -> *mut f32 {
    let pointer = tensor.data_ptr().cast::<f32>();
    if pointer.is_null() { std::ptr::NonNull::dangling().as_ptr() } else { pointer }
}

/// Rows that a batch uses, of tables of the same shape, with the entries that use them: each goes to one thread.
#[derive(Debug)]
pub(crate) struct Share<'a, const N: usize> {
    tables: [*mut f32; N],
    rows: usize,
    columns: usize,
    uses: &'a Uses,
    range: Range<usize>,
    borrowed: PhantomData<&'a mut f32>,
}

/// A row that a batch uses.
#[derive(Debug)]
pub(crate) struct UsedRow<'a, const N: usize> {
    /// Its number in the tables.
    pub(crate) row: usize,
    /// The batch's entries that use it.
    pub(crate) entries: &'a [i32],
    /// Its numbers in each table.
    pub(crate) tables: [&'a mut [f32]; N],
}

// SAFETY: its rows are no other share's, and all else is read alone.
unsafe impl<const N: usize> Send for Share<'_, N> {}

/// All rows of a batch, in `count` shares with about as many entries each.
pub(crate) fn shares<'a, const N: usize>(
    tables: [&'a mut Tensor; N],
    uses: &'a Uses,
    count: usize,
) -> impl Iterator<Item = Share<'a, N>> {
    let shape = tables[0].size();
    assert!(tables.iter().all(|table| table.size() == shape), "tables of different shapes");
    let rows = shape[0] as usize;
    let columns = tables[0].numel() / rows.max(1);
    let tables = tables.map(|table| numbers_mut(table).as_mut_ptr());
    uses.shares(count).map(move |range| Share { tables, rows, columns, uses, range, borrowed: PhantomData })
}

impl<'a, const N: usize> Iterator for Share<'a, N> {
    type Item = UsedRow<'a, N>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let n = self.range.next()?;
        let row = self.uses.rows()[n] as usize;
        assert!(row < self.rows, "row {row} of a table with {} rows", self.rows);
        // SAFETY: the row lies in the tables, whose tensors are borrowed for 'a; `Uses` lists it once, and one share
        // has that place.
        let rows =
            self.tables.map(|table| unsafe { slice::from_raw_parts_mut(table.add(row * self.columns), self.columns) });
        Some(UsedRow { row, entries: self.uses.entries(n), tables: rows })
    }
}
