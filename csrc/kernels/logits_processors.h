// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace dynexec {

// The part of a transformers GenerationConfig that shapes the next-token distribution.
// Order of application is transformers': penalties, minimum length, then (sampling only) temperature, top-k, top-p,
// min-p. A neutral value switches a step off.
struct LogitsParams {
    bool do_sample = false;
    float temperature = 1.0f;         // > 0
    size_t top_k = 0;                 // 0: off; ties with the k-th logit are kept, as transformers keeps them
    float top_p = 1.0f;               // (0, 1]; of equal logits at the threshold the lowest indices are kept
    float min_p = 0.0f;               // [0, 1)
    float repetition_penalty = 1.0f;  // > 0; over prompt and output (CTRL, arXiv 1909.05858)
    float presence_penalty = 0.0f;    // over the output only, subtracted once (OpenAI)
    float frequency_penalty = 0.0f;   // over output only, subtracted per occurrence (OpenAI)
    size_t min_new_tokens = 0;        // EOS ids are -inf until this number of tokens has been generated
    std::vector<int64_t> eos_token_ids;

    // True if greedy decoding can take the argmax of the raw logits.
    bool is_identity() const;
};

// Occurrences of tokens in one sequence. Draft tokens are pushed while a draft is being made and popped on rollback.
class TokenCounts {
public:
    void add_prompt(const int64_t* tokens, size_t n);
    void push(int64_t token);
    void pop(int64_t token);  // undoes a push; throws std::logic_error if the token was not pushed

    struct Count {
        bool in_prompt = false;
        uint32_t generated = 0;
    };
    const std::unordered_map<int64_t, Count>& items() const { return counts_; }
    size_t generated() const { return generated_; }

private:
    std::unordered_map<int64_t, Count> counts_;
    size_t generated_ = 0;
};

// Applies penalties and, when sampling, the warpers to one row of `vocab` logits in place (removed tokens become -inf).
void process_logits(float* logits, size_t vocab, const LogitsParams& params, const TokenCounts& counts);

}  // namespace dynexec
