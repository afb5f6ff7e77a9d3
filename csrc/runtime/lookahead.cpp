// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead.h"

#include <map>
#include <stdexcept>

#include "runtime/lookahead_auto.h"
#include "runtime/lookahead_disco.h"
#include "runtime/lookahead_fixed.h"

namespace dynexec {
namespace {

using Factory = std::unique_ptr<Lookahead> (*)(const LookaheadContext&);

const std::map<std::string, Factory>& registry() {
    static const std::map<std::string, Factory> factories = {
        {"auto", make_auto_lookahead},
        {"constant", make_constant_lookahead},
        {"disco", make_disco_lookahead},
        {"heuristic", make_heuristic_lookahead},
        {"heuristic_transient", make_transient_heuristic_lookahead},
    };
    return factories;
}

}  // namespace

std::vector<std::string> lookahead_names() {
    std::vector<std::string> names;
    for (const auto& [name, factory] : registry()) names.push_back(name);
    return names;
}

std::unique_ptr<Lookahead> make_lookahead(const std::string& name, const LookaheadContext& context) {
    const auto found = registry().find(name);
    if (found == registry().end()) throw std::invalid_argument("Unknown lookahead schedule '" + name + "'");
    return found->second(context);
}

}  // namespace dynexec
