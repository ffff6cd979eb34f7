/* What the header promises of failures, held to from C:
 *
 *     promises MODEL.xsfm
 *
 * A context that was refused leaves none, whatever it was refused for; a model that cannot be prepared in place stays; instructions are
 * chosen before a model is loaded. Every field of the model has its first feature in all rows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xsfm.h"

#define ROOM 65536u
#define MOST_FIELDS 128u

static XSFM_ALIGNED(64) uint8_t file[16u << 20];
static xsfm_block scratch[ROOM], tiles[ROOM];
static const uint32_t zeros[MOST_FIELDS];

/* Ends the program unless a function gave this code. */
static void expect(const char *what, xsfm_status found, xsfm_status wanted)
{
    if (found == wanted)
        return;
    fprintf(stderr, "promises: %s: %s, %s expected\n", what, xsfm_status_name(found), xsfm_status_name(wanted));
    exit(EXIT_FAILURE);
}

static xsfm_row row_of(size_t fields)
{
    xsfm_row row = {zeros, 0, NULL, 0};

    row.num_indices = fields;
    return row;
}

static void contexts(const xsfm_model *model, size_t num_fields)
{
    static const size_t first = 0;
    xsfm_row good = row_of(1), candidate = row_of(num_fields - 1), no_indices = row_of(1), long_row = row_of(2);
    const xsfm_row *wrong[3];
    const xsfm_status codes[4] = {XSFM_STATUS_NULL, XSFM_STATUS_NULL, XSFM_STATUS_FIELD_COUNT, XSFM_STATUS_MISALIGNED_POINTER};
    xsfm_ranker ranker;
    xsfm_error error;
    float logit;
    int n;

    no_indices.indices = NULL;
    wrong[0] = NULL;
    wrong[1] = &no_indices;
    wrong[2] = &long_row;
    expect("ranker", xsfm_ranker_new(&ranker, model, &first, 1, scratch, ROOM, NULL), XSFM_STATUS_OK);
    for (n = 0; n < 4; n++) {
        expect("context", xsfm_ranker_set_context(&ranker, &good, NULL), XSFM_STATUS_OK);
        expect("candidate", xsfm_ranker_score_batch(&ranker, &candidate, 1, &logit, NULL), XSFM_STATUS_OK);
        if (n < 3)
            expect("wrong context", xsfm_ranker_set_context(&ranker, wrong[n], &error), codes[n]);
        else
            expect("no place for an error",
                   xsfm_ranker_set_context(&ranker, &good, (xsfm_error *)(void *)((uint8_t *)&error + 1)), codes[n]);
        expect("no context", xsfm_ranker_score_batch(&ranker, &candidate, 1, &logit, NULL), XSFM_STATUS_NO_CONTEXT);
    }
}

/* A row's logit with this model. */
static float score(const xsfm_model *model, size_t num_fields)
{
    xsfm_row row = row_of(num_fields);
    xsfm_scorer scorer;
    float logit;

    expect("scorer", xsfm_scorer_new(&scorer, model, scratch, ROOM, NULL), XSFM_STATUS_OK);
    expect("score", xsfm_score(&scorer, &row, &logit, NULL), XSFM_STATUS_OK);
    return logit;
}

static void in_place(xsfm_model model, const xsfm_info *info)
{
    float before = score(&model, info->num_fields), after;

    if (info->prepared_blocks > 0)
        expect("too little room", xsfm_prepare(&model, tiles, info->prepared_blocks - 1, &model, NULL),
               XSFM_STATUS_SCRATCH_TOO_SMALL);
    after = score(&model, info->num_fields);
    expect("prepared", xsfm_prepare(&model, tiles, ROOM, &model, NULL), XSFM_STATUS_OK);
    if (memcmp(&before, &after, sizeof before) != 0) {
        fprintf(stderr, "promises: another score after a failure in place\n");
        exit(EXIT_FAILURE);
    }
    score(&model, info->num_fields);
}

int main(int argc, char **argv)
{
    FILE *stream = argc == 2 ? fopen(argv[1], "rb") : NULL;
    xsfm_load_options options = {0, 0};
    xsfm_model model;
    xsfm_info info;
    size_t len;

    if (!stream) {
        fprintf(stderr, "promises: no model\n");
        return EXIT_FAILURE;
    }
    len = fread(file, 1, sizeof file, stream);
    fclose(stream);
    options.backend = XSFM_BACKEND_PORTABLE;
    expect("portable", xsfm_load_with(&model, file, len, &options, NULL), XSFM_STATUS_OK);
    expect("info", xsfm_get_info(&model, &info, NULL), XSFM_STATUS_OK);
    if (info.backend.len != 8 || memcmp(info.backend.start, "portable", 8) != 0) {
        fprintf(stderr, "promises: not the back end that was chosen\n");
        return EXIT_FAILURE;
    }
    options.backend = 1000;
    expect("no back end", xsfm_load_with(&model, file, len, &options, NULL), XSFM_STATUS_BACKEND);
    options.backend = XSFM_BACKEND_FASTEST_WITHOUT_AMX;
    expect("without AMX", xsfm_load_with(&model, file, len, &options, NULL), XSFM_STATUS_OK);
    expect("info", xsfm_get_info(&model, &info, NULL), XSFM_STATUS_OK);
    contexts(&model, info.num_fields);
    in_place(model, &info);
    puts("every promise was kept");
    return EXIT_SUCCESS;
}
