#include "daemon/control/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "daemon/control/config_rules.h"
#include "daemon/control/file.h"

namespace holdfast::daemon {

namespace {

using PlainJson = nlohmann::json;

/// Where a complaint belongs: the file (or "request") and the table in it.
struct Place {
    std::string_view origin;
    std::string table;
};

std::unexpected<Failure> complain(const Place& place, const toml::node& at, std::string_view what) {
    const auto line = at.source().begin.line;
    const std::string where =
        line == 0 ? std::string{place.origin} : fmt::format("{}:{}", place.origin, line);
    return fail(ExitCode::Usage, fmt::format("{}: {}", where, what));
}

/// Levenshtein's distance, for suggestions.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, diagonal + 1, row[j] + 1});
        }
    }
    return row[b.size()];
}

/// "; did you mean 'depth'?", or the whole list when nothing is near.
std::string suggestion(std::string_view key, const std::vector<std::string_view>& known) {
    const auto nearest = std::ranges::min_element(
        known, {}, [key](std::string_view candidate) { return distance(key, candidate); });
    if (nearest != known.end() && distance(key, *nearest) <= 1 + key.size() / 3)
        return fmt::format("did you mean '{}'?", *nearest);
    return fmt::format("known are {}", fmt::join(known, ", "));
}

template <class T>
void add_keys(std::vector<std::string_view>& to, std::span<const Rule<T>> rules) {
    for (const auto& rule : rules) to.push_back(rule.key);
}

template <class T>
std::vector<std::string_view> keys_of(std::span<const Rule<T>> rules) {
    std::vector<std::string_view> keys;
    add_keys(keys, rules);
    return keys;
}

OrFailure<void> refuse_unknown(const toml::table& table, const Place& place,
                               const std::vector<std::string_view>& known) {
    for (const auto& [key, value] : table) {
        if (std::ranges::find(known, key.str()) != known.end()) continue;
        const bool is_password = key.str() == "password" || key.str() == "mutual_password";
        const std::string help =
            is_password ? fmt::format(
                              "secrets do not stand here; put it alone into a file with "
                              "mode 0600 and name that in {}_file",
                              key.str())
                        : suggestion(key.str(), known);
        return complain(place, value,
                        fmt::format("unknown key '{}' in {}; {}", key.str(), place.table, help));
    }
    return {};
}

/// Applies every rule whose key is there.
template <class T>
OrFailure<void> apply_rules(const toml::table& table, const Place& place,
                            std::span<const Rule<T>> rules, T& to) {
    for (const auto& rule : rules) {
        const toml::node* value = table.get(rule.key);
        if (value == nullptr) continue;
        if (const auto verdict = rule.apply(*value, to); !verdict)
            return complain(
                place, *value,
                fmt::format("'{}' in {} must be {}", rule.key, place.table, verdict.error()));
    }
    return {};
}

/// A table inside `table`, such as timers: every key known, every rule applied.
template <class T>
OrFailure<void> apply_section(const toml::table& table, const Place& place, std::string_view key,
                              std::span<const Rule<T>> rules, T& to) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return {};
    const Place inside{.origin = place.origin,
                       .table = place.table.empty() ? fmt::format("[{}]", key)
                                                    : fmt::format("{}.{}", place.table, key)};
    const toml::table* section = node->as_table();
    if (section == nullptr)
        return complain(place, *node, fmt::format("'{}' must be a table", inside.table));
    if (auto known = refuse_unknown(*section, inside, keys_of(rules)); !known) return known;
    return apply_rules(*section, inside, rules, to);
}

void add_tuning_keys(std::vector<std::string_view>& keys) {
    add_keys(keys, tuning_rules());
    keys.insert(keys.end(), {"timers", "negotiation"});
}

OrFailure<void> apply_tuning(const toml::table& table, const Place& place, Tuning& to) {
    auto verdict = apply_rules(table, place, tuning_rules(), to);
    if (verdict) verdict = apply_section(table, place, "timers", timer_rules(), to.timers);
    if (verdict) verdict = apply_section(table, place, "negotiation", negotiation_rules(), to.wish);
    return verdict;
}

OrFailure<void> judge_tuning(const Tuning& tuning, const toml::table& table, const Place& place) {
    const auto no = [&](std::string_view what) {
        return complain(place, table, fmt::format("{}: {}", place.table, what));
    };
    if (std::uint64_t{tuning.depth} * tuning.request_bytes > AttachSpec::kDataBytesMax)
        return no("depth times request_size exceeds 512 MiB; lower one of them");
    if (tuning.wish.first_burst_bytes > tuning.wish.max_burst_bytes)
        return no("first_burst must not exceed max_burst (RFC 7143 section 13.14)");
    if (tuning.timers.reconnect_min > tuning.timers.reconnect_max)
        return no("reconnect_min must not exceed reconnect_max");
    return {};
}

/// What only the whole of the settings shows.
OrFailure<void> judge_whole(const AttachSettings& settings, const toml::table& table,
                            const Place& place) {
    const auto no = [&](std::string_view what) {
        return complain(place, table, fmt::format("{}: {}", place.table, what));
    };
    const Tuning& tuning = settings.tuning;
    if (settings.target.empty() || !settings.lun || settings.portals.empty())
        return no("no unit is named; give url, or target, lun and portals");
    if (settings.exported == ExportKind::Nbd && settings.nbd_socket.empty())
        return no("export = \"nbd\" needs nbd_socket, the path of the socket to listen on");
    if (settings.exported == ExportKind::Ublk && tuning.depth > AttachSpec::kUblkDepthMax)
        return no("a ublk device has at most 128 requests at once; lower depth");
    if (const auto fits = judge_tuning(tuning, table, place); !fits) return fits;
    const bool has_secret = !settings.password_file.empty() || !settings.password.empty();
    const bool has_mutual =
        !settings.mutual_password_file.empty() || !settings.mutual_password.empty();
    if (has_secret && settings.user.empty()) return no("a password needs a user");
    if (has_mutual && settings.mutual_user.empty())
        return no("a mutual password needs mutual_user, the name the target proves");
    if (has_mutual && !has_secret)
        return no("mutual CHAP needs a user and a password of our own as well");
    return {};
}

enum class Trust : std::uint8_t { File, Request };

OrFailure<AttachSettings> read_attachment(const Config& config, const std::string& name,
                                          const toml::table& table, const Place& place,
                                          Trust trust) {
    if (!is_attachment_name(name))
        return complain(place, table,
                        fmt::format("'{}' cannot name an attachment; use 1 to 32 of a-z 0-9 . _ -, "
                                    "a letter or digit first",
                                    name));
    std::vector<std::string_view> known = keys_of(attachment_rules());
    add_tuning_keys(known);
    if (trust == Trust::Request) add_keys(known, secret_rules());
    if (auto verdict = refuse_unknown(table, place, known); !verdict)
        return std::unexpected{verdict.error()};
    AttachSettings settings;
    settings.name = name;
    auto verdict = apply_rules(table, place, attachment_rules(), settings);
    if (verdict && trust == Trust::Request)
        verdict = apply_rules(table, place, secret_rules(), settings);
    settings.tuning = config.profiles[static_cast<std::size_t>(settings.profile)];
    if (verdict) verdict = apply_tuning(table, place, settings.tuning);
    if (verdict) verdict = judge_whole(settings, table, place);
    if (!verdict) return std::unexpected{verdict.error()};
    return settings;
}

OrFailure<void> read_profiles(const toml::table& root, std::string_view origin, Config& config) {
    const toml::node* node = root.get("profile");
    if (node == nullptr) return {};
    const Place top{.origin = origin, .table = "[profile]"};
    const toml::table* profiles = node->as_table();
    if (profiles == nullptr) return complain(top, *node, "'profile' must be a table");
    for (const auto& [key, value] : *profiles) {
        const auto profile = profile_from(key.str());
        const toml::table* table = value.as_table();
        if (!profile || table == nullptr)
            return complain(top, value,
                            fmt::format("unknown profile '{}'; there are [profile.swap], "
                                        "[profile.root], [profile.data], [profile.multipath]",
                                        key.str()));
        const Place place{.origin = origin, .table = fmt::format("[profile.{}]", key.str())};
        std::vector<std::string_view> known;
        add_tuning_keys(known);
        auto verdict = refuse_unknown(*table, place, known);
        Tuning& tuning = config.profiles[static_cast<std::size_t>(*profile)];
        if (verdict) verdict = apply_tuning(*table, place, tuning);
        if (!verdict) return verdict;
    }
    return {};
}

OrFailure<void> read_attachments(const toml::table& root, std::string_view origin, Config& config) {
    const toml::node* node = root.get("attachment");
    if (node == nullptr) return {};
    const Place top{.origin = origin, .table = "[attachment]"};
    const toml::table* attachments = node->as_table();
    if (attachments == nullptr)
        return complain(top, *node, "'attachment' must be tables such as [attachment.swap0]");
    for (const auto& [key, value] : *attachments) {
        const std::string name{key.str()};
        const Place place{.origin = origin, .table = fmt::format("[attachment.{}]", name)};
        const toml::table* table = value.as_table();
        if (table == nullptr)
            return complain(top, value, fmt::format("'{}' must be a table {}", name, place.table));
        auto settings = read_attachment(config, name, *table, place, Trust::File);
        if (!settings) return std::unexpected{settings.error()};
        config.attachments.push_back(*std::move(settings));
    }
    return {};
}

std::optional<toml::array> toml_array_from(const PlainJson& list) {
    toml::array made;
    for (const PlainJson& item : list) {
        if (!item.is_string()) return {};
        made.push_back(item.get<std::string>());
    }
    return made;
}

/// The request's JSON as a TOML table, two levels deep. Values of types that no key has become an
/// empty array, which every rule refuses in its own words.
toml::table toml_table_from(const PlainJson& object, int levels_left) {
    toml::table made;
    for (const auto& [key, value] : object.items()) {
        if (value.is_boolean()) {
            made.insert_or_assign(key, value.get<bool>());
        } else if (value.is_number_integer()) {
            made.insert_or_assign(key, value.get<std::int64_t>());
        } else if (value.is_string()) {
            made.insert_or_assign(key, value.get<std::string>());
        } else if (value.is_object() && levels_left > 0) {
            made.insert_or_assign(key, toml_table_from(value, levels_left - 1));
        } else {
            const PlainJson list = value.is_array() ? value : PlainJson::array();
            made.insert_or_assign(key, toml_array_from(list).value_or(toml::array{}));
        }
    }
    return made;
}

bool is_beyond_ascii(char c) {
    return static_cast<unsigned char>(c) >= 0x80;
}

/// The text with lines that are comments alone made ASCII. Elsewhere characters beyond ASCII are
/// refused: no key needs them, and toml++ 3.3 runs into undefined behaviour on some.
OrFailure<std::string> ascii_only(std::string_view text, std::string_view origin) {
    std::string ascii{text};
    std::size_t line = 1;
    bool is_blank = true;
    bool is_comment = false;
    for (char& c : ascii) {
        if (is_blank && c == '#') is_comment = true;
        if (c != ' ' && c != '\t') is_blank = false;
        if (c == '\n') {
            ++line;
            is_blank = true;
            is_comment = false;
        }
        if (!is_beyond_ascii(c)) continue;
        if (!is_comment)
            return fail(ExitCode::Usage,
                        fmt::format("{}:{}: a character beyond ASCII; write names and paths in "
                                    "ASCII, and comments on lines of their own",
                                    origin, line));
        c = '?';
    }
    return ascii;
}

}  // namespace

std::string trace_directory_of(const Config& config) {
    return config.trace_directory.empty() ? config.state_directory + "/traces"
                                          : config.trace_directory;
}

OrFailure<Config> parse_config(std::string_view text, std::string_view origin) {
    const auto ascii = ascii_only(text, origin);
    if (!ascii) return std::unexpected{ascii.error()};
    const toml::parse_result parsed = toml::parse(*ascii, origin);
    if (!parsed) {
        const toml::parse_error& error = parsed.error();
        return fail(ExitCode::Usage, fmt::format("{}:{}: not TOML: {}", origin,
                                                 error.source().begin.line, error.description()));
    }
    const toml::table& root = parsed.table();
    const Place top{.origin = origin, .table = "the file"};
    Config config;
    auto verdict = refuse_unknown(root, top, {"daemon", "profile", "attachment"});
    if (verdict)
        verdict = apply_section(root, Place{.origin = origin, .table = ""}, "daemon",
                                daemon_rules(), config);
    if (verdict) verdict = read_profiles(root, origin, config);
    if (verdict) verdict = read_attachments(root, origin, config);
    if (!verdict) return std::unexpected{verdict.error()};
    return config;
}

OrFailure<Config> load_config(const std::string& path, bool must_exist) {
    const auto text = read_file(path, kConfigBytesMax);
    if (!text) {
        if (text.error() == Errno{ENOENT} && !must_exist) return Config{};
        return fail(ExitCode::Usage,
                    fmt::format("cannot read the configuration {}: {}; name another file with "
                                "--config, or make this one readable",
                                path, text.error().text()));
    }
    return parse_config(*text, path);
}

OrFailure<AttachSettings> settings_from_request(const Config& config, const std::string& name,
                                                const nlohmann::json& keys) {
    if (!keys.is_object())
        return fail(ExitCode::Usage, "the request has no settings; use the holdfast client");
    const Place place{.origin = "request", .table = "the request"};
    return read_attachment(config, name, toml_table_from(keys, 1), place, Trust::Request);
}

OrFailure<void> tune_from_request(Tuning& tuning, const nlohmann::json& keys) {
    HF_ASSERT(keys.is_object());
    const Place place{.origin = "--set", .table = "the settings"};
    const toml::table table = toml_table_from(keys, 1);
    std::vector<std::string_view> known;
    add_tuning_keys(known);
    auto verdict = refuse_unknown(table, place, known);
    if (verdict) verdict = apply_tuning(table, place, tuning);
    if (verdict) verdict = judge_tuning(tuning, table, place);
    return verdict;
}

}  // namespace holdfast::daemon
