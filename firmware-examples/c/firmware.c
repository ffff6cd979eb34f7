/* Scores rows on a Cortex-M4F with a model in flash, and one of raw values with another; no heap, no C library.
 *
 * A word on QEMU's command line damages a copy of the model, or takes memory away, to show how that is refused:
 * `corrupted`, `misaligned`, `newer`, `truncated`, `large`.
 */
#include "board.h"
#include "clicks.h"
#include "model.h"
#include "rows.h"
#include "xsfm.h"

/* All the RAM that scoring needs beside the stack. */
static xsfm_block scratch[MODEL_SCRATCH_BLOCKS];

/* Ends the program where there is something to tell. */
static void check(const char *what, const xsfm_error *error)
{
    char message[160];

    if (error->status == XSFM_STATUS_OK)
        return;
    xsfm_error_message(error, message, sizeof message);
    print(what);
    print(": ");
    print(xsfm_status_name(error->status));
    print(": ");
    print(message);
    print("\n");
    stop(1);
}

static uint32_t bits(float number)
{
    union {
        float number;
        uint32_t bits;
    } both;
    both.number = number;
    return both.bits;
}

/* CRC-32 as gzip has it, one bit at a time. */
static uint32_t checksum(uint32_t crc, uint32_t word)
{
    int i;
    crc ^= word;
    for (i = 0; i < 32; i++)
        crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    return crc;
}

static void score(const uint8_t *bytes, size_t len, size_t scratch_blocks)
{
    xsfm_model model = {0};
    xsfm_scorer scorer = {0};
    xsfm_error error;
    uint32_t crc = 0xFFFFFFFFu;
    size_t r;

    xsfm_load(&model, bytes, len, &error);
    check("model", &error);
    xsfm_scorer_new(&scorer, &model, scratch, scratch_blocks, &error);
    check("scratch", &error);
    for (r = 0; r < NUM_ROWS; r++) {
        xsfm_row row = {row_indices, sizeof row_indices / sizeof *row_indices, NULL, MODEL_NUM_FIELDS + 1};
        float logit;

        row.offsets = row_offsets + r * MODEL_NUM_FIELDS;
        xsfm_score(&scorer, &row, &logit, &error);
        check("row", &error);
        print("row ");
        print_decimal((uint32_t)r);
        print(" logit ");
        print_hexadecimal(bits(logit));
        print(" probability ");
        print_hexadecimal(bits(xsfm_probability(logit)));
        print("\n");
        crc = checksum(checksum(crc, bits(logit)), bits(xsfm_probability(logit)));
    }
    print_decimal(NUM_ROWS);
    print(" rows, checksum ");
    print_hexadecimal(~crc);
    print("\n");
}

/* A row of raw values: tokens and numbers, in the fields that `xsfm generate` has named. */
static void score_raw(void)
{
    static xsfm_block clicks_scratch[CLICKS_SCRATCH_BLOCKS];
    static uint32_t indices[CLICKS_MAX_INDICES], offsets[CLICKS_MAX_OFFSETS];
    static const char user[] = "chlo\303\251", when[] = "2026-03-05T21:00:00";
    static const xsfm_text genres[] = {{"comedy", 6}, {"western", 7}};
    const xsfm_row_room room = {indices, CLICKS_MAX_INDICES, offsets, CLICKS_MAX_OFFSETS};
    xsfm_value values[CLICKS_NUM_FIELDS];
    xsfm_model model = {0};
    xsfm_encoder encoder = {0};
    xsfm_scorer scorer = {0};
    xsfm_row row;
    xsfm_error error;
    float logit;

    xsfm_load(&model, clicks_bytes, CLICKS_BYTES, &error);
    check("clicks", &error);
    xsfm_encoder_new(&encoder, &model, &error);
    check("vocabulary", &error);
    xsfm_scorer_new(&scorer, &model, clicks_scratch, CLICKS_SCRATCH_BLOCKS, &error);
    check("scratch", &error);
    values[CLICKS_FIELD_USER] = xsfm_text_value(user, sizeof user - 1);
    values[CLICKS_FIELD_GENRES] = xsfm_tokens_value(genres, sizeof genres / sizeof *genres);
    values[CLICKS_FIELD_PRICE] = xsfm_real_value(7.75);
    values[CLICKS_FIELD_HOUR] = xsfm_text_value(when, sizeof when - 1);
    xsfm_encode(&encoder, values, CLICKS_NUM_FIELDS, &room, &row, &error);
    check("raw row", &error);
    xsfm_score(&scorer, &row, &logit, &error);
    check("raw row", &error);
    print("raw row 0 logit ");
    print_hexadecimal(bits(logit));
    print(" probability ");
    print_hexadecimal(bits(xsfm_probability(logit)));
    print("\n");
    /* A wrong value is refused by its field. */
    values[CLICKS_FIELD_PRICE] = xsfm_text_value(user, sizeof user - 1);
    if (xsfm_encode(&encoder, values, CLICKS_NUM_FIELDS, &room, &row, &error) != XSFM_STATUS_NOT_A_NUMBER)
        stop(1);
}

/* The model in RAM, with room to move it by a byte. */
static XSFM_ALIGNED(64) uint8_t copy[MODEL_BYTES + 1];

/* Gives a file the version after the newest one, and its first 28 bytes the checksum that follows them. */
static void make_newer(uint8_t *file)
{
    uint32_t crc = 0xFFFFFFFFu;
    size_t i;

    file[8] = (uint8_t)(xsfm_format_version() + 1);
    for (i = 0; i < 28; i += 4)
        crc = checksum(crc, file[i] | (uint32_t)file[i + 1] << 8 | (uint32_t)file[i + 2] << 16 | (uint32_t)file[i + 3] << 24);
    for (i = 0; i < 4; i++)
        file[28 + i] = (uint8_t)(~crc >> 8 * i);
}

static bool is(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

int main(void)
{
    const char *word = command_line();
    size_t misplaced = is(word, "misaligned"), i;

    if (is(word, "large"))
        score(model_bytes, MODEL_BYTES, MODEL_SCRATCH_BLOCKS - 1);
    if (is(word, "")) {
        score(model_bytes, MODEL_BYTES, MODEL_SCRATCH_BLOCKS);
        score_raw();
    } else {
        for (i = 0; i < MODEL_BYTES; i++)
            copy[i + misplaced] = model_bytes[i];
        if (is(word, "corrupted"))
            copy[MODEL_BYTES / 2] ^= 1;
        if (is(word, "newer"))
            make_newer(copy);
        score(copy + misplaced, is(word, "truncated") ? MODEL_BYTES / 2 : MODEL_BYTES, MODEL_SCRATCH_BLOCKS);
    }
    return 0;
}
