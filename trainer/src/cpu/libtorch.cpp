// What kernels in Rust need of libtorch and tch does not have: its threads, and a place in its graph of gradients.

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// A closure of Rust's, which is called at most once.
struct Closure : torch::CustomClassHolder {
  void *closure;
  // The output's gradient -> those of the inputs, tensors that the callee makes and the caller deletes.
  void (*call)(void *closure, const Tensor *of_output, Tensor **of_inputs, size_t count);
  void (*drop)(void *closure);

  Closure(void *closure, decltype(call) call, decltype(drop) drop) : closure(closure), call(call), drop(drop) {}
  ~Closure() override { drop(closure); }
};

struct Function : torch::autograd::Function<Function> {
  static Tensor forward(AutogradContext *context, at::TensorList inputs, const Tensor *output,
                        c10::intrusive_ptr<Closure> closure) {
    context->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
    context->saved_data["closure"] = c10::IValue::make_capsule(std::move(closure));
    return *output;
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    const auto capsule = context->saved_data["closure"].toCapsule();
    const auto *closure = static_cast<const Closure *>(capsule.get());
    std::vector<Tensor *> made(context->saved_data["inputs"].toInt(), nullptr);
    closure->call(closure->closure, &gradients[0], made.data(), made.size());
    variable_list all;
    for (Tensor *gradient : made) {
      all.push_back(std::move(*gradient));
      delete gradient;
    }
    // Those of the arguments that are no tensors.
    all.resize(made.size() + 2);
    return all;
  }
};

} // namespace

extern "C" {

void xsfm_parallel_for(int64_t count, void (*body)(const void *context, int64_t begin, int64_t end),
                       const void *context) noexcept {
  at::parallel_for(0, count, 1, [=](int64_t begin, int64_t end) { body(context, begin, end); });
}

Tensor *xsfm_with_gradient(const Tensor *output, Tensor *const *inputs, size_t count, void *closure,
                           void (*call)(void *, const Tensor *, Tensor **, size_t), void (*drop)(void *)) noexcept {
  variable_list all;
  for (size_t i = 0; i < count; ++i) {
    all.push_back(*inputs[i]);
  }
  // A list, not a vector, in which it would not look for tensors.
  return new Tensor(Function::apply(at::TensorList(all), output, c10::make_intrusive<Closure>(closure, call, drop)));
}
}
