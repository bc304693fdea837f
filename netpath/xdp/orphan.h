/// Connections that a dead process left open at the peer. Nobody can say goodbye for them, because
/// their sequence numbers died with it; but the peer tells them to whoever asks. Pure.
///
/// RFC 9293 section 3.10.7.4: a segment that is not acceptable is answered with an acknowledgement.
/// The answer comes to a port that is closed, so the kernel resets it with the right number
/// (section 3.10.7.1): the connection ends, and what it still had to say is not heard.
#pragma once

#include <cstddef>
#include <span>

#include "netpath/tcp/stream.h"
#include "netpath/wire/address.h"

namespace holdfast::netpath::xdp {

/// Writes the frame that the peer of `flow` will answer; its bytes. `link.remote` is known.
[[nodiscard]] std::size_t put_question(std::span<std::byte> room, const tcp::Link& link,
                                       const wire::Flow& flow) noexcept;

}  // namespace holdfast::netpath::xdp
