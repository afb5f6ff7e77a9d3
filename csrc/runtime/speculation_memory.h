// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "fair_mutex.h"
#include "runtime/acceptance.h"
#include "runtime/text_memory.h"

namespace dynexec {

// The observations of proposers and lookaheads over calls, under names that they choose. It belongs to the
// owner of the engine, who passes it to each call. A new memory has no observations.
class SpeculationMemory {
public:
    // Created at the first request, and made anew if it has another size. References stay valid.
    AcceptanceTable& acceptance(const std::string& name, size_t contexts, size_t positions) {
        const auto empty = AcceptanceTable::over_requests(contexts, positions);
        AcceptanceTable& table = tables_.try_emplace(name, empty).first->second;
        if (table.contexts() != contexts || table.positions() != positions) table = empty;
        return table;
    }
    const std::map<std::string, AcceptanceTable>& tables() const { return tables_; }
    double& number(const std::string& name) { return numbers_[name]; }  // 0 at first

    TextMemory& texts() { return texts_; }

    // Held by a decode loop during a step.
    FairMutex& mutex() { return mutex_; }

private:
    std::map<std::string, AcceptanceTable> tables_;
    std::map<std::string, double> numbers_;
    TextMemory texts_;
    FairMutex mutex_;
};

}  // namespace dynexec
