// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/sequence.h"

#include <algorithm>

namespace dynexec {

void Sequence::rollback(size_t length) {
    // In reverse order, because the backlog of a segment depends on the progress of the previous segment.
    for (size_t i = segments.size(); i-- > 0;) {
        SegmentProgress& segment = segments[i];
        if (!segment.waiting.empty()) {
            const size_t rows = segments[i - 1].cached - segment.cached;
            const size_t kept = std::max(std::min(segments[i - 1].cached, length), segment.cached) - segment.cached;
            segment.waiting.resize(segment.waiting.size() / rows * kept);
        }
        segment.cached = std::min(segment.cached, length);
    }
}

void Sequence::drop_draft() {
    draft.clear();
    ahead.clear();
    counts = {};
    counts.add_prompt(request.prompt.data(), request.prompt.size());
    for (size_t i = request.prompt.size(); i < tokens.size(); ++i) counts.push(tokens[i]);
}

void Sequence::restart() {
    rollback(0);
    draft.clear();
    ahead.clear();
    place = {};
    table.clear();
}

}  // namespace dynexec
