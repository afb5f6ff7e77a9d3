// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/call.h"
#include "runtime/paged_model.h"
#include "runtime/step.h"

namespace dynexec {

struct GenerationResult {
    std::vector<std::vector<int64_t>> tokens;  // generated tokens of each request
    std::vector<FinishReason> finish_reasons;
    Stats stats;
};

// What the owner of a call does while it waits for it. A function that is not set costs nothing. Functions may throw:
// then the call is cancelled, and the exception reaches the caller of DecodeLoop::generate().
struct Hooks {
    Callbacks callbacks;
    // Called when tokens have been appended to a sequence.
    std::function<void(const Sequence& sequence, const std::vector<int64_t>& tokens)> on_tokens;
    // Called every 50 ms, unless another function runs, for example to notice an interrupt.
    std::function<void()> poll;
};

// The decode loop of all modes, in a thread of its own: schedule, run, decide, commit. Calls come and go between steps,
// and all of them share the passes. Functions of callers run in the threads of the callers, so that a slow one delays
// its own call only. Thread safe.
class DecodeLoop {
public:
    static constexpr size_t kMaxRunning = 256;

    // `max_batch_tokens`: longest prompt chunk of one forward pass. `max_running`: maximum number of sequences that
    // share one. Throws std::invalid_argument if one of them is 0. `target` must outlive it.
    explicit DecodeLoop(PagedModel& target, size_t max_batch_tokens, size_t max_running = kMaxRunning);
    // Calls that have not ended fail.
    ~DecodeLoop();
    DecodeLoop(const DecodeLoop&) = delete;
    DecodeLoop& operator=(const DecodeLoop&) = delete;

    // Starts a call, whose events go to `outbox`, as long as it exists. Parameters that do not fit the model are an
    // error of the call: see Event::error. Throws std::invalid_argument for an empty prompt, a token id outside the
    // vocabulary, or speculation together with early exit.
    std::shared_ptr<Call> submit(std::vector<SequenceRequest> requests, CallParams params,
                                 const std::shared_ptr<Outbox>& outbox);
    // Ends a call before its next step. Its kClosed event comes as always.
    void cancel(Call& call);
    // Decides the tokens of the sequence of a kDecide event, and gives it back to the loop. Throws what the callbacks
    // throw; the call is then cancelled. Throws std::invalid_argument for another event, or one that was answered.
    void answer(const Event& event, const Callbacks& callbacks);

    // Starts a call and waits until it has ended. Throws what went wrong in it.
    GenerationResult generate(std::vector<SequenceRequest> requests, CallParams params, const Hooks& hooks);

    LoopStats stats() const;

private:
    // What other threads ask for.
    struct Inbox {
        std::vector<std::shared_ptr<Call>> joining;
        std::vector<std::pair<std::shared_ptr<Call>, Sequence*>> answered;
        bool cancelled = false;
        bool stop = false;
        bool empty() const { return joining.empty() && answered.empty() && !cancelled && !stop; }
    };

    void validate(const std::vector<SequenceRequest>& requests) const;
    void loop();
    // What other threads have asked for since the last step. If nothing can run, it waits for that.
    Inbox take_inbox(bool idle);
    // What stats() returns from now on.
    void publish();
    // All models and memories that the calls use. They are locked in the order of their addresses, so that two models
    // that draft for each other do not wait forever.
    std::vector<std::unique_lock<FairMutex>> lock_all() const;
    void give_back(Sequence& sequence);

    void join(Call& call);
    std::shared_ptr<Drafting> drafting_for(const CallParams& params);
    std::shared_ptr<EarlyExit> early_exit_for(const EarlyExitParams& params);
    // Gives a sequence that may begin to run its known prefix.
    void start(Sequence& sequence);
    void admit(Sequence& sequence);
    void end_cancelled();

    // One step of all running sequences. Returns false if nothing could run.
    bool step();
    // Returns the number of rows to fill the pass up to.
    size_t propose(const Schedule& schedule);
    // Leaves out the draft tokens that cannot be accepted.
    void check_draft(Sequence& sequence);
    // There is no room for its drafts, so it decodes plainly from now on.
    void go_on_without_drafts(Sequence& sequence);
    void decide(Sequence& sequence, const Rows& rows);
    void hand_over(Sequence& sequence, const Rows& rows);
    void take_back(Sequence& sequence);
    void settle(Sequence& sequence, const Rows& rows, const Committed& committed, double seconds);
    void show(Sequence& sequence, const Rows& rows);
    // Tells the owner of a call the last `n` tokens of a sequence.
    void tell(Sequence& sequence, size_t n);
    void record(Call& call, const Committed& committed);

    // Releases what proposers and exits keep for a sequence.
    void forget(Sequence& sequence);
    void finish(Sequence& sequence);
    // `error`: nullptr if it has ended as it should.
    void close(Call& call, std::exception_ptr error);
    void fail_all(const std::exception_ptr& error);
    // Lets go of the closed calls, and tells their owners.
    void sweep();

    PagedModel& target_;
    const size_t max_batch_tokens_;
    Backbone backbone_;
    Scheduler scheduler_;
    Step step_;
    std::vector<std::shared_ptr<Call>> calls_;
    std::vector<Sequence*> handed_over_;  // in this step
    LoopStats stats_;

    mutable std::mutex mutex_;  // of what follows
    std::condition_variable asked_;
    Inbox inbox_;
    LoopStats published_;
    std::thread thread_;
};

}  // namespace dynexec
