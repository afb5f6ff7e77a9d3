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

// The parts of an encoder.
struct EncoderSpec {
    struct Exit {
        ov::CompiledModel head;
        size_t segment;  // segment after which it reads
    };
    std::vector<ov::CompiledModel>
        segments;             // in order; each segment except the first takes the output of the previous one
    std::vector<Exit> exits;  // in order of depth
    std::vector<std::string> sequence_inputs;  // inputs whose dimension 1 is a sequence
    bool hidden_states_are_sequences = false;
    bool outputs_are_sequences = false;
    std::string answer;  // see make_answer
};

struct EncoderParams {
    std::string criterion;           // see make_criterion
    std::vector<double> thresholds;  // of each exit, in order of depth; with an infinite threshold, no sample exits
    CriterionWeights weights;        // learned weights of the criterion, if any
    // Measured from the beginning of the run. Samples exit at the last exit that can be reached in time, but not
    // before the first exit, and not where the head returns NaN.
    double deadline_seconds = std::numeric_limits<double>::infinity();
};

// The result of a sample.
struct EncoderResult {
    size_t index = 0;       // in the order in which samples came
    size_t exit = 0;        // exit of the sample; the number of exits if it did not exit early
    double confidence = 0;  // see Answer
    // Each output of the model, without the dimension of samples, and with all positions of the sequence. Positions
    // whose padding was dropped are 0.
    std::vector<std::vector<float>> outputs;
    std::vector<std::vector<size_t>> shapes;
};

struct EncoderStats {
    std::vector<size_t> rows;    // number of samples that each segment ran
    std::vector<size_t> passes;  // runs of each segment
    std::vector<size_t> places;  // number of samples times positions, including padding, that each segment ran
    std::vector<size_t> exits;   // number of samples that exited at each exit; last entry: full model
    size_t out_of_time = 0;      // number of samples that exited because of the deadline
    std::vector<double> segment_seconds;
    double head_seconds = 0;
    double total_seconds = 0;
};

// An encoder, or a vision or audio model, in segments with exits between them. Samples with a confident answer leave
// the batch, and the others continue. Calls from several threads take turns.
class Encoder {
public:
    struct Exit {
        Segment head;
        size_t segment;                   // segment after which it reads
        std::vector<size_t> outputs;      // index of the head's output for each output of the model
        std::optional<size_t> certainty;  // index of the head's certainty output, if it has one
    };
    // Throws std::invalid_argument if the parts do not fit each other.
    explicit Encoder(const EncoderSpec& spec);

    size_t num_segments() const { return segments_.size(); }
    size_t num_exits() const { return exits_.size(); }
    const std::vector<std::string>& inputs() const { return carried_[0]; }
    const std::vector<std::string>& outputs() const { return segments_.back().outputs(); }
    Segment& segment(size_t i) { return segments_[i]; }
    Exit& exit(size_t i) { return exits_[i]; }
    // The exit after a segment, if there is one.
    std::optional<size_t> exit_after(size_t segment) const;
    // The tensors that a segment or a later one needs.
    const std::vector<std::string>& carried(size_t segment) const { return carried_[segment]; }
    const SequenceTensors& sequences() const { return sequences_; }
    bool outputs_are_sequences() const { return outputs_are_sequences_; }
    const Answer& answer() const { return *answer_; }
    // Whether the head at an exit has a certainty output, or the answer has a certainty.
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
    // Adds samples: the inputs of the encoder by name, whose first dimension is samples. The tensors must live until
    // the samples have left the first segment. Throws std::invalid_argument if an input is missing, the tensors differ
    // in their number of samples or positions, or the mask does not consist of integers. Then no sample is added.
    // Throws std::runtime_error after a run() that threw.
    void push(const std::map<std::string, ov::Tensor>& inputs);
    // Runs segments on batches of `batch_size` samples, the deepest segment first, until fewer than `batch_size`
    // samples wait in front of the first segment. Waiting samples continue as a smaller batch when more than
    // `max_waiting` further samples have arrived. With `finish`, it runs until no sample is left. Returns the samples
    // that have left, in the order in which they left. If a segment throws, the exception is passed on, and samples
    // are lost: every later call throws std::runtime_error.
    std::vector<EncoderResult> run(size_t batch_size, size_t max_waiting, bool finish);
    size_t waiting() const;
    const EncoderStats& stats() const { return stats_; }

private:
    // The segment to run next, or num_segments() if none is due.
    size_t next_segment(size_t batch_size, size_t max_waiting, bool finish) const;
    void run_segment(size_t segment, size_t batch_size, std::vector<EncoderResult>& results);
    void ask(size_t exit, std::vector<Row>& rows, std::vector<EncoderResult>& results);
    // Whether rows after an exit cannot reach the next exit, or the end, before the deadline.
    bool out_of_time(size_t exit, const std::vector<Row>& rows);
    void finish(const Row& row, const std::vector<ov::Tensor>& outputs, size_t exit, double confidence,
                std::vector<EncoderResult>& results);
    AnswerRow answer_row(const Row& row, const std::vector<ov::Tensor>& outputs) const;
    // Copies waiting rows out of the memory of a request that is about to be used again.
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
