// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/paged_model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>

#include "tensor_names.h"
#include "timer.h"

namespace dynexec {
namespace {

template <typename T>
ov::Tensor view(const std::vector<T>& values) {
    // The runtime only reads inputs, but ov::Tensor has no const view.
    return ov::Tensor(ov::element::from<T>(), ov::Shape{values.size()}, const_cast<T*>(values.data()));
}

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

size_t last_dimension(const ov::Output<const ov::Node>& port, const char* what) {
    const auto shape = port.get_partial_shape();
    if (shape.rank().is_dynamic() || shape.size() == 0 || shape[shape.size() - 1].is_dynamic()) {
        throw std::invalid_argument("PagedModel: the model has a dynamic size of its " + std::string(what));
    }
    return static_cast<size_t>(shape[shape.size() - 1].get_length());
}

}  // namespace

uint64_t PagedModel::next_id() {
    static std::atomic<uint64_t> next{0};
    return next++;
}

PagedModel::PagedModel(const std::vector<ov::CompiledModel>& segments, size_t max_cache_tokens)
    : max_cache_tokens_(max_cache_tokens), cost_model_(segments.size()) {
    if (segments.empty()) throw std::invalid_argument("PagedModel: at least one segment is needed");
    for (const auto& compiled : segments) add_segment(compiled);
    find_outputs(segments.back());
}

void PagedModel::find_outputs(const ov::CompiledModel& last) {
    vocab_size_ = last_dimension(last.output(0), "logits");
    for (const auto& output : last.outputs()) {
        const auto& given = output.get_names();
        if (given.count(names::kHiddenStates) == 0 && given.count(names::kLastHiddenStates) == 0) continue;
        hidden_states_output_ = output;
        hidden_size_ = last_dimension(output, "hidden states");
    }
}

PagedModel::Segment PagedModel::make_segment(ov::CompiledModel compiled) {
    static const std::map<std::string, Feed> feeds = {
        {names::kInputIds, [](const Pass& pass) { return view(pass.batch.input_ids); }},
        {names::kPositionIds, [](const Pass& pass) { return view(pass.batch.position_ids); }},
        {names::kPastLens, [](const Pass& pass) { return view(pass.batch.past_lens); }},
        {names::kSubsequenceBegins,
         [](const Pass& pass) {
             return view(pass.attention ? pass.attention->subsequence_begins : pass.batch.subsequence_begins);
         }},
        {names::kBlockIndices,
         [](const Pass& pass) {
             return view(pass.attention ? pass.attention->block_indices : pass.batch.block_indices);
         }},
        {names::kBlockIndicesBegins,
         [](const Pass& pass) {
             return view(pass.attention ? pass.attention->block_indices_begins : pass.batch.block_indices_begins);
         }},
        {names::kMaxContextLen,
         [](const Pass& pass) {
             const int32_t& most = pass.attention ? pass.attention->max_context_len : pass.batch.max_context_len;
             return ov::Tensor(ov::element::i32, ov::Shape{}, const_cast<int32_t*>(&most));
         }},
        {names::kLogitsIndices, [](const Pass& pass) { return view(pass.batch.logits_indices); }},
        {names::kAttentionRows, [](const Pass& pass) { return view(pass.attention->rows); }},
        {names::kKeptRows, [](const Pass& pass) { return view(pass.attention->kept); }},
    };
    Segment segment;
    for (const auto& input : compiled.inputs()) {
        const std::string name = input.get_any_name();
        if (name == names::kHiddenStates) {
            segment.hidden_states = input;
            segment.hidden_size = last_dimension(input, "hidden states");
        } else if (starts_with(name, names::kKeyCache) || starts_with(name, names::kValueCache)) {
            const auto shape = input.get_partial_shape();
            for (size_t axis = 1; axis < 4; ++axis) {
                if (shape.size() != 4 || shape[axis].is_dynamic()) {
                    throw std::invalid_argument("PagedModel: the device has not fixed the layout of the cache " + name);
                }
            }
            // Values are [blocks, kv_heads, block_size, head_dim] on every device; keys may be transposed.
            if (starts_with(name, names::kValueCache)) segment.block_size = static_cast<size_t>(shape[2].get_length());
            segment.caches.push_back(input);
        } else if (const auto feed = feeds.find(name); feed != feeds.end()) {
            segment.inputs.emplace_back(input, feed->second);
            segment.has_attention_rows = segment.has_attention_rows || name == names::kAttentionRows;
        } else {
            throw std::invalid_argument("PagedModel: the model has an input '" + name +
                                        "' that this runtime cannot provide");
        }
    }
    segment.request = compiled.create_infer_request();
    return segment;
}

void PagedModel::add_segment(const ov::CompiledModel& compiled) {
    Segment segment = make_segment(compiled);
    if (!segment.hidden_states && !segments_.empty()) {
        throw std::invalid_argument("PagedModel: every segment except the first needs the input " +
                                    std::string(names::kHiddenStates));
    }
    if (segment.block_size > 0) pool_ = BlockPool(segment.block_size);
    segments_.push_back(std::move(segment));
}

void PagedModel::add_copiers(const std::vector<ov::CompiledModel>& copiers) {
    if (copiers.size() + 1 != segments_.size()) {
        throw std::invalid_argument("PagedModel: " + std::to_string(copiers.size()) + " copiers for " +
                                    std::to_string(segments_.size()) + " segments");
    }
    std::vector<Segment> made;
    for (const auto& compiled : copiers) {
        made.push_back(make_segment(compiled));
        const Segment& segment = segments_[made.size()];
        const Segment& copier = made.back();
        bool fits = copier.hidden_size == segment.hidden_size && copier.caches.size() == segment.caches.size();
        for (const auto& port : fits ? copier.caches : std::vector<ov::Output<const ov::Node>>{}) {
            const auto same = [&](const ov::Output<const ov::Node>& other) {
                return other.get_any_name() == port.get_any_name() &&
                       other.get_element_type() == port.get_element_type() &&
                       other.get_partial_shape() == port.get_partial_shape();
            };
            fits = fits && std::any_of(segment.caches.begin(), segment.caches.end(), same);
        }
        if (!fits) {
            throw std::invalid_argument("PagedModel: the copier of segment " + std::to_string(made.size()) +
                                        " must have the same hidden states and caches as the segment");
        }
    }
    copiers_ = std::move(made);
    for (size_t i = 1; pool_.capacity() > 0 && i < segments_.size(); ++i) share_caches(i);
}

void PagedModel::share_caches(size_t segment) {
    if (segment == 0 || copiers_.empty()) return;
    Segment& copier = copiers_[segment - 1];
    for (const auto& port : segments_[segment].caches) {
        copier.request.set_tensor(port.get_any_name(), segments_[segment].request.get_tensor(port));
    }
}

void PagedModel::copy(const FlatBatch& batch, size_t first) {
    if (copiers_.empty()) throw std::logic_error("PagedModel: there are no copiers");
    follow(batch);
    for (size_t i = first; i < segments_.size(); ++i) {
        Segment& copier = copiers_[i - 1];
        feed(copier, batch);
        copier.request.set_tensor(*copier.hidden_states, hidden_states_of(batch, copier));
        copier.request.infer();
    }
}

void PagedModel::feed(Segment& segment, const FlatBatch& batch) const {
    const Pass pass = {batch, segment.has_attention_rows ? &attention_rows_ : nullptr};
    for (const auto& [port, made] : segment.inputs) segment.request.set_tensor(port, made(pass));
}

void PagedModel::follow(const FlatBatch& batch) {
    if (!has_attention_rows()) return;
    const int32_t scratch = scratch_.blocks().empty() ? 0 : scratch_.blocks().front();
    attention_rows_.follow(batch, limits_.attention, pool_.block_size(), scratch);
}

bool PagedModel::has_attention_rows() const {
    return std::any_of(segments_.begin(), segments_.end(), [](const Segment& s) { return s.has_attention_rows; });
}

ov::Tensor PagedModel::hidden_states_of(const FlatBatch& batch, const Segment& segment) {
    if (batch.hidden_states.size() != batch.tokens() * segment.hidden_size) {
        throw std::invalid_argument("PagedModel: a pass of " + std::to_string(batch.tokens()) + " tokens needs " +
                                    std::to_string(segment.hidden_size) + " hidden states for each token");
    }
    ov::Shape shape = {batch.tokens(), 1, segment.hidden_size};
    // In some models, the tokens are on the second axis.
    const auto axes = segment.hidden_states->get_partial_shape();
    if (axes[0].is_static() && axes[0].get_length() == 1) std::swap(shape[0], shape[1]);
    return ov::Tensor(ov::element::f32, shape, const_cast<float*>(batch.hidden_states.data()));
}

void PagedModel::set_row_limits(const RowLimits& limits) {
    validate(limits);
    if (limits.attention > 1 && !has_attention_rows()) {
        throw std::invalid_argument(
            "RowLimits: attention is " + std::to_string(limits.attention) +
            ", but PagedAttention of this model sees the rows of its products, so it must be 1");
    }
    limits_ = limits;
    // An added row is one of a few, so that one block has room for those of every sequence.
    if (!limits.none() && has_cache() && scratch_.blocks().empty()) reserve(scratch_, 1);
}

float* PagedModel::forward(const FlatBatch& batch, size_t first, size_t last) {
    if (keeps(batch, limits_)) return run(batch, first, last);
    const int32_t scratch = scratch_.blocks().empty() ? 0 : scratch_.blocks().front();
    const auto passes = divide(batch, limits_, pool_.block_size(), scratch);
    if (passes.size() == 1 && passes.front().kept.size() == 1) return run(passes.front().batch, first, last);

    // Outputs without the added rows.
    for (size_t i = first; i < last; ++i) segments_[i].gathered.clear();
    gathered_logits_.clear();
    const auto append = [](std::vector<float>& to, const float* rows, const LimitedPass& pass, size_t size) {
        for (const auto& [begin, n] : pass.kept) to.insert(to.end(), rows + begin * size, rows + (begin + n) * size);
    };
    for (const LimitedPass& pass : passes) {
        const float* const logits = run(pass.batch, first, last);
        for (size_t i = first; i < std::min(last, segments_.size() - 1); ++i) {
            append(segments_[i].gathered, boundary(i), pass, boundary_size(i));
        }
        if (last < segments_.size()) continue;
        if (hidden_states_output_) append(segments_.back().gathered, hidden_states_, pass, hidden_size_);
        gathered_logits_.insert(gathered_logits_.end(), logits, logits + pass.logits * vocab_size_);
    }
    for (size_t i = first; i < std::min(last, segments_.size() - 1); ++i) {
        segments_[i].output = segments_[i].gathered.data();
    }
    if (last < segments_.size()) return nullptr;
    if (hidden_states_output_) hidden_states_ = segments_.back().gathered.data();
    return gathered_logits_.data();
}

float* PagedModel::run(const FlatBatch& batch, size_t first, size_t last) {
    follow(batch);
    // The hidden states of the previous segment; for the first segment, those of the batch.
    ov::Tensor hidden_states;
    if (segments_[first].hidden_states) hidden_states = hidden_states_of(batch, segments_[first]);
    for (size_t i = first; i < last; ++i) {
        Segment& segment = segments_[i];
        const auto start = Clock::now();
        feed(segment, batch);
        if (segment.hidden_states) segment.request.set_tensor(*segment.hidden_states, hidden_states);
        segment.request.infer();
        hidden_states = segment.request.get_output_tensor(0);
        segment.output = hidden_states.data<float>();
        segment.last_seconds = seconds_since(start);
        const bool switched = batch.tokens() != std::exchange(segment.last_rows, batch.tokens());
        segment.rows_run += batch.tokens();
        if (!batch.has_backlog) cost_model_.observe(i, batch.tokens(), switched, segment.last_seconds);
    }
    if (last < segments_.size()) return nullptr;
    if (hidden_states_output_) {
        hidden_states_ = segments_.back().request.get_tensor(*hidden_states_output_).data<const float>();
    }
    return hidden_states.data<float>();
}

void PagedModel::reserve(BlockTable& table, size_t tokens) {
    const size_t needed = pool_.blocks_for(tokens) - std::min(pool_.blocks_for(tokens), table.blocks().size());
    if (needed > pool_.available()) {
        grow_cache(taken_blocks() + needed);
    } else if (needed > pool_.unused() && pool_.capacity() < std::min(grow_until_, most_blocks())) {
        grow_cache(std::min(pool_.capacity() - pool_.unused() + needed, most_blocks()));
    }
    table.reserve(pool_, tokens);
}

bool PagedModel::try_reserve(BlockTable& table, size_t tokens) {
    if (!has_room(table, tokens)) return false;
    reserve(table, tokens);
    return true;
}

size_t PagedModel::free_blocks() const { return most_blocks() - taken_blocks(); }

bool PagedModel::could_hold(size_t tokens) const { return tokens <= cache_limit(); }

void PagedModel::keep_prefixes(size_t tokens) {
    if (!has_cache()) throw std::invalid_argument("PagedModel: without a KV cache, there are no prefixes to keep");
    if (prefix_cache_ == nullptr) prefix_cache_ = std::make_unique<PrefixCache>(pool_);
    grow_until_ = pool_.blocks_for(tokens);
}

std::length_error PagedModel::full_cache(size_t tokens) const {
    return std::length_error("The KV cache is full: " + std::to_string(tokens) +
                             " tokens are needed at once, but max_cache_tokens is " +
                             std::to_string(max_cache_tokens_) +
                             ". Use shorter inputs, a smaller batch or a smaller max_new_tokens, or load the model "
                             "with a larger max_cache_tokens.");
}

size_t PagedModel::cache_limit() const {
    constexpr size_t kUnlimited = std::numeric_limits<int32_t>::max();
    return max_cache_tokens_ == 0 ? kUnlimited : pool_.blocks_for(max_cache_tokens_) * pool_.block_size();
}

bool PagedModel::has_room(const BlockTable& table, size_t tokens) const {
    const size_t blocks = taken_blocks() + pool_.blocks_for(tokens);
    return blocks - table.blocks().size() <= most_blocks();
}

size_t PagedModel::most_blocks() const {
    if (max_cache_tokens_ == 0) return std::numeric_limits<int32_t>::max();
    return pool_.blocks_for(max_cache_tokens_) + (limits_.none() ? 0 : 1);
}

void PagedModel::grow_cache(size_t in_use) {
    const size_t limit = most_blocks();
    if (in_use > limit) throw full_cache(in_use * pool_.block_size());
    // A quarter more than requested, so that a growing sequence rarely copies.
    const size_t capacity = std::min(limit, in_use + in_use / 4 + 1);
    // All tensors are made before the first one is replaced: if there is no memory for them, the old ones stay.
    std::vector<std::vector<ov::Tensor>> made(segments_.size());
    for (size_t i = 0; i < segments_.size(); ++i) {
        Segment& segment = segments_[i];
        for (const auto& port : segment.caches) {
            auto shape = port.get_partial_shape();
            shape[0] = static_cast<int64_t>(capacity);
            ov::Tensor grown(port.get_element_type(), shape.to_shape());
            size_t kept = 0;
            if (pool_.capacity() > 0) {
                const ov::Tensor old = segment.request.get_tensor(port);
                kept = old.get_byte_size();
                std::memcpy(grown.data(), old.data(), kept);
            }
            // A timed pass attends to blocks that were never written. Their content must be finite numbers: when NaN
            // chooses the experts of PhiMoE, OpenVINO writes out of bounds.
            std::memset(static_cast<char*>(grown.data()) + kept, 0, grown.get_byte_size() - kept);
            made[i].push_back(std::move(grown));
        }
    }
    for (size_t i = 0; i < segments_.size(); ++i) {
        Segment& segment = segments_[i];
        for (size_t k = 0; k < segment.caches.size(); ++k) segment.request.set_tensor(segment.caches[k], made[i][k]);
        share_caches(i);
    }
    pool_.grow(capacity);
}

std::vector<size_t> PagedModel::rows_run() const {
    std::vector<size_t> rows;
    for (const Segment& segment : segments_) rows.push_back(segment.rows_run);
    return rows;
}

bool PagedModel::has_cache() const {
    return std::any_of(segments_.begin(), segments_.end(), [](const Segment& s) { return !s.caches.empty(); });
}

size_t PagedModel::cache_bytes() const {
    size_t bytes = 0;
    for (const auto& segment : segments_) {
        for (const auto& port : segment.caches) {
            auto shape = port.get_partial_shape();
            shape[0] = static_cast<int64_t>(pool_.capacity());
            bytes += ov::shape_size(shape.to_shape()) * port.get_element_type().bitwidth() / 8;
        }
    }
    return bytes;
}

}  // namespace dynexec
