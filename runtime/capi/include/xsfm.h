/* Scores click models that lie in flash or in memory: the C interface of xsfm-runtime. C99, C++17 and later.
 *
 * Nothing is allocated: structs, and blocks of memory, are the caller's. The only globals are, where there is an operating system,
 * what the CPU has. A struct whose content is opaque is filled by its function; a zeroed one, or one whose function failed, is refused
 * with XSFM_STATUS_NOT_READY. Every function takes NULL and misaligned pointers for errors. The last argument, `error`, may be NULL.
 * "Safety" says what C has to keep to.
 *
 * Written by cbindgen from runtime/capi; the guide is docs/c.md.
 */

#ifndef XSFM_H
#define XSFM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX > 0xFFFFFFFFu
#define XSFM_64_BIT
#else
#define XSFM_32_BIT
#endif

/* Before a declaration: at a multiple of n bytes. `static const XSFM_ALIGNED(64) unsigned char model[] = {...};` */
#if defined(__GNUC__)
#define XSFM_ALIGNED(n) __attribute__((aligned(n)))
#elif defined(_MSC_VER)
#define XSFM_ALIGNED(n) __declspec(align(n))
#elif defined(__cplusplus)
#define XSFM_ALIGNED(n) alignas(n)
#else
#define XSFM_ALIGNED(n) _Alignas(n)
#endif

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_catalogue`.
#define XSFM_CATALOGUE_WORDS 9
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_catalogue`.
#define XSFM_CATALOGUE_WORDS 10
#endif

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_catalogue_ranker`.
#define XSFM_CATALOGUE_RANKER_WORDS 58
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_catalogue_ranker`.
#define XSFM_CATALOGUE_RANKER_WORDS 100
#endif

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_encoder`.
#define XSFM_ENCODER_WORDS 14
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_encoder`.
#define XSFM_ENCODER_WORDS 24
#endif

// Numbers of 64 bits in an `xsfm_error`.
#define XSFM_ERROR_WORDS 10

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_model`.
#define XSFM_MODEL_WORDS 34
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_model`.
#define XSFM_MODEL_WORDS 64
#endif

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_ranker`.
#define XSFM_RANKER_WORDS 92
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_ranker`.
#define XSFM_RANKER_WORDS 168
#endif

#if defined(XSFM_32_BIT)
// Numbers of 64 bits in an `xsfm_scorer`.
#define XSFM_SCORER_WORDS 35
#endif

#if defined(XSFM_64_BIT)
// Numbers of 64 bits in an `xsfm_scorer`.
#define XSFM_SCORER_WORDS 66
#endif

// What a function has to say. Codes keep their numbers; later versions may add some.
enum xsfm_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It was done.
    XSFM_STATUS_OK = 0,
    // A pointer is NULL that must not be.
    XSFM_STATUS_NULL = 1,
    // A pointer is not at a multiple of its type's alignment.
    XSFM_STATUS_MISALIGNED_POINTER = 2,
    // A length is more than memory can have.
    XSFM_STATUS_TOO_LONG = 3,
    // A struct was not made by its function, or that function failed.
    XSFM_STATUS_NOT_READY = 4,
    // The model has no field of that number.
    XSFM_STATUS_NO_SUCH_FIELD = 5,
    // A value's kind is none of XSFM_VALUE_KIND_..., or parts of a catalogue are none of XSFM_CATALOGUE_PARTS_...
    XSFM_STATUS_NO_SUCH_KIND = 6,
    // A text is not UTF-8.
    XSFM_STATUS_NOT_UTF8 = 7,
    // Fewer bytes than the file states.
    XSFM_STATUS_TRUNCATED = 16,
    // The bytes are not an .xsfm file.
    XSFM_STATUS_NOT_XSFM = 17,
    // The file is newer than this library.
    XSFM_STATUS_VERSION = 18,
    // The first bytes of the file were damaged.
    XSFM_STATUS_PREFIX_CHECKSUM = 19,
    // The file was damaged.
    XSFM_STATUS_CHECKSUM = 20,
    // The manifest is malformed.
    XSFM_STATUS_MANIFEST = 21,
    // The file has a section that this library does not know.
    XSFM_STATUS_UNKNOWN_SECTION = 22,
    // A section is missing, or one too many is there.
    XSFM_STATUS_SECTION_PRESENCE = 23,
    // A section lies outside the file, over its neighbour, or not at a multiple of 64.
    XSFM_STATUS_SECTION_BOUNDS = 24,
    // A section has the wrong size.
    XSFM_STATUS_SECTION_SIZE = 25,
    // The file lies at an address where its numbers cannot be read: see XSFM_ALIGNED.
    XSFM_STATUS_MISALIGNED_MODEL = 26,
    // A number of the file is out of range or contradicts another.
    XSFM_STATUS_VALUE = 27,
    // The CPU lacks the instructions that were chosen, or the system does not let this process use them.
    XSFM_STATUS_BACKEND = 28,
    // The bytes are not an .xsfc file.
    XSFM_STATUS_NOT_CATALOGUE = 29,
    // The catalogue was made of another model.
    XSFM_STATUS_OTHER_MODEL = 30,
    // Another reason why the bytes are not a model, or not a catalogue.
    XSFM_STATUS_LOAD_FAILED = 47,
    // Fewer blocks of memory than needed.
    XSFM_STATUS_SCRATCH_TOO_SMALL = 48,
    // The row has not the model's number of fields.
    XSFM_STATUS_FIELD_COUNT = 49,
    // The row's offsets decrease or leave its indices.
    XSFM_STATUS_OFFSETS = 50,
    // A field has no index, or more than it takes.
    XSFM_STATUS_INDEX_COUNT = 51,
    // An index is not a feature of its field.
    XSFM_STATUS_INDEX_OUT_OF_RANGE = 52,
    // There is not one score for each row.
    XSFM_STATUS_BATCH_LENGTH = 53,
    // A context cannot have this field: unknown, named twice, or the last that is left.
    XSFM_STATUS_CONTEXT_FIELD = 54,
    // Candidates were given before a context, or after one that was refused.
    XSFM_STATUS_NO_CONTEXT = 55,
    // f32 mode: the logit is infinite or not a number.
    XSFM_STATUS_NOT_FINITE = 56,
    // An index of a field with weights has none behind it.
    XSFM_STATUS_MISSING_WEIGHT = 57,
    // An index has a weight behind it in a field without weights.
    XSFM_STATUS_UNEXPECTED_WEIGHT = 58,
    // The catalogue has no item of that number, or more were given than one can have.
    XSFM_STATUS_ITEM_OUT_OF_RANGE = 59,
    // Another reason why a row has no score.
    XSFM_STATUS_SCORE_FAILED = 79,
    // The model was packed without what raw values mean.
    XSFM_STATUS_NO_VOCABULARY = 80,
    // A field of numbers was given what is no finite number, or a field of tokens a fraction.
    XSFM_STATUS_NOT_A_NUMBER = 81,
    // Tokens were given to a field that takes one value.
    XSFM_STATUS_SEVERAL_VALUES = 82,
    // A text is shorter than what is taken of it, or that begins or ends inside a character.
    XSFM_STATUS_CUT = 83,
    // Fewer indices or offsets than a row needs.
    XSFM_STATUS_ROOM_TOO_SMALL = 84,
    // A weight is none, or was given to tokens whose weights are not the data's to say.
    XSFM_STATUS_NOT_A_WEIGHT = 85,
    // Another reason why raw values are no row.
    XSFM_STATUS_ENCODE_FAILED = 111,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum xsfm_status xsfm_status;
#else
typedef int32_t xsfm_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a catalogue has of each item. Codes keep their numbers; later versions may add some.
enum xsfm_catalogue_parts
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The sums of the first layer too, which costs nothing then.
    XSFM_CATALOGUE_PARTS_LAYER_SUMS = 0,
    // Vectors and own sums: far fewer bytes where layers are wide.
    XSFM_CATALOGUE_PARTS_VECTORS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum xsfm_catalogue_parts xsfm_catalogue_parts;
#else
typedef int32_t xsfm_catalogue_parts;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The arithmetic of a model.
enum xsfm_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // None of the others: a later version's.
    XSFM_MODE_OTHER = 0,
    // Weights and sums in f32.
    XSFM_MODE_F32 = 1,
    // Integers from the table to the logit: the same bits on every CPU.
    XSFM_MODE_INT8 = 2,
    // Integer weights; the outputs of layers get a scale for each row.
    XSFM_MODE_DYNAMIC = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum xsfm_mode xsfm_mode;
#else
typedef int32_t xsfm_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The instructions that score a model. Codes keep their numbers; later versions may add some.
enum xsfm_backend
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The fastest that the CPU has.
    XSFM_BACKEND_FASTEST = 0,
    // The fastest for which the system need not be asked: all but AMX.
    XSFM_BACKEND_FASTEST_WITHOUT_AMX = 1,
    // What the compiler made of plain code.
    XSFM_BACKEND_PORTABLE = 2,
    // x86-64 with SSE4.1.
    XSFM_BACKEND_SSE41 = 3,
    // x86-64 with AVX2 and FMA.
    XSFM_BACKEND_AVX2 = 4,
    // x86-64 with AVX2, FMA and AVX-VNNI.
    XSFM_BACKEND_AVX_VNNI = 5,
    // x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    XSFM_BACKEND_AVX512_VNNI = 6,
    // The same with AMX, on Linux, which is asked for it once: that changes the process. The kernel sends signals with
    // 8 KB more of registers, and refuses alternate signal stacks that have no room for them; where there is such a
    // one already, AMX is not there. The system call is arch_prctl(ARCH_REQ_XCOMP_PERM), which a seccomp filter must
    // know.
    XSFM_BACKEND_AVX512_AMX = 7,
    // AArch64 with its baseline NEON.
    XSFM_BACKEND_NEON = 8,
    // AArch64 with NEON and the dot product.
    XSFM_BACKEND_NEON_DOTPROD = 9,
    // AArch64 with NEON, the dot product and i8mm.
    XSFM_BACKEND_NEON_I8MM = 10,
    // WebAssembly that was compiled for SIMD128.
    XSFM_BACKEND_SIMD128 = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum xsfm_backend xsfm_backend;
#else
typedef int32_t xsfm_backend;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a raw value is. Codes keep their numbers; later versions may add some.
enum xsfm_value_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // None: the empty token, the empty bag, or no number. What zeros are.
    XSFM_VALUE_KIND_MISSING = 0,
    // As a file of the training data would have it: a token, a number, or a bag's tokens with separators between.
    XSFM_VALUE_KIND_TEXT = 1,
    // A number; in other fields the token of its decimal digits.
    XSFM_VALUE_KIND_INTEGER = 2,
    // A number, finite.
    XSFM_VALUE_KIND_REAL = 3,
    // The tokens of a bag; empty ones are none.
    XSFM_VALUE_KIND_TOKENS = 4,
    // The same with a weight for each, of a bag whose data say them.
    XSFM_VALUE_KIND_WEIGHTED = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum xsfm_value_kind xsfm_value_kind;
#else
typedef int32_t xsfm_value_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Items of a model, each with what it adds to a score whatever the context. Threads may share it.
typedef struct xsfm_catalogue {
    uint64_t opaque[XSFM_CATALOGUE_WORDS];
} xsfm_catalogue;

// A model: views into its file, which stays where it is. May be copied, and read by several threads.
typedef struct xsfm_model {
    uint64_t opaque[XSFM_MODEL_WORDS];
} xsfm_model;

// What went wrong. Every function writes it where its last argument is not NULL; xsfm_error_message has words for it.
typedef struct xsfm_error {
    uint64_t opaque[XSFM_ERROR_WORDS];
    // Of several rows or candidates: the number, from 0, of the one that has no score; those before it have theirs.
    size_t row;
    // The code that the function returned.
    xsfm_status status;
} xsfm_error;

// One sample: the indices of its features, field by field, in the model's order.
//
// An index counts from 0 within its field; in models that this project trained, 0 stands for features that are not in
// the vocabulary. In a field that xsfm_get_field says to be weighted each has its xsfm_weight behind it, and is
// counted with it.
typedef struct xsfm_row {
    // The indices of all fields.
    const uint32_t *indices;
    // How many there are; with offsets, how many may be reached.
    size_t num_indices;
    // NULL where every field has one index. Otherwise field f has the indices from `offsets[f]` to before
    // `offsets[f + 1]`.
    const uint32_t *offsets;
    // Number of offsets: one more than fields; 0 where offsets is NULL.
    size_t num_offsets;
} xsfm_row;

// 64 bytes of memory for scores, aligned for every vector register.
typedef struct XSFM_ALIGNED(64) xsfm_block {
    // Its bytes.
    uint8_t bytes[64];
} xsfm_block;

// What a catalogue has and costs.
typedef struct xsfm_catalogue_info {
    // What it has of each item.
    xsfm_catalogue_parts parts;
    // How many items it has.
    size_t num_items;
    // Fields of the context; items have the others.
    size_t num_context_fields;
    // The bytes of its file, such as those of one that xsfm_catalogue_build made, to be stored.
    const uint8_t *bytes;
    // How many they are.
    size_t num_bytes;
    // Blocks that xsfm_catalogue_ranker_new needs.
    size_t ranker_blocks;
} xsfm_catalogue_info;

// Scores the items of a catalogue for a context. A thread needs its own; do not use it and a copy of it.
typedef struct xsfm_catalogue_ranker {
    uint64_t opaque[XSFM_CATALOGUE_RANKER_WORDS];
} xsfm_catalogue_ranker;

// A candidate among the best.
typedef struct xsfm_ranked {
    // Its number in the array of candidates, from 0.
    size_t candidate;
    // Its score.
    float logit;
} xsfm_ranked;

// Makes rows of raw values: tokens and numbers, as the training data have them. May be copied, and read by several
// threads.
typedef struct xsfm_encoder {
    uint64_t opaque[XSFM_ENCODER_WORDS];
} xsfm_encoder;

// What rows of raw values need.
typedef struct xsfm_encoder_info {
    // Values of a row.
    size_t num_fields;
    // Room for the indices of any row.
    size_t max_indices;
    // Room for its offsets: one more than fields; 0 where no field is a bag.
    size_t max_offsets;
} xsfm_encoder_info;

// Text that is not ended by a zero byte: printf("%.*s", (int)text.len, text.start). Lies in the model's file or in the
// program.
typedef struct xsfm_text {
    // Its first byte, UTF-8.
    const char *start;
    // Its bytes.
    size_t len;
} xsfm_text;

// Tokens of a bag.
typedef struct xsfm_tokens {
    // The first of them, UTF-8.
    const struct xsfm_text *start;
    // How many there are.
    size_t len;
} xsfm_tokens;

// A token, and what its vector is multiplied by.
typedef struct xsfm_weighted_token {
    // UTF-8.
    struct xsfm_text text;
    // From -7.9998 to 7.9998; the nearest multiple of 1/4096 is taken.
    double weight;
} xsfm_weighted_token;

// Tokens of a bag with their weights.
typedef struct xsfm_weighted_tokens {
    // The first of them.
    const struct xsfm_weighted_token *start;
    // How many there are.
    size_t len;
} xsfm_weighted_tokens;

// The value itself, as its kind says.
typedef union xsfm_content {
    // XSFM_VALUE_KIND_TEXT: UTF-8.
    struct xsfm_text text;
    // XSFM_VALUE_KIND_INTEGER.
    int64_t integer;
    // XSFM_VALUE_KIND_REAL.
    double real;
    // XSFM_VALUE_KIND_TOKENS.
    struct xsfm_tokens tokens;
    // XSFM_VALUE_KIND_WEIGHTED.
    struct xsfm_weighted_tokens weighted;
} xsfm_content;

// A raw value of a field; xsfm_text_value and its like make one. What it points to stays until it was encoded.
typedef struct xsfm_value {
    // One of the codes XSFM_VALUE_KIND_...
    int32_t kind;
    // The member that the kind says.
    union xsfm_content content;
} xsfm_value;

// The caller's memory for a row.
typedef struct xsfm_row_room {
    // Room for indices: max_indices of the encoder's info are enough for any row.
    uint32_t *indices;
    // How many.
    size_t num_indices;
    // Room for offsets; may be NULL where no field is a bag.
    uint32_t *offsets;
    // How many.
    size_t num_offsets;
} xsfm_row_room;

// How xsfm_load_with loads a model; all zeros: as xsfm_load.
typedef struct xsfm_load_options {
    // One of the codes XSFM_BACKEND_...
    int32_t backend;
    // Other than 0: not to read all bytes for their checksum.
    int32_t skip_checksum;
} xsfm_load_options;

// What a model is and costs.
typedef struct xsfm_info {
    // The arithmetic.
    xsfm_mode mode;
    // Fields of a row.
    size_t num_fields;
    // Length of a field's vector.
    size_t embed_dim;
    // Bytes of the file.
    size_t file_bytes;
    // Blocks that xsfm_scorer_new needs: all the RAM beside the stack.
    size_t scratch_blocks;
    // Blocks with which xsfm_score_batch takes rows together, which is faster on CPUs with vector instructions.
    size_t batch_scratch_blocks;
    // Blocks that xsfm_prepare needs; 0 where there is nothing to prepare.
    size_t prepared_blocks;
    // Trained numbers.
    size_t parameters;
    // Multiply-accumulates of one row in field vectors, pairs and layers.
    size_t multiply_accumulates;
    // The instructions that score it, such as "avx2".
    struct xsfm_text backend;
} xsfm_info;

// A field of a model.
typedef struct xsfm_field {
    // Its name in the training data.
    struct xsfm_text name;
    // Valid indices are below this.
    uint32_t features;
    // Whether a row may have several indices in this field.
    bool bag;
    // Whether each index has the word of its weight behind it.
    bool weighted;
} xsfm_field;

// Scores candidates that share a context, which is computed once. A thread needs its own; do not use it and a copy of
// it.
typedef struct xsfm_ranker {
    uint64_t opaque[XSFM_RANKER_WORDS];
} xsfm_ranker;

// Scores rows with one model and one piece of memory. A thread needs its own; do not use it and a copy of it.
typedef struct xsfm_scorer {
    uint64_t opaque[XSFM_SCORER_WORDS];
} xsfm_scorer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Borrows a catalogue of `model` from the `len` bytes of an .xsfc file, and checks all of them. `bytes` is at a
// multiple of 8, best of 64: see XSFM_ALIGNED. One of another model is refused: XSFM_STATUS_OTHER_MODEL.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. The bytes stay there, unchanged, as long as
// `catalogue`, its copies, and what is made from them are used.
xsfm_status xsfm_catalogue_load(struct xsfm_catalogue *catalogue,
                                const struct xsfm_model *model,
                                const uint8_t *bytes,
                                size_t len,
                                struct xsfm_error *error);

// Tells how many blocks xsfm_catalogue_build needs for so many items: those that it fills, which stay, and those that
// it works in.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
xsfm_status xsfm_catalogue_blocks(const struct xsfm_model *model,
                                  const size_t *context_fields,
                                  size_t num_context_fields,
                                  int32_t parts,
                                  uint32_t num_items,
                                  size_t *blocks,
                                  size_t *scratch_blocks,
                                  struct xsfm_error *error);

// Computes what items add: rows of the fields that are not the context's, in the model's order. `parts` is one of
// XSFM_CATALOGUE_PARTS_... The bytes that `memory` has then are those of an .xsfc file: xsfm_catalogue_get_info.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, as long as the
// catalogue, its copies, and what is made from them are used; `scratch` is used by nobody else during the call, shares
// nothing with `memory`, and need not stay. The rows' pointers are NULL or have as many numbers as
// they say.
xsfm_status xsfm_catalogue_build(struct xsfm_catalogue *catalogue,
                                 const struct xsfm_model *model,
                                 const size_t *context_fields,
                                 size_t num_context_fields,
                                 int32_t parts,
                                 const struct xsfm_row *items,
                                 size_t num_items,
                                 struct xsfm_block *scratch,
                                 size_t scratch_blocks,
                                 struct xsfm_block *memory,
                                 size_t blocks,
                                 struct xsfm_error *error);

// Tells what a catalogue has, and what it costs to rank its items by `model`, which it was made of.
//
// # Safety
// Both were made by functions of this library, or are zeros.
xsfm_status xsfm_catalogue_get_info(const struct xsfm_catalogue *catalogue,
                                    const struct xsfm_model *model,
                                    struct xsfm_catalogue_info *info,
                                    struct xsfm_error *error);

// Makes a ranker of a catalogue's items. It copies both structs, which need not stay.
//
// # Safety
// Both were made by functions of this library, or are zeros. `memory` stays, used by nobody else, and so do the
// model's bytes and prepared memory, and the bytes of the catalogue, as long as the ranker is used.
xsfm_status xsfm_catalogue_ranker_new(struct xsfm_catalogue_ranker *ranker,
                                      const struct xsfm_model *model,
                                      const struct xsfm_catalogue *catalogue,
                                      struct xsfm_block *memory,
                                      size_t blocks,
                                      struct xsfm_error *error);

// Computes what all items share. The row has the context's fields alone, in the model's order. After an error,
// whatever it is, there is no context until one is set: items are refused with XSFM_STATUS_NO_CONTEXT.
//
// # Safety
// `ranker` is one that xsfm_catalogue_ranker_new made, or zeros; the row's pointers are NULL or have as many numbers
// as it says.
xsfm_status xsfm_catalogue_ranker_set_context(struct xsfm_catalogue_ranker *ranker,
                                              const struct xsfm_row *row,
                                              struct xsfm_error *error);

// Scores items by their numbers from 0. int8 and dynamic scores have the bits of whole rows. After an error, the items
// before that of error.row have their scores.
//
// # Safety
// As xsfm_catalogue_ranker_set_context; `items` has `num_items` numbers, and `logits` room for as many.
xsfm_status xsfm_catalogue_ranker_score_items(struct xsfm_catalogue_ranker *ranker,
                                              const uint32_t *items,
                                              size_t num_items,
                                              float *logits,
                                              struct xsfm_error *error);

// Finds the best of all items, best first, at most as many as `best` has room for, and writes to `found` how many they
// are; candidate is an item's number. Equal logits stay in the order of the items.
//
// # Safety
// As xsfm_catalogue_ranker_set_context; `best` has room for `most`.
xsfm_status xsfm_catalogue_ranker_top_k(struct xsfm_catalogue_ranker *ranker,
                                        struct xsfm_ranked *best,
                                        size_t most,
                                        size_t *found,
                                        struct xsfm_error *error);

// Makes an encoder for `model`, whose struct need not stay. A model that was packed without what raw values mean is
// XSFM_STATUS_NO_VOCABULARY.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. The bytes of the model stay as long as the encoder and
// its copies are used.
xsfm_status xsfm_encoder_new(struct xsfm_encoder *encoder, const struct xsfm_model *model, struct xsfm_error *error);

// Tells how many values a row has, and what room it needs.
//
// # Safety
// `encoder` is one that xsfm_encoder_new made, or zeros.
xsfm_status xsfm_encoder_get_info(const struct xsfm_encoder *encoder,
                                  struct xsfm_encoder_info *info,
                                  struct xsfm_error *error);

// Finds a field by its name of `len` bytes, and writes its number: where its value is in a row.
//
// # Safety
// `encoder` is one that xsfm_encoder_new made, or zeros; `name` has `len` bytes.
xsfm_status xsfm_encoder_find_field(const struct xsfm_encoder *encoder,
                                    const char *name,
                                    size_t len,
                                    size_t *number,
                                    struct xsfm_error *error);

// Makes a row of `num_values` values, one for each field, in the model's order. `row` then points into `room`. Tokens
// that training has not seen have the index 0. xsfm_error_message tells the field of a wrong value by its number.
//
// # Safety
// `encoder` is one that xsfm_encoder_new made, or zeros; `values` and what they point to, and `room`, have as many
// elements as stated. Memory of `room` has been written before, as static memory has.
xsfm_status xsfm_encode(const struct xsfm_encoder *encoder,
                        const struct xsfm_value *values,
                        size_t num_values,
                        const struct xsfm_row_room *room,
                        struct xsfm_row *row,
                        struct xsfm_error *error);

// Makes a row of some fields alone, as a ranker takes those of a context or of a candidate: `fields` has their numbers
// in the model's order, `values` a value for each.
//
// # Safety
// As xsfm_encode.
xsfm_status xsfm_encode_fields(const struct xsfm_encoder *encoder,
                               const size_t *fields,
                               const struct xsfm_value *values,
                               size_t num_values,
                               const struct xsfm_row_room *room,
                               struct xsfm_row *row,
                               struct xsfm_error *error);

// Writes the indices of one field's value to `indices`, which has room for `len`, and to `found` how many they are.
//
// # Safety
// As xsfm_encode.
xsfm_status xsfm_encode_field(const struct xsfm_encoder *encoder,
                              size_t field,
                              const struct xsfm_value *value,
                              uint32_t *indices,
                              size_t len,
                              size_t *found,
                              struct xsfm_error *error);

// Writes what went wrong in words, with the two values that disagree, to `buffer` of `len` bytes, and ends it with a
// zero byte: as much as there is room for. 128 bytes are enough for most. Gives the length of the whole text without
// the zero byte.
//
// Only programs that call it have its code: without it, formatting is not linked.
//
// # Safety
// `error` was written by a function of this library, or is NULL; `buffer` has `len` bytes, or is NULL.
size_t xsfm_error_message(const struct xsfm_error *error, char *buffer, size_t len);

// The newest version of the file's format that this library reads.
uint16_t xsfm_format_version(void);

// Loads a model from `len` bytes at `bytes`, and checks all of them. They may go on after the file's end. `bytes` is
// at a multiple of 4, best of 64: see XSFM_ALIGNED.
//
// On x86-64 Linux the CPU is asked what it has, once in a process, and Linux for AMX where the CPU has it:
// xsfm_load_with chooses.
//
// # Safety
// The bytes stay there, unchanged, as long as `model`, its copies, and what is made from them are used.
xsfm_status xsfm_load(struct xsfm_model *model, const uint8_t *bytes, size_t len, struct xsfm_error *error);

// As xsfm_load, but does not read all bytes for their checksum. Damaged weights make scores wrong, never unsafe.
//
// # Safety
// As xsfm_load.
xsfm_status xsfm_load_skipping_checksum(struct xsfm_model *model,
                                        const uint8_t *bytes,
                                        size_t len,
                                        struct xsfm_error *error);

// As xsfm_load, with what is chosen before; `options` may be NULL, and all zeros are what xsfm_load does.
//
// # Safety
// As xsfm_load.
xsfm_status xsfm_load_with(struct xsfm_model *model,
                           const uint8_t *bytes,
                           size_t len,
                           const struct xsfm_load_options *options,
                           struct xsfm_error *error);

// Reads all bytes of a model for their checksum: what xsfm_load_skipping_checksum has left for later.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
xsfm_status xsfm_verify_checksum(const struct xsfm_model *model, struct xsfm_error *error);

// Tells what a model is and costs, before anything is scored.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
xsfm_status xsfm_get_info(const struct xsfm_model *model, struct xsfm_info *info, struct xsfm_error *error);

// Tells the name and the size of field number `number`, from 0. The name lies in the model's file.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
xsfm_status xsfm_get_field(const struct xsfm_model *model,
                           size_t number,
                           struct xsfm_field *field,
                           struct xsfm_error *error);

// Lays the layers of a model as vector instructions want them, in `blocks` blocks of `memory` (prepared_blocks of its
// info), and makes `prepared`, which may be the same struct; that then stays as it was where this fails, and can be
// used. Scores are several times as fast on x86-64 and AArch64; those of int8 and dynamic mode keep their bits. Where
// there is nothing to prepare, 0 blocks will do.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, and so do the
// bytes of the model, as long as `prepared` and what is made from it are used.
xsfm_status xsfm_prepare(const struct xsfm_model *model,
                         struct xsfm_block *memory,
                         size_t blocks,
                         struct xsfm_model *prepared,
                         struct xsfm_error *error);

// Tells how many blocks of memory xsfm_ranker_new needs for these fields in the context.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
xsfm_status xsfm_ranker_blocks(const struct xsfm_model *model,
                               const size_t *context_fields,
                               size_t num_context_fields,
                               size_t *blocks,
                               struct xsfm_error *error);

// Makes a ranker whose rows are split: the fields of the context, by number in any order, and the others, which are
// the candidates'. It copies the model's struct and its first layer; `context_fields` need not stay.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, and so do the
// model's bytes and prepared memory, as long as the ranker is used.
xsfm_status xsfm_ranker_new(struct xsfm_ranker *ranker,
                            const struct xsfm_model *model,
                            const size_t *context_fields,
                            size_t num_context_fields,
                            struct xsfm_block *memory,
                            size_t blocks,
                            struct xsfm_error *error);

// Computes what all candidates share. The row has the context's fields alone, in the model's order. After an error,
// whatever it is, there is no context until one is set: candidates are refused with XSFM_STATUS_NO_CONTEXT.
//
// # Safety
// `ranker` is one that xsfm_ranker_new made, or zeros; the row's pointers are NULL or have as many numbers as it says.
xsfm_status xsfm_ranker_set_context(struct xsfm_ranker *ranker, const struct xsfm_row *row, struct xsfm_error *error);

// Scores candidates: rows of the other fields alone, in the model's order. int8 and dynamic scores have the bits of
// whole rows. After an error, the candidates before that of error.row have their scores.
//
// # Safety
// As xsfm_ranker_set_context.
xsfm_status xsfm_ranker_score_batch(struct xsfm_ranker *ranker,
                                    const struct xsfm_row *candidates,
                                    size_t num_candidates,
                                    float *logits,
                                    struct xsfm_error *error);

// Finds the best candidates, best first, at most as many as `best` has room for, and writes to `found` how many they
// are. Equal logits stay in the order of the candidates.
//
// # Safety
// As xsfm_ranker_set_context; `best` has room for `most`.
xsfm_status xsfm_ranker_top_k(struct xsfm_ranker *ranker,
                              const struct xsfm_row *candidates,
                              size_t num_candidates,
                              struct xsfm_ranked *best,
                              size_t most,
                              size_t *found,
                              struct xsfm_error *error);

// What stands behind an index of a field with weights: the word of the nearest multiple of 1/4096. 0, which is the
// word of none and refused by scores, where `weight` is not a number from -7.9998 to 7.9998.
uint32_t xsfm_weight(double weight);

// Makes a scorer for `model` that works in `blocks` blocks of `scratch`: scratch_blocks of the model's info, or
// batch_scratch_blocks. The model's struct is copied, and need not stay.
//
// # Safety
// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `scratch` stays, used by nobody else, and so do the
// model's bytes and prepared memory, as long as the scorer is used.
xsfm_status xsfm_scorer_new(struct xsfm_scorer *scorer,
                            const struct xsfm_model *model,
                            struct xsfm_block *scratch,
                            size_t blocks,
                            struct xsfm_error *error);

// Scores one row: the log-odds of a click. The scorer can be used again after an error.
//
// # Safety
// `scorer` is one that xsfm_scorer_new made, or zeros; the row's pointers are NULL or have as many numbers as it says.
xsfm_status xsfm_score(struct xsfm_scorer *scorer, const struct xsfm_row *row, float *logit, struct xsfm_error *error);

// Scores `num_rows` rows, with the bits that xsfm_score gives; `logits` has room for as many. After an error, the rows
// before that of error.row have their scores.
//
// # Safety
// As xsfm_score.
xsfm_status xsfm_score_batch(struct xsfm_scorer *scorer,
                             const struct xsfm_row *rows,
                             size_t num_rows,
                             float *logits,
                             struct xsfm_error *error);

// The probability of a click, 1 / (1 + exp(-logit)): equal logits give equal bits on every CPU.
float xsfm_probability(float logit);

// The name of a code, such as "XSFM_STATUS_CHECKSUM", which lives as long as the program; "unknown status" for other
// numbers.
const char *xsfm_status_name(int32_t status);

// No value.
struct xsfm_value xsfm_missing_value(void);

// A text of `len` bytes at `start`, UTF-8: a token, a number, or a bag's tokens with separators between.
struct xsfm_value xsfm_text_value(const char *start, size_t len);

// An integer.
struct xsfm_value xsfm_integer_value(int64_t integer);

// A number, finite.
struct xsfm_value xsfm_real_value(double real);

// The `len` tokens of a bag.
struct xsfm_value xsfm_tokens_value(const struct xsfm_text *start, size_t len);

// The `len` tokens of a bag whose data say a weight for each.
struct xsfm_value xsfm_weighted_value(const struct xsfm_weighted_token *start, size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* XSFM_H */
