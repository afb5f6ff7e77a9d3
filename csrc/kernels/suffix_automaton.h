// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// Suffix automaton of texts that grow token by token, with the number of times that each token followed each context:
// the automaton of Blumer et al. (1985) for several texts, as SAM decoding (https://arxiv.org/abs/2411.10666) uses it,
// with the counts of SuffixDecoding (https://arxiv.org/abs/2411.04975).
//
// A state stands for all contexts that occur at the same places. append() takes O(1) amortised time, and at most two
// states and four edges of memory.
class SuffixAutomaton {
public:
    using State = uint32_t;
    static constexpr State kRoot = 0;  // the empty context
    // Counts are kept for this number of states on the path from a text's end to the root, the longest contexts first:
    // on the text "aaa...", this path is as long as the text.
    static constexpr size_t kCounted = 24;

    SuffixAutomaton();

    // Appends `token` to the text that ends at state `end`, kRoot for a new text. Returns the state where the text ends
    // now, which stays valid.
    State append(State end, int64_t token);

    // The state without the first tokens of its contexts. The longest context of this state is the longest one that
    // occurs at more places. Not for kRoot.
    State shorter(State state) const { return states_[state].link; }
    // The number of tokens of the longest context.
    size_t length(State state) const { return states_[state].length; }

    struct Next {
        State state;
        int64_t token;
        uint32_t count;  // how often this token followed the context
        uint32_t total;  // how often any token followed it
    };
    // The token that followed most often, the latest one of several. `count` is 0 if nothing followed.
    Next most_frequent(State state) const;

    // A context of a text that is not part of the automaton: its longest suffix that is.
    struct Cursor {
        State state = kRoot;
        size_t length = 0;
    };
    void advance(Cursor& cursor, int64_t token) const;

    size_t num_states() const { return states_.size(); }
    size_t bytes() const;

private:
    static constexpr uint32_t kNone = UINT32_MAX;

    struct Node {
        State link = kNone;
        uint32_t length = 0;
        uint32_t edges = kNone;  // a list
        uint32_t best = kNone;   // the edge with the largest count
        uint32_t total = 0;      // of the counts of the edges
    };
    struct Edge {
        int64_t token;
        State from;
        State to;
        uint32_t count;
        uint32_t next;  // edge of the same state
    };

    uint32_t find(State state, int64_t token) const;  // kNone if there is no such edge
    void connect(State from, int64_t token, State to, uint32_t count);
    // The state for the contexts of `edge`'s source followed by its token, which is split off if the target stands for
    // longer ones too.
    State target_of(uint32_t edge);
    void count(State state, int64_t token);
    size_t slot_of(State state, int64_t token) const;
    void grow_slots();

    std::vector<Node> states_;
    std::vector<Edge> edges_;
    std::vector<uint32_t> slots_;  // hash table of edges, open addressing, a power of two, at most half full
};

}  // namespace dynexec
