// What GPUs need of libtorch and tch does not have: what it is and where, copies that nobody waits for, a fused Adam, and TF32.
//
// Nothing here is linked against CUDA: all goes through libtorch's dispatcher, which has CUDA's part once libtorch_cuda is open.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <torch/version.h>

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using at::Tensor;

namespace {

// A text of the caller's, cut where it is too long, and ended by a zero.
struct Text {
  char *to;
  size_t size;

  void operator=(const std::string &text) const {
    const size_t length = std::min(text.size(), size - 1);
    std::memcpy(to, text.data(), length);
    to[length] = 0;
  }
};

// Runs `body`; what it throws becomes a text.
template <typename Body> bool go(Text error, Body body) {
  try {
    body();
    return true;
  } catch (const c10::Error &thrown) {
    error = thrown.what_without_backtrace();
  } catch (const std::exception &thrown) {
    error = thrown.what();
  }
  return false;
}

std::vector<Tensor> tensors(Tensor *const *all, size_t count) {
  std::vector<Tensor> list;
  for (size_t i = 0; i < count; ++i) {
    list.push_back(*all[i]);
  }
  return list;
}

} // namespace

extern "C" {

void xsfm_torch_version(Text text) noexcept { text = TORCH_VERSION; }

void xsfm_torch_cpu_capability(Text text) noexcept { text = at::get_cpu_capability(); }

// The file that libtorch's operations come from; nothing where the system does not tell.
void xsfm_torch_file(Text text) noexcept {
  text = "";
#ifndef _WIN32
  Dl_info found;
  if (dladdr(reinterpret_cast<const void *>(&at::get_num_threads), &found) != 0 && found.dli_fname != nullptr) {
    text = found.dli_fname;
  }
#endif
}

// Products of f32 matrices on GPUs: inputs rounded to TF32, or not.
void xsfm_allow_tf32(bool allowed) noexcept { at::globalContext().setAllowTF32CuBLAS(allowed); }

bool xsfm_tf32_is_allowed() noexcept { return at::globalContext().allowTF32CuBLAS(); }

// `count` numbers of a kind as a tensor of GPU `device`, or of the CPU where it is negative; null after an error.
//
// A GPU copies them from pinned memory while the caller goes on. libtorch keeps that memory until the copy is done.
Tensor *xsfm_upload(const void *numbers, int64_t count, int8_t kind, int8_t device, Text error) noexcept {
  Tensor *made = nullptr;
  go(error, [&] {
    const bool is_gpu = device >= 0;
    const auto type = static_cast<at::ScalarType>(kind);
    Tensor here = at::empty({count}, at::TensorOptions().dtype(type).pinned_memory(is_gpu));
    if (count > 0) {
      std::memcpy(here.data_ptr(), numbers, here.nbytes());
    }
    if (is_gpu) {
      here = here.to(at::Device(at::kCUDA, device), type, /*non_blocking=*/true);
    }
    made = new Tensor(std::move(here));
  });
  return made;
}

// A step of Adam with decoupled weight decay, in place, for all tensors at once; `step` is the number of the step in a tensor [1] of
// their device. Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101.
bool xsfm_fused_adam(Tensor *const *parameters, Tensor *const *gradients, Tensor *const *means, Tensor *const *squares,
                     size_t count, const Tensor *step, double learning_rate, double beta_1, double beta_2,
                     double weight_decay, double epsilon, Text error) noexcept {
  return go(error, [&] {
    const std::vector<Tensor> steps(count, *step);
    at::_fused_adamw_(tensors(parameters, count), tensors(gradients, count), tensors(means, count),
                      tensors(squares, count), /*max_exp_avg_sqs=*/{}, steps, learning_rate, beta_1, beta_2,
                      weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false);
  });
}
}
