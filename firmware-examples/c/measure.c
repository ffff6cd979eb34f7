/* Measures a score on a Cortex-M: scores as often as the command line says, so that whoever counts instructions can take the
 * difference of two runs, and prints how deep the stack went. `cargo xtask fit` runs it.
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

static xsfm_block scratch[MODEL_SCRATCH_BLOCKS];
static uint32_t indices[ROWS][INDICES], offsets[ROWS][MODEL_NUM_FIELDS + 1u];
static xsfm_model model;
static xsfm_scorer scorer;

static void check(xsfm_status status)
{
    if (status == XSFM_STATUS_OK)
        return;
    print(xsfm_status_name(status));
    print("\n");
    stop(1);
}

/* Random rows. */
static void make_rows(void)
{
    uint32_t random = 1, r, f, i, count, total;
    xsfm_field field;

    for (f = 0; f < MODEL_NUM_FIELDS; f++) {
        check(xsfm_get_field(&model, f, &field, NULL));
        count = field.bag ? BAG : 1;
        for (r = 0; r < ROWS; r++) {
            total = offsets[r][f];
            for (i = 0; i < count; i++) {
                random = random * 1664525u + 1013904223u;
                indices[r][total++] = (random >> 8) % field.features;
            }
            offsets[r][f + 1] = total;
        }
    }
}

/* Fills the stack below this function; what lies there after a call, the call did not use. */
static __attribute__((noinline)) void paint(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) - 64;
    volatile uint32_t *at = (volatile uint32_t *)(here & ~(uintptr_t)3);
    uint32_t i;

    for (i = 0; i < WATCHED / 4; i++)
        at[-(int32_t)i] = PAINT;
}

/* Bytes below `top` that a call has used since the stack was painted. */
static __attribute__((noinline)) uint32_t used(uintptr_t top)
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
    float logit = 0;

    while (*word >= '0' && *word <= '9')
        calls = 10 * calls + (uint32_t)(*word++ - '0');
    paint();
    check(xsfm_load(&model, model_bytes, MODEL_BYTES, NULL));
    load = used(top);
    check(xsfm_scorer_new(&scorer, &model, scratch, MODEL_SCRATCH_BLOCKS, NULL));
    make_rows();
    paint();
    for (call = 0; call < calls; call++) {
        xsfm_row row = {NULL, INDICES, NULL, MODEL_NUM_FIELDS + 1};

        row.indices = indices[call % ROWS];
        row.offsets = offsets[call % ROWS];
        check(xsfm_score(&scorer, &row, &logit, NULL));
    }
    score = used(top);
    print_figure("load", load);
    print_figure("score", score);
    print_figure("structs", sizeof model + sizeof scorer);
    return 0;
}
