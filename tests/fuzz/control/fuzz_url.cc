/// URLs and portals: any text ends in parts that can be written and read again, or in a sentence.

#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "daemon/control/settings.h"
#include "daemon/control/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast::daemon;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    if (const auto url = parse_url(text)) {
        HF_ASSERT(!url->portal.host.empty() && url->portal.port != 0);
        HF_ASSERT(url->target.empty() != url->lun.has_value());
        const auto again = parse_url(without_password(*url));
        HF_ASSERT(again.has_value());
        HF_ASSERT(again->portal == url->portal && again->target == url->target &&
                  again->lun == url->lun && again->user == url->user);
    } else {
        HF_ASSERT(!url.error().sentence.empty());
    }
    if (const auto portal = parse_host_port(text))
        HF_ASSERT(parse_host_port(to_text(*portal)).value_or(HostPort{}) == *portal);
    static_cast<void>(size_from(text));
    static_cast<void>(duration_from(text));
    return 0;
}
