// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.

// Fuzzes the path from logits to a verified token, the n-gram index and the kernels of diffusion, against reference
// implementations.
// With -DDYNEXEC_LIBFUZZER=ON (clang) libFuzzer drives it; else main below does, with N random inputs:
//   fuzz_kernels [iterations [seed]]

#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "kernels/diffusion/diffusion_isa.h"
#include "kernels/logits_processors_isa.h"
#include "kernels/logits_stats_isa.h"
#include "kernels/ngram_index.h"
#include "kernels/suffix_automaton.h"
#include "kernels/verification.h"
#include "reference.h"

using namespace dynexec;

namespace {

#define REQUIRE(condition)                                                                       \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            std::fprintf(stderr, "%s:%d: REQUIRE(%s) failed\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                        \
        }                                                                                        \
    } while (false)

// Reads values off the input; zeros once it is used up.
class Reader {
public:
    Reader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

    template <typename T>
    T get() {
        T value{};
        const size_t n = std::min(sizeof(T), size_);
        if (n > 0) std::memcpy(&value, data_, n);
        data_ += n;
        size_ -= n;
        return value;
    }
    uint8_t byte() { return get<uint8_t>(); }
    bool done() const { return size_ == 0; }

private:
    const uint8_t* data_;
    size_t size_;
};

float read_logit(Reader& reader) {
    static const float kSpecial[] = {-reference::kInf, -FLT_MAX, -1e30f,  -1e4f, -0.0f, 0.0f,
                                     FLT_MIN,          1e-45f,   -1e-45f, 1e4f};
    const uint8_t kind = reader.byte();
    if (kind < 10) return kSpecial[kind];
    switch (kind) {
        case 10:
            return reference::kNan;
        case 11:
            return reference::kInf;
        case 12:
            return FLT_MAX;
        case 13:
            return reader.get<float>();
        default:
            return static_cast<float>(kind - 128) / 8.0f;  // ties are frequent
    }
}

// In [low, high], at steps of 1/255.
float read_fraction(Reader& reader, float low, float high) {
    return low + (high - low) * static_cast<float>(reader.byte()) / 255.0f;
}

LogitsParams read_params(Reader& reader) {
    LogitsParams params;
    const uint8_t steps = reader.byte();
    if (steps & 1) params.top_k = reader.byte();
    if (steps & 2) params.top_p = read_fraction(reader, 1e-3f, 1.0f);
    if (steps & 4) params.min_p = read_fraction(reader, 0.0f, 0.999f);
    if (steps & 8) params.repetition_penalty = read_fraction(reader, 0.1f, 3.0f);
    if (steps & 16) params.presence_penalty = read_fraction(reader, -2.0f, 2.0f);
    if (steps & 32) params.frequency_penalty = read_fraction(reader, -2.0f, 2.0f);
    if (steps & 64) {
        params.min_new_tokens = reader.byte();
        params.eos_token_ids = {reader.get<int16_t>(), reader.get<int64_t>()};
    }
    if (steps & 128) params.temperature = read_fraction(reader, 0.01f, 4.0f);
    return params;
}

TokenCounts read_counts(Reader& reader) {
    TokenCounts counts;
    for (int n = reader.byte() % 16; n > 0; --n) {
        const int64_t token = reader.get<int16_t>() % 600;
        switch (reader.byte() % 4) {
            case 0:
                counts.add_prompt(&token, 1);
                break;
            case 1:
                counts.push(token);
                counts.pop(token);
                break;
            default:
                counts.push(token);
        }
    }
    return counts;
}

void fuzz_decision(Reader& reader) {
    const size_t vocab = 1 + reader.get<uint16_t>() % 500;
    LogitsParams params = read_params(reader);
    const TokenCounts counts = read_counts(reader);
    // A row of fewer read values than its length repeats them.
    std::vector<float> row;
    while (row.size() < vocab && !(reader.done() && !row.empty())) row.push_back(read_logit(reader));
    for (size_t i = 0; row.size() < vocab; ++i) row.push_back(row[i]);

    for (const Isa isa : reference::supported_isas()) {
        REQUIRE(reference::stats_agree(logits_stats(isa, row.data(), vocab), row));
        REQUIRE(argmax(isa, row.data(), vocab) == reference::argmax(row));
    }

    process_logits(row.data(), vocab, params, counts);  // penalties only
    LogitsParams warpers;
    warpers.do_sample = true;
    warpers.temperature = params.temperature;
    process_logits(row.data(), vocab, warpers, counts);
    warpers = params;
    warpers.do_sample = true;
    warpers.temperature = 1.0f;
    warpers.repetition_penalty = 1.0f;
    warpers.presence_penalty = warpers.frequency_penalty = 0.0f;
    warpers.min_new_tokens = 0;
    const bool valid = !reference::softmax(row).empty();
    std::vector<float> p;
    for (const Isa isa : reference::supported_isas()) {
        p = row;
        process_logits(isa, p.data(), vocab, warpers, counts);
        if (valid) REQUIRE(reference::warp_agrees(p, row, warpers));
        REQUIRE(softmax(isa, p.data(), vocab) == valid);
    }
    if (!valid) return;

    std::vector<float> q = row;
    REQUIRE(softmax(q.data(), vocab));
    Rng rng(reader.get<uint16_t>(), 0);
    for (int i = 0; i < 4; ++i) {
        const int64_t proposed = sample(q.data(), vocab, rng);
        REQUIRE(proposed >= 0 && q[static_cast<size_t>(proposed)] > 0);
        for (const float* draft : {static_cast<const float*>(q.data()), static_cast<const float*>(nullptr)}) {
            const Decision decision = verify_sampled(proposed, p.data(), draft, vocab, rng);
            REQUIRE(decision.token >= 0 && p[static_cast<size_t>(decision.token)] > 0);
            REQUIRE(!decision.accepted || decision.token == proposed);
        }
        REQUIRE(verify_sampled(proposed, q.data(), q.data(), vocab, rng).accepted);
    }
}

void fuzz_ngram_index(Reader& reader) {
    const size_t max_ngram = 1 + reader.byte() % 64;
    const int alphabet = 1 + reader.byte() % 16;
    NGramIndex index(max_ngram);
    std::vector<int64_t> out;
    while (!reader.done() && index.tokens().size() < 300) {
        index.append(reader.byte() % alphabet);
        const NGramIndex::Match match = index.longest_match();
        const reference::Match expected = reference::longest_match(index.tokens(), max_ngram);
        REQUIRE(match.length == expected.length);
        if (match.length == 0) continue;
        REQUIRE(match.next == expected.next);
        index.propose(match, 5, out);
        REQUIRE(out.size() == 5 && out[0] == index.tokens()[match.next]);
    }
}

// Texts that grow in turns, and one that is read along.
void fuzz_suffix_automaton(Reader& reader) {
    const int alphabet = 1 + reader.byte() % 8;
    SuffixAutomaton automaton;
    SuffixAutomaton::State ends[3] = {};
    size_t lengths[3] = {};
    SuffixAutomaton::Cursor cursor;
    while (!reader.done()) {
        const size_t k = reader.byte() % 3;
        ends[k] = automaton.append(ends[k], reader.byte() % alphabet);
        REQUIRE(automaton.length(ends[k]) == ++lengths[k]);
        automaton.advance(cursor, reader.byte() % (alphabet + 1));
        REQUIRE(automaton.length(cursor.state) >= cursor.length);
        for (auto state = ends[k]; state != SuffixAutomaton::kRoot; state = automaton.shorter(state)) {
            REQUIRE(automaton.length(automaton.shorter(state)) < automaton.length(state));
            const auto next = automaton.most_frequent(state);
            REQUIRE(next.count <= next.total);
            REQUIRE(next.count == 0 || automaton.length(next.state) > automaton.length(state));
        }
    }
}

// Sums, cosines and combinations of any floats: no variant may trap, leave its bounds or lose what is not finite.
void fuzz_diffusion(Reader& reader) {
    std::vector<float> x;
    std::vector<float> y;
    while (!reader.done() && x.size() < 600) {
        x.push_back(read_logit(reader));
        y.push_back(read_logit(reader));
    }
    bool finite = true;
    for (size_t i = 0; i < x.size(); ++i) finite = finite && std::isfinite(x[i]) && std::isfinite(y[i]);
    for (const Isa isa : reference::supported_isas()) {
        const double c = cosine(isa, x.data(), y.data(), x.size());
        REQUIRE(std::isnan(c) || (c >= -1 && c <= 1));
        REQUIRE(finite || std::isnan(c));
        const DifferenceStats stats = difference_stats(isa, x.data(), y.data(), x.size());
        REQUIRE(std::isnan(stats.squared_difference) || stats.squared_difference >= 0);
        REQUIRE(finite || !std::isfinite(stats.absolute_difference));
        const float* const inputs[] = {x.data(), y.data()};
        const float weights[] = {2.0f, -1.0f};
        std::vector<float> out(x.size());
        combine(isa, inputs, weights, 2, out.data(), out.size());
        for (size_t i = 0; i < out.size(); ++i) {
            const double expected = 2.0 * static_cast<double>(x[i]) - y[i];
            if (std::fabs(expected) < 1e37)
                REQUIRE(reference::close(out[i], expected, 1e-6, 1e-6 * std::fabs(y[i]) + 1e-40));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Reader reader(data, size);
    switch (reader.byte() % 6) {
        case 0:
            fuzz_ngram_index(reader);
            break;
        case 1:
            fuzz_diffusion(reader);
            break;
        case 2:
            fuzz_suffix_automaton(reader);
            break;
        default:
            fuzz_decision(reader);
    }
    return 0;
}

#ifndef DYNEXEC_LIBFUZZER
int main(int argc, char** argv) {
    const long iterations = argc > 1 ? std::atol(argv[1]) : 20000;
    std::mt19937_64 engine(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
    for (long i = 0; i < iterations; ++i) {
        std::vector<uint8_t> input(1 + engine() % 400);
        // Low bytes are the special values, so some inputs have many of them and some next to none.
        const uint64_t rare = engine() % 16;
        for (uint8_t& byte : input) byte = static_cast<uint8_t>(engine() % 16 < rare ? engine() : 64 + engine() % 192);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%ld inputs\n", iterations);
    return 0;
}
#endif
