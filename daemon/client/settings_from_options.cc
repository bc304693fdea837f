#include "daemon/client/settings_from_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "daemon/client/password.h"
#include "daemon/control/config.h"
#include "daemon/control/identity.h"

namespace holdfast::daemon {

namespace {

constexpr const char* kPasswordVariable = "HOLDFAST_PASSWORD";
constexpr const char* kMutualPasswordVariable = "HOLDFAST_MUTUAL_PASSWORD";

/// The daemon works in another directory.
std::string absolute(const std::string& path) {
    std::error_code error;
    const auto made = std::filesystem::absolute(path, error);
    return error ? path : made.lexically_normal().string();
}

void put(Json& to, const char* key, const std::string& text) {
    if (!text.empty()) to[key] = text;
}

void put(Json& to, const char* key, bool flag) {
    if (flag) to[key] = true;
}

/// "timers.login=5s": numbers and booleans as such, everything else as text.
OrFailure<void> put_setting(Json& to, const std::string& setting) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
        return fail(ExitCode::Usage,
                    fmt::format("--set {} has no value; write KEY=VALUE", setting));
    const std::string key = setting.substr(0, equals);
    const std::string text = setting.substr(equals + 1);
    Json value = text;
    std::int64_t number = 0;
    const std::string_view view{text};
    const auto [stop, error] = std::from_chars(view.begin(), view.end(), number);
    if (error == std::errc{} && stop == view.end()) value = number;
    if (text == "true" || text == "false") value = text == "true";
    const std::size_t dot = key.find('.');
    if (dot == std::string::npos) {
        to[key] = value;
        return {};
    }
    Json& table = to[key.substr(0, dot)];
    if (!table.is_object()) table = Json::object();
    table[key.substr(dot + 1)] = value;
    return {};
}

OrFailure<void> put_set(Json& to, const SessionOptions& options) {
    for (const std::string& setting : options.set) {
        if (const auto put_in = put_setting(to, setting); !put_in) return put_in;
    }
    return {};
}

/// What --set says of passwords, as if the options had said it: files are read here, because the
/// daemon has no right to read what only root may.
void take_over(Json& set, const char* key, std::string& option) {
    const auto found = set.find(key);
    if (found == set.end() || !found->is_string()) return;  // The daemon says what it should be.
    option = found->get<std::string>();
    set.erase(key);
}

/// --set for a session in this process: what would describe a device has no meaning here.
OrFailure<AttachSettings> tuned(OrFailure<AttachSettings> settings, const SessionOptions& options) {
    if (!settings) return settings;
    Json keys = Json::object();
    if (const auto put_in = put_set(keys, options); !put_in) return std::unexpected{put_in.error()};
    const auto fits = tune_from_request(settings->tuning, nlohmann::json(keys));
    if (!fits) return std::unexpected{fits.error()};
    return settings;
}

/// What the keys of the configuration and session options have in common.
OrFailure<Json> session_keys(const SessionOptions& options) {
    Json keys = Json::object();
    put(keys, "header_digest", options.header_digest);
    put(keys, "data_digest", options.data_digest);
    put(keys, "request_size", options.request_size);
    put(keys, "mutual_user", options.mutual_user);
    put(keys, "chap_md5_only", options.md5_only);
    if (options.depth != 0) keys["depth"] = options.depth;
    return keys;
}

OrFailure<void> put_secrets(Json& keys, const SessionOptions& options, const IscsiUrl& url) {
    put(keys, "user", url.user);
    auto ours = find_password({.user = url.user,
                               .from_url = url.password,
                               .file = options.password_file,
                               .environment = kPasswordVariable});
    if (!ours) return std::unexpected{ours.error()};
    auto theirs = find_password({.user = options.mutual_user,
                                 .from_url = {},
                                 .file = options.mutual_password_file,
                                 .environment = kMutualPasswordVariable});
    if (!theirs) return std::unexpected{theirs.error()};
    put(keys, "password", *ours);
    put(keys, "mutual_password", *theirs);
    return {};
}

}  // namespace

OrFailure<std::uint64_t> size_option(std::string_view text, std::string_view option) {
    const auto bytes = size_from(text);
    if (bytes) return *bytes;
    return fail(ExitCode::Usage,
                fmt::format("{} {} is not a size; write 4096, 64KiB or 1GiB", option, text));
}

std::string initiator_name_for(const SessionOptions& options) {
    if (!options.initiator_name.empty()) return options.initiator_name;
    return read_initiator_name(std::string{kInitiatorNamePath}).value_or(passing_initiator_name());
}

OrFailure<AttachSettings> session_settings(const SessionOptions& options) {
    auto url = parse_unit_url(options.url);
    if (!url) return std::unexpected{url.error()};
    auto keys = session_keys(options);
    if (!keys) return std::unexpected{keys.error()};
    if (const auto put_in = put_secrets(*keys, options, *url); !put_in)
        return std::unexpected{put_in.error()};
    url->password.clear();
    (*keys)["target"] = url->target;
    (*keys)["lun"] = *url->lun;
    (*keys)["portals"] = Json::array({to_text(url->portal)});
    // NBD's limits, because no kernel driver stands on top of this session.
    (*keys)["export"] = "nbd";
    (*keys)["nbd_socket"] = "/none";
    Config config;
    Tuning& tuning = config.profiles[static_cast<std::size_t>(ProfileId::Data)];
    tuning.depth = 32;
    tuning.request_bytes = 128 * 1024;
    tuning.timers.login = Duration::from_s(options.timeout_s);
    tuning.timers.replacement = Duration::from_s(options.patience_s);
    return tuned(settings_from_request(config, "in-process", nlohmann::json(*keys)), options);
}

OrFailure<AttachSettings> portal_settings(const SessionOptions& options) {
    const bool is_url = looks_like_url(options.url);
    auto parsed = parse_url(is_url ? options.url : "iscsi://" + options.url);
    if (!parsed) return std::unexpected{parsed.error()};
    const IscsiUrl& url = *parsed;
    Json keys = Json::object();
    if (const auto put_in = put_secrets(keys, options, url); !put_in)
        return std::unexpected{put_in.error()};
    AttachSettings settings;
    settings.portals = {url.portal};
    settings.user = url.user;
    settings.password = keys.value("password", "");
    settings.mutual_user = options.mutual_user;
    settings.mutual_password = keys.value("mutual_password", "");
    settings.md5_only = options.md5_only;
    settings.tuning = default_tuning(ProfileId::Data);
    settings.tuning.wish.header_digest = initiator::DigestWish::Never;
    settings.tuning.wish.data_digest = initiator::DigestWish::Never;
    settings.tuning.timers.login = Duration::from_s(options.timeout_s);
    return tuned(std::move(settings), options);
}

std::string name_for(const IscsiUrl& url) {
    const std::size_t from = url.target.find_last_of(":.");
    std::string name = from == std::string::npos ? url.target : url.target.substr(from + 1);
    for (char& c : name) {
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
        if (!is_plain) c = '-';
    }
    constexpr std::size_t kNameMax = 24;
    name = name.substr(0, kNameMax);
    if (name.empty() || name.front() == '-') name.insert(0, "t");
    return fmt::format("{}-{}", name, url.lun.value_or(0));
}

OrFailure<Json> attach_arguments(const Options& options) {
    const AttachOptions& attach = options.attach;
    Json arguments;
    arguments["wait_seconds"] = attach.wait_s;
    arguments["keep_trying"] = attach.keep_trying;
    if (!looks_like_url(options.session.url)) {
        arguments["name"] = options.session.url;
        return arguments;
    }
    auto url = parse_unit_url(options.session.url);
    if (!url) return std::unexpected{url.error()};
    auto keys = session_keys(options.session);
    if (!keys) return keys;
    Json set = Json::object();
    if (const auto put_in = put_set(set, options.session); !put_in)
        return std::unexpected{put_in.error()};
    SessionOptions secrets = options.session;
    take_over(set, "password_file", secrets.password_file);
    take_over(set, "mutual_password_file", secrets.mutual_password_file);
    take_over(set, "mutual_user", secrets.mutual_user);
    put(*keys, "mutual_user", secrets.mutual_user);
    if (const auto put_in = put_secrets(*keys, secrets, *url); !put_in)
        return std::unexpected{put_in.error()};
    (*keys)["target"] = url->target;
    (*keys)["lun"] = *url->lun;
    (*keys)["portals"] = Json::array({to_text(url->portal)});
    put(*keys, "profile", attach.profile);
    put(*keys, "export", attach.exported);
    if (!attach.nbd_socket.empty()) (*keys)["nbd_socket"] = absolute(attach.nbd_socket);
    put(*keys, "path", attach.path);
    put(*keys, "tier", attach.tier);
    if (attach.ublk_id) (*keys)["ublk_id"] = *attach.ublk_id;
    if (attach.slot) (*keys)["slot"] = *attach.slot;
    if (attach.connections) (*keys)["connections"] = *attach.connections;
    put(*keys, "read_only", attach.read_only);
    put(*keys, "shared", attach.shared);
    put(*keys, "force_tier", attach.force_tier);
    put(*keys, "without_lockdown", attach.without_lockdown);
    put(*keys, "keep_kernel_reserve", attach.keep_kernel_reserve);
    keys->update(set);
    arguments["name"] = attach.name.empty() ? name_for(*url) : attach.name;
    arguments["settings"] = *keys;
    return arguments;
}

}  // namespace holdfast::daemon
