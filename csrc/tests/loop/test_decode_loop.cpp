// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
// Many threads on one decode loop, for ThreadSanitizer. The model is a table: the next token depends on the last one.
#include <atomic>
#include <openvino/op/constant.hpp>
#include <openvino/op/gather.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/result.hpp>
#include <random>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "runtime/decode_loop.h"
#include "runtime/profiling.h"
#include "tensor_names.h"

using namespace dynexec;

namespace {

constexpr size_t kVocab = 61;

std::vector<float> table() {
    std::mt19937 random(0);
    std::vector<float> values(kVocab * kVocab);
    for (float& value : values) value = static_cast<float>(random() % 1000) / 100.0f;
    return values;
}

std::shared_ptr<PagedModel> make_model(size_t max_cache_tokens) {
    const auto parameter = [](const char* name) {
        auto made = std::make_shared<ov::op::v0::Parameter>(ov::element::i64, ov::PartialShape{-1});
        made->get_output_tensor(0).set_names({name});
        return made;
    };
    const auto ids = parameter(names::kInputIds), rows = parameter(names::kLogitsIndices);
    const auto axis = ov::op::v0::Constant::create(ov::element::i64, {}, {0});
    const auto values = ov::op::v0::Constant::create(ov::element::f32, {kVocab, kVocab}, table());
    const auto chosen = std::make_shared<ov::op::v8::Gather>(ids, rows, axis);
    const auto logits = std::make_shared<ov::op::v8::Gather>(values, chosen, axis);
    const auto result = std::make_shared<ov::op::v0::Result>(logits);
    const auto model = std::make_shared<ov::Model>(ov::ResultVector{result}, ov::ParameterVector{ids, rows});
    static ov::Core core;
    const auto compiled =
        core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32), ov::inference_num_threads(1));
    auto made = std::make_shared<PagedModel>(std::vector<ov::CompiledModel>{compiled}, max_cache_tokens);
    profile(*made);
    return made;
}

SequenceRequest request(size_t prompt, size_t max_new_tokens, uint64_t seed = 0) {
    SequenceRequest made;
    for (size_t i = 0; i < prompt; ++i) made.prompt.push_back(static_cast<int64_t>((7 * i + seed) % kVocab));
    made.max_new_tokens = max_new_tokens;
    made.seed = seed;
    made.logits.do_sample = seed % 2 == 1;
    return made;
}

CallParams plain() { return {}; }

CallParams suffix(std::shared_ptr<SpeculationMemory> memory) {
    CallParams params;
    params.speculation.proposers.push_back({"suffix", nullptr, nullptr, nullptr, 0, {}, ""});
    params.memory = std::move(memory);
    return params;
}

}  // namespace

TEST(threads_that_generate_cancel_and_ask_share_a_loop) {
    const auto model = make_model(300);
    DecodeLoop loop(*model, 64, 6);
    const auto memory = std::make_shared<SpeculationMemory>();
    std::vector<std::vector<int64_t>> alone;
    for (size_t i = 0; i < 8; ++i) {
        alone.push_back(loop.generate({request(3 + 9 * i, 60, i)}, plain(), {}).tokens[0]);
    }
    std::atomic<size_t> wrong{0}, cancelled{0}, asked{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 12; ++round) {
                const SequenceRequest one = request(3 + 9 * i, 60, i);
                const auto params = round % 2 == 0 ? plain() : suffix(memory);
                Hooks hooks;
                if (round % 3 == 0) {
                    hooks.callbacks.should_stop = [&](const Sequence&) {
                        ++asked;
                        return false;
                    };
                }
                if (round % 4 == 1) hooks.on_tokens = [](const Sequence&, const std::vector<int64_t>&) {};
                if (loop.generate({one}, params, hooks).tokens[0] != alone[i]) ++wrong;
                // One that is cancelled, by its own function or from outside.
                Hooks fails;
                fails.callbacks.should_stop = [](const Sequence& sequence) -> bool {
                    if (sequence.generated() == 5) throw std::runtime_error("enough");
                    return false;
                };
                try {
                    loop.generate({request(5, 50, i)}, params, fails);
                } catch (const std::runtime_error&) {
                    ++cancelled;
                }
                const auto outbox = std::make_shared<Outbox>();
                const auto call = loop.submit({request(5, 100000, i)}, suffix(memory), outbox);
                if (round % 2 == 0) std::this_thread::yield();
                loop.cancel(*call);
                for (bool closed = false; !closed;) {
                    for (const Event& event : outbox->take(std::chrono::milliseconds(50))) {
                        closed = event.kind == Event::Kind::kClosed;
                    }
                }
            }
        });
    }
    threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
            static_cast<void>(loop.stats().running);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(cancelled == 8 * 12);
    CHECK(asked > 0);
    CHECK(model->pool().available() == model->pool().capacity());
}

TEST(guides_that_expect_something_wrong_change_nothing) {
    const auto model = make_model(0);
    DecodeLoop loop(*model, 64);
    std::atomic<size_t> wrong{0}, forced{0}, checked{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            const SequenceRequest one = request(4, 60, i);
            const auto expected = loop.generate({one}, plain(), {}).tokens[0];
            for (int round = 0; round < 10; ++round) {
                CallParams params = suffix(nullptr);
                params.speculation.proposers.insert(params.speculation.proposers.begin(),
                                                    {"forced_tokens", nullptr, nullptr, nullptr, 0, {}, ""});
                if (round % 2 == 0) {
                    params.count_allowed = [&](const Sequence& sequence) {
                        ++checked;
                        return (sequence.tokens.size() * 7) % (sequence.draft.tokens.size() + 1);
                    };
                }
                Hooks hooks;
                hooks.callbacks.forced = [&](const Sequence& sequence) {
                    const size_t done = sequence.generated();
                    const size_t end = std::min(done + done % 4, expected.size());
                    std::vector<int64_t> next(expected.begin() + static_cast<std::ptrdiff_t>(done),
                                              expected.begin() + static_cast<std::ptrdiff_t>(end));
                    if (done % 5 == 2 && !next.empty()) next.back() = (next.back() + 1) % kVocab;
                    forced += next.size();
                    return next;
                };
                // A fixed length, so that the drafts are made whatever they cost.
                params.speculation.lookahead = "constant";
                params.speculation.num_assistant_tokens = 3;
                const auto result = loop.generate({one}, params, hooks);
                if (result.tokens[0] != expected) ++wrong;
                if (result.stats.proposers[0].accepted == 0) ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(forced > 0);
    CHECK(checked > 0);
}

TEST(a_loop_may_end_while_calls_run) {
    const auto model = make_model(0);
    for (int round = 0; round < 20; ++round) {
        const auto outbox = std::make_shared<Outbox>();
        size_t closed = 0;
        {
            DecodeLoop loop(*model, 64);
            for (size_t i = 0; i < 3; ++i) loop.submit({request(4, 100000, i)}, plain(), outbox);
            if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        for (const Event& event : outbox->take(std::chrono::milliseconds(0))) {
            closed += event.kind == Event::Kind::kClosed && event.error != nullptr;
        }
        CHECK(closed == 3);
    }
    CHECK(model->pool().available() == model->pool().capacity());
}

TEST(two_models_that_draft_for_each_other) {
    const auto first = make_model(0), second = make_model(0);
    DecodeLoop loops[] = {DecodeLoop(*first, 64), DecodeLoop(*second, 64)};
    const auto expected = loops[0].generate({request(4, 40)}, plain(), {}).tokens;
    std::atomic<size_t> wrong{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 10; ++round) {
                CallParams params;
                params.speculation.lookahead = "constant";
                params.speculation.num_assistant_tokens = 3;
                params.speculation.proposers.push_back(
                    {"draft_model", i % 2 == 0 ? second : first, nullptr, nullptr, 0, {}, ""});
                if (loops[i % 2].generate({request(4, 40)}, params, {}).tokens != expected) ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}
