/* Scores or ranks rows with a model from a file, without allocating: what a C program on Linux does.
 *
 *     linux MODEL.xsfm ROWS.tsv                   the bits of logit and probability of every row
 *     linux MODEL.xsfm ROWS.tsv user,age,… 10     the 10 best rows, as candidates for the context of the first
 *     linux MODEL.xsfm ROWS.tsv --raw             the same bits of rows of raw values, by the model's vocabulary
 *
 * ROWS.tsv has one row of integer indices per line, a tab between fields, `|` inside a bag; raw values are as the training data have
 * them, in the model's order of fields.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xsfm.h"

/* Room for the model, for what is computed, and for rows. Static memory that is not touched costs nothing. */
#ifndef MODEL_ROOM
#define MODEL_ROOM (64u << 20)
#endif
#ifndef SCRATCH_BLOCKS
#define SCRATCH_BLOCKS 16384u
#endif
#define TILE_BLOCKS (MODEL_ROOM / 16u)
#define ROW_ROOM 4096u
#define INDEX_ROOM (64u * ROW_ROOM)

static XSFM_ALIGNED(64) uint8_t file[MODEL_ROOM];
static xsfm_block scratch[SCRATCH_BLOCKS], tiles[TILE_BLOCKS];
/* Field f of row r has indices[offsets[r * num_fields + f]] and those before the next offset. */
static uint32_t indices[INDEX_ROOM], offsets[INDEX_ROOM];
static size_t num_rows, num_indices, num_offsets;
/* The same of the fields that the context has, and of the others. */
static uint32_t side_indices[2][INDEX_ROOM], side_offsets[2][INDEX_ROOM];
static xsfm_row rows[ROW_ROOM];
static float logits[ROW_ROOM];

/* Ends the program with the reason why `what` cannot be used. */
static void stop(const char *what, const char *why)
{
    fprintf(stderr, "linux: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(const char *what, const xsfm_error *error)
{
    char why[240];
    int len;

    if (error->status == XSFM_STATUS_OK)
        return;
    len = snprintf(why, sizeof why, "%s: ", xsfm_status_name(error->status));
    xsfm_error_message(error, why + len, sizeof why - (size_t)len);
    stop(what, why);
}

static size_t read_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    size_t len;
    char why[80];

    if (!stream)
        stop(path, strerror(errno));
    len = fread(file, 1, sizeof file, stream);
    if (ferror(stream))
        stop(path, "cannot be read");
    if (fgetc(stream) != EOF) {
        snprintf(why, sizeof why, "too large: there is room for %zu bytes", sizeof file);
        stop(path, why);
    }
    fclose(stream);
    return len;
}

static void read_rows(const char *path, size_t num_fields)
{
    FILE *stream = fopen(path, "r");
    size_t fields = 0;
    unsigned long index;
    int after;
    char why[80];

    if (!stream)
        stop(path, strerror(errno));
    while (fscanf(stream, "%lu", &index) == 1) {
        after = fgetc(stream);
        if (index > UINT32_MAX || num_indices + 1 == INDEX_ROOM || num_offsets + 2 >= INDEX_ROOM || num_rows == ROW_ROOM)
            stop(path, "an index or the number of rows is too large");
        indices[num_indices++] = (uint32_t)index;
        if (after == '|')
            continue;
        offsets[++num_offsets] = (uint32_t)num_indices;
        fields++;
        if (after == '\t')
            continue;
        num_rows++;
        if ((after != '\n' && after != EOF) || fields != num_fields) {
            snprintf(why, sizeof why, "line %zu: %zu fields, but the model has %zu", num_rows, fields, num_fields);
            stop(path, why);
        }
        fields = 0;
    }
    if (!feof(stream) || fields != 0)
        stop(path, "a line is not a row of indices");
    fclose(stream);
}

static void print_bits(float logit)
{
    float probability = xsfm_probability(logit);
    uint32_t bits[2];

    memcpy(&bits[0], &logit, sizeof bits[0]);
    memcpy(&bits[1], &probability, sizeof bits[1]);
    printf("%08lx\t%08lx\n", (unsigned long)bits[0], (unsigned long)bits[1]);
}

/* Scores lines of raw values, one by one. */
static void score_raw(const xsfm_model *model, const char *path)
{
    static char line[ROW_ROOM];
    static xsfm_value values[ROW_ROOM];
    xsfm_row_room room = {indices, ROW_ROOM, offsets, ROW_ROOM};
    xsfm_encoder encoder = {0};
    xsfm_scorer scorer = {0};
    xsfm_row row;
    xsfm_error error;
    FILE *stream = fopen(path, "r");

    if (!stream)
        stop(path, strerror(errno));
    xsfm_encoder_new(&encoder, model, &error);
    check("vocabulary", &error);
    xsfm_scorer_new(&scorer, model, scratch, SCRATCH_BLOCKS, &error);
    check("scratch", &error);
    while (fgets(line, sizeof line, stream)) {
        char *text = line;
        size_t fields = 0, len;
        float logit;

        if (!strchr(line, '\n') && !feof(stream))
            stop(path, "a line is too long");
        for (;; text += len + 1) {
            len = strcspn(text, "\t\n");
            values[fields++] = xsfm_text_value(text, len);
            if (text[len] != '\t')
                break;
        }
        xsfm_encode(&encoder, values, fields, &room, &row, &error);
        check(path, &error);
        xsfm_score(&scorer, &row, &logit, &error);
        check(path, &error);
        print_bits(logit);
    }
    if (ferror(stream))
        stop(path, "cannot be read");
    fclose(stream);
}

static void score(const xsfm_model *model)
{
    xsfm_scorer scorer = {0};
    xsfm_error error;
    xsfm_info info;
    size_t r;

    xsfm_get_info(model, &info, &error);
    check("model", &error);
    for (r = 0; r < num_rows; r++) {
        rows[r].indices = indices;
        rows[r].num_indices = num_indices;
        rows[r].offsets = offsets + r * info.num_fields;
        rows[r].num_offsets = info.num_fields + 1;
    }
    xsfm_scorer_new(&scorer, model, scratch, SCRATCH_BLOCKS, &error);
    check("scratch", &error);
    xsfm_score_batch(&scorer, rows, num_rows, logits, &error);
    check("rows", &error);
    for (r = 0; r < num_rows; r++)
        print_bits(logits[r]);
}

/* The number of the field of that name; the number of fields where there is none. */
static size_t find_field(const xsfm_model *model, const char *name, size_t len)
{
    xsfm_field field;
    size_t f;

    for (f = 0; xsfm_get_field(model, f, &field, NULL) == XSFM_STATUS_OK; f++)
        if (field.name.len == len && memcmp(field.name.start, name, len) == 0)
            break;
    return f;
}

/* Cuts every row in two: side 1 has the context's fields, side 0 the others. Gives how many fields side 1 has. */
static size_t cut(size_t num_fields, const bool *in_context)
{
    size_t num_side_indices[2] = {0, 0}, num_side_offsets[2] = {0, 0}, fields = 0, f, r;
    uint32_t i;

    for (r = 0; r < num_rows; r++)
        for (f = 0; f < num_fields; f++) {
            int side = in_context[f];
            const uint32_t *offset = offsets + r * num_fields + f;
            for (i = offset[0]; i < offset[1]; i++)
                side_indices[side][num_side_indices[side]++] = indices[i];
            side_offsets[side][++num_side_offsets[side]] = (uint32_t)num_side_indices[side];
        }
    for (f = 0; f < num_fields; f++)
        fields += in_context[f];
    return fields;
}

static void rank(const xsfm_model *model, const char *names, const char *most)
{
    static bool in_context[INDEX_ROOM];
    static size_t context_fields[INDEX_ROOM];
    static xsfm_ranked best[ROW_ROOM];
    xsfm_ranker ranker = {0};
    xsfm_error error;
    xsfm_info info;
    size_t num_context_fields = 0, k = strtoul(most, NULL, 10), sides[2], len, f, r, found;
    xsfm_row context;

    xsfm_get_info(model, &info, &error);
    check("model", &error);
    for (; *names; names += len + (names[len] == ',')) {
        len = strcspn(names, ",");
        f = find_field(model, names, len);
        if (f == info.num_fields)
            stop(names, "the model has no such field");
        in_context[f] = true;
        context_fields[num_context_fields++] = f;
    }
    xsfm_ranker_new(&ranker, model, context_fields, num_context_fields, scratch, SCRATCH_BLOCKS, &error);
    check("ranker", &error);

    sides[1] = cut(info.num_fields, in_context);
    sides[0] = info.num_fields - sides[1];
    context.indices = side_indices[1];
    context.offsets = side_offsets[1];
    context.num_indices = INDEX_ROOM;
    context.num_offsets = sides[1] + 1;
    for (r = 0; r < num_rows; r++) {
        rows[r].indices = side_indices[0];
        rows[r].offsets = side_offsets[0] + r * sides[0];
        rows[r].num_indices = INDEX_ROOM;
        rows[r].num_offsets = sides[0] + 1;
    }
    xsfm_ranker_set_context(&ranker, &context, &error);
    check("context", &error);
    xsfm_ranker_top_k(&ranker, rows, num_rows, best, k < ROW_ROOM ? k : ROW_ROOM, &found, &error);
    check("candidates", &error);
    for (r = 0; r < found; r++)
        printf("%zu\t%zu\t%.9g\n", r + 1, best[r].candidate, (double)best[r].logit);
}

int main(int argc, char **argv)
{
    static xsfm_model model;
    xsfm_error error;
    xsfm_info info;

    if ((argc != 3 && argc != 4 && argc != 5) || (argc == 4 && strcmp(argv[3], "--raw") != 0))
        stop("usage", "linux MODEL.xsfm ROWS.tsv [--raw | CONTEXT,FIELDS MOST]");
    xsfm_load(&model, file, read_file(argv[1]), &error);
    check(argv[1], &error);
    xsfm_get_info(&model, &info, &error);
    check(argv[1], &error);
    if (info.prepared_blocks <= TILE_BLOCKS) {
        xsfm_prepare(&model, tiles, TILE_BLOCKS, &model, &error);
        check(argv[1], &error);
    }
    if (argc == 4) {
        score_raw(&model, argv[2]);
        return EXIT_SUCCESS;
    }
    read_rows(argv[2], info.num_fields);
    if (argc == 3)
        score(&model);
    else
        rank(&model, argv[3], argv[4]);
    return EXIT_SUCCESS;
}
