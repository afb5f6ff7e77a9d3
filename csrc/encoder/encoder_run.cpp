// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "encoder/encoder.h"
#include "tensor_names.h"
#include "timer.h"

namespace dynexec {
namespace {

bool is_token(const ov::Tensor& mask, size_t index) {
    const auto type = mask.get_element_type();
    if (type == ov::element::i64) return mask.data<int64_t>()[index] != 0;
    if (type == ov::element::i32) return mask.data<int32_t>()[index] != 0;
    throw std::invalid_argument("The attention mask must consist of 32-bit or 64-bit integers");
}

// Rows times positions, including padding.
size_t size_of(const std::vector<Row>& rows) {
    size_t places = 1;
    for (const Row& row : rows) places = std::max(places, row.places);
    return rows.size() * places;
}

std::vector<ov::Tensor> chosen(const std::vector<ov::Tensor>& tensors, const std::vector<size_t>& indices) {
    std::vector<ov::Tensor> found;
    for (const size_t index : indices) found.push_back(tensors[index]);
    return found;
}

}  // namespace

EncoderRun::EncoderRun(Encoder& encoder, const EncoderParams& params)
    : encoder_(encoder),
      policy_(params.criterion, params.weights, params.thresholds),
      waiting_(encoder.num_segments()),
      deadline_seconds_(params.deadline_seconds) {
    if (!(params.deadline_seconds >= 0.0)) throw std::invalid_argument("A deadline must be at least 0 seconds");
    if (params.thresholds.size() != encoder.num_exits()) {
        throw std::invalid_argument(std::to_string(params.thresholds.size()) + " thresholds for " +
                                    std::to_string(encoder.num_exits()) + " exits");
    }
    for (size_t exit = 0; exit < encoder.num_exits(); ++exit) {
        if (policy_.criterion().needs_certainty() && policy_.asks(exit) && !encoder.says_certainty(exit)) {
            throw std::invalid_argument("The criterion '" + params.criterion +
                                        "' needs exit heads with a certainty output, but exit " + std::to_string(exit) +
                                        " has none");
        }
    }
    const size_t segments = encoder.num_segments();
    stats_.rows.assign(segments, 0);
    stats_.passes.assign(segments, 0);
    stats_.places.assign(segments, 0);
    stats_.segment_seconds.assign(segments, 0.0);
    stats_.exits.assign(encoder.num_exits() + 1, 0);
}

void EncoderRun::check_whole() const {
    if (failed_) throw std::runtime_error("This run has failed and has lost samples: start another one");
}

void EncoderRun::push(const std::map<std::string, ov::Tensor>& inputs) {
    check_whole();
    auto batch = std::make_shared<Batch>();
    for (const std::string& name : encoder_.carried(0)) {
        const auto found = inputs.find(name);
        if (found == inputs.end()) throw std::invalid_argument("The input '" + name + "' is missing");
        batch->tensors.emplace(name, found->second);
    }
    const auto& tensors = batch->tensors;
    size_t rows = 0, places = 0;
    for (const auto& [name, tensor] : tensors) {
        const ov::Shape shape = tensor.get_shape();
        const bool is_sequence = encoder_.sequences().count(name) > 0;
        if (shape.size() < (is_sequence ? 2u : 1u)) {
            throw std::invalid_argument("The input '" + name + "' has too few dimensions");
        }
        if (rows == 0) rows = shape[0];
        if (is_sequence && places == 0) places = shape[1];
        if (shape[0] != rows || (is_sequence && shape[1] != places)) {
            throw std::invalid_argument("The input '" + name +
                                        "' must have the same number of samples and positions as the other inputs");
        }
    }
    const auto mask = tensors.find(names::kAttentionMask);
    // Samples are counted after all of them are checked. Otherwise, the index of a refused sample would be missing in
    // the results.
    std::vector<Row> taken;
    for (size_t i = 0; i < rows; ++i) {
        auto sample = std::make_shared<Sample>();
        sample->index = pushed_ + i;
        sample->length = sample->last = places;
        if (places > 0) {
            sample->mask.assign(places, true);
            const bool masked = mask != tensors.end() && encoder_.sequences().count(names::kAttentionMask) > 0;
            for (size_t j = 0; masked && j < places; ++j) sample->mask[j] = is_token(mask->second, i * places + j);
            // A sample without tokens is not changed.
            const bool any = std::find(sample->mask.begin(), sample->mask.end(), true) != sample->mask.end();
            while (any && !sample->mask[sample->last - 1]) --sample->last;
        }
        taken.push_back({sample, batch, i, places});
    }
    waiting_[0].insert(waiting_[0].end(), taken.begin(), taken.end());
    pushed_ += rows;
}

size_t EncoderRun::waiting() const {
    size_t total = 0;
    for (const auto& rows : waiting_) total += rows.size();
    return total;
}

size_t EncoderRun::next_segment(size_t batch_size, size_t max_waiting, bool finish) const {
    for (size_t segment = waiting_.size(); segment-- > 0;) {
        const auto& rows = waiting_[segment];
        if (rows.size() >= batch_size) return segment;
        if (!rows.empty() && segment > 0 && pushed_ - rows.front().sample->index > max_waiting) return segment;
    }
    for (size_t segment = 0; finish && segment < waiting_.size(); ++segment) {
        // The shallowest first, so that its remaining samples fill the batch of the next segment.
        if (!waiting_[segment].empty()) return segment;
    }
    return waiting_.size();
}

std::vector<EncoderResult> EncoderRun::run(size_t batch_size, size_t max_waiting, bool finish) {
    if (batch_size == 0) throw std::invalid_argument("The batch size must be at least 1");
    check_whole();
    // If a segment throws, its rows are lost, and other rows may be in memory that the next run overwrites.
    failed_ = true;
    const auto start = Clock::now();
    std::vector<EncoderResult> results;
    for (size_t segment = 0; (segment = next_segment(batch_size, max_waiting, finish)) < waiting_.size();) {
        run_segment(segment, batch_size, results);
    }
    // Other runs use the same requests.
    for (size_t segment = 0; segment < waiting_.size(); ++segment) keep(segment);
    stats_.total_seconds += seconds_since(start);
    failed_ = false;
    return results;
}

void EncoderRun::keep(size_t segment) {
    if (waiting_[segment].empty()) return;
    std::vector<Row> rows(waiting_[segment].begin(), waiting_[segment].end());
    if (std::none_of(rows.begin(), rows.end(), [](const Row& row) { return row.batch->borrowed; })) return;
    // Each sample is copied separately, because lengths differ and samples continue at different times.
    for (size_t i = 0; i < rows.size(); ++i) {
        if (!rows[i].batch->borrowed) continue;
        std::vector<Row> one = {rows[i]};
        auto batch = gather(one, encoder_.carried(segment), encoder_.sequences());
        if (batch->borrowed) {
            auto own = std::make_shared<Batch>();
            for (const auto& name : encoder_.carried(segment)) {
                const ov::Tensor& from = batch->tensors.at(name);
                ov::Tensor copy(from.get_element_type(), from.get_shape());
                from.copy_to(copy);
                own->tensors.emplace(name, std::move(copy));
            }
            one[0].batch = own;
        }
        waiting_[segment][i] = one[0];
    }
}

void EncoderRun::run_segment(size_t segment, size_t batch_size, std::vector<EncoderResult>& results) {
    auto& queue = waiting_[segment];
    std::vector<Row> rows;
    std::deque<Row> others;
    for (Row& row : queue) {
        const bool joins = rows.size() < batch_size &&
                           (rows.empty() || can_share(rows[0], row, encoder_.carried(segment), encoder_.sequences()));
        if (joins) {
            rows.push_back(std::move(row));
        } else {
            others.push_back(std::move(row));
        }
    }
    queue = std::move(others);
    const auto batch = gather(rows, encoder_.carried(segment), encoder_.sequences());
    const bool last = segment + 1 == waiting_.size();
    if (!last) keep(segment + 1);

    const size_t size = size_of(rows);
    const auto outputs = encoder_.segment(segment).run(batch->tensors, size, stats_.segment_seconds[segment]);
    stats_.passes[segment] += 1;
    stats_.rows[segment] += rows.size();
    stats_.places[segment] += size;
    if (last) {
        for (Row& row : rows) {
            const auto views = encoder_.answer().views(answer_row(row, outputs), row.sample->embedding);
            finish(row, outputs, encoder_.num_exits(), encoder_.answer().confidence(views), results);
        }
        return;
    }
    auto next = std::make_shared<Batch>();
    for (const std::string& name : encoder_.carried(segment + 1)) {
        const auto found = batch->tensors.find(name);
        if (name != names::kHiddenStates && found != batch->tensors.end()) next->tensors.emplace(name, found->second);
    }
    next->tensors[names::kHiddenStates] = outputs[0];
    next->borrowed = true;
    for (Row& row : rows) row.batch = next;
    if (const auto exit = encoder_.exit_after(segment)) ask(*exit, rows, results);
    waiting_[segment + 1].insert(waiting_[segment + 1].end(), rows.begin(), rows.end());
}

void EncoderRun::ask(size_t exit, std::vector<Row>& rows, std::vector<EncoderResult>& results) {
    // If no sample can exit by the criterion, the head is only needed for samples that cannot continue.
    bool late = !policy_.asks(exit);
    if (late && !out_of_time(exit, rows)) return;
    Encoder::Exit& asked = encoder_.exit(exit);
    const auto all = asked.head.run(rows[0].batch->tensors, size_of(rows), stats_.head_seconds);
    const auto outputs = chosen(all, asked.outputs);
    std::vector<Row> survivors;
    std::vector<std::vector<ExitView>> said;  // of each survivor
    for (Row& row : rows) {
        Sample& sample = *row.sample;
        auto views = encoder_.answer().views(answer_row(row, outputs), sample.embedding);
        if (asked.certainty) {
            const auto sure = all[*asked.certainty].data<float>()[row.index];
            for (ExitView& view : views) view.certainty = static_cast<double>(sure);
        }
        sample.views.resize(views.size());
        bool leaves = !views.empty();
        for (size_t i = 0; i < views.size(); ++i) {
            // Exits that were not evaluated have no view, but keep their place.
            sample.views[i].resize(exit, ExitView{{}, -1});
            sample.views[i].push_back(views[i]);
            leaves = leaves && policy_.leaves(sample.views[i], 0);
        }
        if (leaves) {
            finish(row, outputs, exit, encoder_.answer().confidence(views), results);
        } else {
            survivors.push_back(row);
            said.push_back(std::move(views));
        }
    }
    rows.clear();
    late = late || out_of_time(exit, survivors);
    for (size_t i = 0; i < survivors.size(); ++i) {
        if (late && encoder_.answer().answers(said[i], survivors[i].sample->embedding)) {
            stats_.out_of_time += 1;
            finish(survivors[i], outputs, exit, encoder_.answer().confidence(said[i]), results);
        } else {
            rows.push_back(std::move(survivors[i]));
        }
    }
}

bool EncoderRun::out_of_time(size_t exit, const std::vector<Row>& rows) {
    if (rows.empty() || deadline_seconds_ == std::numeric_limits<double>::infinity()) return false;
    const double left = deadline_seconds_ - seconds_since(started_);
    if (left <= 0.0) return true;
    const size_t size = size_of(rows);
    const size_t next = exit + 1;
    const size_t last = next < encoder_.num_exits() ? encoder_.exit(next).segment : encoder_.num_segments() - 1;
    double needed = next < encoder_.num_exits() ? encoder_.exit(next).head.times().estimate(size) : 0.0;
    for (size_t segment = encoder_.exit(exit).segment + 1; segment <= last; ++segment) {
        needed += encoder_.segment(segment).times().estimate(size);
    }
    if (needed <= left) return false;
    for (size_t segment = encoder_.exit(exit).segment + 1; segment <= last; ++segment) {
        encoder_.segment(segment).times().doubt(size);
    }
    return true;
}

AnswerRow EncoderRun::answer_row(const Row& row, const std::vector<ov::Tensor>& outputs) const {
    AnswerRow found;
    for (const ov::Tensor& output : outputs) {
        const size_t size = output.get_size() / output.get_shape()[0];
        found.outputs.push_back(output.data<float>() + row.index * size);
        found.sizes.push_back(size);
    }
    const ov::Shape shape = outputs[0].get_shape();
    found.places = shape.size() > 1 ? shape[1] : 0;
    if (encoder_.outputs_are_sequences()) {
        for (size_t place = 0; place < row.places; ++place) {
            if (row.sample->mask[place]) found.positions.push_back(place);
        }
    } else {
        for (size_t place = 0; place < found.places; ++place) found.positions.push_back(place);
    }
    return found;
}

void EncoderRun::finish(const Row& row, const std::vector<ov::Tensor>& outputs, size_t exit, double confidence,
                        std::vector<EncoderResult>& results) {
    EncoderResult result;
    result.index = row.sample->index;
    result.exit = exit;
    result.confidence = confidence;
    for (const ov::Tensor& output : outputs) {
        const ov::Shape whole = output.get_shape();
        std::vector<size_t> shape(whole.begin() + 1, whole.end());
        const size_t size = output.get_size() / whole[0];
        const float* from = output.data<float>() + row.index * size;
        if (encoder_.outputs_are_sequences()) {
            const size_t place = shape[0] == 0 ? 0 : size / shape[0];
            const size_t kept = std::min(row.places, shape[0]);
            shape[0] = row.sample->length;
            std::vector<float> values(place * shape[0], 0.0f);
            std::memcpy(values.data(), from, kept * place * sizeof(float));
            result.outputs.push_back(std::move(values));
        } else {
            result.outputs.emplace_back(from, from + size);
        }
        result.shapes.push_back(std::move(shape));
    }
    stats_.exits[exit] += 1;
    results.push_back(std::move(result));
}

}  // namespace dynexec
