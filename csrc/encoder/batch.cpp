// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/batch.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>

namespace dynexec {
namespace {

// Whether the batch of the first row consists of exactly these rows, in this order.
bool is_whole(const std::vector<Row>& rows, const std::string& any_name) {
    const Batch& batch = *rows[0].batch;
    if (batch.tensors.at(any_name).get_shape()[0] != rows.size()) return false;
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].batch.get() != &batch || rows[i].index != i) return false;
    }
    return true;
}

}  // namespace

bool can_share(const Row& first, const Row& second, const std::vector<std::string>& names,
               const SequenceTensors& sequences) {
    if (first.batch == second.batch) return true;
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        const ov::Tensor &a = first.batch->tensors.at(name), &b = second.batch->tensors.at(name);
        ov::Shape a_shape = a.get_shape(), b_shape = b.get_shape();
        const auto found = sequences.find(name);
        const size_t free = found != sequences.end() && found->second ? 2 : 1;
        if (a_shape.size() != b_shape.size() || a.get_element_type() != b.get_element_type()) return false;
        return std::equal(a_shape.begin() + free, a_shape.end(), b_shape.begin() + free);
    });
}

std::shared_ptr<Batch> gather(std::vector<Row>& rows, const std::vector<std::string>& names,
                              const SequenceTensors& sequences) {
    size_t places = 0;
    for (Row& row : rows) {
        row.places = row.sample->last;
        places = std::max(places, row.places);
    }
    const auto sequence = std::find_if(names.begin(), names.end(), [&](const auto& name) {
        const auto found = sequences.find(name);
        return found != sequences.end() && found->second;
    });
    const bool has_places = sequence != names.end();
    if (is_whole(rows, names[0]) && (!has_places || rows[0].batch->tensors.at(*sequence).get_shape()[1] == places)) {
        return rows[0].batch;
    }

    auto batch = std::make_shared<Batch>();
    for (const std::string& name : names) {
        const ov::Tensor& like = rows[0].batch->tensors.at(name);
        const auto found = sequences.find(name);
        const bool is_sequence = found != sequences.end() && found->second;
        ov::Shape shape = like.get_shape();
        shape[0] = rows.size();
        if (is_sequence) shape[1] = places;
        const size_t place_bytes =
            is_sequence ? like.get_element_type().size() *
                              std::accumulate(shape.begin() + 2, shape.end(), size_t{1}, std::multiplies<size_t>())
                        : 0;
        ov::Tensor tensor(like.get_element_type(), shape);
        auto* to = static_cast<char*>(tensor.data());
        const size_t row_bytes = tensor.get_byte_size() / rows.size();
        for (size_t i = 0; i < rows.size(); ++i) {
            const ov::Tensor& from = rows[i].batch->tensors.at(name);
            ov::Shape expected = from.get_shape();
            expected[0] = rows.size();
            if (is_sequence) expected[1] = places;
            if (expected != shape || from.get_element_type() != like.get_element_type()) {
                throw std::invalid_argument("Samples of different shapes cannot share a batch: '" + name + "'");
            }
            const size_t from_bytes = from.get_byte_size() / from.get_shape()[0];
            const char* source = static_cast<const char*>(from.data()) + rows[i].index * from_bytes;
            char* target = to + i * row_bytes;
            if (!is_sequence) {
                std::memcpy(target, source, row_bytes);
                continue;
            }
            const size_t bytes = rows[i].places * place_bytes;
            std::memcpy(target, source, bytes);
            std::memset(target + bytes, 0, row_bytes - bytes);
        }
        batch->tensors.emplace(name, std::move(tensor));
    }
    for (size_t i = 0; i < rows.size(); ++i) {
        rows[i].batch = batch;
        rows[i].index = i;
    }
    return batch;
}

}  // namespace dynexec
