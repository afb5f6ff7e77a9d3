// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

// A minimal test harness. Each test_*.cpp is one program: it defines TEST(name) { ... CHECK(...) ... } and gets its
// main from here. Arguments, if any, are substrings of the names of the tests to run.

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

namespace check {

struct Test {
    const char* name;
    void (*run)();
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

inline int& failures() {
    static int count = 0;
    return count;
}

struct Registrar {
    Registrar(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void fail(const char* file, int line, const char* what) {
    constexpr int kPrinted = 20;
    if (++failures() <= kPrinted) std::printf("%s:%d: CHECK(%s) failed\n", file, line, what);
}

inline int run(int argc, char** argv) {
    int ran = 0;
    for (const Test& test : tests()) {
        bool selected = argc < 2;
        for (int i = 1; i < argc; ++i) selected = selected || std::strstr(test.name, argv[i]) != nullptr;
        if (!selected) continue;
        const int before = failures();
        try {
            test.run();
        } catch (const std::exception& e) {
            fail(test.name, 0, e.what());
        }
        std::printf("%-6s %s\n", failures() == before ? "ok" : "FAILED", test.name);
        ++ran;
    }
    std::printf("%d tests, %d failed checks\n", ran, failures());
    return failures() == 0 && ran > 0 ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                                       \
    static void test_##name();                                           \
    static const check::Registrar registrar_##name(#name, &test_##name); \
    static void test_##name()

#define CHECK(condition) ((condition) ? static_cast<void>(0) : check::fail(__FILE__, __LINE__, #condition))

#define CHECK_THROWS(expression, exception)                                              \
    do {                                                                                 \
        bool thrown = false;                                                             \
        try {                                                                            \
            static_cast<void>(expression);                                               \
        } catch (const exception&) {                                                     \
            thrown = true;                                                               \
        }                                                                                \
        if (!thrown) check::fail(__FILE__, __LINE__, #expression " throws " #exception); \
    } while (false)

int main(int argc, char** argv) { return check::run(argc, argv); }
