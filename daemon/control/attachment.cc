#include "daemon/control/attachment.h"

#include <fmt/format.h>

#include <array>

#include "daemon/control/flight.h"

namespace holdfast::daemon {

std::string_view to_text(AttachmentState state) noexcept {
    constexpr std::array<std::string_view, 5> kTexts{"asked", "opening", "ready", "detaching",
                                                     "waiting"};
    return kTexts[static_cast<std::size_t>(state)];
}

std::optional<StatusFacts> Attachment::facts() const {
    if (!shared.is_mapped()) return {};
    return StatusReader{shared.area().status}.try_read();
}

OrFailure<std::string> Attachment::flight() const {
    if (!shared.is_mapped() || shared.flight().cells.empty())
        return fail(ExitCode::NotFound, fmt::format("'{}' has no flight recorder yet", name));
    const initiator::RecorderMemory memory = shared.flight();
    const auto records = collect_flight(FlightReader{memory.cells, memory.shape});
    if (!records) return std::unexpected{records.error()};
    FlightScene scene;
    scene.attachment = name;
    scene.wall_offset = wall_offset_now();
    if (const auto known = facts()) {
        scene.target = known->target_name.view();
        scene.portal_host = known->portal_host.view();
        scene.portal_port = known->portal_port;
    }
    return pcapng_of(scene, *records);
}

}  // namespace holdfast::daemon
