/// What clients and control say over the control socket: a length, big-endian, 4 bytes, and that
/// many bytes of JSON. Requests are {"version": 1, "verb": ..., "arguments": {...}}; answers are
/// {"version": 1, "ok": true, "result": ...} or {"version": 1, "ok": false, "exit_code": n,
/// "error": sentence}. docs/operating.md lists the verbs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "daemon/control/failure.h"

namespace holdfast::daemon {

using Json = nlohmann::ordered_json;

inline constexpr int kWireVersion = 1;
/// Clients and daemons of the release before and after this one are understood: keys are never
/// taken away, unknown ones are passed over, and an unknown verb is refused by name.
inline constexpr int kWireVersionSkew = 1;
/// Longest request that control reads; an attach needs about one kilobyte.
inline constexpr std::size_t kRequestBytesMax = 64 * 1024;
/// Longest answer that a client reads: status of some hundred attachments.
inline constexpr std::size_t kAnswerBytesMax = 16 * 1024 * 1024;

/// Collects bytes until they are a frame.
class FrameReader {
public:
    explicit FrameReader(std::size_t body_bytes_max) : body_bytes_max_(body_bytes_max) {}
    void append(std::string_view bytes) { buffer_ += bytes; }
    /// try_take() would give a body, or find that the stream is broken.
    [[nodiscard]] bool has_whole() const noexcept;
    /// The next whole body; empty when more bytes are needed or the stream is broken.
    [[nodiscard]] std::optional<std::string> try_take();
    /// A length beyond the limit came: nothing more can be read from this stream.
    [[nodiscard]] bool is_broken() const noexcept { return is_broken_; }

private:
    std::size_t body_bytes_max_;
    std::string buffer_;
    bool is_broken_ = false;
};

[[nodiscard]] std::string frame_of(std::string_view body);

struct Request {
    std::string verb;
    Json arguments;  ///< An object.
};

[[nodiscard]] OrFailure<Request> parse_request(std::string_view body);
[[nodiscard]] std::string body_of(const Request& request);

/// Bytes inside JSON, two digits each.
[[nodiscard]] std::string hex_of(std::string_view bytes);
/// Empty when it is not hexadecimal.
[[nodiscard]] std::optional<std::string> bytes_from_hex(std::string_view hex);

/// The result, or the failure that the other side had.
[[nodiscard]] OrFailure<Json> parse_answer(std::string_view body);
[[nodiscard]] std::string body_of(const OrFailure<Json>& answer);

}  // namespace holdfast::daemon
