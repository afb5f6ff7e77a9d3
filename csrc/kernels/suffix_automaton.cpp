// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/suffix_automaton.h"

#include <algorithm>

namespace dynexec {

SuffixAutomaton::SuffixAutomaton() : states_(1), slots_(64, kNone) {}

SuffixAutomaton::State SuffixAutomaton::append(State end, int64_t token) {
    const uint32_t known = find(end, token);
    State last;
    if (known != kNone) {
        last = target_of(known);
    } else {
        last = static_cast<State>(states_.size());
        states_.emplace_back();
        states_[last].length = states_[end].length + 1;
        State state = end;
        uint32_t edge = kNone;
        while (state != kNone && (edge = find(state, token)) == kNone) {
            connect(state, token, last, 0);
            state = states_[state].link;
        }
        const State link = state == kNone ? kRoot : target_of(edge);
        states_[last].link = link;
    }
    State state = end;
    for (size_t i = 0; state != kNone && i < kCounted; ++i) {
        count(state, token);
        state = states_[state].link;
    }
    return last;
}

SuffixAutomaton::State SuffixAutomaton::target_of(uint32_t edge) {
    const State from = edges_[edge].from;
    const State to = edges_[edge].to;
    const int64_t token = edges_[edge].token;
    if (states_[to].length == states_[from].length + 1) return to;
    const auto split = static_cast<State>(states_.size());
    states_.push_back(states_[to]);
    states_[split].length = states_[from].length + 1;
    states_[split].edges = kNone;
    states_[split].best = kNone;
    states_[split].total = 0;
    for (uint32_t i = states_[to].edges; i != kNone; i = edges_[i].next) {
        const Edge copied = edges_[i];
        connect(split, copied.token, copied.to, copied.count);
        if (i == states_[to].best) states_[split].best = static_cast<uint32_t>(edges_.size() - 1);
    }
    states_[split].total = states_[to].total;
    states_[to].link = split;
    for (State state = from; state != kNone; state = states_[state].link) {
        const uint32_t found = find(state, token);
        if (found == kNone || edges_[found].to != to) break;
        edges_[found].to = split;
    }
    return split;
}

void SuffixAutomaton::count(State state, int64_t token) {
    const uint32_t edge = find(state, token);
    Node& node = states_[state];
    ++node.total;
    ++edges_[edge].count;
    if (node.best == kNone || edges_[edge].count >= edges_[node.best].count) node.best = edge;
}

SuffixAutomaton::Next SuffixAutomaton::most_frequent(State state) const {
    const Node& node = states_[state];
    if (node.best == kNone) return {kRoot, -1, 0, 0};
    const Edge& edge = edges_[node.best];
    return {edge.to, edge.token, edge.count, node.total};
}

void SuffixAutomaton::advance(Cursor& cursor, int64_t token) const {
    for (;;) {
        const uint32_t edge = find(cursor.state, token);
        if (edge != kNone) {
            cursor.state = edges_[edge].to;
            ++cursor.length;
            return;
        }
        if (cursor.state == kRoot) {
            cursor.length = 0;
            return;
        }
        cursor.state = states_[cursor.state].link;
        cursor.length = states_[cursor.state].length;
    }
}

size_t SuffixAutomaton::bytes() const {
    return states_.capacity() * sizeof(Node) + edges_.capacity() * sizeof(Edge) + slots_.capacity() * sizeof(uint32_t);
}

size_t SuffixAutomaton::slot_of(State state, int64_t token) const {
    uint64_t hash = (static_cast<uint64_t>(token) + state * uint64_t{0x9e3779b97f4a7c15u}) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
    const size_t mask = slots_.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const uint32_t edge = slots_[i];
        if (edge == kNone || (edges_[edge].from == state && edges_[edge].token == token)) return i;
    }
}

uint32_t SuffixAutomaton::find(State state, int64_t token) const { return slots_[slot_of(state, token)]; }

void SuffixAutomaton::connect(State from, int64_t token, State to, uint32_t count) {
    if (2 * (edges_.size() + 1) > slots_.size()) grow_slots();
    const auto edge = static_cast<uint32_t>(edges_.size());
    slots_[slot_of(from, token)] = edge;
    edges_.push_back({token, from, to, count, states_[from].edges});
    states_[from].edges = edge;
}

void SuffixAutomaton::grow_slots() {
    slots_.assign(2 * slots_.size(), kNone);
    for (uint32_t i = 0; i < edges_.size(); ++i) slots_[slot_of(edges_[i].from, edges_[i].token)] = i;
}

}  // namespace dynexec
