// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/logits_processors.h"
#include "kernels/logprobs.h"
#include "kernels/sampling.h"
#include "runtime/block_pool.h"
#include "runtime/prefix_cache.h"

namespace dynexec {

struct Call;
struct Handover;
class Proposer;

// The request of the caller, one for each output sequence.
struct SequenceRequest {
    std::vector<int64_t> prompt;  // at least one token
    LogitsParams logits;
    size_t max_new_tokens = 0;
    std::vector<int64_t> eos_token_ids;
    uint64_t seed = 0;
    // Texts of requests with the same scope may be drafts for each other.
    std::string draft_scope;
    // Requests with the same salt may share blocks of the KV cache.
    std::string cache_salt;
    // For how many of the most probable tokens, apart from the chosen one, the logarithms of probabilities are kept.
    std::optional<size_t> logprobs;
};

// Tokens proposed for one sequence in one step.
struct Draft {
    std::vector<int64_t> tokens;
    // The distribution that each token was drawn from, [tokens.size()][vocab]. Empty if the proposer was certain.
    std::vector<std::vector<float>> probs;

    void clear() { cut(0); }
    // Keeps the first `n` tokens at most.
    void cut(size_t n) {
        if (tokens.size() > n) tokens.resize(n);
        if (probs.size() > n) probs.resize(n);
    }
};

// The progress of one segment of the target through a sequence.
struct SegmentProgress {
    size_t cached = 0;           // tokens whose keys and values are valid in its cache
    std::vector<float> waiting;  // its input hidden states for the tokens that only the previous segments have run
};

enum class FinishReason { kNone, kLength, kStop, kCallback, kCancelled, kDeadline };

// One sequence while it is being generated. It has its own random streams, so its tokens do not depend on its
// neighbours in the batch.
struct Sequence {
    Sequence(size_t index_, const SequenceRequest& request_, size_t num_segments = 1, Call* call_ = nullptr)
        : index(index_),
          request(request_),
          call(call_),
          tokens(request_.prompt),
          segments(num_segments),
          rng(request_.seed, 2 * index_),
          draft_rng(request_.seed, 2 * index_ + 1) {
        counts.add_prompt(tokens.data(), tokens.size());
    }

    size_t index;  // in its call
    const SequenceRequest& request;
    Call* call;
    std::vector<int64_t> tokens;     // prompt and output
    std::vector<Logprobs> logprobs;  // of the output, before the logits processors, if the request wants them
    std::vector<SegmentProgress> segments;
    BlockTable table;
    PrefixCache::Place place;  // of its blocks in the prefix cache
    TokenCounts counts;
    Rng rng;
    Rng draft_rng;
    Draft draft;
    Proposer* drafted_by = nullptr;  // who proposed the draft
    std::vector<int64_t> forced;     // the next tokens, as far as its caller says that no others can follow
    std::vector<int64_t> ahead;      // draft tokens that the first segments have already run in this step
    FinishReason finish_reason = FinishReason::kNone;
    // Its next token is being decided by callbacks of the caller, in another thread, which has the sequence until then.
    bool deciding = false;
    bool has_run = false;  // whether it has been admitted before
    bool drafts = true;    // false if there was no room for drafts
    std::shared_ptr<Handover> handover;

    size_t generated() const { return tokens.size() - request.prompt.size(); }
    size_t remaining() const { return request.max_new_tokens - generated(); }
    bool finished() const { return finish_reason != FinishReason::kNone; }
    // Tokens that the first segment has run.
    size_t cached() const { return segments.front().cached; }
    // All but the last token are in the cache: the next forward pass gives a new token.
    bool decoding() const { return cached() + 1 == tokens.size(); }
    // The token at an index into tokens and draft, end to end.
    int64_t token_at(size_t i) const { return i < tokens.size() ? tokens[i] : draft.tokens[i - tokens.size()]; }
    // Discards the progress on the tokens from `length` on.
    void rollback(size_t length);
    // Gives its blocks back. It starts again from its first token, and keeps those that it has generated.
    void restart();
    // Drops the draft, also from the token counts, wherever it was left.
    void drop_draft();
};

}  // namespace dynexec
