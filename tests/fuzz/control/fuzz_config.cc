/// Configuration text and the settings of a client's request: any bytes end in a configuration that
/// keeps its limits, or in one line of error.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/assert.h"
#include "daemon/control/config.h"

namespace {

using namespace holdfast::daemon;

void expect_limits(const AttachSettings& settings) {
    const Tuning& tuning = settings.tuning;
    HF_ASSERT(is_attachment_name(settings.name));
    HF_ASSERT(settings.lun.has_value() && !settings.portals.empty() && !settings.target.empty());
    HF_ASSERT(tuning.depth >= 1 && tuning.depth <= AttachSpec::kDepthMax);
    HF_ASSERT(tuning.request_bytes % 4096 == 0 && tuning.request_bytes >= 4096);
    HF_ASSERT(std::uint64_t{tuning.depth} * tuning.request_bytes <= AttachSpec::kDataBytesMax);
    HF_ASSERT(tuning.timers.login > holdfast::Duration{});
}

void expect_sentence(const Failure& failure) {
    HF_ASSERT(failure.code == ExitCode::Usage);
    HF_ASSERT(!failure.sentence.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    if (const auto config = parse_config(text, "fuzz")) {
        for (const AttachSettings& settings : config->attachments) expect_limits(settings);
    } else {
        expect_sentence(config.error());
    }
    const auto keys = nlohmann::json::parse(text, nullptr, false);
    if (keys.is_discarded()) return 0;
    if (const auto settings = settings_from_request(Config{}, "fuzz", keys)) {
        expect_limits(*settings);
    } else {
        expect_sentence(settings.error());
    }
    return 0;
}
