/// What a client sends over the control socket: any bytes are frames of bounded length, and each
/// frame is a request that can be written and read again, or a refusal with a sentence.

#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "daemon/control/config.h"
#include "daemon/control/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast::daemon;
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    FrameReader frames{kRequestBytesMax};
    const std::size_t cut = size / 2;
    for (const std::string_view part : {bytes.substr(0, cut), bytes.substr(cut)}) {
        frames.append(part);
        while (frames.has_whole() && !frames.is_broken()) {
            const auto body = frames.try_take();
            HF_ASSERT(body.has_value() == !frames.is_broken());
            if (!body) break;
            const auto request = parse_request(*body);
            if (!request) {
                HF_ASSERT(!request.error().sentence.empty());
                continue;
            }
            const auto again = parse_request(body_of(*request));
            HF_ASSERT(again.has_value() && again->arguments.is_object());
            if (const auto settings = request->arguments.find("settings");
                settings != request->arguments.end())
                static_cast<void>(
                    settings_from_request({}, request->verb, nlohmann::json(*settings)));
        }
    }
    return 0;
}
