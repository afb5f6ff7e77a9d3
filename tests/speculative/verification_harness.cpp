// Speculative sampling of three tokens from tables of conditional distributions, on csrc/kernels/verification.cpp or a
// mutant of it. test_verification_mutants.py compiles it.
#include <cstring>
#include <vector>

#include "kernels/verification.h"

namespace {

constexpr int kTokens = 3;

// Row of the table for the next token after `tokens`: the empty prefix first, then those of one token, then of two.
size_t row_of(const std::vector<int64_t>& tokens, size_t vocab) {
    if (tokens.empty()) return 0;
    if (tokens.size() == 1) return 1 + static_cast<size_t>(tokens[0]);
    return 1 + vocab + static_cast<size_t>(tokens[0]) * vocab + static_cast<size_t>(tokens[1]);
}

}  // namespace

// `p`: [1 + vocab + vocab^2][vocab]. `q`: the same of the draft; null: it proposes the token `certain` says, for sure.
// `counts`: [vocab][vocab][vocab].
extern "C" void speculate(const float* p, const float* q, const int64_t* certain, size_t vocab, uint64_t samples,
                          uint64_t* counts, uint64_t* proposed, uint64_t* accepted) {
    using namespace dynexec;
    for (uint64_t i = 0; i < samples; ++i) {
        Rng rng(1, 2 * i);
        Rng draft_rng(1, 2 * i + 1);
        std::vector<int64_t> tokens;
        while (tokens.size() < kTokens) {
            std::vector<int64_t> path = tokens;
            while (path.size() < kTokens) {
                const size_t row = row_of(path, vocab);
                path.push_back(q == nullptr ? certain[row] : sample(q + row * vocab, vocab, draft_rng));
            }
            for (size_t at = tokens.size(); at < kTokens; ++at) {
                const size_t row = row_of(tokens, vocab);
                const Decision decision = verify_sampled(path[at], p + row * vocab, q == nullptr ? q : q + row * vocab,
                                                         vocab, rng);
                tokens.push_back(decision.token);
                ++*proposed;
                if (!decision.accepted) break;
                ++*accepted;
            }
        }
        const auto v = static_cast<int64_t>(vocab);
        ++counts[(tokens[0] * v + tokens[1]) * v + tokens[2]];
    }
}
