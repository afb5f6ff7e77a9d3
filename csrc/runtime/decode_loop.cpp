// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/decode_loop.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <stdexcept>
#include <utility>

namespace dynexec {
namespace {

using std::chrono::milliseconds;

// How long the loop waits at most for other threads while it has calls, which may have deadlines.
constexpr milliseconds kPatience(20);
// How often an owner polls.
constexpr milliseconds kPoll(50);
// The most prompt tokens in a step with sequences that decode: about the time of a few of their steps.
constexpr size_t kMostBesideDecoding = 128;

size_t at_least_1(size_t value, const char* name) {
    if (value == 0) throw std::invalid_argument(std::string(name) + " must be at least 1");
    return value;
}

// Whether the sequences of a call may begin with the blocks of others. With early exit, the cache may hold other
// values; exit heads read what the target computes for each token.
bool shares_prefixes(const Call& call) {
    return !call.early_exit && !(call.drafting && call.drafting->needs_whole_text());
}

}  // namespace

// A sequence that callbacks decide, and everything that its step needs after that.
struct Handover {
    std::vector<float> logits;
    std::vector<float> hidden_states;
    Rows rows;
    Committed committed;
    double seconds = 0.0;
    bool failed = false;
    std::atomic<bool> answered{false};
};

// ---- what other threads call -----------------------------------------------------------------------------------

DecodeLoop::DecodeLoop(PagedModel& target, size_t max_batch_tokens, size_t max_running)
    : target_(target),
      max_batch_tokens_(at_least_1(max_batch_tokens, "max_batch_tokens")),
      backbone_(target, max_batch_tokens),
      scheduler_(max_batch_tokens, kMostBesideDecoding, at_least_1(max_running, "max_running")),
      step_(
          backbone_, [this](Sequence& sequence, const Rows& rows) { decide(sequence, rows); },
          [this](Sequence& sequence, const Rows& rows) { show(sequence, rows); }) {}

DecodeLoop::~DecodeLoop() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        inbox_.stop = true;
    }
    asked_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void DecodeLoop::validate(const std::vector<SequenceRequest>& requests) const {
    const auto vocab = static_cast<int64_t>(target_.vocab_size());
    for (size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].prompt.empty()) {
            throw std::invalid_argument("Prompt " + std::to_string(i) + " is empty, but it needs at least one token");
        }
        for (const int64_t id : requests[i].prompt) {
            if (id >= 0 && id < vocab) continue;
            throw std::invalid_argument("Prompt " + std::to_string(i) + " contains token id " + std::to_string(id) +
                                        ", but the model's vocabulary has ids 0 to " + std::to_string(vocab - 1));
        }
    }
}

std::shared_ptr<Call> DecodeLoop::submit(std::vector<SequenceRequest> requests, CallParams params,
                                         const std::shared_ptr<Outbox>& outbox) {
    validate(requests);
    if (params.early_exit && !params.speculation.proposers.empty()) {
        throw std::invalid_argument("Early exit and speculation exclude each other");
    }
    if (params.memory == nullptr) params.memory = std::make_shared<SpeculationMemory>();
    auto call = std::make_shared<Call>(std::move(requests), std::move(params), outbox, target_.num_segments());
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!thread_.joinable()) thread_ = std::thread(&DecodeLoop::loop, this);
        inbox_.joining.push_back(call);
    }
    asked_.notify_one();
    return call;
}

void DecodeLoop::cancel(Call& call) {
    call.cancelled = true;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        inbox_.cancelled = true;
    }
    asked_.notify_one();
}

void DecodeLoop::answer(const Event& event, const Callbacks& callbacks) {
    if (event.handover == nullptr) throw std::invalid_argument("The event asks for no decision");
    Sequence& sequence = *event.sequence;
    Handover& handover = *event.handover;
    if (handover.answered.exchange(true)) throw std::invalid_argument("The event has been answered before");
    const auto begin = Clock::now();
    try {
        handover.committed = commit(sequence, handover.logits.data(), target_.vocab_size(), callbacks);
    } catch (...) {
        handover.failed = true;
        give_back(sequence);
        throw;
    }
    handover.seconds = seconds_since(begin);
    give_back(sequence);
}

void DecodeLoop::give_back(Sequence& sequence) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        inbox_.answered.emplace_back(sequence.call->shared_from_this(), &sequence);
    }
    asked_.notify_one();
}

GenerationResult DecodeLoop::generate(std::vector<SequenceRequest> requests, CallParams params, const Hooks& hooks) {
    const Callbacks& callbacks = hooks.callbacks;
    params.callbacks = callbacks.process_logits || callbacks.should_stop || callbacks.forced;
    params.streams = static_cast<bool>(hooks.on_tokens);
    const auto outbox = std::make_shared<Outbox>();
    const auto call = submit(std::move(requests), std::move(params), outbox);
    std::exception_ptr error;
    // The call is only left when the loop no longer touches it.
    const auto guarded = [&](const auto& function) {
        if (error != nullptr) return;
        try {
            function();
        } catch (...) {
            error = std::current_exception();
            cancel(*call);
        }
    };
    auto polled = Clock::now();
    for (bool closed = false; !closed;) {
        for (const Event& event : outbox->take(kPoll)) {
            if (event.kind == Event::Kind::kTokens) {
                guarded([&] { hooks.on_tokens(*event.sequence, event.tokens); });
            } else if (event.kind == Event::Kind::kDecide) {
                if (error == nullptr) {
                    guarded([&] { answer(event, hooks.callbacks); });
                } else {
                    event.handover->failed = true;
                    give_back(*event.sequence);
                }
            } else {
                closed = true;
                if (error == nullptr) error = event.error;
            }
        }
        if (closed || !hooks.poll || Clock::now() - polled < kPoll) continue;
        polled = Clock::now();
        guarded(hooks.poll);
    }
    if (error != nullptr) std::rethrow_exception(error);
    GenerationResult result;
    for (const Sequence& sequence : call->sequences) {
        const auto prompt = static_cast<std::ptrdiff_t>(sequence.request.prompt.size());
        result.tokens.emplace_back(sequence.tokens.begin() + prompt, sequence.tokens.end());
        result.finish_reasons.push_back(sequence.finish_reason);
    }
    result.stats = std::move(call->stats);
    return result;
}

LoopStats DecodeLoop::stats() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return published_;
}

// ---- the thread of the loop ------------------------------------------------------------------------------------

void DecodeLoop::loop() {
    for (bool idle = true;;) {
        Inbox inbox = take_inbox(idle);
        calls_.insert(calls_.end(), inbox.joining.begin(), inbox.joining.end());
        {
            const auto locks = lock_all();
            try {
                if (inbox.stop) throw std::runtime_error("The model is no longer there");
                for (const auto& [call, sequence] : inbox.answered) take_back(*sequence);
                for (const auto& call : inbox.joining) join(*call);
                end_cancelled();
                idle = !step();
            } catch (...) {
                fail_all(std::current_exception());
            }
            stats_.used_blocks = target_.used_blocks();
        }
        // Before the owners of closed calls are told, so that they find the blocks of these free.
        publish();
        sweep();
        if (inbox.stop) return;
    }
}

DecodeLoop::Inbox DecodeLoop::take_inbox(bool idle) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto asked = [this] { return !inbox_.empty(); };
    if (idle && calls_.empty()) {
        asked_.wait(lock, asked);
    } else if (idle) {
        asked_.wait_for(lock, kPatience, asked);
    }
    return std::exchange(inbox_, {});
}

void DecodeLoop::publish() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.running = scheduler_.running().size();
    stats_.waiting = scheduler_.waiting().size();
    published_ = stats_;
}

std::vector<std::unique_lock<FairMutex>> DecodeLoop::lock_all() const {
    std::set<FairMutex*> mutexes = {&target_.mutex()};
    for (const auto& call : calls_) mutexes.insert(call->mutexes.begin(), call->mutexes.end());
    std::vector<std::unique_lock<FairMutex>> locks;
    for (FairMutex* mutex : mutexes) locks.emplace_back(*mutex);
    return locks;
}

void DecodeLoop::join(Call& call) {
    try {
        if (call.params.early_exit) {
            call.early_exit = early_exit_for(*call.params.early_exit);
            for (const Exit& exit : call.params.early_exit->exits)
                call.stats.exit_histogram.emplace_back(exit.segment, 0);
            call.stats.exit_histogram.emplace_back(target_.num_segments() - 1, 0);
        } else if (!call.params.speculation.proposers.empty()) {
            call.drafting = drafting_for(call.params);
            call.drafting->begin();
            call.stats.proposers = call.drafting->stats();
        }
    } catch (...) {
        close(call, std::current_exception());
        return;
    }
    for (Sequence& sequence : call.sequences) {
        if (sequence.finished()) {
            tell(sequence, 0);
        } else {
            scheduler_.add(sequence);
        }
    }
    if (call.unfinished == 0) close(call, nullptr);
}

std::shared_ptr<Drafting> DecodeLoop::drafting_for(const CallParams& params) {
    for (const auto& call : calls_) {
        if (call->drafting && call->drafting->is(params.speculation, params.memory.get())) return call->drafting;
    }
    return std::make_shared<Drafting>(params.speculation, params.memory, backbone_, max_batch_tokens_);
}

std::shared_ptr<EarlyExit> DecodeLoop::early_exit_for(const EarlyExitParams& params) {
    for (const auto& call : calls_) {
        if (call->early_exit && call->early_exit->is(params)) return call->early_exit;
    }
    return std::make_shared<EarlyExit>(params, backbone_, max_batch_tokens_);
}

void DecodeLoop::end_cancelled() {
    const auto now = Clock::now();
    for (const auto& call : calls_) {
        const bool late = call->params.deadline && now >= *call->params.deadline;
        if (call->closed || (!call->cancelled && !late)) continue;
        for (Sequence& sequence : call->sequences) {
            if (sequence.deciding || sequence.finished()) continue;
            sequence.finish_reason = call->cancelled ? FinishReason::kCancelled : FinishReason::kDeadline;
            tell(sequence, 0);
            finish(sequence);
        }
    }
}

bool DecodeLoop::step() {
    Schedule schedule = scheduler_.next(target_, [this](Sequence& sequence) { start(sequence); });
    for (Sequence* sequence : schedule.preempted) forget(*sequence);
    stats_.preemptions += schedule.preempted.size();
    for (Sequence* sequence : schedule.admitted) admit(*sequence);
    if (schedule.too_long != nullptr) {
        const Sequence& sequence = *schedule.too_long;
        close(*sequence.call, std::make_exception_ptr(target_.full_cache(sequence.tokens.size())));
        return true;
    }
    if (schedule.empty()) return false;
    stats_.steps += 1;
    try {
        const size_t padded_rows = propose(schedule);
        // A call whose drafts have failed has given its blocks back.
        auto& slots = schedule.slots;
        const auto closed = [](const Schedule::Slot& slot) { return slot.sequence->call->closed; };
        slots.erase(std::remove_if(slots.begin(), slots.end(), closed), slots.end());
        if (!slots.empty()) step_.run(schedule, padded_rows);
    } catch (...) {
        for (const auto& slot : schedule.slots) close(*slot.sequence->call, std::current_exception());
    }
    // Only now, because their new owners may change them at once.
    for (Sequence* sequence : std::exchange(handed_over_, {})) {
        if (sequence->call->closed) continue;
        Event event{sequence->call->shared_from_this(), Event::Kind::kDecide, sequence};
        event.handover = sequence->handover;
        sequence->call->push(std::move(event));
    }
    return true;
}

void DecodeLoop::start(Sequence& sequence) {
    const Call& call = *sequence.call;
    PrefixCache* const cache = target_.prefix_cache();
    if (cache == nullptr || !shares_prefixes(call)) return;
    // The last token has to run: its logits are needed.
    const size_t known = cache->find(sequence.request.cache_salt, sequence.tokens.data(), sequence.tokens.size() - 1,
                                     sequence.place, sequence.table);
    for (SegmentProgress& segment : sequence.segments) segment.cached = known;
}

void DecodeLoop::admit(Sequence& sequence) {
    Call& call = *sequence.call;
    if (call.drafting) call.drafting->begin(sequence);
    if (call.early_exit) call.early_exit->begin(sequence);
    // A sequence that was preempted finds its own blocks.
    if (target_.prefix_cache() == nullptr || std::exchange(sequence.has_run, true)) return;
    stats_.prefix_queries += sequence.tokens.size();
    stats_.prefix_hits += sequence.cached();
    call.stats.cached_tokens += std::min(sequence.cached(), sequence.request.prompt.size());
}

size_t DecodeLoop::propose(const Schedule& schedule) {
    const size_t decoding = schedule.decoding();
    if (decoding == 0) return 0;
    const size_t block_size = target_.pool().block_size();
    const size_t spare = target_.free_blocks() / decoding;
    std::map<Drafting*, std::vector<Lookahead::Candidate>> candidates;
    for (const auto& slot : schedule.slots) {
        Sequence& sequence = *slot.sequence;
        if (slot.prompt_rows > 0 || !sequence.call->drafting || !sequence.drafts) continue;
        const size_t room = (sequence.table.blocks().size() + spare) * block_size - sequence.tokens.size();
        // The last token of a forward pass needs no draft: it is chosen anyway.
        candidates[sequence.call->drafting.get()].push_back({&sequence, std::min(sequence.remaining() - 1, room)});
    }
    size_t padded_rows = 0;
    for (const auto& [drafting, group] : candidates) {
        const auto begin = Clock::now();
        try {
            padded_rows = drafting->propose(group, {schedule.prompt_rows, decoding - group.size()});
        } catch (const std::length_error&) {
            padded_rows = 0;
            for (const auto& candidate : group) go_on_without_drafts(*candidate.sequence);
        } catch (...) {
            for (const auto& candidate : group) close(*candidate.sequence->call, std::current_exception());
        }
        for (const auto& candidate : group) check_draft(*candidate.sequence);
        const double seconds = seconds_since(begin);
        std::set<Call*> calls;
        for (const auto& candidate : group) calls.insert(candidate.sequence->call);
        for (Call* call : calls) call->stats.propose_seconds += seconds;
    }
    return padded_rows;
}

void DecodeLoop::check_draft(Sequence& sequence) {
    Call& call = *sequence.call;
    Draft& draft = sequence.draft;
    if (!call.params.count_allowed || call.closed || draft.tokens.empty()) return;
    try {
        // A token that was drawn from a distribution must be rejected by the rule of verification: leaving it out
        // would change the distribution of the output. What follows it is never reached.
        draft.cut(call.params.count_allowed(sequence) + (draft.probs.empty() ? 0 : 1));
    } catch (...) {
        close(call, std::current_exception());
    }
}

void DecodeLoop::go_on_without_drafts(Sequence& sequence) {
    Call& call = *sequence.call;
    // Exit heads have to see every token.
    if (call.drafting->needs_whole_text()) {
        close(call, std::current_exception());
        return;
    }
    sequence.drop_draft();
    sequence.drafts = false;
    call.drafting->release(sequence);
}

void DecodeLoop::decide(Sequence& sequence, const Rows& rows) {
    Call& call = *sequence.call;
    if (call.closed) return;
    if (call.params.callbacks) {
        hand_over(sequence, rows);
        return;
    }
    const auto begin = Clock::now();
    Committed committed;
    try {
        committed = commit(sequence, rows.logits, target_.vocab_size(), {});
    } catch (...) {
        close(call, std::current_exception());
        return;
    }
    settle(sequence, rows, committed, seconds_since(begin));
}

void DecodeLoop::hand_over(Sequence& sequence, const Rows& rows) {
    auto handover = std::make_shared<Handover>();
    handover->rows = rows;
    const size_t num_rows = 1 + sequence.draft.tokens.size();
    handover->logits.assign(rows.logits, rows.logits + num_rows * target_.vocab_size());
    if (rows.hidden_states != nullptr) {
        handover->hidden_states.assign(rows.hidden_states, rows.hidden_states + rows.n * target_.hidden_size());
        handover->rows.hidden_states = handover->hidden_states.data();
    }
    handover->rows.logits = handover->logits.data();
    sequence.handover = std::move(handover);
    sequence.deciding = true;
    handed_over_.push_back(&sequence);
}

void DecodeLoop::take_back(Sequence& sequence) {
    Call& call = *sequence.call;
    const auto handover = std::exchange(sequence.handover, nullptr);
    sequence.deciding = false;
    if (call.closed) return;
    if (handover->failed) {
        call.cancelled = true;
        return;
    }
    settle(sequence, handover->rows, handover->committed, handover->seconds);
}

void DecodeLoop::settle(Sequence& sequence, const Rows& rows, const Committed& committed, double seconds) {
    Call& call = *sequence.call;
    call.stats.decide_seconds += seconds;
    record(call, committed);
    if (call.early_exit) call.stats.exit_histogram[rows.exit].second += 1;
    if (call.drafting) call.drafting->committed(sequence, committed, call.stats.proposers);
    tell(sequence, committed.tokens);
    Rows seen = rows;
    // Rejected draft tokens have hidden states too.
    seen.n = sequence.cached() - std::min(sequence.cached(), rows.first);
    show(sequence, seen);
    if (sequence.finished()) finish(sequence);
}

void DecodeLoop::tell(Sequence& sequence, size_t n) {
    Call& call = *sequence.call;
    if (!call.params.streams) return;
    Event event{call.shared_from_this(), Event::Kind::kTokens, &sequence};
    const auto last = static_cast<std::ptrdiff_t>(n);
    event.tokens.assign(sequence.tokens.end() - last, sequence.tokens.end());
    if (sequence.request.logprobs) event.logprobs.assign(sequence.logprobs.end() - last, sequence.logprobs.end());
    event.finish_reason = sequence.finish_reason;
    call.push(std::move(event));
}

void DecodeLoop::show(Sequence& sequence, const Rows& rows) {
    const Call& call = *sequence.call;
    if (call.closed) return;
    if (call.drafting && rows.hidden_states != nullptr && !sequence.finished()) {
        call.drafting->saw(sequence, rows.first, rows.hidden_states, rows.n);
    }
    PrefixCache* const cache = target_.prefix_cache();
    if (cache == nullptr || !shares_prefixes(call)) return;
    cache->keep(sequence.request.cache_salt, sequence.tokens.data(), sequence.segments.back().cached, sequence.place,
                sequence.table);
}

void DecodeLoop::record(Call& call, const Committed& committed) {
    Stats& stats = call.stats;
    if (stats.tokens == 0) stats.time_to_first_token = seconds_since(call.start);
    stats.tokens += committed.tokens;
    stats_.tokens += committed.tokens;
    stats.verifications += 1;
    if (committed.drafted == 0) return;
    stats.drafted_verifications += 1;
    auto& histogram = stats.accepted_histogram;
    if (histogram.size() <= committed.accepted) histogram.resize(committed.accepted + 1);
    histogram[committed.accepted] += 1;
}

void DecodeLoop::forget(Sequence& sequence) {
    const Call& call = *sequence.call;
    if (call.drafting) call.drafting->release(sequence);
    if (call.early_exit) call.early_exit->release(sequence);
}

void DecodeLoop::finish(Sequence& sequence) {
    Call& call = *sequence.call;
    scheduler_.remove(sequence);
    forget(sequence);
    sequence.table.clear();
    if (--call.unfinished == 0) close(call, nullptr);
}

void DecodeLoop::close(Call& call, std::exception_ptr error) {
    if (call.closed) return;
    call.closed = true;
    call.error = std::move(error);
    for (Sequence& sequence : call.sequences) {
        scheduler_.remove(sequence);
        forget(sequence);
        sequence.table.clear();
    }
    for (size_t i = 0; i < call.stats.proposers.size(); ++i) {
        call.stats.proposers[i].forwards = call.drafting->stats()[i].forwards - call.stats.proposers[i].forwards;
    }
    call.stats.total_seconds = seconds_since(call.start);
}

void DecodeLoop::fail_all(const std::exception_ptr& error) {
    for (const auto& call : calls_) close(*call, error);
}

void DecodeLoop::sweep() {
    const auto first =
        std::stable_partition(calls_.begin(), calls_.end(), [](const auto& call) { return !call->closed; });
    const std::vector<std::shared_ptr<Call>> closed(first, calls_.end());
    calls_.erase(first, calls_.end());
    for (const auto& call : closed) {
        call->drafting = nullptr;
        call->early_exit = nullptr;
        Event event{call, Event::Kind::kClosed};
        event.error = call->error;
        call->push(std::move(event));
    }
}

}  // namespace dynexec
