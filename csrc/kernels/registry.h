// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dynexec {

// Makes objects of a kind by their names.
template <typename Made, typename... Arguments>
class Registry {
public:
    using Factory = std::unique_ptr<Made>(Arguments...);

    // `kind`: the name of the kind in the error for an unknown name.
    Registry(std::string kind, std::map<std::string, Factory*> factories)
        : kind_(std::move(kind)), factories_(std::move(factories)) {}

    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& [name, factory] : factories_) names.push_back(name);
        return names;
    }

    // Throws std::invalid_argument for an unknown name, or whatever the factory throws.
    std::unique_ptr<Made> make(const std::string& name, Arguments... arguments) const {
        const auto found = factories_.find(name);
        if (found != factories_.end()) return found->second(arguments...);
        std::string known;
        for (const auto& [other, factory] : factories_) known += (known.empty() ? "'" : ", '") + other + "'";
        throw std::invalid_argument("Unknown " + kind_ + " '" + name + "': use one of " + known);
    }

private:
    std::string kind_;
    std::map<std::string, Factory*> factories_;
};

}  // namespace dynexec
