// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.

// Median microseconds per row of 49,152 floats, for each instruction set of this CPU.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/logits_processors_isa.h"
#include "kernels/logits_stats_isa.h"
#include "kernels/verification.h"

using namespace dynexec;

namespace {

constexpr size_t kVocab = 49152;
constexpr int kRepetitions = 500;

// `reset` runs before each repetition and is not timed.
template <typename Reset, typename Body>
void report(const char* name, const char* isa, Reset reset, Body body) {
    std::vector<double> micros;
    for (int i = 0; i < kRepetitions; ++i) {
        reset();
        const auto start = std::chrono::steady_clock::now();
        body();
        micros.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(micros.begin(), micros.begin() + kRepetitions / 2, micros.end());
    std::printf("%-36s %-9s %8.2f\n", name, isa, micros[kRepetitions / 2]);
}

}  // namespace

int main() {
    std::mt19937_64 engine(1);
    std::normal_distribution<float> normal(0.0f, 3.0f);
    std::vector<float> logits(kVocab);
    for (float& logit : logits) logit = normal(engine);

    std::vector<float> row = logits;
    const auto nothing = [] {};
    const auto restore = [&] { row = logits; };
    volatile float sink = 0;

    LogitsParams params;
    params.do_sample = true;
    params.temperature = 0.8f;
    params.top_k = 50;
    params.top_p = 0.9f;
    LogitsParams top_p = params;
    top_p.top_k = 0;
    const TokenCounts counts;

    std::printf("%-36s %-9s %8s\n", "", "", "us/row");
    const struct {
        Isa isa;
        const char* name;
    } isas[] = {{Isa::kBaseline, "baseline"}, {Isa::kAvx2, "avx2"}, {Isa::kAvx512, "avx512"}};
    for (const auto& [isa_, name] : isas) {
        const Isa isa = isa_;
        if (!isa_supported(isa)) continue;
        report("logits_stats", name, nothing, [&] { sink = logits_stats(isa, row.data(), kVocab).entropy; });
        report("argmax", name, nothing, [&] { sink = static_cast<float>(argmax(isa, row.data(), kVocab)); });
        report("softmax", name, restore, [&] { softmax(isa, row.data(), kVocab); });
        report("process_logits(top-k 50, top-p 0.9)", name, restore,
               [&] { process_logits(isa, row.data(), kVocab, params, counts); });
        report("process_logits(top-p 0.9)", name, restore,
               [&] { process_logits(isa, row.data(), kVocab, top_p, counts); });
        restore();
    }

    std::vector<float> p = logits;
    softmax(p.data(), kVocab);
    std::vector<float> q(kVocab, 0.0f);
    q[0] = 1.0f;  // p[0] is small, so nearly every proposal of token 0 is rejected
    Rng rng(1, 0);
    report("sample", "", nothing, [&] { sink = static_cast<float>(sample(p.data(), kVocab, rng)); });
    report("verify_sampled, accepted", "", nothing,
           [&] { sink = static_cast<float>(verify_sampled(0, p.data(), p.data(), kVocab, rng).token); });
    report("verify_sampled, rejected", "", nothing,
           [&] { sink = static_cast<float>(verify_sampled(0, p.data(), q.data(), kVocab, rng).token); });
    static_cast<void>(sink);
    return 0;
}
