#include "daemon/control/wire.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/bytes.h"

namespace holdfast::daemon {

namespace {

constexpr std::size_t kLengthBytes = 4;

/// JSON text that cannot be shown as UTF-8 is shown with replacement characters.
std::string text_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool has_version(const Json& json) {
    const auto version = json.find("version");
    if (version == json.end() || !version->is_number_integer()) return false;
    const auto number = version->get<std::int64_t>();
    return number >= kWireVersion - kWireVersionSkew && number <= kWireVersion + kWireVersionSkew;
}

}  // namespace

bool FrameReader::has_whole() const noexcept {
    if (is_broken_ || buffer_.size() < kLengthBytes) return false;
    const std::size_t body_bytes =
        be32_at<0>(std::as_bytes(std::span{buffer_}).first<kLengthBytes>());
    return body_bytes > body_bytes_max_ || buffer_.size() - kLengthBytes >= body_bytes;
}

std::optional<std::string> FrameReader::try_take() {
    if (is_broken_ || buffer_.size() < kLengthBytes) return {};
    const auto head = std::as_bytes(std::span{buffer_}).first<kLengthBytes>();
    const std::size_t body_bytes = be32_at<0>(head);
    if (body_bytes > body_bytes_max_) {
        is_broken_ = true;
        return {};
    }
    if (buffer_.size() < kLengthBytes + body_bytes) return {};
    std::string body = buffer_.substr(kLengthBytes, body_bytes);
    buffer_.erase(0, kLengthBytes + body_bytes);
    return body;
}

std::string frame_of(std::string_view body) {
    std::array<std::byte, kLengthBytes> head{};
    put_be32<0>(std::span{head}, static_cast<std::uint32_t>(body.size()));
    std::string frame{as_text(head)};
    frame += body;
    return frame;
}

OrFailure<Request> parse_request(std::string_view body) {
    const Json json = Json::parse(body, nullptr, false);
    if (!json.is_object())
        return fail(ExitCode::Usage, "the request is not JSON; use the holdfast client");
    if (!has_version(json))
        return fail(ExitCode::Usage,
                    "the request is of another release; install holdfast and holdfastd of the "
                    "same one");
    const auto verb = json.find("verb");
    if (verb == json.end() || !verb->is_string())
        return fail(ExitCode::Usage, "the request has no verb; use the holdfast client");
    Request request{.verb = verb->get<std::string>(), .arguments = Json::object()};
    const auto arguments = json.find("arguments");
    if (arguments == json.end()) return request;
    if (!arguments->is_object())
        return fail(ExitCode::Usage,
                    "the request's arguments are not an object; use the holdfast "
                    "client");
    request.arguments = *arguments;
    return request;
}

std::string body_of(const Request& request) {
    Json json;
    json["version"] = kWireVersion;
    json["verb"] = request.verb;
    json["arguments"] = request.arguments;
    return text_of(json);
}

OrFailure<Json> parse_answer(std::string_view body) {
    const Json json = Json::parse(body, nullptr, false);
    const bool has_form =
        json.is_object() && has_version(json) && json.contains("ok") && json["ok"].is_boolean();
    if (!has_form)
        return fail(ExitCode::Failed,
                    "holdfastd answers in a way this client does not know; install both of the "
                    "same release");
    if (json["ok"].get<bool>()) return json.value("result", Json::object());
    std::optional<ExitCode> code;
    if (const auto number = json.find("exit_code");
        number != json.end() && number->is_number_unsigned())
        code = exit_code_from(number->get<std::uint64_t>());
    std::string sentence = "holdfastd failed without a word; look into its log";
    if (const auto error = json.find("error"); error != json.end() && error->is_string())
        sentence = error->get<std::string>();
    return fail(code.value_or(ExitCode::Failed), std::move(sentence));
}

std::string body_of(const OrFailure<Json>& answer) {
    Json json;
    json["version"] = kWireVersion;
    json["ok"] = answer.has_value();
    if (answer) {
        json["result"] = *answer;
    } else {
        json["exit_code"] = static_cast<int>(answer.error().code);
        json["error"] = answer.error().sentence;
    }
    return text_of(json);
}

std::string hex_of(std::string_view bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    hex.reserve(2 * bytes.size());
    for (const char c : bytes) {
        const auto value = static_cast<unsigned char>(c);
        hex += kDigits[value >> 4];
        hex += kDigits[value & 0xf];
    }
    return hex;
}

std::optional<std::string> bytes_from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return {};
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    for (; !hex.empty(); hex.remove_prefix(2)) {
        unsigned value = 0;
        const std::string_view pair = hex.substr(0, 2);
        const auto [stop, error] = std::from_chars(pair.begin(), pair.end(), value, 16);
        if (error != std::errc{} || stop != pair.end()) return {};
        bytes += static_cast<char>(value);
    }
    return bytes;
}

}  // namespace holdfast::daemon
