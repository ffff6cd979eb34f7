// Scores or ranks rows with a model from a file: linux.c in C++17.
//
//     linux-cpp MODEL.xsfm ROWS.tsv                   the bits of logit and probability of every row
//     linux-cpp MODEL.xsfm ROWS.tsv user,age,… 10     the 10 best rows, as candidates for the context of the first
//     linux-cpp MODEL.xsfm ROWS.tsv --raw             the same bits of rows of raw values, by the model's vocabulary
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "xsfm.h"

namespace {

/// A model, a row or a file that cannot be used.
struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws what `error` says, if it says anything.
void check(const std::string &what, const xsfm_error &error)
{
    if (error.status == XSFM_STATUS_OK)
        return;
    std::string message(xsfm_error_message(&error, nullptr, 0) + 1, '\0');
    xsfm_error_message(&error, message.data(), message.size());
    message.pop_back();
    throw Refused(what + ": " + xsfm_status_name(error.status) + ": " + message);
}

/// A model and the file that it lies in: neither copied nor moved, because the one points into the other.
class Model {
public:
    explicit Model(const std::string &path)
    {
        std::ifstream stream(path, std::ios::binary | std::ios::ate);
        if (!stream)
            throw Refused(path + ": cannot be opened");
        const auto len = static_cast<std::size_t>(stream.tellg());
        // A vector of blocks starts at a multiple of 64.
        file.resize(len / sizeof(xsfm_block) + 1);
        auto *bytes = file.front().bytes;
        stream.seekg(0).read(reinterpret_cast<char *>(bytes), static_cast<std::streamsize>(len));
        if (!stream)
            throw Refused(path + ": cannot be read");
        xsfm_error error;
        xsfm_load(&model, bytes, len, &error);
        check(path, error);
        tiles.resize(info().prepared_blocks);
        xsfm_prepare(&model, tiles.data(), tiles.size(), &model, &error);
        check(path, error);
    }
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;

    const xsfm_model *get() const { return &model; }

    xsfm_info info() const
    {
        xsfm_info info;
        xsfm_error error;
        xsfm_get_info(&model, &info, &error);
        check("model", error);
        return info;
    }

    std::size_t field(const std::string &name) const
    {
        xsfm_field field;
        for (std::size_t f = 0; xsfm_get_field(&model, f, &field, nullptr) == XSFM_STATUS_OK; f++)
            if (name.compare(0, std::string::npos, field.name.start, field.name.len) == 0)
                return f;
        throw Refused(name + ": the model has no such field");
    }

private:
    std::vector<xsfm_block> file, tiles;
    xsfm_model model{};
};

/// Rows of some of the fields, in the two arrays that xsfm_row points into.
struct Rows {
    std::size_t num_fields;
    std::vector<std::uint32_t> indices, offsets{0};

    void push_field(const std::vector<std::uint32_t> &bag)
    {
        indices.insert(indices.end(), bag.begin(), bag.end());
        offsets.push_back(static_cast<std::uint32_t>(indices.size()));
    }

    /// Valid until the next push.
    std::vector<xsfm_row> all() const
    {
        std::vector<xsfm_row> rows;
        for (std::size_t first = 0; first + 1 < offsets.size(); first += num_fields)
            rows.push_back({indices.data(), indices.size(), offsets.data() + first, num_fields + 1});
        return rows;
    }
};

std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);)
        parts.push_back(part);
    return parts;
}

/// Reads rows; those of the fields in `in_context` go to the second, the others to the first.
std::pair<Rows, Rows> read_rows(const std::string &path, const std::vector<bool> &in_context)
{
    const auto fields = in_context.size();
    const auto of_context = static_cast<std::size_t>(std::count(in_context.begin(), in_context.end(), true));
    std::pair<Rows, Rows> rows{Rows{fields - of_context, {}}, Rows{of_context, {}}};
    std::ifstream stream(path);
    if (!stream)
        throw Refused(path + ": cannot be opened");
    for (std::string line; std::getline(stream, line);) {
        const auto cells = split(line, '\t');
        if (cells.size() != fields)
            throw Refused(path + ": " + std::to_string(cells.size()) + " fields, but the model has " + std::to_string(fields));
        for (std::size_t f = 0; f < fields; f++) {
            std::vector<std::uint32_t> bag;
            for (const auto &index : split(cells[f], '|'))
                bag.push_back(static_cast<std::uint32_t>(std::stoul(index)));
            (in_context[f] ? rows.second : rows.first).push_field(bag);
        }
    }
    return rows;
}

void print_bits(float logit)
{
    const float probability = xsfm_probability(logit);
    std::uint32_t bits[2];
    std::memcpy(&bits[0], &logit, sizeof bits[0]);
    std::memcpy(&bits[1], &probability, sizeof bits[1]);
    std::printf("%08lx\t%08lx\n", static_cast<unsigned long>(bits[0]), static_cast<unsigned long>(bits[1]));
}

/// Makes rows of raw values, in memory for the largest.
class Encoder {
public:
    explicit Encoder(const Model &model)
    {
        xsfm_error error;
        xsfm_encoder_new(&encoder, model.get(), &error);
        check("vocabulary", error);
        xsfm_encoder_info info;
        xsfm_encoder_get_info(&encoder, &info, &error);
        check("vocabulary", error);
        indices.resize(info.max_indices);
        offsets.resize(info.max_offsets);
    }

    /// Valid until the next one.
    xsfm_row row(const std::vector<xsfm_value> &values)
    {
        const xsfm_row_room room{indices.data(), indices.size(), offsets.data(), offsets.size()};
        xsfm_row row;
        xsfm_error error;
        xsfm_encode(&encoder, values.data(), values.size(), &room, &row, &error);
        check("row", error);
        return row;
    }

private:
    xsfm_encoder encoder{};
    std::vector<std::uint32_t> indices, offsets;
};

void score_raw(const Model &model, const std::string &path)
{
    Encoder encoder(model);
    std::vector<xsfm_block> scratch(model.info().scratch_blocks);
    xsfm_scorer scorer{};
    xsfm_error error;
    xsfm_scorer_new(&scorer, model.get(), scratch.data(), scratch.size(), &error);
    check("scratch", error);
    std::ifstream stream(path);
    if (!stream)
        throw Refused(path + ": cannot be opened");
    for (std::string line; std::getline(stream, line);) {
        std::vector<xsfm_value> values;
        for (std::size_t from = 0, to; from <= line.size(); from = to + 1) {
            to = std::min(line.find('\t', from), line.size());
            values.push_back(xsfm_text_value(line.data() + from, to - from));
        }
        const xsfm_row row = encoder.row(values);
        float logit;
        xsfm_score(&scorer, &row, &logit, &error);
        check("row", error);
        print_bits(logit);
    }
}

void score(const Model &model, const std::string &path)
{
    const auto info = model.info();
    const auto read = read_rows(path, std::vector<bool>(info.num_fields));
    const auto rows = read.first.all();
    std::vector<xsfm_block> scratch(info.batch_scratch_blocks);
    std::vector<float> logits(rows.size());
    xsfm_scorer scorer{};
    xsfm_error error;
    xsfm_scorer_new(&scorer, model.get(), scratch.data(), scratch.size(), &error);
    check("scratch", error);
    xsfm_score_batch(&scorer, rows.data(), rows.size(), logits.data(), &error);
    check("rows", error);
    for (const float logit : logits)
        print_bits(logit);
}

void rank(const Model &model, const std::string &path, const std::string &names, std::size_t most)
{
    std::vector<bool> in_context(model.info().num_fields);
    std::vector<std::size_t> context_fields;
    for (const auto &name : split(names, ',')) {
        context_fields.push_back(model.field(name));
        in_context[context_fields.back()] = true;
    }
    xsfm_error error;
    std::size_t blocks;
    xsfm_ranker_blocks(model.get(), context_fields.data(), context_fields.size(), &blocks, &error);
    check("context", error);
    std::vector<xsfm_block> memory(blocks);
    xsfm_ranker ranker{};
    xsfm_ranker_new(&ranker, model.get(), context_fields.data(), context_fields.size(), memory.data(), blocks, &error);
    check("ranker", error);

    const auto read = read_rows(path, in_context);
    const auto candidates = read.first.all(), contexts = read.second.all();
    xsfm_ranker_set_context(&ranker, contexts.empty() ? nullptr : &contexts.front(), &error);
    check("context", error);
    std::vector<xsfm_ranked> best(most);
    std::size_t found;
    xsfm_ranker_top_k(&ranker, candidates.data(), candidates.size(), best.data(), most, &found, &error);
    check("candidates", error);
    for (std::size_t r = 0; r < found; r++)
        std::printf("%zu\t%zu\t%.9g\n", r + 1, best[r].candidate, static_cast<double>(best[r].logit));
}

} // namespace

int main(int argc, char **argv)
{
    try {
        if (argc < 3 || argc > 5 || (argc == 4 && std::string(argv[3]) != "--raw"))
            throw Refused("usage: linux-cpp MODEL.xsfm ROWS.tsv [--raw | CONTEXT,FIELDS MOST]");
        const Model model(argv[1]);
        if (argc == 4)
            score_raw(model, argv[2]);
        else if (argc == 3)
            score(model, argv[2]);
        else
            rank(model, argv[2], argv[3], std::stoul(argv[4]));
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "linux-cpp: " << error.what() << '\n';
        return 1;
    }
}
