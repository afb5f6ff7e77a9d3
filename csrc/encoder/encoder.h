// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <chrono>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "encoder/answer.h"
#include "encoder/batch.h"
#include "encoder/segment.h"
#include "kernels/criteria/exit_policy.h"

namespace dynexec {

// What an encoder is made of.
struct EncoderSpec {
    struct Exit {
        ov::CompiledModel head;
        size_t segment;  // behind which it reads
    };
    std::vector<ov::CompiledModel> segments;   // in order; all but the first take what the one before gives
    std::vector<Exit> exits;                   // in order of depth
    std::vector<std::string> sequence_inputs;  // those whose dimension 1 is a sequence
    bool hidden_states_are_sequences = false;
    bool outputs_are_sequences = false;
    std::string answer;  // see make_answer
};

struct EncoderParams {
    std::string criterion;           // see make_criterion
    std::vector<double> thresholds;  // of each exit, in order of depth; an infinite one lets nothing leave
    CriterionWeights weights;        // of the criterion, if it has learned some
    // From the beginning of the run. Samples then leave at the last exit that can be reached in time, but not before
    // the first one, nor where the head says NaN.
    double deadline_seconds = std::numeric_limits<double>::infinity();
};

// What became of a sample.
struct EncoderResult {
    size_t index = 0;       // in the order in which samples came
    size_t exit = 0;        // where it left; the number of exits: not before the end
    double confidence = 0;  // see Answer
    // Each output of the model: without the dimension of samples, and with all places of the sequence. Places that
    // were padding and were dropped on the way are 0.
    std::vector<std::vector<float>> outputs;
    std::vector<std::vector<size_t>> shapes;
};

struct EncoderStats {
    std::vector<size_t> rows;    // samples that each segment ran
    std::vector<size_t> passes;  // runs of each segment
    std::vector<size_t> places;  // samples times places of their sequence, padding included, that each segment ran
    std::vector<size_t> exits;   // samples that left at each exit; last: at the end
    size_t out_of_time = 0;      // of those at exits, how many left for the deadline
    std::vector<double> segment_seconds;
    double head_seconds = 0;
    double total_seconds = 0;
};

// An encoder, or a vision or audio model, in segments with exits between them. Samples that are sure leave the batch;
// the others go on. Calls from several threads take turns.
class Encoder {
public:
    struct Exit {
        Segment head;
        size_t segment;                   // behind which it reads
        std::vector<size_t> outputs;      // which of the head's is each of the model's
        std::optional<size_t> certainty;  // which of the head's says how certain it is, if one does
    };
    // Throws std::invalid_argument if the parts do not fit each other.
    explicit Encoder(const EncoderSpec& spec);

    size_t num_segments() const { return segments_.size(); }
    size_t num_exits() const { return exits_.size(); }
    const std::vector<std::string>& inputs() const { return carried_[0]; }
    const std::vector<std::string>& outputs() const { return segments_.back().outputs(); }
    Segment& segment(size_t i) { return segments_[i]; }
    Exit& exit(size_t i) { return exits_[i]; }
    // The exit that reads behind a segment, if there is one.
    std::optional<size_t> exit_behind(size_t segment) const;
    // The tensors that a segment or a later one needs.
    const std::vector<std::string>& carried(size_t segment) const { return carried_[segment]; }
    const SequenceTensors& sequences() const { return sequences_; }
    bool outputs_are_sequences() const { return outputs_are_sequences_; }
    const Answer& answer() const { return *answer_; }
    // Whether the head at an exit says how certain it is, or the answer itself does.
    bool says_certainty(size_t exit) const { return exits_[exit].certainty || answer_->says_certainty(); }
    std::mutex& mutex() { return mutex_; }

private:
    void add_exit(const EncoderSpec::Exit& exit);
    void find_carried();

    std::vector<Segment> segments_;
    std::vector<Exit> exits_;
    std::vector<std::vector<std::string>> carried_;  // of each segment
    SequenceTensors sequences_;
    bool outputs_are_sequences_;
    std::unique_ptr<Answer> answer_;
    std::mutex mutex_;
};

// Samples on their way through an encoder.
class EncoderRun {
public:
    // Throws std::invalid_argument if the parameters do not fit the encoder.
    EncoderRun(Encoder& encoder, const EncoderParams& params);
    // Takes in samples: the encoder's inputs by name, whose first dimension is samples. The tensors have to live until
    // the samples have left the first segment.
    // Throws std::invalid_argument if an input is missing, the tensors differ in their number of samples or places, or
    // the mask is not of integers; none of the samples is then taken in. Throws std::runtime_error after a run() that
    // threw.
    void push(const std::map<std::string, ov::Tensor>& inputs);
    // Runs segments on batches of `batch_size` samples, the deepest first, until there are fewer than that before the
    // first; where samples wait for others, not more than `max_waiting` come in before they go on as a smaller batch.
    // With `finish`, until nothing is left. Returns the samples that have left, in the order in which they left.
    // If a segment throws, this does, and samples are lost: it then throws std::runtime_error ever after.
    std::vector<EncoderResult> run(size_t batch_size, size_t max_waiting, bool finish);
    size_t waiting() const;
    const EncoderStats& stats() const { return stats_; }

private:
    // The segment to run next, or num_segments() if none is due.
    size_t next_segment(size_t batch_size, size_t max_waiting, bool finish) const;
    void run_segment(size_t segment, size_t batch_size, std::vector<EncoderResult>& results);
    void ask(size_t exit, std::vector<Row>& rows, std::vector<EncoderResult>& results);
    // Whether rows that are behind an exit cannot come to the next one, or the end, before the deadline.
    bool out_of_time(size_t exit, const std::vector<Row>& rows);
    void finish(const Row& row, const std::vector<ov::Tensor>& outputs, size_t exit, double confidence,
                std::vector<EncoderResult>& results);
    AnswerRow answer_row(const Row& row, const std::vector<ov::Tensor>& outputs) const;
    // Copies what waits in the memory of a request that is about to be used again.
    void keep(size_t segment);
    void check_whole() const;

    Encoder& encoder_;
    ExitPolicy policy_;
    std::vector<std::deque<Row>> waiting_;  // before each segment
    size_t pushed_ = 0;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    double deadline_seconds_;
    bool failed_ = false;
    EncoderStats stats_;
};

}  // namespace dynexec
