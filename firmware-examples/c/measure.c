/* Measures a score on a Cortex-M: scores as often as the command line says, so that whoever counts instructions can take the
 * difference of two runs, and prints how deep the stack went. `cargo xtask fit` runs it.
 *
 * With INT8_ALONE it is linked with `firmware-examples/c-int8` in place of the C library: `Int8Model`, without other modes.
 */
#include "board.h"
#include "model.h"
#include "xsfm.h"

/* Rows that are scored in turn, and indices of a bag in them. */
#define ROWS 16u
#define BAG 4u
#define INDICES (MODEL_NUM_FIELDS * BAG)
/* Bytes of stack that are watched. */
#define WATCHED 32768u
#define PAINT 0xC5C5C5C5u

static uint32_t indices[ROWS][INDICES], offsets[ROWS][MODEL_NUM_FIELDS + 1u];

/* A frame of its own, so that it is the same whatever the model. */
#define APART __attribute__((noinline))

static void check(int good, const char *what)
{
    if (good)
        return;
    print(what);
    print("\n");
    stop(1);
}

#ifdef INT8_ALONE

/* Which fields are bags, and the scratch that is needed: the file has it, and this scorer does not tell. */
#include "int8.h"

#define NO_LOGIT 0x7FFFFFFF

size_t int8_bytes(void);
_Bool int8_load(void *into, const uint8_t *bytes, size_t len);
int32_t int8_score(const void *from, const uint32_t *row, const uint32_t *ends, xsfm_block *blocks, size_t num_blocks);

static xsfm_block scratch[INT8_SCRATCH_BLOCKS];
static uint64_t model[64];

static APART void load_model(void)
{
    check(int8_bytes() <= sizeof model && int8_load(model, model_bytes, MODEL_BYTES), "int8_load");
}

static APART void make_scorer(void)
{
}

static uint32_t indices_of(uint32_t f, uint32_t *features)
{
    *features = model_features[f];
    return bags[f] ? BAG : 1;
}

static APART void score_row(uint32_t r)
{
    check(int8_score(model, indices[r], offsets[r], scratch, INT8_SCRATCH_BLOCKS) != NO_LOGIT, "int8_score");
}

static size_t struct_bytes(void)
{
    return int8_bytes();
}

#else

static xsfm_block scratch[MODEL_SCRATCH_BLOCKS];
static xsfm_model model;
static xsfm_scorer scorer;

static void check_status(xsfm_status status)
{
    check(status == XSFM_STATUS_OK, xsfm_status_name(status));
}

static APART void load_model(void)
{
    check_status(xsfm_load(&model, model_bytes, MODEL_BYTES, NULL));
}

static APART void make_scorer(void)
{
    check_status(xsfm_scorer_new(&scorer, &model, scratch, MODEL_SCRATCH_BLOCKS, NULL));
}

static uint32_t indices_of(uint32_t f, uint32_t *features)
{
    xsfm_field field;

    check_status(xsfm_get_field(&model, f, &field, NULL));
    *features = field.features;
    return field.bag ? BAG : 1;
}

static APART void score_row(uint32_t r)
{
    xsfm_row row = {NULL, INDICES, NULL, MODEL_NUM_FIELDS + 1};
    float logit;

    row.indices = indices[r];
    row.offsets = offsets[r];
    check_status(xsfm_score(&scorer, &row, &logit, NULL));
}

static size_t struct_bytes(void)
{
    return sizeof model + sizeof scorer;
}

#endif

/* Random rows. */
static APART void make_rows(void)
{
    uint32_t random = 1, r, f, i, count, total, features;

    for (f = 0; f < MODEL_NUM_FIELDS; f++) {
        count = indices_of(f, &features);
        for (r = 0; r < ROWS; r++) {
            total = offsets[r][f];
            for (i = 0; i < count; i++) {
                random = random * 1664525u + 1013904223u;
                indices[r][total++] = (random >> 8) % features;
            }
            offsets[r][f + 1] = total;
        }
    }
}

/* Fills the stack below this function; what lies there after a call, the call did not use. */
static APART void paint(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) - 64;
    volatile uint32_t *at = (volatile uint32_t *)(here & ~(uintptr_t)3);
    uint32_t i;

    for (i = 0; i < WATCHED / 4; i++)
        at[-(int32_t)i] = PAINT;
}

/* Bytes below `top` that a call has used since the stack was painted. */
static APART uint32_t used(uintptr_t top)
{
    volatile uint32_t *at = (volatile uint32_t *)((top - WATCHED + 256) & ~(uintptr_t)3);

    while (*at == PAINT)
        at++;
    return (uint32_t)(top - (uintptr_t)at);
}

static void print_figure(const char *name, uint32_t number)
{
    print(name);
    print(" ");
    print_decimal(number);
    print("\n");
}

int main(void)
{
    uintptr_t top = (uintptr_t)__builtin_frame_address(0);
    const char *word = command_line();
    uint32_t calls = 0, call, load, score;

    while (*word >= '0' && *word <= '9')
        calls = 10 * calls + (uint32_t)(*word++ - '0');
    paint();
    load_model();
    load = used(top);
    make_scorer();
    make_rows();
    paint();
    for (call = 0; call < calls; call++)
        score_row(call % ROWS);
    score = used(top);
    print_figure("load", load);
    print_figure("score", score);
    print_figure("structs", (uint32_t)struct_bytes());
    return 0;
}
