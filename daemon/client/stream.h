/// Keeps a unit busy with consecutive requests over a range, in order on the caller's side: the
/// core of read, write and verify.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "daemon/client/unit_port.h"
#include "daemon/client/unit_range.h"

namespace holdfast::daemon {

/// Called in the order of addresses. `address`: bytes from the start of the unit.
using TakePiece =
    std::function<OrFailure<void>(std::span<const std::byte> data, std::uint64_t address)>;
/// Fills `data` and returns how many bytes of it count: fewer than all ends the stream after this
/// piece; none ends it at once.
using GivePiece =
    std::function<OrFailure<std::size_t>(std::span<std::byte> data, std::uint64_t address)>;

/// Reads the range, which consists of whole blocks.
[[nodiscard]] OrFailure<void> read_stream(UnitPort& port, const UnitRange& range,
                                          const TakePiece& take);

/// Writes what `give` gives into the range, whole blocks only: the last piece is cut down to whole
/// blocks. Returns the bytes given, also those cut off. Does not flush.
[[nodiscard]] OrFailure<std::uint64_t> write_stream(UnitPort& port, const UnitRange& range,
                                                    const GivePiece& give);

/// One request, waited for. For tails and flushes; tag 0.
[[nodiscard]] OrFailure<void> run_request(UnitPort& port, const initiator::Request& request,
                                          std::string_view doing);
[[nodiscard]] OrFailure<void> flush(UnitPort& port);

}  // namespace holdfast::daemon
