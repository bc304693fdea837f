/// Everything that crosses a process boundary on the control side: attach specs, control messages,
/// status facts, and the frames of the control socket.

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/assert.h"
#include "daemon/control/failures.h"
#include "daemon/control/status_json.h"
#include "daemon/control/wire.h"
#include "daemon/shared/attach_spec.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/status_block.h"

namespace {

using namespace holdfast;
using namespace holdfast::daemon;

/// The input laid over a good object, so that the fuzzer reaches behind the first check.
template <class T>
T overlaid(T object, std::span<const std::byte> input) {
    const auto room = std::as_writable_bytes(std::span{&object, 1});
    const std::size_t bytes = std::min(room.size(), input.size());
    // An offset in front lets small inputs reach far fields.
    std::size_t at = 0;
    if (bytes >= 2)
        at =
            (std::to_integer<std::size_t>(input[0]) << 8 | std::to_integer<std::size_t>(input[1])) %
            room.size();
    const std::size_t fits = std::min(bytes, room.size() - at);
    std::memcpy(room.subspan(at).data(), input.data(), fits);
    return object;
}

void try_attach(std::span<const std::byte> input) {
    static_cast<void>(attach_spec_from(input));
    static_cast<void>(attach_bytes_from(input));
    AttachSpec good;
    good.name.assign_cut("a");
    good.session.target_name.assign_cut("iqn.a");
    good.session.initiator_name.assign_cut("iqn.b");
    initiator::Portal portal;
    portal.host.assign_cut("::1");
    good.session.portals.push(portal);
    HF_ASSERT(check(good).has_value());
    const AttachSpec spec = overlaid(good, input);
    if (const auto taken = attach_spec_from(bytes_of(spec))) {
        HF_ASSERT(is_attachment_name(taken->name.view()));
        HF_ASSERT(!taken->session.portals.empty());
    }
}

void try_status(std::span<const std::byte> input) {
    const StatusFacts facts = overlaid(StatusFacts{}, input);
    if (!facts_are_sound(facts)) return;
    static_cast<void>(status_json(facts, {.now = {}, .state = "ready"})
                          .dump(-1, ' ', false, Json::error_handler_t::replace));
    static_cast<void>(metrics_text({&facts, 1}));
    static_cast<void>(udev_properties(facts));
}

void try_frames(std::span<const std::byte> input) {
    FrameReader frames{kRequestBytesMax};
    const std::string_view text = as_text(input);
    const std::size_t half = text.size() / 2;
    for (const std::string_view part : {text.substr(0, half), text.substr(half)}) {
        frames.append(part);
        while (const auto body = frames.try_take()) {
            static_cast<void>(parse_request(*body));
            static_cast<void>(parse_answer(*body));
        }
    }
    static_cast<void>(parse_request(text));
    static_cast<void>(parse_answer(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const std::byte> input = std::as_bytes(std::span{data, size});
    try_attach(input);
    if (const auto message = control_message_from(input)) static_cast<void>(failure_of(*message));
    const auto overlaid_message =
        overlaid(ControlMessage{.header = {.kind = MessageKind::Failed}}, input);
    if (const auto message = control_message_from(bytes_of(overlaid_message)))
        static_cast<void>(failure_of(*message));
    try_status(input);
    try_frames(input);
    return 0;
}
