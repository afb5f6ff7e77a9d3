// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/backbone.h"

#include <algorithm>

namespace dynexec {

void Backbone::remove_tap(const Tap& tap) {
    taps_.erase(std::remove_if(taps_.begin(), taps_.end(), [&](const Tapped& tapped) { return tapped.tap == &tap; }),
                taps_.end());
}

float* Backbone::run(const std::vector<Part>& parts, size_t last, size_t padded_rows) {
    float* logits = nullptr;
    for (size_t first = 0, next = 0; first < last; first = next) {
        // Segments with the same progress pass the hidden states on to each other.
        const auto in_step = [&](const Part& part) {
            return part.sequence->segments[next].cached == part.sequence->segments[first].cached;
        };
        for (next = first + 1; next < last && std::all_of(parts.begin(), parts.end(), in_step);) ++next;
        shorten(parts, first, next);
        logits = run_segments(parts, first, next, padded_rows);
    }
    return logits;
}

void Backbone::shorten(const std::vector<Part>& parts, size_t first, size_t last) {
    size_t rows = 0;
    for (const Part& part : parts) rows += part.end - std::min(part.end, part.sequence->segments[first].cached);
    if (rows <= 2 * max_batch_tokens_) return;
    const size_t share = std::max<size_t>(1, max_batch_tokens_ / parts.size());
    for (const Part& part : parts) {
        const size_t& cached = part.sequence->segments[first].cached;
        const size_t end = part.end - std::min(part.end, std::max({share, part.logits_rows, part.shown_rows}));
        while (cached < end) {
            run_segments({{part.sequence, std::min(end, cached + max_batch_tokens_), 1}}, first, last, 0);
        }
    }
}

void Backbone::copy(const std::vector<Part>& parts, size_t first) {
    // A prompt that has exited may be long.
    for (const Part& part : parts) {
        const size_t& cached = part.sequence->segments[first].cached;
        while (part.end > cached + max_batch_tokens_) {
            copy_some({{part.sequence, cached + max_batch_tokens_, 0}}, first);
        }
    }
    copy_some(parts, first);
}

void Backbone::copy_some(const std::vector<Part>& parts, size_t first) {
    batch_.clear();
    const size_t size = model_.boundary_size(first - 1);
    std::vector<int64_t> ids;
    for (const Part& part : parts) {
        const SegmentProgress& progress = part.sequence->segments[first];
        if (part.end <= progress.cached) continue;
        const size_t rows = part.end - progress.cached;
        ids.assign(rows, 0);  // only their number matters
        model_.reserve(part.sequence->table, part.end);
        batch_.add(ids.data(), rows, progress.cached, part.sequence->table.blocks(), 0);
        batch_.hidden_states.insert(batch_.hidden_states.end(), progress.waiting.begin(),
                                    progress.waiting.begin() + static_cast<std::ptrdiff_t>(rows * size));
    }
    if (batch_.tokens() == 0) return;
    model_.copy(batch_, first);

    const float* copied = batch_.hidden_states.data();
    for (const Part& part : parts) {
        auto& segments = part.sequence->segments;
        const size_t begin = segments[first].cached;
        if (part.end <= begin) continue;
        const size_t rows = part.end - begin;
        for (const Tapped& tapped : taps_) {
            if (tapped.segment >= first) tapped.tap->ran(*part.sequence, begin, copied, rows);
        }
        auto& waiting = segments[first].waiting;
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(rows * size));
        for (size_t i = first; i < segments.size(); ++i) segments[i].cached = part.end;
        copied += rows * size;
    }
}

float* Backbone::run_segments(const std::vector<Part>& parts, size_t first, size_t last, size_t padded_rows) {
    batch_.clear();
    std::vector<int64_t> ids;
    for (const Part& part : parts) {
        Sequence& sequence = *part.sequence;
        SegmentProgress& progress = sequence.segments[first];
        if (part.end <= progress.cached) continue;
        const size_t rows = part.end - progress.cached;
        ids.clear();
        for (size_t i = progress.cached; i < part.end; ++i) ids.push_back(sequence.token_at(i));
        size_t padding = 0;
        if (&part == &parts.back() && last == model_.num_segments() && padded_rows > batch_.tokens() + rows) {
            padding = padded_rows - batch_.tokens() - rows;
            if (!model_.has_room(sequence.table, part.end + padding)) padding = 0;
        }
        model_.reserve(sequence.table, part.end + padding);
        const size_t logits_rows = last == model_.num_segments() ? std::max<size_t>(1, part.logits_rows) : 1;
        batch_.add(ids.data(), rows, progress.cached, sequence.table.blocks(), logits_rows);
        batch_.has_backlog = batch_.has_backlog || rows > std::max<size_t>(1, part.logits_rows);
        if (first > 0) {
            const auto end =
                progress.waiting.begin() + static_cast<std::ptrdiff_t>(rows * model_.boundary_size(first - 1));
            batch_.hidden_states.insert(batch_.hidden_states.end(), progress.waiting.begin(), end);
        }
        if (padding > 0) batch_.pad(padding);
    }
    if (batch_.tokens() == 0) return nullptr;
    float* const logits = model_.forward(batch_, first, last);

    size_t row = 0;
    rows_run_.clear();
    for (const Part& part : parts) {
        Sequence& sequence = *part.sequence;
        const size_t begin = sequence.segments[first].cached;
        rows_run_.push_back(part.end - std::min(part.end, begin));
        if (part.end <= begin) continue;
        const size_t rows = part.end - begin;
        const auto given_by = [&](size_t segment) {
            return model_.boundary(segment) + row * model_.boundary_size(segment);
        };
        for (const Tapped& tapped : taps_) {
            if (tapped.segment < first || tapped.segment >= last) continue;
            tapped.tap->ran(sequence, begin, given_by(tapped.segment), rows);
        }
        if (first > 0) {
            auto& waiting = sequence.segments[first].waiting;
            const auto size = static_cast<std::ptrdiff_t>(rows * model_.boundary_size(first - 1));
            waiting.erase(waiting.begin(), waiting.begin() + size);
        }
        for (size_t i = first; i < last; ++i) sequence.segments[i].cached = part.end;
        if (last < model_.num_segments()) {
            auto& waiting = sequence.segments[last].waiting;
            waiting.insert(waiting.end(), given_by(last - 1),
                           given_by(last - 1) + rows * model_.boundary_size(last - 1));
        }
        row += rows;
    }
    return logits;
}

}  // namespace dynexec
