// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <openvino/openvino.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "fair_mutex.h"
#include "runtime/attention_rows.h"
#include "runtime/block_pool.h"
#include "runtime/cost_model.h"
#include "runtime/flat_batch.h"
#include "runtime/prefix_cache.h"
#include "runtime/row_limits.h"
#include "runtime/scheduler.h"

namespace dynexec {

// A decoder as a chain of compiled segments that share one paged KV cache. The first segment takes token ids, each
// further segment takes the hidden states of the previous one, and the last segment returns logits.
//
// A head is also a PagedModel, with one segment. It takes the hidden states of another model, together with token ids
// or instead of them.
//
// Not thread safe: hold mutex() around everything that touches the model or its blocks.
class PagedModel : public CacheRoom {
public:
    // `max_cache_tokens` limits the KV cache; 0: it grows as long as there is memory. Throws std::invalid_argument if
    // a segment has an input that this runtime cannot provide.
    PagedModel(const std::vector<ov::CompiledModel>& segments, size_t max_cache_tokens);

    // From now on, the logits of a token are the same bits in whatever batches its sequence runs, if the limits are
    // right for the compiled model: forward() divides batches and adds rows so that all passes keep them. Throws
    // std::invalid_argument if no pass can.
    void set_row_limits(const RowLimits& limits);
    const RowLimits& row_limits() const { return limits_; }
    // Whether PagedAttention may see more rows than the products: see AttentionRows.
    bool has_attention_rows() const;

    // Runs the batch and returns logits, [batch.logits_indices.size(), vocab_size()] float32, row major. The caller
    // may overwrite them. They stay valid until the next call.
    float* forward(const FlatBatch& batch) { return forward(batch, 0, num_segments()); }

    // Runs the batch through the segments [first, last) only. If first > 0, batch.hidden_states is the input of that
    // segment. Without the last segment of the model, there are no logits, and it returns nullptr.
    float* forward(const FlatBatch& batch, size_t first, size_t last);

    // Models that compute only the keys and values of all layers of a segment, from the same hidden states: one for
    // each segment except the first. They share the caches of the segments. Throws std::invalid_argument if they do
    // not fit the segments.
    void add_copiers(const std::vector<ov::CompiledModel>& copiers);
    bool has_copiers() const { return !copiers_.empty(); }
    // Runs the copiers of the segments from `first` > 0 on. Throws std::logic_error if there are none.
    void copy(const FlatBatch& batch, size_t first);

    // The output of a segment that is not the last one, [tokens of its last batch, boundary_size(segment)] float32,
    // valid until it runs again.
    const float* boundary(size_t segment) const { return segments_[segment].output; }
    size_t boundary_size(size_t segment) const { return segments_[segment + 1].hidden_size; }

    // The output of the last segment in addition to logits, [tokens of the last batch, hidden_size()] float32, valid
    // until the next call. For a model with a draft head: the input of its unembedding (names::kLastHiddenStates). For
    // a draft head: the hidden states that replace those of the model while it drafts (names::kHiddenStates).
    const float* hidden_states() const { return hidden_states_; }
    size_t hidden_size() const { return hidden_size_; }  // 0 if there is no such output
    // Size of the hidden states that the first segment takes; 0 if it takes none.
    size_t input_hidden_size() const { return segments_.front().hidden_size; }

    // Gives `table` room for `tokens` tokens, and grows the cache if needed. Throws std::length_error if the cache
    // would exceed max_cache_tokens.
    void reserve(BlockTable& table, size_t tokens);

    // Whether `table` can be given room for `tokens` tokens within max_cache_tokens.
    bool has_room(const BlockTable& table, size_t tokens) const;
    bool try_reserve(BlockTable& table, size_t tokens) override;
    size_t free_blocks() const override;
    bool could_hold(size_t tokens) const override;
    // Number of blocks that sequences use.
    size_t used_blocks() const { return taken_blocks() - scratch_.blocks().size(); }
    // What reserve() throws if `tokens` tokens have no room.
    std::length_error full_cache(size_t tokens) const;

    // Keeps the blocks of finished sequences, until their room is needed, for later sequences that begin with the same
    // tokens. The cache then grows to `tokens` tokens before such blocks are given up.
    void keep_prefixes(size_t tokens);
    PrefixCache* prefix_cache() { return prefix_cache_.get(); }  // nullptr: none

    // Maximum number of tokens that the cache can hold.
    size_t cache_limit() const;

    // The costs of passes: see profile(). Every pass without a backlog updates them.
    CostModel& cost_model() { return cost_model_; }
    const CostModel& cost_model() const { return cost_model_; }
    double last_seconds(size_t segment) const { return segments_[segment].last_seconds; }
    size_t vocab_size() const { return vocab_size_; }
    size_t num_segments() const { return segments_.size(); }
    // Rows that each segment has run so far, padding included.
    std::vector<size_t> rows_run() const;
    bool has_cache() const;
    size_t cache_bytes() const;
    const BlockPool& pool() const { return pool_; }
    FairMutex& mutex() { return mutex_; }
    // Unique in the process, also after this model is destroyed.
    uint64_t id() const { return id_; }

private:
    // A pass, as a segment takes it. `attention`: nullptr for a segment whose PagedAttention sees the rows of the
    // batch.
    struct Pass {
        const FlatBatch& batch;
        const AttentionRows* attention;
    };
    using Feed = std::function<ov::Tensor(const Pass&)>;
    struct Segment {
        ov::InferRequest request;
        std::vector<std::pair<ov::Output<const ov::Node>, Feed>> inputs;
        std::vector<ov::Output<const ov::Node>> caches;
        std::optional<ov::Output<const ov::Node>> hidden_states;  // input
        size_t hidden_size = 0;
        size_t block_size = 0;
        bool has_attention_rows = false;
        size_t rows_run = 0;
        size_t last_rows = 0;
        double last_seconds = 0.0;
        const float* output = nullptr;
        std::vector<float> gathered;  // the output, or the hidden states for heads, of a batch that was divided
    };
    static Segment make_segment(ov::CompiledModel compiled);
    void add_segment(const ov::CompiledModel& compiled);
    void feed(Segment& segment, const FlatBatch& batch) const;
    // Finds the rows that PagedAttention sees in a pass.
    void follow(const FlatBatch& batch);
    void find_outputs(const ov::CompiledModel& last);
    static ov::Tensor hidden_states_of(const FlatBatch& batch, const Segment& segment);
    // One pass: forward() for a batch that keeps the limits.
    float* run(const FlatBatch& batch, size_t first, size_t last);
    // Blocks that are not available: those of sequences, and the one for added rows.
    size_t taken_blocks() const { return pool_.capacity() - pool_.available(); }
    void grow_cache(size_t in_use);
    // Largest number of blocks of the cache.
    size_t most_blocks() const;
    // Makes the copier of a segment write to the caches of the segment.
    void share_caches(size_t segment);

    static uint64_t next_id();

    uint64_t id_ = next_id();
    BlockPool pool_{1};  // outlives all tables
    std::unique_ptr<PrefixCache> prefix_cache_;
    size_t grow_until_ = 0;  // blocks up to which the cache grows before known prefixes are given up
    std::vector<Segment> segments_;
    std::vector<Segment> copiers_;  // of segments_[1:]
    size_t max_cache_tokens_;
    size_t vocab_size_ = 0;
    size_t hidden_size_ = 0;
    std::optional<ov::Output<const ov::Node>> hidden_states_output_;
    const float* hidden_states_ = nullptr;
    RowLimits limits_;
    AttentionRows attention_rows_;
    BlockTable scratch_;  // for added rows that have no room in the blocks of their sequence
    std::vector<float> gathered_logits_;
    CostModel cost_model_;
    FairMutex mutex_;
};

}  // namespace dynexec
