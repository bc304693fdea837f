#include "tests/sim/coverage.h"

#include <fnmatch.h>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <vector>

namespace holdfast::sim {

namespace {

/// Below this many lives the seldom ones may be missing.
constexpr std::uint64_t kLivesForSeldom = 20'000;

/// One line of edges.txt: CLASS TABLE STATE: EVENT... [# reason]. STATE and EVENT may be patterns.
struct Rule {
    std::string kind;
    std::string table;
    std::string state;
    std::vector<std::string> events;
};

std::vector<Rule> read_rules(const std::string& path) {
    std::vector<Rule> rules;
    std::ifstream file{path};
    for (std::string line; std::getline(file, line);) {
        std::istringstream words{line.substr(0, line.find('#'))};
        Rule rule;
        words >> rule.kind >> rule.table >> rule.state;
        if (rule.kind.empty()) continue;
        if (!rule.state.empty()) rule.state.pop_back();  // The colon.
        for (std::string word; words >> word;) rule.events.push_back(word);
        rules.push_back(rule);
    }
    return rules;
}

bool matches(const std::string& pattern, std::string_view name) {
    return fnmatch(pattern.c_str(), std::string{name}.c_str(), 0) == 0;
}

/// The first rule that speaks of this edge decides. Empty: none does.
std::string class_of(const std::vector<Rule>& rules, Table table, std::size_t state,
                     std::size_t event) {
    for (const Rule& rule : rules) {
        if (!matches(rule.table, name_of(table)) ||
            !matches(rule.state, state_name(table, state))) {
            continue;
        }
        for (const std::string& pattern : rule.events) {
            if (matches(pattern, event_name(table, event))) return rule.kind;
        }
    }
    return {};
}

template <class Visit>
void each_edge(Visit visit) {
    for (std::size_t t = 0; t < kTableCount; ++t) {
        const auto table = static_cast<Table>(t);
        for (std::size_t s = 0; !state_name(table, s).empty(); ++s) {
            for (std::size_t e = 0; !event_name(table, e).empty(); ++e) visit(table, s, e);
        }
    }
}

/// What is wrong with an edge of this class. Empty: nothing.
std::string judge(const std::string& kind, bool is_seen, std::uint64_t lives) {
    if (kind.empty()) return "edges.txt does not speak of";
    if (kind == "never") return is_seen ? "seen, though edges.txt says never:" : "";
    if (kind == "rare") return "";
    const bool is_due = kind == "often" || lives >= kLivesForSeldom;
    return is_due && !is_seen ? "not seen:" : "";
}

}  // namespace

void Coverage::add(const Coverage& other) {
    each_edge([&](Table table, std::size_t state, std::size_t event) {
        counts_.at(static_cast<std::size_t>(table)).at(state).at(event) +=
            other.count(table, state, event);
    });
}

std::size_t Coverage::seen_edges() const {
    std::size_t seen = 0;
    each_edge([&](Table table, std::size_t state, std::size_t event) {
        if (count(table, state, event) > 0) ++seen;
    });
    return seen;
}

std::string check_edges(const Coverage& coverage, const std::string& path, std::uint64_t lives) {
    const auto rules = read_rules(path);
    std::string wrong;
    if (rules.empty()) wrong = "no edges in " + path + "\n";
    each_edge([&](Table table, std::size_t state, std::size_t event) {
        const std::string kind = class_of(rules, table, state, event);
        const std::string what = judge(kind, coverage.count(table, state, event) > 0, lives);
        if (what.empty()) return;
        wrong += "edge " + what + " " + std::string{name_of(table)} + " " +
                 std::string{state_name(table, state)} + ": " +
                 std::string{event_name(table, event)} + "\n";
    });
    return wrong;
}

void print_coverage(const Coverage& coverage) {
    std::string line;
    std::size_t row = ~std::size_t{0};
    each_edge([&](Table table, std::size_t state, std::size_t event) {
        const std::uint64_t count = coverage.count(table, state, event);
        if (count == 0) return;
        if (const std::size_t here = static_cast<std::size_t>(table) * 100 + state; here != row) {
            row = here;
            std::printf("%s%s %s:", line.empty() ? "" : "\n", std::string{name_of(table)}.c_str(),
                        std::string{state_name(table, state)}.c_str());
            line = "x";
        }
        std::printf(" %s=%" PRIu64, std::string{event_name(table, event)}.c_str(), count);
    });
    std::printf("\n");
}

Tap& tap() {
    static Tap only;
    return only;
}

}  // namespace holdfast::sim
